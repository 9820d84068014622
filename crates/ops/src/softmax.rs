//! yᵢ = e^(xᵢ - m) / Σⱼ e^(xⱼ - m) along the last axis, m = max x.
//!
//! Derivative: ∂L/∂xᵢ = yᵢ·(gᵢ - Σⱼ gⱼyⱼ). Shapes: `(…, N)` → `(…, N)`. Numerics: the maximum is subtracted first, so
//! nothing overflows; a row of -∞ alone has no largest element and gives NaN, as in PyTorch.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_kernels::softmax::{self as kernel, Form};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{binary_shape, unary_shape};
use crate::rows;

/// Softmax along the last axis.
#[derive(Clone, Copy, Debug)]
pub struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let n = x[0].last().max(1);
        for (x, y) in x[0].data.chunks(n).zip(y[0].data.chunks_mut(n)) {
            let max = rows::max_of_f64(x);
            let total: f64 = x.iter().map(|v| (v - max).exp()).sum();
            y.iter_mut().zip(x).for_each(|(y, v)| *y = (v - max).exp() / total);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].contiguous()?;
        let from = x.data::<f32>()?;
        rows::make_rows(
            &y[0],
            16,
            #[inline(always)]
            |at, y| row(&from[at], y),
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        forward_cuda(self.name(), Form::Plain, &x[0], &y[0])
    }

    fn saves(&self) -> Saves {
        Saves::outputs(&[0])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_single(SoftmaxBackward, &[&back.grad(0)?, &back.output(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "5*N")
    }

    /// e^(x - m) multiplies the rounding error of x - m by its size, and the sum adds one rounding per term.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let n = x[0].last().max(1);
        let mut scale = y[0].clone();
        for (x, s) in x[0].data.chunks(n).zip(scale.data.chunks_mut(n)) {
            let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            s.iter_mut().zip(x).for_each(|(s, v)| *s *= 1.0 + (max - v).min(110.0) / 4.0);
        }
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        6.0 + (x[0].shape.last() as f64 / 32.0)
    }
}

/// One row. Call inside `dispatch`.
#[inline(always)]
fn row(x: &[f32], y: &mut [f32]) {
    let max = rows::max_of(x);
    for (y, x) in y.iter_mut().zip(x) {
        *y = math::exp(x - max);
    }
    let scale = 1.0 / rows::sum_of(y, |v| v);
    for y in y.iter_mut() {
        *y *= scale;
    }
}

/// The gradient of [`Softmax`] from (g, y).
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxBackward;

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        "softmax_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let n = y[0].last().max(1);
        let rows = x[0].data.chunks(n).zip(x[1].data.chunks(n)).zip(y[0].data.chunks_mut(n));
        for ((g, p), out) in rows {
            let dot: f64 = g.iter().zip(p).map(|(g, p)| g * p).sum();
            out.iter_mut().zip(g.iter().zip(p)).for_each(|(o, (g, p))| *o = p * (g - dot));
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (g, p) = (x[0].contiguous()?, x[1].contiguous()?);
        let (g, p) = (g.data::<f32>()?, p.data::<f32>()?);
        rows::make_rows(
            &y[0],
            3,
            #[inline(always)]
            |at, out| {
                let (g, p) = (&g[at.clone()], &p[at]);
                let dot = rows::dot(g, p);
                for (o, (g, p)) in out.iter_mut().zip(g.iter().zip(p)) {
                    *o = p * (g - dot);
                }
            },
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        backward_cuda(self.name(), Form::Plain, &x, &y[0])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "4*N")
    }

    /// p·(|g| + Σ|g·p|): the difference may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let n = y[0].last().max(1);
        let mut scale = Array::zeros(y[0].shape);
        let rows = x[0].data.chunks(n).zip(x[1].data.chunks(n)).zip(scale.data.chunks_mut(n));
        for ((g, p), s) in rows {
            let dot: f64 = g.iter().zip(p).map(|(g, p)| (g * p).abs()).sum();
            s.iter_mut().zip(g.iter().zip(p)).for_each(|(s, (g, p))| *s = p.abs() * (g.abs() + dot));
        }
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        4.0 + x[0].shape.last() as f64
    }
}

/// Softmax or its logarithm, on a GPU.
pub(crate) fn forward_cuda(op: &'static str, form: Form, x: &Tensor, y: &Meta) -> Result<Vec<Tensor>> {
    let (x, dtype) = (x.contiguous()?, y.dtype.float_on_device(op)?);
    let mut out = Tensor::empty(y.shape, y.dtype, &x.device())?;
    let (rows, n) = (y.shape.rows() as u64, cuda::size(op, y.shape.last())?);
    let (y, from) = (out.device_address_mut()?, x.device_address()?);
    x.device().launch(&kernel::forward(&kernel::Softmax { form, dtype, y, x: from, rows, n }))?;
    Ok(vec![out])
}

/// The gradient of [`forward_cuda`] from (g, y).
pub(crate) fn backward_cuda(op: &'static str, form: Form, x: &[Tensor], y: &Meta) -> Result<Vec<Tensor>> {
    let (given, dtype, device) = (cuda::contiguous(x)?, y.dtype.float_on_device(op)?, x[0].device());
    let mut out = Tensor::empty(y.shape, y.dtype, &device)?;
    let (rows, n) = (y.shape.rows() as u64, cuda::size(op, y.shape.last())?);
    let (dx, g, y) = (out.device_address_mut()?, given[0].device_address()?, given[1].device_address()?);
    device.launch(&kernel::backward(&kernel::SoftmaxBackward { form, dtype, dx, g, y, rows, n }))?;
    Ok(vec![out])
}

methods! {
    /// Softmax along the last axis.
    fn softmax(&self) -> Result<Tensor> {
        apply_single(Softmax, &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "softmax",
            summary: "softmax along the last axis",
            samples: || {
                [&[3, 5, 70][..], &[4, 1], &[2, 0], &[7]]
                    .map(|d| Sample::new(Softmax, [Input::any(d)]))
                    .into()
            },
        },
        Spec {
            name: "softmax_backward",
            summary: "the gradient of softmax",
            samples: || {
                vec![Sample::new(
                    SoftmaxBackward,
                    [Input::any(&[3, 70]), Input::between(&[3, 70], 0.0, 0.05)],
                )]
            },
        },
    ]
}
