//! y = w·x̂ with x̂ = x/√(mean(x²) + ε) in each row: layer norm without centring and without bias.
//!
//! Derivative: with h = g·w, ∂L/∂x = (h - x̂·mean(h·x̂))/√(mean(x²) + ε), and ∂L/∂w = Σ g·x̂ over the rows.
//! Shapes: `(…, C)`, `(C)` → `(…, C)`. Hidden output: 1/√(mean(x²) + ε) of each row, `(…)`. Numerics: squares add up in
//! f64, so none overflows; a row that holds a NaN is NaN, and one that holds ±∞ is 0 but NaN there, as in PyTorch.
//! Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467, §3.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply, apply_single,
};
use warpsmith_kernels::normalise::Norm;
use warpsmith_tensor::cpu::{dispatch, for_rows_zip};
use warpsmith_tensor::{DType, Result, Tensor};

use crate::elementwise::require_floats;
use crate::moments;
use crate::normalise::{
    add_around, backward_cuda, backward_over_rows, backward_roundings, forward_cuda, forward_roundings,
    gradients, outputs, passing_size, require_backward, require_epsilon, require_width, with_passing,
};
use crate::rows::sums_of;

/// Divides rows by their root mean square, then scales by a weight.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// ε, added to the mean square.
    pub eps: f64,
    /// Whether y is bf16 where x is f32: rounded as products take it.
    pub is_narrow: bool,
    /// Whether x comes out again, behind y, for what goes around the norm: its gradient is added where that of y arrives.
    pub passes: bool,
}

impl RmsNorm {
    /// Normalisation with ε, of which y alone comes out, in the dtype of x.
    pub fn new(eps: f64) -> Self {
        Self { eps, is_narrow: false, passes: false }
    }
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_width(self.name(), &x[0].shape, &x[1..])?;
        require_epsilon(self.name(), self.eps)?;
        Ok(outputs(&x[0], self.is_narrow, self.passes, 1))
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[0].last();
        let (y, statistics) = y.split_at_mut(y.len() - 1);
        for r in 0..statistics[0].data.len() {
            let row = &x[0].data[r * width..][..width];
            let rstd = 1.0 / (row.iter().map(|v| v * v).sum::<f64>() / width as f64 + self.eps).sqrt();
            for c in 0..width {
                y[0].data[r * width + c] = row[c] * rstd * x[1].data[c];
            }
            statistics[0].data[r] = rstd;
        }
        if let [_, passing] = y {
            passing.data.copy_from_slice(&x[0].data);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let passing = x[0].clone();
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (from, weight) = (x[0].data::<f32>()?, x[1].data::<f32>()?);
        let (width, eps, device) = (y[0].shape.last(), self.eps, x[0].device());
        let rows = y[y.len() - 1].shape;
        let mut out = Tensor::empty(y[0].shape, DType::F32, &device)?;
        let mut statistics = vec![f32::NAN; rows.numel()];
        for_rows_zip((out.data_mut::<f32>()?, width), (&mut statistics, 1), 3, |first, block, statistics| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, (y, s)) in block.chunks_mut(width).zip(statistics).enumerate() {
                        let x = &from[(first + i) * width..][..width];
                        let rstd = 1.0 / (moments::squares(x) / width as f64 + eps).sqrt();
                        for i in 0..width {
                            y[i] = (x[i] as f64 * rstd) as f32 * weight[i];
                        }
                        *s = rstd as f32;
                    }
                },
            );
        });
        let made = vec![out.to_dtype(y[0].dtype)?, Tensor::from_slice(&statistics, rows.dims(), &device)?];
        Ok(with_passing(made, &passing, self.passes))
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        forward_cuda(self.name(), (Norm::Rms, self.eps, self.passes), &x, y)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], outputs: if self.passes { &[2] } else { &[1] } }
    }

    fn hidden_outputs(&self) -> usize {
        1
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        gradients(back, RmsNormBackward, self.saves().outputs, self.passes)
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + C*s", "N*(o + p) + 4*R", "4*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let out = self.shape(x).map_or(0, |y| y[0].dtype.size());
        let passing = passing_size(&x[0], self.passes);
        vec![("R", x[0].shape.rows()), ("C", x[0].shape.last()), ("o", out), ("p", passing)]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        forward_roundings(&x[0], self.is_narrow)
    }
}

/// The gradients of [`RmsNorm`] with respect to input and weight, from (g, x, w, rstd), and, where x passes, the gradient of
/// what went around. g may have 16 bits where x is f32.
#[derive(Clone, Copy, Debug)]
pub struct RmsNormBackward;

impl Op for RmsNormBackward {
    fn name(&self) -> &'static str {
        "rms_norm_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_backward(self.name(), x, 1)?;
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
        add_around(&mut y[0], &x[4..], |g| g);
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let around = if x.len() > 4 { x.pop() } else { None };
        let grad = x.remove(0);
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (from, weight, rstd) = (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?);
        let width = weight.len();
        let (mut dx, [dw]) = backward_over_rows(
            grad,
            #[inline(always)]
            |r, g, dx, dw| backward_row(g, &from[r * width..][..width], weight, rstd[r], dx, dw),
        )?;
        around.map_or(Ok(()), |around| dx.accumulate(&around))?;
        Ok(vec![dx, dw])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        backward_cuda(self.name(), Norm::Rms, &x, y)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("N*(s + S + a) + C*S + 4*R", "N*S + C*S", "10*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let wide = x[1].dtype.size();
        let around = if x.len() > 4 { wide } else { 0 };
        vec![("R", x[0].shape.rows()), ("C", x[0].shape.last()), ("S", wide), ("a", around)]
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
        add_around(&mut scale[0], &x[4..], f64::abs);
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
        apply_single(RmsNorm::new(eps), &[self, weight])
    }

    /// As [`Methods::rms_norm`], with [`RmsNorm`]'s choices made: y, and x if it passes.
    fn rms_norm_with(&self, weight: &Tensor, options: RmsNorm) -> Result<Vec<Tensor>> {
        apply(options, &[self, weight])
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
                let op = RmsNorm::new(1e-5);
                let sample = |x| Sample::new(op, [Input::any(x), width(x)]);
                let around = |x| {
                    let op = RmsNorm { is_narrow: true, passes: true, ..op };
                    Sample::new(op, [Input::any(x), width(x)].map(Input::wide))
                };
                // A row of one number is ±1 but for ε, and its gradient the ε that is left: with a small ε, rounding errors
                // alone.
                let alone = Sample::new(RmsNorm { eps: 0.5, ..op }, [Input::any(&[2, 1]), Input::any(&[1])]);
                let passing =
                    Sample::new(RmsNorm { passes: true, ..op }, [&[3, 40][..], &[40]].map(Input::any));
                let others = [alone, passing, around(&[5, 72]), around(&[4, 33])];
                dims.into_iter().map(sample).chain(others).collect()
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
                // In the sweeps of 16 bits: g rounded, all others f32.
                let around = |d: &[usize]| {
                    let mut sample = sample(d);
                    sample.inputs.push(Input::any(d));
                    sample.inputs[1..].iter_mut().for_each(|input| input.is_wide = true);
                    sample
                };
                dims.into_iter().map(sample).chain([around(&[70, 72]), around(&[3, 33])]).collect()
            },
        },
    ]
}
