//! y = |x|.
//!
//! Derivative: g·sign x, with sign 0 = 0 (and sign NaN = 0, as in PyTorch). Shapes: `(…)` → `(…)`. Numerics: exact.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The absolute value.
#[derive(Clone, Copy, Debug)]
pub struct Abs;

impl Unary for Abs {
    const NAME: &'static str = "abs";
    const BACKWARD: &'static str = "abs_backward";
    const SUMMARY: &'static str = "|x|";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 1;

    fn reference(self, x: f64) -> f64 {
        x.abs()
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        g * (f64::from(x > 0.0) - f64::from(x < 0.0))
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        x.abs()
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        let sign = if x > 0.0 { 1.0 } else { 0.0 } - if x < 0.0 { 1.0 } else { 0.0 };
        g * sign
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Abs, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Abs, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// |x| of each element.
    fn abs(&self) -> Result<Tensor> {
        apply_single(Elementwise(Abs), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Abs>()
}
