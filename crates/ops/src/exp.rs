//! y = eˣ.
//!
//! Derivative: g·y. Shapes: `(…)` → `(…)`. Numerics: within 2 ulp; e⁻∞ = 0, overflow gives ∞, NaN stays.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The exponential.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl Unary for Exp {
    const NAME: &'static str = "exp";
    const BACKWARD: &'static str = "exp_backward";
    const SUMMARY: &'static str = "eˣ";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 10;

    fn reference(self, x: f64) -> f64 {
        x.exp()
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        g * y
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        math::exp(x)
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        g * y
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Exp, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Exp, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// eˣ of each element.
    fn exp(&self) -> Result<Tensor> {
        apply_single(Elementwise(Exp), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Exp>()
}
