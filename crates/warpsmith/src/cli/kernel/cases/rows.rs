//! Kernels over rows: softmax, normalisation, cross-entropy.

use warpsmith::autograd::Op;
use warpsmith::ops::cross_entropy::{CrossEntropy as Entropy, CrossEntropyBackward};
use warpsmith::ops::layer_norm::{LayerNorm, LayerNormBackward};
use warpsmith::ops::log_softmax::{LogSoftmax, LogSoftmaxBackward};
use warpsmith::ops::rms_norm::{RmsNorm, RmsNormBackward};
use warpsmith::ops::softmax::{Softmax as Plain, SoftmaxBackward as PlainBackward};
use warpsmith_kernels::cross_entropy::{self, CrossEntropy, Targets};
use warpsmith_kernels::index::IndexKind;
use warpsmith_kernels::normalise::{self, Norm, Normalise, NormaliseBackward};
use warpsmith_kernels::softmax::{self, Form, Softmax, SoftmaxBackward};

use super::super::case::{Call, Draw, Given};
use crate::cli::Failure;

type Made = Result<Call, Failure>;

const EPS: f64 = 1e-5;

/// Rows and width.
fn shape(d: &Draw<'_>) -> (u64, u32) {
    (d.sizes[0] as u64, d.sizes[1] as u32)
}

fn forward(d: &Draw<'_>, op: impl Op, form: Form) -> Made {
    let x = d.numbers(d.sizes, -8.0, 8.0)?;
    let ((rows, n), dtype) = (shape(d), d.float);
    Ok(Call::new(op, vec![x], move |at| {
        Ok(vec![softmax::forward(&Softmax { form, dtype, y: at.y[0], x: at.x[0], rows, n })])
    }))
}

pub fn softmax(d: &Draw<'_>) -> Made {
    forward(d, Plain, Form::Plain)
}

pub fn log_softmax(d: &Draw<'_>) -> Made {
    forward(d, LogSoftmax, Form::Log)
}

/// The gradient of the output, and the output of rows that were drawn.
fn g_and_y(d: &Draw<'_>, op: &dyn Op) -> Result<Vec<Given>, Failure> {
    let x = d.numbers(d.sizes, -8.0, 8.0)?;
    let mut outputs = d.outputs(op, &[&x])?;
    outputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    Ok(outputs)
}

fn backward(d: &Draw<'_>, op: impl Op, inputs: Vec<Given>, form: Form) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    Ok(Call::new(op, inputs, move |at| {
        let call = SoftmaxBackward { form, dtype, dx: at.y[0], g: at.x[0], y: at.x[1], rows, n };
        Ok(vec![softmax::backward(&call)])
    }))
}

pub fn softmax_backward(d: &Draw<'_>) -> Made {
    backward(d, PlainBackward, g_and_y(d, &Plain)?, Form::Plain)
}

pub fn log_softmax_backward(d: &Draw<'_>) -> Made {
    backward(d, LogSoftmaxBackward, g_and_y(d, &LogSoftmax)?, Form::Log)
}

/// x, w and, for layer norm, b.
fn norm_inputs(d: &Draw<'_>, norm: Norm) -> Result<Vec<Given>, Failure> {
    let width = &d.sizes[1..];
    let mut inputs = vec![d.numbers(d.sizes, -3.0, 5.0)?, d.numbers(width, -2.0, 2.0)?];
    if norm == Norm::Layer {
        inputs.push(d.numbers(width, -2.0, 2.0)?);
    }
    Ok(inputs)
}

pub fn layer_norm(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    Ok(Call::new(LayerNorm::new(EPS), norm_inputs(d, Norm::Layer)?, move |at| {
        let ([x, weight, bias], [y, mean, rstd]) = ([at.x[0], at.x[1], at.x[2]], [at.y[0], at.y[1], at.y[2]]);
        let norm = Norm::Layer;
        let call = Normalise { norm, dtype, y, x, weight, bias, mean, rstd, rows, n, eps: EPS };
        Ok(vec![normalise::forward(&call)])
    }))
}

pub fn rms_norm(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    Ok(Call::new(RmsNorm::new(EPS), norm_inputs(d, Norm::Rms)?, move |at| {
        let ([x, weight], [y, rstd], norm) = ([at.x[0], at.x[1]], [at.y[0], at.y[1]], Norm::Rms);
        let call = Normalise { norm, dtype, y, x, weight, bias: 0, mean: 0, rstd, rows, n, eps: EPS };
        Ok(vec![normalise::forward(&call)])
    }))
}

/// From (g, x, w, rstd) or (g, x, w, μ, rstd) the gradients of x, w and, for layer norm, b.
fn norm_backward(d: &Draw<'_>, op: impl Op, mut inputs: Vec<Given>, norm: Norm) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    inputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    let call = Call::new(op, inputs, move |at| {
        let (mean, rstd, dbias) = match norm {
            Norm::Layer => (at.x[3], at.x[4], at.y[2]),
            Norm::Rms => (0, at.x[3], 0),
        };
        Ok(normalise::backward(&NormaliseBackward {
            norm,
            dtype,
            dx: at.y[0],
            dweight: at.y[1],
            dbias,
            g: at.x[0],
            x: at.x[1],
            weight: at.x[2],
            mean,
            rstd,
            workspace: at.room,
            rows,
            n,
        }))
    });
    Ok(call.with_room(normalise::workspace(norm, rows, n)))
}

/// x, w and the statistics that the forward pass of `op` makes of them.
fn norm_saved(d: &Draw<'_>, op: &dyn Op, norm: Norm) -> Result<Vec<Given>, Failure> {
    let mut inputs = norm_inputs(d, norm)?;
    let statistics = d.outputs(op, &inputs.iter().collect::<Vec<_>>())?;
    inputs.truncate(2);
    inputs.extend(statistics.into_iter().skip(1));
    Ok(inputs)
}

pub fn layer_norm_backward(d: &Draw<'_>) -> Made {
    let saved = norm_saved(d, &LayerNorm::new(EPS), Norm::Layer)?;
    norm_backward(d, LayerNormBackward, saved, Norm::Layer)
}

pub fn rms_norm_backward(d: &Draw<'_>) -> Made {
    let saved = norm_saved(d, &RmsNorm::new(EPS), Norm::Rms)?;
    norm_backward(d, RmsNormBackward, saved, Norm::Rms)
}

/// Logits and targets, of which all count.
fn logits(d: &Draw<'_>) -> Result<Vec<Given>, Failure> {
    Ok(vec![d.numbers(d.sizes, -8.0, 8.0)?, d.index(&d.sizes[..1], d.sizes[1])?])
}

/// What the forward and the backward pass have in common.
fn entropy(d: &Draw<'_>, pointers: [u64; 6]) -> CrossEntropy {
    let ((rows, n), [logits, targets, max, log_sum, weight, loss]) = (shape(d), pointers);
    let targets = Targets { pointer: targets, kind: IndexKind::I64, ignore_index: -100, rows };
    let (gradient, g, bad, label_smoothing) = (0, 0, 0, 0.0);
    let dtype = d.float;
    CrossEntropy { dtype, logits, gradient, targets, loss, max, log_sum, weight, g, bad, n, label_smoothing }
}

pub fn cross_entropy(d: &Draw<'_>) -> Made {
    let (sizes, float) = (d.sizes.to_vec(), d.float);
    let call = Call::new(Entropy::MEAN, logits(d)?, move |at| {
        let d = Draw::new(&sizes, float, 0);
        // The weight, and behind it the loss of each row.
        let (weight, loss) = (at.room, at.room + 16);
        let c = entropy(&d, [at.x[0], at.x[1], at.y[1], at.y[2], weight, loss]);
        Ok(vec![
            cross_entropy::weight(&c.targets, true, weight),
            cross_entropy::forward(&c),
            cross_entropy::total(float, at.y[0], loss, weight, c.targets.rows),
        ])
    });
    Ok(call.with_room(16 + 4 * d.sizes[0] as u64))
}

pub fn cross_entropy_backward(d: &Draw<'_>) -> Made {
    let (sizes, float) = (d.sizes.to_vec(), d.float);
    let mut inputs = logits(d)?;
    let kept = d.outputs(&Entropy::MEAN, &inputs.iter().collect::<Vec<_>>())?;
    inputs.extend(kept.into_iter().skip(1));
    inputs.push(d.numbers(&[], 0.5, 1.0)?);
    let call = Call::new(CrossEntropyBackward { forward: Entropy::MEAN }, inputs, move |at| {
        let d = Draw::new(&sizes, float, 0);
        let c = entropy(&d, [at.x[0], at.x[1], at.x[2], at.x[3], at.room, 0]);
        let weight = cross_entropy::weight(&c.targets, true, at.room);
        Ok(vec![weight, cross_entropy::backward(&CrossEntropy { gradient: at.y[0], g: at.x[4], ..c })])
    });
    Ok(call.with_room(16))
}
