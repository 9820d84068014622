//! y = x².
//!
//! Derivative: 2·g·x. Shapes: `(…)` → `(…)`. Numerics: one rounding.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The square.
#[derive(Clone, Copy, Debug)]
pub struct Square;

impl Unary for Square {
    const NAME: &'static str = "square";
    const BACKWARD: &'static str = "square_backward";
    const SUMMARY: &'static str = "x²";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 1;

    fn reference(self, x: f64) -> f64 {
        x * x
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        2.0 * g * x
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        x * x
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        (g * x) * 2.0
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Square, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Square, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// x² of each element.
    fn square(&self) -> Result<Tensor> {
        apply_single(Elementwise(Square), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Square>()
}
