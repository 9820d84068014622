//! y = σ(x) = 1/(1 + e⁻ˣ).
//!
//! Derivative: g·y·(1 - y). Shapes: `(…)` → `(…)`. Numerics: within 3 ulp.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The logistic function.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Unary for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const BACKWARD: &'static str = "sigmoid_backward";
    const SUMMARY: &'static str = "1/(1 + e⁻ˣ)";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 14;
    const ROUNDINGS: [f64; 2] = [6.0, 4.0];
    const KEPT_DOMAIN: Option<(f64, f64)> = Some((0.0, 1.0));

    fn reference(self, x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        g * y * (1.0 - y)
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        math::sigmoid(x)
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        g * y * (1.0 - y)
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Sigmoid, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Sigmoid, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// 1/(1 + e⁻ˣ) of each element.
    fn sigmoid(&self) -> Result<Tensor> {
        apply_single(Elementwise(Sigmoid), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Sigmoid>()
}
