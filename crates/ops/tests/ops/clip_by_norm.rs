//! Norms that are kept, cut, zero, infinite or NaN.

use warpsmith_ops::clip_by_norm::clip_by_norm;
use warpsmith_tensor::{Device, Tensor};

fn clip(values: &[f32], max_norm: f64) -> (f64, Vec<f32>) {
    let gradient = Tensor::from_slice(values, &[values.len()], &Device::Cpu).unwrap();
    let (norm, clipped) = clip_by_norm(vec![gradient], max_norm).unwrap();
    (norm, clipped[0].to_vec().unwrap())
}

#[test]
fn lengths_are_kept_or_shortened_and_special_values_are_reported() {
    assert_eq!(clip(&[3.0, -4.0], 10.0), (5.0, vec![3.0, -4.0]));
    let (norm, short) = clip(&[3.0, -4.0], 1.0);
    assert_eq!(norm, 5.0);
    assert!((short[0] - 0.6).abs() < 1e-6 && (short[1] + 0.8).abs() < 1e-6, "{short:?}");
    let (norm, clipped) = clip(&[1.0, f32::NAN], 1.0);
    assert!(norm.is_nan() && clipped.iter().all(|g| g.is_nan()));
    let (norm, clipped) = clip(&[1.0, f32::INFINITY], 1.0);
    assert!(norm == f64::INFINITY && clipped[0] == 0.0 && clipped[1].is_nan());
    // Beyond the largest f32 the norm is ∞, yet the direction is right.
    let (norm, clipped) = clip(&[3e38, 3e38], 1.0);
    assert!(norm == f64::INFINITY && (clipped[0] - 0.5f32.sqrt()).abs() < 1e-6);
}
