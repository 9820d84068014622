//! Kernels over rows: softmax, normalisation, cross-entropy.

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

pub fn softmax(d: &Draw<'_>) -> Made {
    let x = d.numbers(d.sizes, -8.0, 8.0)?;
    let ((rows, n), dtype, form) = (shape(d), d.float, Form::Plain);
    Ok(Call::new(Plain, vec![x], move |at| {
        Ok(vec![softmax::forward(&Softmax { form, dtype, y: at.y[0], x: at.x[0], rows, n })])
    }))
}

pub fn log_softmax(d: &Draw<'_>) -> Made {
    let x = d.numbers(d.sizes, -8.0, 8.0)?;
    let ((rows, n), dtype, form) = (shape(d), d.float, Form::Log);
    Ok(Call::new(LogSoftmax, vec![x], move |at| {
        Ok(vec![softmax::forward(&Softmax { form, dtype, y: at.y[0], x: at.x[0], rows, n })])
    }))
}

/// The gradient of the output, and the output of rows that were drawn.
fn g_and_y(d: &Draw<'_>, op: &dyn warpsmith::autograd::Op) -> Result<Vec<Given>, Failure> {
    let x = d.numbers(d.sizes, -8.0, 8.0)?;
    let mut outputs = d.outputs(op, &[&x])?;
    outputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    Ok(outputs)
}

pub fn softmax_backward(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype, form) = (shape(d), d.float, Form::Plain);
    Ok(Call::new(PlainBackward, g_and_y(d, &Plain)?, move |at| {
        let call = SoftmaxBackward { form, dtype, dx: at.y[0], g: at.x[0], y: at.x[1], rows, n };
        Ok(vec![softmax::backward(&call)])
    }))
}

pub fn log_softmax_backward(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype, form) = (shape(d), d.float, Form::Log);
    Ok(Call::new(LogSoftmaxBackward, g_and_y(d, &LogSoftmax)?, move |at| {
        let call = SoftmaxBackward { form, dtype, dx: at.y[0], g: at.x[0], y: at.x[1], rows, n };
        Ok(vec![softmax::backward(&call)])
    }))
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
    Ok(Call::new(LayerNorm { eps: EPS }, norm_inputs(d, Norm::Layer)?, move |at| {
        let ([x, weight, bias], [y, mean, rstd]) = ([at.x[0], at.x[1], at.x[2]], [at.y[0], at.y[1], at.y[2]]);
        let norm = Norm::Layer;
        let call = Normalise { norm, dtype, y, x, weight, bias, mean, rstd, rows, n, eps: EPS };
        Ok(vec![normalise::forward(&call)])
    }))
}

pub fn rms_norm(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    Ok(Call::new(RmsNorm { eps: EPS }, norm_inputs(d, Norm::Rms)?, move |at| {
        let ([x, weight], [y, rstd], norm) = ([at.x[0], at.x[1]], [at.y[0], at.y[1]], Norm::Rms);
        let call = Normalise { norm, dtype, y, x, weight, bias: 0, mean: 0, rstd, rows, n, eps: EPS };
        Ok(vec![normalise::forward(&call)])
    }))
}

pub fn layer_norm_backward(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    let mut inputs = norm_inputs(d, Norm::Layer)?;
    let statistics = d.outputs(&LayerNorm { eps: EPS }, &inputs.iter().collect::<Vec<_>>())?;
    inputs.truncate(2);
    inputs.extend(statistics.into_iter().skip(1));
    inputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    let call = Call::new(LayerNormBackward, inputs, move |at| {
        let [g, x, weight, mean, rstd] = [0, 1, 2, 3, 4].map(|i| at.x[i]);
        let ([dx, dweight, dbias], norm) = ([at.y[0], at.y[1], at.y[2]], Norm::Layer);
        let workspace = at.room;
        Ok(normalise::backward(&NormaliseBackward {
            norm,
            dtype,
            dx,
            dweight,
            dbias,
            g,
            x,
            weight,
            mean,
            rstd,
            workspace,
            rows,
            n,
        }))
    });
    Ok(call.with_room(normalise::workspace(Norm::Layer, rows, n)))
}

pub fn rms_norm_backward(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    let mut inputs = norm_inputs(d, Norm::Rms)?;
    let statistics = d.outputs(&RmsNorm { eps: EPS }, &inputs.iter().collect::<Vec<_>>())?;
    inputs.extend(statistics.into_iter().skip(1));
    inputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    let call = Call::new(RmsNormBackward, inputs, move |at| {
        let ([g, x, weight, rstd], [dx, dweight]) = ([0, 1, 2, 3].map(|i| at.x[i]), [at.y[0], at.y[1]]);
        let (norm, mean, dbias, workspace) = (Norm::Rms, 0, 0, at.room);
        Ok(normalise::backward(&NormaliseBackward {
            norm,
            dtype,
            dx,
            dweight,
            dbias,
            g,
            x,
            weight,
            mean,
            rstd,
            workspace,
            rows,
            n,
        }))
    });
    Ok(call.with_room(normalise::workspace(Norm::Rms, rows, n)))
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
