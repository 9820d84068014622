//! A part that runs twice computes what it computes when it runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use warpsmith_autograd::{Parameter, TensorExt, apply_single, no_grad, recompute};
use warpsmith_tensor::{Kind, Result, Scope, Tensor};

use crate::ops::{Times, leaf, numbers, ones, parameter, times, vector};

/// x·w·x·w, from the parameter and the inputs.
fn block(x: &Tensor, weight: &Parameter) -> Result<Tensor> {
    let once = times(x, &weight.get())?;
    times(&once, &once)
}

#[test]
fn recomputed_gradients_are_the_plain_ones_bit_for_bit() {
    let values = [0.1, -1.7, 3.3];
    let weight = parameter("weight", &[0.3, 0.7, -1.1]);
    let other = parameter("other", &[1.3, 0.2, 0.9]);
    let (x, again) = (leaf(&values), leaf(&values));
    let plain = times(&block(&block(&x, &weight).unwrap(), &other).unwrap(), &other.get()).unwrap();
    let (w, o) = (weight.clone(), other.clone());
    let middle = recompute(&[&again], move |x| block(&x[0], &w)).unwrap();
    let middle = recompute(&[&middle], move |x| block(&x[0], &o)).unwrap();
    let recomputed = times(&middle, &other.get()).unwrap();
    assert_eq!(plain.to_vec::<f32>().unwrap(), recomputed.to_vec::<f32>().unwrap());
    let (a, b) =
        (plain.backward_from(ones(&plain)).unwrap(), recomputed.backward_from(ones(&plain)).unwrap());
    let bits = |t: Option<&Tensor>| numbers(t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(a.of(&x)), bits(b.of(&again)));
    assert_eq!(bits(a.get(&weight)), bits(b.get(&weight)));
    assert_eq!(bits(a.get(&other)), bits(b.get(&other)));
}

#[test]
fn parts_nest() {
    let weight = parameter("weight", &[0.5, 2.0]);
    let x = leaf(&[3.0, 1.0]);
    let w = weight.clone();
    let y = recompute(&[&x], move |x| {
        let w = w.clone();
        let inner = recompute(&[&x[0]], move |x| times(&x[0], &w.get()))?;
        times(&inner, &x[0])
    })
    .unwrap();
    let gradients = y.backward_from(ones(&y)).unwrap();
    // y = w·x²
    assert_eq!(numbers(gradients.of(&x)), [3.0, 4.0]);
    assert_eq!(numbers(gradients.get(&weight)), [9.0, 1.0]);
}

#[test]
fn the_body_runs_once_forward_and_once_back() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let body = move |x: &[Tensor]| {
        counter.fetch_add(1, Ordering::Relaxed);
        times(&x[0], &x[0])
    };
    let x = leaf(&[2.0]);
    let y = recompute(&[&x], body.clone()).unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(numbers(y.backward().unwrap().of(&x)), [4.0]);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(y.backward().err().unwrap().kind(), Kind::Gradient);
    let untraced = no_grad(|| recompute(&[&x], body)).unwrap();
    assert!(untraced.trace().is_none());
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

#[test]
fn a_part_that_reads_no_leaf_computes_no_gradient() {
    let constant = vector(&[2.0]);
    let x = leaf(&[5.0]);
    let op = Times::default();
    let inside = op.clone();
    let part = recompute(&[&constant], move |x| apply_single(inside.clone(), &[&x[0], &x[0]])).unwrap();
    let y = times(&part, &x).unwrap();
    let gradients = y.backward().unwrap();
    assert_eq!(numbers(gradients.of(&x)), [4.0]);
    assert_eq!(gradients.len(), 1);
    assert_eq!(op.counts(), [0, 0]);
}

#[test]
fn a_constant_beside_a_leaf_gets_no_gradient() {
    let (x, constant) = (leaf(&[5.0]), vector(&[2.0]));
    let op = Times::default();
    let inside = op.clone();
    let y = recompute(&[&x, &constant], move |x| apply_single(inside.clone(), &[&x[0], &x[1]])).unwrap();
    assert_eq!(numbers(y.backward().unwrap().of(&x)), [2.0]);
    assert_eq!(op.counts(), [1, 0]);
}

#[test]
fn errors_of_a_recomputed_part_name_its_layer_once() {
    let x = leaf(&[1.0]);
    let y = {
        let _block = Scope::enter("blocks.3");
        recompute(&[&x], |x| {
            let _attn = Scope::enter("attn");
            apply_single(Times { breaks: true, ..Times::default() }, &[&x[0], &x[0]])
        })
        .unwrap()
    };
    assert_eq!(y.backward().err().unwrap().scope(), "blocks.3.attn");
}

#[test]
fn recomputing_keeps_the_inputs_alone() {
    let x = leaf(&[1.0; 1000]);
    let inner: Arc<std::sync::Mutex<Vec<Tensor>>> = Arc::default();
    let seen = inner.clone();
    let y = recompute(&[&x], move |x| {
        let between = times(&x[0], &x[0])?;
        seen.lock().unwrap().push(between.detach());
        times(&between, &x[0])
    })
    .unwrap();
    let mut between = inner.lock().unwrap().pop().unwrap();
    assert!(between.is_unique(), "the forward pass kept what it should compute again");
    y.backward_from(ones(&y)).unwrap();
    let mut again = inner.lock().unwrap().pop().unwrap();
    assert!(again.is_unique(), "the second run's tape outlives the backward pass");
}

#[test]
fn an_error_in_the_second_run_comes_out_of_backward() {
    let runs = Arc::new(AtomicUsize::new(0));
    let x = leaf(&[1.0]);
    let y = recompute(&[&x], move |x| match runs.fetch_add(1, Ordering::Relaxed) {
        0 => times(&x[0], &x[0]),
        _ => times(&x[0], &vector(&[1.0, 2.0])),
    })
    .unwrap();
    assert_eq!(y.backward().err().unwrap().kind(), Kind::Shape);
}
