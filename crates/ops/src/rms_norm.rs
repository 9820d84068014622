//! y = w·x̂ with x̂ = x/√(mean(x²) + ε) in each row: layer norm without centring and without bias.
//!
//! Derivative: with h = g·w, ∂L/∂x = (h - x̂·mean(h·x̂))/√(mean(x²) + ε), and ∂L/∂w = Σ g·x̂ over the rows.
//! Shapes: `(…, C)`, `(C)` → `(…, C)`. Hidden output: 1/√(mean(x²) + ε) of each row, `(…)`. Numerics: squares add up in
//! f64, so none overflows; a row that holds a NaN is NaN, and one that holds ±∞ is 0 but NaN there, as in PyTorch.
//! Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467, §3.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_owned, apply_single,
};
use warpsmith_kernels::normalise::Norm;
use warpsmith_tensor::cpu::{dispatch, for_rows_zip};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::elementwise::require_floats;
use crate::moments;
use crate::normalise::{
    backward_cuda, backward_over_rows, backward_roundings, forward_cuda, per_row, require_width,
};
use crate::rows::sums_of;

/// Divides rows by their root mean square, then scales by a weight.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// ε, added to the mean square.
    pub eps: f64,
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_width(self.name(), &x[0].shape, &x[1..])?;
        Ok(vec![x[0], per_row(&x[0])])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[0].last();
        for r in 0..y[1].data.len() {
            let row = &x[0].data[r * width..][..width];
            let rstd = 1.0 / (row.iter().map(|v| v * v).sum::<f64>() / width as f64 + self.eps).sqrt();
            for c in 0..width {
                y[0].data[r * width + c] = row[c] * rstd * x[1].data[c];
            }
            y[1].data[r] = rstd;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (from, weight) = (x[0].data::<f32>()?, x[1].data::<f32>()?);
        let (width, eps, device) = (y[0].shape.last(), self.eps, x[0].device());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let mut statistics = vec![f32::NAN; y[1].shape.numel()];
        for_rows_zip((out.data_mut::<f32>()?, width), (&mut statistics, 1), 3, |first, block, statistics| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, (y, s)) in block.chunks_mut(width).zip(statistics).enumerate() {
                        let x = &from[(first + i) * width..][..width];
                        let rstd = 1.0 / (moments::squares(x, 0.0) / width as f64 + eps).sqrt();
                        for i in 0..width {
                            y[i] = (x[i] as f64 * rstd) as f32 * weight[i];
                        }
                        *s = rstd as f32;
                    }
                },
            );
        });
        Ok(vec![out, Tensor::from_slice(&statistics, y[1].dims(), &device)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        forward_cuda(self.name(), Norm::Rms, self.eps, &x, y)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], outputs: &[1] }
    }

    fn hidden_outputs(&self) -> usize {
        1
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (x, weight, rstd) = (back.input(0)?, back.input(1)?, back.output(1)?);
        let grads = apply_owned(RmsNormBackward, vec![back.take_grad(0)?, x, weight, rstd])?;
        Ok(grads.into_iter().map(Some).collect())
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + C*s", "N*s + 4*R", "4*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[0].shape.rows()), ("C", x[0].shape.last())]
    }
}

/// The gradients of [`RmsNorm`] with respect to input and weight, from (g, x, w, rstd).
#[derive(Clone, Copy, Debug)]
pub struct RmsNormBackward;

impl Op for RmsNormBackward {
    fn name(&self) -> &'static str {
        "rms_norm_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), &x[..3])?;
        require_width(self.name(), &x[1].shape, &x[2..3])?;
        if x[0] != x[1] || x[3] != per_row(&x[1]) {
            let message = "takes g and x of one shape, and rstd of one number per row";
            return Err(
                Error::shape(self.name(), &[], message).operands(x.iter().map(|m| (m.shape, m.dtype)))
            );
        }
        Ok(vec![x[1], x[2]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[1].last();
        for (r, &rstd) in x[3].data.iter().enumerate() {
            let (g, row) = (&x[0].data[r * width..][..width], &x[1].data[r * width..][..width]);
            let terms = g.iter().zip(row).zip(&x[2].data);
            let mean_hx = terms.map(|((g, v), w)| g * w * v * rstd).sum::<f64>() / width as f64;
            for c in 0..width {
                y[0].data[r * width + c] = rstd * (g[c] * x[2].data[c] - row[c] * rstd * mean_hx);
                y[1].data[c] += g[c] * row[c] * rstd;
            }
        }
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let grad = x.remove(0);
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (from, weight, rstd) = (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?);
        let width = weight.len();
        let (dx, [dw]) = backward_over_rows(
            grad,
            #[inline(always)]
            |r, g, dx, dw| backward_row(g, &from[r * width..][..width], weight, rstd[r], dx, dw),
        )?;
        Ok(vec![dx, dw])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        backward_cuda(self.name(), Norm::Rms, &x, None, y)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s + C*s + 4*R", "N*s + C*s", "10*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[0].shape.rows()), ("C", x[0].shape.last())]
    }

    /// The same sums over the sizes of their terms.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let width = x[1].last();
        let mut scale: Vec<Array> = y.iter().map(|a| Array::zeros(a.shape)).collect();
        for (r, rstd) in x[3].data.iter().map(|s| s.abs()).enumerate() {
            let (g, row) = (&x[0].data[r * width..][..width], &x[1].data[r * width..][..width]);
            let terms = g.iter().zip(row).zip(&x[2].data);
            let mean_hx = terms.map(|((g, v), w)| (g * w * v).abs() * rstd).sum::<f64>() / width as f64;
            for c in 0..width {
                let normal = row[c].abs() * rstd;
                scale[0].data[r * width + c] = rstd * ((g[c] * x[2].data[c]).abs() + normal * mean_hx);
                scale[1].data[c] += g[c].abs() * normal;
            }
        }
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        backward_roundings(&x[1])
    }
}

/// One row of the backward pass. Call inside `dispatch`.
#[inline(always)]
fn backward_row(g: &[f32], x: &[f32], weight: &[f32], rstd: f32, dx: &mut [f32], dw: &mut [f32]) {
    let width = g.len();
    let (x, weight, dx, dw) = (&x[..width], &weight[..width], &mut dx[..width], &mut dw[..width]);
    let [sum] = sums_of(
        [g, weight, x],
        #[inline(always)]
        |[g, w, x]| [g * w * (x * rstd)],
    );
    let mean_hx = sum / width as f32;
    for i in 0..width {
        let normal = x[i] * rstd;
        dx[i] = rstd * (g[i] * weight[i] - normal * mean_hx);
        dw[i] = g[i].mul_add(normal, dw[i]);
    }
}

methods! {
    /// Divides the last axis C by its root mean square, then multiplies by `weight` (C).
    ///
    /// # Errors
    /// If there is no last axis, the weight has not its size, or the dtypes differ or are not floats.
    fn rms_norm(&self, weight: &Tensor, eps: f64) -> Result<Tensor> {
        apply_single(RmsNorm { eps }, &[self, weight])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "rms_norm",
            summary: "rows over their root mean square, then scale",
            samples: || {
                let dims: [&[usize]; 4] = [&[3, 5, 70], &[4, 33], &[0, 5], &[3, 0]];
                let width = |d: &[usize]| Input::any(&d[d.len() - 1..]);
                let sample = |x| Sample::new(RmsNorm { eps: 1e-5 }, [Input::any(x), width(x)]);
                // A row of one number is ±1 but for ε, and its gradient the ε that is left: with a small ε, rounding errors
                // alone.
                let alone = Sample::new(RmsNorm { eps: 0.5 }, [Input::any(&[2, 1]), Input::any(&[1])]);
                dims.into_iter().map(sample).chain([alone]).collect()
            },
        },
        Spec {
            name: "rms_norm_backward",
            summary: "the gradients of rms_norm",
            samples: || {
                let dims: [&[usize]; 5] = [&[300, 70], &[2, 3, 33], &[2, 1], &[0, 5], &[3, 0]];
                let sample = |d: &[usize]| {
                    let (width, rows) = (&d[d.len() - 1..], &d[..d.len() - 1]);
                    let x = [Input::any(d), Input::between(d, -4.0, 4.0), Input::any(width)];
                    Sample::new(RmsNormBackward, x.into_iter().chain([Input::between(rows, 0.1, 3.0).wide()]))
                };
                dims.map(sample).into()
            },
        },
    ]
}
