//! The gradient under a mask.

use warpsmith_autograd::TensorExt as _;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Tensor};

/// Differences of -∞ say nothing, so the sweep cannot see this.
#[test]
fn what_minus_infinity_covers_has_no_gradient() {
    let x = Tensor::from_slice(&[1f32, 2.0], &[2], &Device::Cpu).unwrap().requires_grad().unwrap();
    let mask = Tensor::from_slice(&[false, true], &[2], &Device::Cpu).unwrap();
    let y = x.masked_fill(&mask, f64::NEG_INFINITY).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, f32::NEG_INFINITY]);
    let ones = Tensor::full(*y.shape(), 1.0, y.dtype(), &Device::Cpu).unwrap();
    let gradients = y.backward_from(ones).unwrap();
    assert_eq!(gradients.of(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0]);
}
