//! y = x·σ(x), σ(x) = 1/(1 + e⁻ˣ): the sigmoid linear unit, also called swish.
//!
//! Derivative: g·σ(x)·(1 + x·σ(-x)). Shapes: `(…)` → `(…)`. Numerics: σ(x) and σ(-x) come from
//! one exponential, so neither is 1 minus the other. x = -∞ gives NaN (∞·0), as in PyTorch.
//! Source: Elfwing, Uchibe and Doya, *Sigmoid-Weighted Linear Units*, 2017, arXiv 1702.03118, §2.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// The sigmoid linear unit.
#[derive(Clone, Copy, Debug)]
pub struct Silu;

impl Unary for Silu {
    const NAME: &'static str = "silu";
    const BACKWARD: &'static str = "silu_backward";
    const SUMMARY: &'static str = "x·σ(x)";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 16;
    // σ has 3 ulp (6 roundings), the product one more; σ(-x) 11, times x, plus 1, times σ(x): 20.
    const ROUNDINGS: [f64; 2] = [8.0, 20.0];

    fn reference(self, x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        let (s, t) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
        g * s * (1.0 + x * t)
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        x * math::sigmoid(x)
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        let (s, t) = halves(x);
        g * (s * x.mul_add(t, 1.0))
    }

    // Where σ is subnormal its error is absolute, and x multiplies it.
    fn scale(self, x: f64) -> f64 {
        self.reference(x).abs() + x.abs().min(110.0) * f64::from(f32::MIN_POSITIVE)
    }

    // 1 + x·σ(-x) has a root near -1.28, where the two terms cancel.
    fn gradient_scale(self, g: f64, x: f64) -> f64 {
        let (s, t) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
        g.abs() * (s * (1.0 + (x * t).abs()) + x.abs().min(110.0) * f64::from(f32::MIN_POSITIVE))
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Silu, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        unary_backward::backward(unary_backward::UnaryBackward::Silu, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self]
    }
}

/// σ(x) and σ(-x). Call inside `dispatch`.
#[inline(always)]
fn halves(x: f32) -> (f32, f32) {
    let e = math::exp(-x.abs());
    let large = 1.0 / (1.0 + e);
    if x < 0.0 { (e * large, large) } else { (large, e * large) }
}

methods! {
    /// x·σ(x) of each element.
    fn silu(&self) -> Result<Tensor> {
        apply_single(Elementwise(Silu), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Silu>()
}
