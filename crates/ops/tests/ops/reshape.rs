//! Sizes that are worked out, kept or refused.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Tensor};

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::from_vec(vec![0f32; dims.iter().product()], dims, &Device::Cpu).unwrap()
}

#[test]
fn a_size_of_minus_one_is_what_is_left() {
    let x = zeros(&[4, 6]);
    assert_eq!(x.reshape(&[2, -1]).unwrap().dims(), [2, 12]);
    assert_eq!(x.reshape(&[-1]).unwrap().dims(), [24]);
    assert_eq!(x.reshape(&[3usize, 8]).unwrap().dims(), [3, 8]);
    for wrong in [&[-1, -1][..], &[5, -1], &[-2, 12], &[0, -1], &[25]] {
        assert!(x.reshape(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_reshape_copies_only_if_it_must() {
    let x = zeros(&[4, 6]);
    assert!(x.reshape(&[24]).unwrap().shares_storage(&x));
    assert!(!x.transpose(0, 1).unwrap().reshape(&[24]).unwrap().shares_storage(&x));
}

#[test]
fn axes_come_and_go() {
    let x = zeros(&[4, 6]);
    assert_eq!(x.unsqueeze(-1).unwrap().dims(), [4, 6, 1]);
    assert_eq!(x.unsqueeze(0).unwrap().squeeze(0).unwrap().dims(), [4, 6]);
    assert_eq!(x.unsqueeze(1).unwrap().flatten(1, -1).unwrap().dims(), [4, 6]);
    assert!(x.squeeze(0).is_err() && x.unsqueeze(3).is_err() && x.flatten(1, 0).is_err());
}
