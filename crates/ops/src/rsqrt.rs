//! y = 1/√x.
//!
//! Derivative: -½·g·y³. Shapes: `(…)` → `(…)`. Numerics: two roundings; 0 gives ∞, negative numbers give NaN.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The reciprocal square root.
#[derive(Clone, Copy, Debug)]
pub struct Rsqrt;

impl Unary for Rsqrt {
    const NAME: &'static str = "rsqrt";
    const BACKWARD: &'static str = "rsqrt_backward";
    const SUMMARY: &'static str = "1/√x";
    const KEPT: Kept = Kept::Output;
    const WORK: usize = 6;
    const DOMAIN: Option<(f64, f64)> = Some((0.1, 10.0));

    fn reference(self, x: f64) -> f64 {
        1.0 / x.sqrt()
    }

    fn reference_gradient(self, g: f64, y: f64) -> f64 {
        -0.5 * g * y * y * y
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        1.0 / x.sqrt()
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, y: f32) -> f32 {
        -0.5 * g * y * y * y
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Rsqrt, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Rsqrt, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// 1/√x of each element: ∞ for 0, NaN below.
    fn rsqrt(&self) -> Result<Tensor> {
        apply_single(Elementwise(Rsqrt), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Rsqrt>()
}
