//! y = xᵖ for one exponent p.
//!
//! Derivative: g·p·xᵖ⁻¹. Shapes: `(…)` → `(…)`. Numerics: e^(p·ln |x|) in f64, so that y is rounded to f32 once
//! whatever the size of p·ln |x|. As in C: x⁰ = 1 also for NaN; a negative number to a power that is no integer
//! gives NaN; (±0)ᵖ for p < 0 gives ±∞.

use warpsmith_autograd::{Spec, apply_single};
use warpsmith_kernels::{Launch, Map, pow};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::unary::{Elementwise, Kept, Unary, unary_specs};

/// A power.
#[derive(Clone, Copy, Debug)]
pub struct Pow {
    /// The exponent p.
    pub exponent: f64,
}

/// ln a for a ≥ 0 that came from f32, within 1e-15 of its size.
#[inline(always)]
fn ln(a: f64) -> f64 {
    const SQRT_HALF: i64 = 0x3fe6_a09e_667f_3bcd;
    // a = 2ᵏ·m with m in [√½, √2); then ln m = 2·artanh s, s = (m-1)/(m+1), |s| < 0.172.
    let bits = a.to_bits() as i64;
    let k = bits.wrapping_sub(SQRT_HALF) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(k << 52) as u64);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = 1.0 / 21.0;
    let mut odd = 19.0;
    while odd > 0.0 {
        sum = z.mul_add(sum, 1.0 / odd);
        odd -= 2.0;
    }
    let y = (2.0 * s).mul_add(sum, k as f64 * std::f64::consts::LN_2);
    let y = if a == 0.0 { f64::NEG_INFINITY } else { y };
    if a == f64::INFINITY || a.is_nan() { a } else { y }
}

/// eᵗ, within 1e-14 of its size, for results that f32 can hold; 0 or ∞ beyond those.
#[inline(always)]
fn exp(t: f64) -> f64 {
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let held = t.clamp(-150.0, 150.0);
    let shifted = held.mul_add(std::f64::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let k = shifted.to_bits() as i64 - ROUNDER.to_bits() as i64;
    // |r| ≤ ½·ln 2: the term after the last is below 1e-16.
    let r = n.mul_add(-std::f64::consts::LN_2, held);
    let mut y = 1.0;
    let mut i = 13.0;
    while i > 0.0 {
        y = (y * r).mul_add(1.0 / i, 1.0);
        i -= 1.0;
    }
    let y = y * f64::from_bits(((k + 1023) << 52) as u64);
    let y = if t > 149.0 { f64::INFINITY } else { y };
    let y = if t < -149.0 { 0.0 } else { y };
    if t.is_nan() { t } else { y }
}

/// xᵖ. Call inside `dispatch`.
#[inline(always)]
fn power(x: f32, p: f64) -> f32 {
    let whole = p == p.trunc();
    let odd = whole && (p * 0.5) != (p * 0.5).trunc();
    let y = exp(p * ln(f64::from(x).abs())) as f32;
    let y = if odd { y.copysign(x) } else { y };
    let outside = !whole && x < 0.0 && x > f32::NEG_INFINITY;
    if outside { f32::NAN } else { y }
}

impl Unary for Pow {
    const NAME: &'static str = "pow";
    const BACKWARD: &'static str = "pow_backward";
    const SUMMARY: &'static str = "xᵖ for one exponent p";
    const KEPT: Kept = Kept::Input;
    const WORK: usize = 40;
    const DOMAIN: Option<(f64, f64)> = Some((0.1, 4.0));

    fn check(self) -> Result<()> {
        if self.exponent.is_finite() {
            return Ok(());
        }
        Err(Error::value(Self::NAME, format!("the exponent {} is not a finite number", self.exponent)))
    }

    fn reference(self, x: f64) -> f64 {
        x.powf(self.exponent)
    }

    fn reference_gradient(self, g: f64, x: f64) -> f64 {
        if self.exponent == 0.0 { 0.0 } else { g * self.exponent * x.powf(self.exponent - 1.0) }
    }

    #[inline(always)]
    fn cpu(self, x: f32) -> f32 {
        if self.exponent == 0.0 { 1.0 } else { power(x, self.exponent) }
    }

    #[inline(always)]
    fn cpu_gradient(self, g: f32, x: f32) -> f32 {
        let p = self.exponent;
        let slope = if p == 1.0 { 1.0 } else { p as f32 * power(x, p - 1.0) };
        if p == 0.0 { 0.0 } else { g * slope }
    }

    fn cuda(self, operands: &Map<1>) -> Launch {
        pow::forward(self.exponent, operands)
    }

    fn cuda_gradient(self, operands: &Map<2>) -> Launch {
        pow::backward(self.exponent, operands)
    }

    fn samples() -> Vec<Self> {
        [2.0, -1.0, 3.0, 0.5, 1.7, 0.0, 1.0].map(|exponent| Self { exponent }).into()
    }
}

methods! {
    /// Each element to the power `exponent`.
    ///
    /// # Errors
    /// If the exponent is not finite.
    fn pow(&self, exponent: f64) -> Result<Tensor> {
        apply_single(Elementwise(Pow { exponent }), &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    unary_specs::<Pow>()
}
