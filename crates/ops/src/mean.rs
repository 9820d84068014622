//! Means and variances, composed of sum, affine and square: mean x = Σx/n.
//!
//! Derivative: that of the parts. Shapes: as sum. Numerics: as sum, and one rounding; the mean of nothing is NaN.
//! The variance subtracts the mean first, so that a large mean costs no digits.

use warpsmith_autograd::Spec;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::affine::Methods as _;
use crate::square::Methods as _;
use crate::sub::Methods as _;
use crate::sum::Methods as _;

/// How many elements each sum over `axes` has.
fn count(x: &Tensor, axes: &[isize]) -> Result<usize> {
    axes.iter().try_fold(1, |n, &axis| Ok(n * x.dims()[x.shape().axis("mean", axis)?]))
}

methods! {
    /// The mean over `axes` (negative ones count from the end), which go away, or stay with size 1 if `keep`.
    ///
    /// # Errors
    /// If an axis does not exist or is named twice.
    fn mean(&self, axes: &[isize], keep: bool) -> Result<Tensor> {
        let n = count(self, axes)?;
        self.sum(axes, keep)?.mul_scalar(1.0 / n as f64)
    }

    /// The mean of all elements, as a tensor with no axes.
    fn mean_all(&self) -> Result<Tensor> {
        self.sum_all()?.mul_scalar(1.0 / self.numel() as f64)
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
        let centred = self.sub(&self.mean(axes, true)?)?;
        centred.square()?.sum(axes, keep)?.mul_scalar(1.0 / (n - correction) as f64)
    }
}

/// No entries: these are not ops of their own.
pub fn specs() -> Vec<Spec> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_autograd::TensorExt as _;
    use warpsmith_tensor::Device;

    #[test]
    fn means_and_variances_are_those_of_the_formula() {
        let x = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0, 6.0, 8.0], &[2, 3], &Device::Cpu).unwrap();
        let x = x.requires_grad().unwrap();
        assert_eq!(x.mean(&[1], false).unwrap().to_vec::<f32>().unwrap(), [2.0, 6.0]);
        assert_eq!(x.mean(&[0, -1], true).unwrap().dims(), [1, 1]);
        assert_eq!(x.var(&[-1], false, 1).unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0]);
        let mean = x.mean_all().unwrap();
        assert_eq!(mean.item().unwrap(), 4.0);
        let gradients = mean.backward().unwrap();
        let expected = [(1.0 / 6.0) as f32; 6];
        assert_eq!(gradients.of(&x).unwrap().to_vec::<f32>().unwrap(), expected);
        assert!(x.var(&[0], false, 2).is_err() && x.mean(&[2], false).is_err());
    }
}
