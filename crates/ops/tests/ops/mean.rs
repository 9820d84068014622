//! Means and variances, which are composed of sums.

use warpsmith_autograd::TensorExt as _;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Tensor};

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

/// Sums of these are infinite in f16 and rounded in bf16; means and variances are not.
#[test]
fn sums_of_16_bit_numbers_are_rounded_only_once_they_are_means() {
    let tensor = |values: &[f32], dtype: DType| {
        let x = Tensor::from_slice(values, &[values.len()], &Device::Cpu).unwrap();
        x.to_dtype(dtype).unwrap().requires_grad().unwrap()
    };
    let large = tensor(&[60_000.0; 3], DType::F16);
    assert_eq!(large.mean(&[0], false).unwrap().item().unwrap(), 60_000.0);
    assert_eq!(large.mean_all().unwrap().item().unwrap(), 60_000.0);
    let spread = tensor(&[30.0, -30.0].repeat(64), DType::F16);
    let var = spread.var(&[0], false, 0).unwrap();
    assert_eq!((var.item().unwrap(), var.dtype()), (900.0, DType::F16));
    let gradients = var.backward().unwrap();
    // 2·(x - mean)/n
    assert_eq!(gradients.of(&spread).unwrap().to_f64_vec().unwrap()[..2], [0.46875, -0.46875]);
    let equal = tensor(&[99.5; 3], DType::BF16);
    assert_eq!(equal.var(&[0], false, 0).unwrap().item().unwrap(), 0.0);
}
