//! y = ln(1 + eˣ), the smooth max(x, 0). -ln σ(x) is the softplus of -x: a cross-entropy of two classes from its logit.
//!
//! Derivative: g·σ(x). Shapes: `(…)` → `(…)`. Numerics: max(x, 0) + ln(1 + e^-|x|), so nothing overflows; what 1 + e^-|x| rounds
//! away is divided out again, so that e⁻³⁰ is told from 0.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// ln(1 + eˣ).
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

impl Unary for Softplus {
    const NAME: &'static str = "softplus";
    const BACKWARD: &'static str = "softplus_backward";
    const SUMMARY: &'static str = "ln(1 + eˣ)";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 30;
    const ROUNDINGS: [f64; 2] = [12.0, 8.0];

    fn reference(self, x: f64) -> f64 {
        // f64::max drops a NaN.
        if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        g / (1.0 + (-x).exp())
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        let e = math::exp(-x.abs());
        let u = 1.0 + e;
        let rest = math::ln(u) * (e / (u - 1.0));
        x.max(0.0) + if u == 1.0 { e } else { rest }
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        g * math::sigmoid(x)
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Softplus, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Softplus, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

methods! {
    /// ln(1 + eˣ) of each element.
    fn softplus(&self) -> Result<Tensor> {
        apply_single(Elementwise(Softplus), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Softplus>()
}
