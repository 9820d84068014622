//! Means and variances, composed of sum, affine and square: mean x = Σx/n.
//!
//! Derivative: that of the parts. Shapes: as sum. Numerics: as sum, and one rounding; the mean of nothing is NaN.
//! The variance subtracts the mean first, so that a large mean costs no digits. 16-bit floats are computed in f32 and rounded
//! once: their sum may be larger than any of them can be.

use warpsmith_autograd::Spec;
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::affine::Methods as _;
use crate::cast::Methods as _;
use crate::square::Methods as _;
use crate::sub::Methods as _;
use crate::sum::Methods as _;

/// How many elements each sum over `axes` has.
fn count(x: &Tensor, axes: &[isize]) -> Result<usize> {
    axes.iter().try_fold(1, |n, &axis| Ok(n * x.dims()[x.shape().axis("mean", axis)?]))
}

/// What `compute` makes of `x`, which it never sees in 16 bits.
fn in_wide(x: &Tensor, compute: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match x.dtype() {
        half if half.is_half() => compute(&x.cast(DType::F32)?)?.cast(half),
        _ => compute(x),
    }
}

methods! {
    /// The mean over `axes` (negative ones count from the end), which go away, or stay with size 1 if `keep`.
    ///
    /// # Errors
    /// If an axis does not exist or is named twice.
    fn mean(&self, axes: &[isize], keep: bool) -> Result<Tensor> {
        let n = count(self, axes)?;
        in_wide(self, |x| x.sum(axes, keep)?.mul_scalar(1.0 / n as f64))
    }

    /// The mean of all elements, as a tensor with no axes.
    fn mean_all(&self) -> Result<Tensor> {
        in_wide(self, |x| x.sum_all()?.mul_scalar(1.0 / x.numel() as f64))
    }

    /// The variance over `axes`: Σ(x - mean)²/(n - correction), with correction 0 for a population and 1 (Bessel's)
    /// for a sample.
    ///
    /// # Errors
    /// If an axis does not exist or is named twice, or there are not more than `correction` elements.
    fn var(&self, axes: &[isize], keep: bool, correction: usize) -> Result<Tensor> {
        let n = count(self, axes)?;
        if n <= correction {
            let message = format!("{n} elements, but the correction is {correction}");
            return Err(Error::shape("var", &[*self.shape()], message));
        }
        in_wide(self, |x| {
            let centred = x.sub(&x.mean(axes, true)?)?;
            centred.square()?.sum(axes, keep)?.mul_scalar(1.0 / (n - correction) as f64)
        })
    }
}

/// No entries: these are not ops of their own.
pub fn specs() -> Vec<Spec> {
    Vec::new()
}
