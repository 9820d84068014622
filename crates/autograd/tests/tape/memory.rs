//! What lives how long, and when a write needs no copy.

use warpsmith_autograd::{TensorExt, apply_single};
use warpsmith_tensor::Tensor;

use crate::ops::{Times, leaf, numbers, ones, parameter, times, vector};

#[test]
fn what_an_op_saved_is_freed_by_the_backward_pass() {
    let x = leaf(&[1.0, 2.0]);
    let mut between = times(&x, &x).unwrap().detach();
    // The op below saves `between`: a second hand on its storage.
    let traced = between.requires_grad().unwrap();
    let y = times(&traced, &x).unwrap();
    drop(traced);
    assert!(!between.is_unique());
    y.backward_from(ones(&y)).unwrap();
    assert!(between.is_unique(), "the tape still holds it");
}

#[test]
fn an_untraced_op_saves_nothing() {
    let mut a = vector(&[1.0, 2.0]);
    let mut b = vector(&[1.0, 2.0]);
    let _y = apply_single(Times::default(), &[&a, &b]).unwrap();
    assert!(a.is_unique() && b.is_unique());
}

#[test]
fn a_parameter_is_updated_in_place_after_the_backward_pass() {
    let weight = parameter("weight", &[1.0, 2.0]);
    let y = times(&weight.get(), &weight.get()).unwrap();
    let gradients = y.backward_from(ones(&y)).unwrap();
    let before = address(&weight.get());
    let mut taken = weight.take().unwrap();
    let mut value = taken.take().unwrap();
    assert!(value.trace().is_none());
    assert!(value.is_unique(), "somebody still holds the weight");
    let step = numbers(gradients.get(&weight));
    value.data_mut::<f32>().unwrap().iter_mut().zip(step).for_each(|(w, g)| *w -= g);
    taken.put(value).unwrap();
    assert_eq!(address(&weight.get()), before, "the update made a copy");
    assert_eq!(weight.get().to_vec::<f32>().unwrap(), [-1.0, -2.0]);
    assert!(weight.get().trace().is_some());
}

#[test]
fn a_value_taken_and_not_given_back_returns_by_itself() {
    let weight = parameter("weight", &[1.0, 2.0]);
    let taken = weight.take().unwrap();
    assert_eq!(weight.shape().dims(), [0]);
    drop(taken);
    assert_eq!(weight.get().to_vec::<f32>().unwrap(), [1.0, 2.0]);
    let y = times(&weight.get(), &vector(&[3.0, 4.0])).unwrap();
    assert_eq!(numbers(y.backward_from(ones(&y)).unwrap().get(&weight)), [3.0, 4.0]);
}

#[test]
fn a_shared_handle_keeps_the_old_value() {
    let weight = parameter("weight", &[1.0, 2.0]);
    let mut taken = weight.take().unwrap();
    let kept = taken.share().unwrap();
    let mut value = taken.take().unwrap();
    value.data_mut::<f32>().unwrap()[0] = 9.0;
    taken.put(value).unwrap();
    assert_eq!(kept.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    assert_eq!(weight.get().to_vec::<f32>().unwrap(), [9.0, 2.0]);
}

#[test]
fn a_gradient_taken_out_belongs_to_the_taker_alone() {
    let weight = parameter("weight", &[1.0, 2.0]);
    let y = times(&weight.get(), &vector(&[3.0, 4.0])).unwrap();
    let mut gradients = y.backward_from(ones(&y)).unwrap();
    let mut gradient = gradients.take(&weight).unwrap();
    assert!(gradient.is_unique());
}

fn address(tensor: &Tensor) -> *const f32 {
    tensor.data::<f32>().unwrap().as_ptr()
}
