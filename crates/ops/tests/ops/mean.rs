//! Means and variances, which are composed of sums.

use warpsmith_autograd::TensorExt as _;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Tensor};

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
