//! y = max(x, 0), the rectified linear unit.
//!
//! Derivative: g where y > 0, else 0; a NaN lets g pass, as in PyTorch. Shapes: `(…)` → `(…)`. Numerics: exact.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The rectified linear unit.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Unary for Relu {
    const NAME: &'static str = "relu";
    const BACKWARD: &'static str = "relu_backward";
    const SUMMARY: &'static str = "max(x, 0)";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 1;

    fn reference(self, x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        if y <= 0.0 { 0.0 } else { g }
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        if y <= 0.0 { 0.0 } else { g }
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Relu, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Relu, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// max(x, 0) of each element.
    fn relu(&self) -> Result<Tensor> {
        apply_single(Elementwise(Relu), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Relu>()
}
