//! What the sweep cannot see of cross-entropy: its edge cases, and that its gradient is made in place.

use warpsmith_autograd::{Meta, Op, TensorExt};
use warpsmith_ops::cross_entropy::{CrossEntropy, CrossEntropyBackward, IGNORE_INDEX, count_targets};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Kind, Tensor};

fn tensor<T: warpsmith_tensor::Element>(values: &[T], dims: &[usize]) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap()
}

#[test]
fn without_targets_loss_and_gradient_are_zero() {
    let logits = tensor(&[1f32, 2.0, f32::NAN, 4.0], &[2, 2]).requires_grad().unwrap();
    let loss = logits.cross_entropy(&tensor(&[IGNORE_INDEX; 2], &[2])).unwrap();
    assert_eq!(loss.item().unwrap(), 0.0);
    let grads = loss.backward().unwrap();
    assert_eq!(grads.of(&logits).unwrap().to_vec::<f32>().unwrap(), [0.0; 4]);
}

#[test]
fn a_target_outside_the_classes_is_named_with_its_place() {
    let logits = tensor(&[0f32; 6], &[2, 3]);
    for bad in [3, -1] {
        let error = logits.cross_entropy(&tensor(&[0i64, bad], &[2])).unwrap_err();
        assert_eq!(error.kind(), Kind::Index);
        assert!(error.to_string().contains(&format!("target {bad} at position 1")), "{error}");
    }
}

#[test]
fn a_common_offset_of_the_logits_changes_nothing() {
    let values: Vec<f32> = (0..64).map(|i| (i % 11) as f32 * 0.25).collect();
    let gradient = |offset: f32| {
        let shifted: Vec<f32> = values.iter().map(|v| v + offset).collect();
        let logits = tensor(&shifted, &[2, 32]).requires_grad().unwrap();
        let loss = logits.cross_entropy(&tensor(&[3i64, 17], &[2])).unwrap();
        (loss.item().unwrap(), loss.backward().unwrap().of(&logits).unwrap().to_vec::<f32>().unwrap())
    };
    assert_eq!(gradient(0.0), gradient(8192.0));
}

#[test]
fn the_gradient_is_written_over_logits_that_nobody_else_holds() {
    let op = CrossEntropyBackward { forward: CrossEntropy::MEAN };
    let inputs = || {
        let values: Vec<f32> = (0..35).map(|i| (i as f32).sin()).collect();
        let statistics = tensor(&[1f32; 5], &[5]);
        let targets = tensor(&[0i64, 1, IGNORE_INDEX, 3, 4], &[5]);
        vec![tensor(&values, &[5, 7]), targets, statistics.clone(), statistics, tensor(&[1f32], &[])]
    };
    let meta = [Meta::from(&inputs()[0])];
    let (alone, shared) = (inputs(), inputs());
    let (place, keep) = (alone[0].data::<f32>().unwrap().as_ptr(), shared[0].clone());
    let (a, b) = (op.cpu(alone, &meta).unwrap().remove(0), op.cpu(shared, &meta).unwrap().remove(0));
    assert_eq!(a.data::<f32>().unwrap().as_ptr(), place);
    assert_ne!(b.data::<f32>().unwrap().as_ptr(), keep.data::<f32>().unwrap().as_ptr());
    assert_eq!(a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    assert_eq!(count_targets(&inputs()[1], IGNORE_INDEX).unwrap(), 4);
}
