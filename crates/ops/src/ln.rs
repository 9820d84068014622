//! y = ln x, the natural logarithm.
//!
//! Derivative: g/x. Shapes: `(…)` → `(…)`. Numerics: within 2 ulp; ln 0 = -∞, negative numbers give NaN.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The natural logarithm.
#[derive(Clone, Copy, Debug)]
pub struct Ln;

impl Unary for Ln {
    const NAME: &'static str = "ln";
    const BACKWARD: &'static str = "ln_backward";
    const SUMMARY: &'static str = "ln x";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 14;
    const DOMAIN: Option<(f64, f64)> = Some((0.1, 10.0));

    fn reference(self, x: f64) -> f64 {
        x.ln()
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        g / x
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        math::ln(x)
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        g / x
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Ln, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Ln, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// ln x of each element: -∞ for 0, NaN below.
    fn ln(&self) -> Result<Tensor> {
        apply_single(Elementwise(Ln), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Ln>()
}
