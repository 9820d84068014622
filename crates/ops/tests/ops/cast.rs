//! Gradients and bits of other dtypes.

use warpsmith_autograd::TensorExt as _;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Tensor};

#[test]
fn a_gradient_comes_back_in_the_dtype_of_the_input() {
    let numbers = [1.0f32, 1.001, -3.3];
    let x = Tensor::from_slice(&numbers, &[3], &Device::Cpu).unwrap().requires_grad().unwrap();
    let y = x.cast(DType::BF16).unwrap();
    assert_eq!(y.to_f64_vec().unwrap(), [1.0, 1.0, -3.296875]);
    let g = Tensor::from_f64(&[0.5, 2.0, 1.001], *y.shape(), DType::BF16, &Device::Cpu).unwrap();
    let gradients = y.backward_from(g).unwrap();
    assert_eq!(gradients.of(&x).unwrap().to_vec::<f32>().unwrap(), [0.5, 2.0, 1.0]);
}

#[test]
fn ids_and_masks_become_floats() {
    let ids = Tensor::from_slice(&[0i64, 7], &[2], &Device::Cpu).unwrap();
    assert_eq!(ids.cast(DType::F32).unwrap().to_vec::<f32>().unwrap(), [0.0, 7.0]);
    let mask = Tensor::from_slice(&[true, false], &[2], &Device::Cpu).unwrap();
    assert_eq!(mask.cast(DType::F32).unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0]);
}

#[test]
fn integers_have_no_trace() {
    let x = Tensor::from_slice(&[1.7f32, -1.7], &[2], &Device::Cpu).unwrap().requires_grad().unwrap();
    let y = x.cast(DType::I64).unwrap();
    assert!(y.trace().is_none());
    assert_eq!(y.to_vec::<i64>().unwrap(), [1, -1]);
}
