//! y = tanh x.
//!
//! Derivative: g·(1 - y²). Shapes: `(…)` → `(…)`. Numerics: within 3 ulp; 1 - y² is rounded once.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The hyperbolic tangent.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Unary for Tanh {
    const NAME: &'static str = "tanh";
    const BACKWARD: &'static str = "tanh_backward";
    const SUMMARY: &'static str = "tanh x";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 20;
    const ROUNDINGS: [f64; 2] = [6.0, 4.0];
    const KEPT_DOMAIN: Option<(f64, f64)> = Some((-1.0, 1.0));

    fn reference(self, x: f64) -> f64 {
        x.tanh()
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        g * (1.0 - y * y)
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        math::tanh(x)
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        g * (-y).mul_add(y, 1.0)
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Tanh, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Tanh, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// tanh x of each element.
    fn tanh(&self) -> Result<Tensor> {
        apply_single(Elementwise(Tanh), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Tanh>()
}
