//! y = √x.
//!
//! Derivative: g/(2y). Shapes: `(…)` → `(…)`. Numerics: one rounding; negative numbers give NaN, and the slope at 0 is ∞.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The square root.
#[derive(Clone, Copy, Debug)]
pub struct Sqrt;

impl Unary for Sqrt {
    const NAME: &'static str = "sqrt";
    const BACKWARD: &'static str = "sqrt_backward";
    const SUMMARY: &'static str = "√x";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 4;
    const DOMAIN: Option<(f64, f64)> = Some((0.1, 10.0));

    fn reference(self, x: f64) -> f64 {
        x.sqrt()
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        g / (2.0 * y)
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        x.sqrt()
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        g / (y + y)
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Sqrt, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Sqrt, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// √x of each element: NaN below 0.
    fn sqrt(&self) -> Result<Tensor> {
        apply_single(Elementwise(Sqrt), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Sqrt>()
}
