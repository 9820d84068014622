//! Which gradients come out of which graphs, and which errors.

use warpsmith_autograd::{
    Differentiability, Gradients, TensorExt, apply, apply_single, is_grad_enabled, no_grad, with_grad,
};
use warpsmith_tensor::{DType, Device, Kind, Scope, Shape, Tensor};

use crate::ops::{Fork, Odd, Times, leaf, numbers, ones, parameter, times, vector};

#[test]
fn a_diamond_adds_both_of_its_sides() {
    let x = leaf(&[3.0, -2.0]);
    let square = times(&x, &x).unwrap();
    // y = x² · x = x³, where x comes in on three ways.
    let y = times(&square, &x).unwrap();
    let gradients = y.backward_from(ones(&y)).unwrap();
    assert_eq!(numbers(gradients.of(&x)), [27.0, 12.0]);
}

#[test]
fn a_tensor_used_many_times_gets_every_contribution() {
    let x = leaf(&[1.5]);
    let one = vector(&[1.0]);
    let branches: Vec<Tensor> = (0..200).map(|_| times(&x, &one).unwrap()).collect();
    let y = branches.iter().skip(1).fold(branches[0].clone(), |y, b| {
        // 1.5 · 1/1.5 keeps the product at 1.5, so each branch has a share of exactly 1 in the logarithmic derivative.
        let scaled = times(b, &vector(&[1.0 / 1.5])).unwrap();
        times(&y, &scaled).unwrap()
    });
    let gradients = y.backward().unwrap();
    let gradient = numbers(gradients.of(&x))[0];
    // y = x²⁰⁰ / 1.5¹⁹⁹: dy/dx = 200 at x = 1.5, up to 600 roundings.
    assert!((gradient - 200.0).abs() < 200.0 * 600.0 * f32::EPSILON, "{gradient}");
}

#[test]
fn a_chain_of_a_hundred_thousand_ops_neither_backward_nor_drop_overflows_the_stack() {
    let x = leaf(&[1.0]);
    let one = vector(&[1.0]);
    let chain = |length: usize| (0..length).fold(x.clone(), |y, _| times(&y, &one).unwrap());
    let y = chain(100_000);
    let gradients = y.backward().unwrap();
    assert_eq!(numbers(gradients.of(&x)), [1.0]);
    drop(y);
    // And without a backward pass, with all that the ops saved still there.
    drop(chain(100_000));
}

#[test]
fn an_output_that_nobody_uses_has_a_gradient_of_zero() {
    let x = leaf(&[1.0, 2.0]);
    let outputs = apply(Fork, &[&x]).unwrap();
    let gradients = outputs[1].backward_from(vector(&[10.0, 100.0])).unwrap();
    assert_eq!(numbers(gradients.of(&x)), [30.0, 300.0]);
}

#[test]
fn both_outputs_of_an_op_reach_its_input_in_one_pass() {
    let x = leaf(&[1.0, 2.0]);
    let outputs = apply(Fork, &[&x]).unwrap();
    let y = times(&outputs[0], &outputs[1]).unwrap();
    // y = 6x²
    assert_eq!(numbers(y.backward_from(ones(&y)).unwrap().of(&x)), [12.0, 24.0]);
}

#[test]
fn gradients_that_nobody_asked_for_are_not_computed() {
    let (x, constant) = (leaf(&[2.0]), vector(&[5.0]));
    let op = Times::default();
    let y = apply_single(op.clone(), &[&x, &constant]).unwrap();
    let gradients = y.backward().unwrap();
    assert_eq!(numbers(gradients.of(&x)), [5.0]);
    assert_eq!(op.counts(), [1, 0]);
    assert_eq!(gradients.len(), 1);
    assert!(gradients.of(&constant).is_none());
    // A branch beside the root is not walked at all.
    let beside = Times::default();
    let _unused = apply_single(beside.clone(), &[&x, &x]).unwrap();
    let y = times(&x, &constant).unwrap();
    y.backward().unwrap();
    assert_eq!(beside.counts(), [0, 0]);
}

#[test]
fn no_grad_leaves_no_trace_and_with_grad_brings_it_back() {
    let x = leaf(&[2.0]);
    no_grad(|| {
        assert!(!is_grad_enabled());
        assert!(times(&x, &x).unwrap().trace().is_none());
        assert!(with_grad(|| times(&x, &x)).unwrap().trace().is_some());
        assert!(!is_grad_enabled());
    });
    assert!(is_grad_enabled());
    let untraced = no_grad(|| times(&x, &x)).unwrap();
    let error = untraced.backward().err().unwrap();
    assert_eq!(error.kind(), Kind::Gradient);
    assert!(error.to_string().contains("no_grad"), "{error}");
    // A panic inside does not leave the switch off.
    let _ = std::panic::catch_unwind(|| no_grad(|| std::panic::resume_unwind(Box::new(()))));
    assert!(is_grad_enabled());
}

#[test]
fn detached_tensors_are_constants() {
    let x = leaf(&[3.0]);
    let y = times(&x, &x.detach()).unwrap();
    assert_eq!(numbers(y.backward().unwrap().of(&x)), [3.0]);
}

#[test]
fn a_second_backward_pass_is_an_error_that_names_the_op() {
    let x = leaf(&[3.0]);
    let y = times(&x, &x).unwrap();
    y.backward().unwrap();
    let error = y.backward().err().unwrap();
    assert_eq!((error.kind(), error.op()), (Kind::Gradient, "times"));
    assert!(error.to_string().contains("freed"), "{error}");
}

#[test]
fn only_one_number_of_a_traced_tensor_has_gradients() {
    let x = leaf(&[3.0, 4.0]);
    let y = times(&x, &x).unwrap();
    let error = y.backward().err().unwrap();
    assert_eq!(error.kind(), Kind::Shape);
    assert!(error.to_string().contains("backward_from"), "{error}");
    let error = y.backward_from(vector(&[1.0])).err().unwrap();
    assert!(error.to_string().contains("(2,), (1,)"), "{error}");
    let wrong = Tensor::full(*y.shape(), 1.0, DType::F64, &Device::Cpu).unwrap();
    assert!(y.backward_from(wrong).is_err());
    // The refused calls took nothing away.
    assert_eq!(numbers(y.backward_from(ones(&y)).unwrap().of(&x)), [6.0, 8.0]);
}

#[test]
fn integers_have_no_gradient() {
    let ids = Tensor::from_slice(&[1i64, 2], &[2], &Device::Cpu).unwrap();
    assert_eq!(ids.requires_grad().unwrap_err().kind(), Kind::DType);
}

#[test]
fn a_refusing_op_names_itself_and_a_constant_one_leaves_no_trace() {
    let x = leaf(&[1.0]);
    let odd = |stands| Odd { stands, gives: 1 };
    let error = apply(odd(Differentiability::Refused), &[&x]).unwrap_err();
    assert_eq!((error.kind(), error.op()), (Kind::Gradient, "odd"));
    assert!(no_grad(|| apply(odd(Differentiability::Refused), &[&x])).is_ok());
    assert!(apply(odd(Differentiability::Refused), &[&x.detach()]).is_ok());
    let constant = apply_single(odd(Differentiability::ByDefinitionNot), &[&x]).unwrap();
    assert!(constant.trace().is_none());
}

#[test]
fn a_gradient_that_a_vjp_forgets_is_an_error() {
    let x = leaf(&[1.0]);
    for gives in [0, 1, 2] {
        let y = apply_single(Odd { stands: Differentiability::Differentiable, gives }, &[&x]).unwrap();
        let error = y.backward().err().unwrap();
        assert_eq!((error.kind(), error.op()), (Kind::Internal, "odd"), "{gives} gradients: {error}");
    }
}

#[test]
fn errors_of_the_backward_pass_name_the_layer_of_the_forward_pass() {
    let x = leaf(&[1.0]);
    let y = {
        let _block = Scope::enter("blocks.3");
        let _attn = Scope::enter("attn");
        apply_single(Times { breaks: true, ..Times::default() }, &[&x, &x]).unwrap()
    };
    let outside = times(&y, &x).unwrap();
    // Wherever backward is called from.
    let _here = Scope::enter("train");
    let error = outside.backward().err().unwrap();
    assert_eq!(error.scope(), "blocks.3.attn");
    assert_eq!(warpsmith_tensor::current_scope(), "train");
}

#[test]
fn micro_batches_add_up() {
    let weight = parameter("weight", &[2.0, 3.0]);
    let pass = |x: &[f32]| {
        let y = times(&weight.get(), &vector(x)).unwrap();
        y.backward_from(ones(&y)).unwrap()
    };
    let mut total = Gradients::default();
    assert!(total.is_empty());
    total.accumulate(pass(&[1.0, 10.0])).unwrap();
    total.accumulate(pass(&[2.0, 20.0])).unwrap();
    assert_eq!(numbers(total.get(&weight)), [3.0, 30.0]);
    assert_eq!(numbers(total.take(&weight).as_ref()), [3.0, 30.0]);
    assert!(total.get(&weight).is_none());
    total.set(&weight, vector(&[7.0, 8.0]));
    assert_eq!(numbers(total.get(&weight)), [7.0, 8.0]);
}

#[test]
fn a_group_of_parameters_takes_its_gradients_and_leaves_the_others() {
    let (a, b, unused) = (parameter("a", &[3.0]), parameter("b", &[5.0]), parameter("unused", &[7.0]));
    let mut others = times(&a.get(), &b.get()).unwrap().backward().unwrap();
    let group = others.split_off(&[a.clone(), unused]);
    assert_eq!((group.len(), others.len()), (1, 1));
    assert_eq!((numbers(group.get(&a)), numbers(others.get(&b))), (vec![5.0], vec![3.0]));
}

#[test]
fn tied_weights_are_one_leaf() {
    let weight = parameter("embedding", &[3.0]);
    let tied = weight.clone();
    assert!(weight.is_same(&tied));
    let y = times(&weight.get(), &tied.get()).unwrap();
    assert_eq!(numbers(y.backward().unwrap().get(&tied)), [6.0]);
    tied.set(&vector(&[5.0])).unwrap();
    assert_eq!(weight.get().to_vec::<f32>().unwrap(), [5.0]);
    assert!(weight.get().trace().is_some());
}

#[test]
fn a_parameter_keeps_its_shape_and_dtype() {
    let weight = parameter("weight", &[1.0, 2.0]);
    let error = weight.set(&vector(&[1.0])).unwrap_err();
    assert!(error.to_string().contains("weight"), "{error}");
    let half = weight.get().to_dtype(DType::BF16).unwrap();
    assert!(weight.set(&half).is_err());
    let mut taken = weight.take().unwrap();
    let value = taken.take().unwrap();
    assert!(taken.take().is_err());
    taken.put(value).unwrap();
    let taken = weight.take().unwrap();
    assert!(taken.put(Tensor::zeros(Shape::new(&[3]).unwrap(), DType::F32, &Device::Cpu).unwrap()).is_err());
}
