//! yᵢ = (xᵢ - m) - ln Σⱼ e^(xⱼ - m) along the last axis, m = max x.
//!
//! Derivative: ∂L/∂xᵢ = gᵢ - e^(yᵢ)·Σⱼ gⱼ. Shapes: `(…, N)` → `(…, N)`. Numerics: the maximum is subtracted first, so
//! nothing overflows, and probabilities below the smallest float still have a logarithm; a row of -∞ alone gives NaN,
//! as in PyTorch.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_kernels::softmax::Form;
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::elementwise::{binary_shape, unary_shape};
use crate::moments;
use crate::rows;
use crate::softmax::{backward_cuda, forward_cuda};

/// The logarithm of the softmax along the last axis.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax;

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let n = x[0].last().max(1);
        for (x, y) in x[0].data.chunks(n).zip(y[0].data.chunks_mut(n)) {
            let (max, log_sum) = max_and_log_sum(x);
            y.iter_mut().zip(x).for_each(|(y, v)| *y = (v - max) - log_sum);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let from = x.data::<f32>()?;
        rows::make_rows(
            &y[0],
            12,
            #[inline(always)]
            |at, y| row(&from[at], y),
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        forward_cuda(self.name(), Form::Log, &x[0], &y[0])
    }

    fn saves(&self) -> Saves {
        Saves::outputs(&[0])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_single(LogSoftmaxBackward, &[&back.grad(0)?, &back.output(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "5*N")
    }

    /// Each of the two terms, and 1 for the relative error of the sum whose logarithm is taken.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let n = x[0].last().max(1);
        let mut scale = y[0].clone();
        for (x, s) in x[0].data.chunks(n).zip(scale.data.chunks_mut(n)) {
            let (max, log_sum) = max_and_log_sum(x);
            s.iter_mut().zip(x).for_each(|(s, v)| *s = 1.0 + (max - v) + log_sum);
        }
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        12.0 + x[0].shape.last() as f64 / 32.0
    }
}

fn max_and_log_sum(x: &[f64]) -> (f64, f64) {
    let max = rows::max_of_f64(x);
    (max, x.iter().map(|v| (v - max).exp()).sum::<f64>().ln())
}

/// One row. Call inside `dispatch`.
#[inline(always)]
fn row(x: &[f32], y: &mut [f32]) {
    let max = rows::max_of(x);
    let sum = rows::sum_of(
        x,
        #[inline(always)]
        |x| math::exp(x - max),
    );
    let log_sum = math::ln(sum);
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - max) - log_sum;
    }
}

/// The gradient of [`LogSoftmax`] from (g, y).
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmaxBackward;

impl Op for LogSoftmaxBackward {
    fn name(&self) -> &'static str {
        "log_softmax_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let n = y[0].last().max(1);
        let rows = x[0].data.chunks(n).zip(x[1].data.chunks(n)).zip(y[0].data.chunks_mut(n));
        for ((g, log_p), out) in rows {
            let total: f64 = g.iter().sum();
            out.iter_mut().zip(g.iter().zip(log_p)).for_each(|(o, (g, l))| *o = g - l.exp() * total);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (g, log_p) = (x[0].contiguous()?, x[1].contiguous()?);
        let (g, log_p) = (g.data::<f32>()?, log_p.data::<f32>()?);
        rows::make_rows(
            &y[0],
            12,
            #[inline(always)]
            |at, out| {
                let (g, log_p) = (&g[at.clone()], &log_p[at]);
                let total = moments::sum(g);
                for (o, (g, l)) in out.iter_mut().zip(g.iter().zip(log_p)) {
                    *o = (*g as f64 - math::exp(*l) as f64 * total) as f32;
                }
            },
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        backward_cuda(self.name(), Form::Log, &x, &y[0])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "4*N")
    }

    /// |g| + p·Σ|g|: the difference may cancel. Σg is taken in f64, since it may overflow where p·Σg does not.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let n = y[0].last().max(1);
        let mut scale = Array::zeros(y[0].shape);
        let rows = x[0].data.chunks(n).zip(x[1].data.chunks(n)).zip(scale.data.chunks_mut(n));
        for ((g, log_p), s) in rows {
            let total: f64 = g.iter().map(|g| g.abs()).sum();
            s.iter_mut().zip(g.iter().zip(log_p)).for_each(|(s, (g, l))| *s = g.abs() + l.exp() * total);
        }
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        10.0 + x[0].shape.last() as f64 / 32.0
    }
}

methods! {
    /// The logarithm of the softmax along the last axis.
    ///
    /// # Errors
    /// If the dtype is not a float.
    fn log_softmax(&self) -> Result<Tensor> {
        apply_single(LogSoftmax, &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "log_softmax",
            summary: "the logarithm of the softmax along the last axis",
            samples: || {
                let dims: [&[usize]; 4] = [&[3, 5, 70], &[4, 1], &[2, 0], &[7]];
                dims.map(|d| Sample::new(LogSoftmax, [Input::any(d)])).into()
            },
        },
        Spec {
            name: "log_softmax_backward",
            summary: "the gradient of log_softmax",
            samples: || {
                let dims: [&[usize]; 4] = [&[3, 70], &[4, 1], &[2, 0], &[9]];
                let sample =
                    |d| Sample::new(LogSoftmaxBackward, [Input::any(d), Input::between(d, -9.0, 0.0)]);
                dims.map(sample).into()
            },
        },
    ]
}
