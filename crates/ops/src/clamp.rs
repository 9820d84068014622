//! y = min(max(x, low), high).
//!
//! Derivative: g where low ≤ x ≤ high, else 0. Shapes: `(…)` → `(…)`. Numerics: exact; NaN stays, without a gradient.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, unary, unary_backward};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// Holds numbers between two bounds.
#[derive(Clone, Copy, Debug)]
pub struct Clamp {
    /// The lower bound; -∞ for none.
    pub low: f64,
    /// The upper bound; ∞ for none.
    pub high: f64,
}

impl Unary for Clamp {
    const NAME: &'static str = "clamp";
    const BACKWARD: &'static str = "clamp_backward";
    const SUMMARY: &'static str = "held between two bounds";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 2;

    fn check(self) -> Result<()> {
        if self.low <= self.high {
            return Ok(());
        }
        let message = format!("the bounds {} and {} are not in order", self.low, self.high);
        Err(Error::value(Self::NAME, message).hint("give the lower bound first"))
    }

    fn reference(self, x: f64) -> f64 {
        match x {
            x if x < self.low => self.low,
            x if x > self.high => self.high,
            x => x,
        }
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        if (self.low..=self.high).contains(&x) { g } else { 0.0 }
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        let (low, high) = (self.low as f32, self.high as f32);
        let raised = if x < low { low } else { x };
        if raised > high { high } else { raised }
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        if x >= self.low as f32 && x <= self.high as f32 { g } else { 0.0 }
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        unary::forward(unary::Unary::Clamp { low: self.low, high: self.high }, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        let function = unary_backward::UnaryBackward::Clamp { low: self.low, high: self.high };
        unary_backward::backward(function, operands)
    }

    fn samples() -> Vec<Self> {
        vec![Self { low: -0.5, high: 1.25 }, Self { low: 0.0, high: f64::INFINITY }]
    }
}

methods! {
    /// Each element, or the bound that it lies beyond (-∞ or ∞ for none).
    ///
    /// # Errors
    /// If `low` is not at most `high`.
    fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        apply_single(Elementwise(Clamp { low, high }), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Clamp>()
}
