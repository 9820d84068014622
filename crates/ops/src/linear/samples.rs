//! What the sweeps call: layers of every kind of input, and the products of their gradients.

use warpsmith_autograd::{Input, Sample};
use warpsmith_tensor::DType;

use super::{Activation, Linear, Precision, Product};
use crate::gelu::Form;

/// Calls of [`Linear`].
pub(super) fn of_layers() -> Vec<Sample> {
    let op = |transposed, activation| Linear {
        activation,
        keep: true,
        ..Linear::plain(transposed, Precision::F32)
    };
    let onto = |op: Linear| Linear { residual: true, ..op };
    let x = || Input::any(&[3, 5, 33]);
    let bias = || Input::any(&[17]);
    vec![
        Sample::new(op(false, Activation::Identity), [x(), Input::any(&[33, 17]), bias()]),
        Sample::new(op(true, Activation::Identity), [x(), Input::any(&[17, 33])]),
        Sample::new(op(false, Activation::Gelu(Form::Exact)), [x(), Input::any(&[33, 17]), bias()]),
        Sample::new(op(true, Activation::Gelu(Form::Tanh)), [x(), Input::any(&[17, 33]), bias()]),
        Sample::new(
            Linear { precision: Precision::Bf16, ..op(false, Activation::Identity) },
            [x(), Input::any(&[33, 17]), bias()],
        ),
        Sample::new(
            onto(op(false, Activation::Identity)),
            [x(), Input::any(&[33, 17]), bias(), Input::any(&[3, 5, 17])],
        ),
        Sample::new(
            onto(op(true, Activation::Gelu(Form::Tanh))),
            [x(), Input::any(&[17, 33]), Input::any(&[3, 5, 17])],
        ),
        // Tokens alone: a GPU has another kernel for them.
        Sample::new(
            op(false, Activation::Gelu(Form::Tanh)),
            [Input::any(&[9, 1, 33]), Input::any(&[33, 17]), bias()],
        ),
        Sample::new(
            onto(op(true, Activation::Identity)),
            [Input::any(&[1, 1, 33]), Input::any(&[17, 33]), bias(), Input::any(&[1, 1, 17])],
        ),
        Sample::new(op(false, Activation::Identity), [Input::any(&[0, 4]), Input::any(&[4, 3])]),
        // x rounded in the sweeps of 16 bits, all else f32; and y rounded.
        Sample::new(
            onto(op(true, Activation::Identity)),
            [x(), Input::any(&[17, 33]).wide(), bias().wide(), Input::any(&[3, 5, 17]).wide()],
        ),
        Sample::new(
            Linear { precision: Precision::Bf16, is_narrow: true, ..op(false, Activation::Gelu(Form::Tanh)) },
            [x(), Input::any(&[33, 17]).wide(), bias().wide()],
        ),
    ]
}

/// Calls of [`Product`].
pub(super) fn of_products() -> Vec<Sample> {
    let operands = || vec![Input::any(&[17, 33]), Input::any(&[33, 9])];
    let factor = || [operands(), vec![Input::between(&[17, 9], -0.2, 1.2)]].concat();
    let sample = |precision| {
        let op = Product { precision, out: None };
        [operands(), factor()].map(|inputs| Sample::new(op, inputs))
    };
    let to = |out| Product { precision: Precision::Bf16, out: Some(out) };
    let both = [Precision::F32, Precision::Bf16].map(sample).concat();
    let others = [
        Sample::new(to(DType::F32), operands()),
        Sample::new(to(DType::BF16), factor().into_iter().map(Input::wide)),
    ];
    [both, others.into()].concat()
}
