//! y = w·x̂ + b with x̂ = (x - μ)/√(σ² + ε), where μ and σ² are the mean and the variance of each row.
//!
//! Derivative: with h = g·w, ∂L/∂x = (h - mean(h) - x̂·mean(h·x̂))/√(σ² + ε), ∂L/∂w = Σ g·x̂ and ∂L/∂b = Σ g over the
//! rows. Shapes: `(…, C)`, `(C)`, optionally `(C)` → `(…, C)`. Hidden outputs: μ and 1/√(σ² + ε), each `(…)`.
//! Numerics: two passes in f64 over numbers shifted by the row's first, so a mean of 10⁴ with a spread of 1 costs no
//! digits and no square overflows; σ² is the biased variance, and a row that holds a NaN or ±∞ is NaN, as in PyTorch.
//! Source: Ba, Kiros and Hinton, *Layer Normalization*, 2016, arXiv 1607.06450, §3.

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

/// Normalises rows to mean 0 and variance 1, then scales by a weight and adds a bias if there is a third input.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// ε, added to the variance.
    pub eps: f64,
    /// Whether y is bf16 where x is f32: rounded as products take it.
    pub is_narrow: bool,
    /// Whether x comes out again, behind y, for what goes around the norm: its gradient is added where that of y arrives.
    pub passes: bool,
}

impl LayerNorm {
    /// Normalisation with ε, of which y alone comes out, in the dtype of x.
    pub fn new(eps: f64) -> Self {
        Self { eps, is_narrow: false, passes: false }
    }
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_width(self.name(), &x[0].shape, &x[1..])?;
        require_epsilon(self.name(), self.eps)?;
        Ok(outputs(&x[0], self.is_narrow, self.passes, 2))
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[0].last();
        let (y, statistics) = y.split_at_mut(y.len() - 2);
        for r in 0..statistics[0].data.len() {
            let row = &x[0].data[r * width..][..width];
            let shift = row.first().copied().unwrap_or(0.0);
            let mean = shift + row.iter().map(|v| v - shift).sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            let rstd = 1.0 / (variance + self.eps).sqrt();
            for c in 0..width {
                let bias = x.get(2).map_or(0.0, |b| b.data[c]);
                y[0].data[r * width + c] = (row[c] - mean) * rstd * x[1].data[c] + bias;
            }
            (statistics[0].data[r], statistics[1].data[r]) = (mean, rstd);
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
        let bias = x.get(2).map(|b| b.data::<f32>()).transpose()?;
        let (width, eps, device) = (y[0].shape.last(), self.eps, x[0].device());
        let rows = y[y.len() - 1].shape;
        let mut out = Tensor::empty(y[0].shape, DType::F32, &device)?;
        let mut statistics = vec![[f32::NAN; 2]; rows.numel()];
        for_rows_zip((out.data_mut::<f32>()?, width), (&mut statistics, 1), 4, |first, block, statistics| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, (y, s)) in block.chunks_mut(width).zip(statistics).enumerate() {
                        let x = &from[(first + i) * width..][..width];
                        let (mean, rstd) = mean_and_rstd(x, eps);
                        normalise_row(x, mean, rstd, weight, bias, y);
                        *s = [mean as f32, rstd as f32];
                    }
                },
            );
        });
        let column = |k: usize| {
            let values: Vec<f32> = statistics.iter().map(|s| s[k]).collect();
            Tensor::from_slice(&values, rows.dims(), &device)
        };
        Ok(with_passing(vec![out.to_dtype(y[0].dtype)?, column(0)?, column(1)?], &passing, self.passes))
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        forward_cuda(self.name(), (Norm::Layer, self.eps, self.passes), &x, y)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], outputs: if self.passes { &[2, 3] } else { &[1, 2] } }
    }

    fn hidden_outputs(&self) -> usize {
        2
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        gradients(back, LayerNormBackward, self.saves().outputs, self.passes)
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + P*C*s", "N*(o + p) + 8*R", "9*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let out = self.shape(x).map_or(0, |y| y[0].dtype.size());
        let passing = passing_size(&x[0], self.passes);
        vec![
            ("R", x[0].shape.rows()),
            ("C", x[0].shape.last()),
            ("P", x.len() - 1),
            ("o", out),
            ("p", passing),
        ]
    }

    /// |w·x̂| + |b|, which may cancel, and the rounding of the f64 sums against the largest number of the row.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let width = x[0].last();
        let mut scale = y.to_vec();
        scale.iter_mut().for_each(|a| a.data.iter_mut().for_each(|v| *v = v.abs()));
        let rstd = &y[y.len() - 1];
        for r in 0..rstd.data.len() {
            let largest = x[0].data[r * width..][..width].iter().fold(0.0, |a: f64, v| a.max(v.abs()));
            let lost = largest * width as f64 * 2f64.powi(-31);
            for c in 0..width {
                let bias = x.get(2).map_or(0.0, |b| b.data[c]);
                let at = r * width + c;
                scale[0].data[at] =
                    (y[0].data[at] - bias).abs() + bias.abs() + lost * rstd.data[r] * x[1].data[c].abs();
            }
            let mean = scale.len() - 2;
            scale[mean].data[r] += lost;
        }
        scale
    }

    /// And that of y, where it is rounded.
    fn roundings(&self, x: &[Meta]) -> f64 {
        forward_roundings(&x[0], self.is_narrow)
    }
}

/// μ and 1/√(σ² + ε) of a row. Call inside `dispatch`.
#[inline(always)]
fn mean_and_rstd(x: &[f32], eps: f64) -> (f64, f64) {
    let (mean, variance) = moments::mean_and_variance(x);
    (mean, 1.0 / (variance + eps).sqrt())
}

/// y = w·(x - μ)·rstd + b. Call inside `dispatch`.
#[inline(always)]
fn normalise_row(x: &[f32], mean: f64, rstd: f64, weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let (x, weight) = (&x[..y.len()], &weight[..y.len()]);
    // x - μ in f32 loses only what any rounding loses if μ comes in two parts. Spreads near the ends of the range of
    // f32, where a difference may overflow or rstd be subnormal, take f64.
    if (1e-30..1e30).contains(&rstd) {
        let (high, scale) = (mean as f32, rstd as f32);
        let low = (mean - high as f64) as f32;
        scale_and_shift(
            weight,
            bias,
            y,
            #[inline(always)]
            |i| ((x[i] - high) - low) * scale,
        );
    } else {
        scale_and_shift(
            weight,
            bias,
            y,
            #[inline(always)]
            |i| ((x[i] as f64 - mean) * rstd) as f32,
        );
    }
}

/// y = w·x̂ + b. Call inside `dispatch`.
#[inline(always)]
fn scale_and_shift(weight: &[f32], bias: Option<&[f32]>, y: &mut [f32], normal: impl Fn(usize) -> f32) {
    match bias {
        Some(bias) => {
            let bias = &bias[..y.len()];
            for i in 0..y.len() {
                y[i] = normal(i).mul_add(weight[i], bias[i]);
            }
        }
        None => {
            for i in 0..y.len() {
                y[i] = normal(i) * weight[i];
            }
        }
    }
}

/// The gradients of [`LayerNorm`] with respect to input, weight and bias, from (g, x, w, μ, rstd), and, where x passes, the
/// gradient of what went around. g may have 16 bits where x is f32.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackward;

impl Op for LayerNormBackward {
    fn name(&self) -> &'static str {
        "layer_norm_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_backward(self.name(), x, 2)?;
        Ok(vec![x[1], x[2], x[2]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[1].last();
        for r in 0..x[3].data.len() {
            let (mean, rstd) = (x[3].data[r], x[4].data[r]);
            let (g, row) = (&x[0].data[r * width..][..width], &x[1].data[r * width..][..width]);
            let normal: Vec<f64> = row.iter().map(|v| (v - mean) * rstd).collect();
            let h: Vec<f64> = g.iter().zip(&x[2].data).map(|(g, w)| g * w).collect();
            let mean_h = h.iter().sum::<f64>() / width as f64;
            let mean_hx = h.iter().zip(&normal).map(|(h, n)| h * n).sum::<f64>() / width as f64;
            for c in 0..width {
                y[0].data[r * width + c] = rstd * (h[c] - mean_h - normal[c] * mean_hx);
                y[1].data[c] += g[c] * normal[c];
                y[2].data[c] += g[c];
            }
        }
        add_around(&mut y[0], &x[5..], |g| g);
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let around = if x.len() > 5 { x.pop() } else { None };
        let grad = x.swap_remove(0);
        // The gradient left its place to the last input: rstd, x, w, μ.
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (rstd, from, weight, mean) =
            (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?, x[3].data::<f32>()?);
        let width = weight.len();
        let (mut dx, [dw, db]) = backward_over_rows(
            grad,
            #[inline(always)]
            |r, g, dx, sums| {
                let (dw, db) = sums.split_at_mut(width);
                backward_row(g, &from[r * width..][..width], weight, mean[r], rstd[r], dx, dw, db);
            },
        )?;
        around.map_or(Ok(()), |around| dx.accumulate(&around))?;
        Ok(vec![dx, dw, db])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        backward_cuda(self.name(), Norm::Layer, &x, y)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("N*(s + S + a) + C*S + 8*R", "N*S + 2*C*S", "14*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let wide = x[1].dtype.size();
        let around = if x.len() > 5 { wide } else { 0 };
        vec![("R", x[0].shape.rows()), ("C", x[0].shape.last()), ("S", wide), ("a", around)]
    }

    /// The same sums over the sizes of their terms.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let width = x[1].last();
        let mut scale: Vec<Array> = y.iter().map(|a| Array::zeros(a.shape)).collect();
        for r in 0..x[3].data.len() {
            let (mean, rstd) = (x[3].data[r], x[4].data[r].abs());
            let (g, row) = (&x[0].data[r * width..][..width], &x[1].data[r * width..][..width]);
            let normal: Vec<f64> = row.iter().map(|v| (v - mean).abs() * rstd).collect();
            let h: Vec<f64> = g.iter().zip(&x[2].data).map(|(g, w)| (g * w).abs()).collect();
            let mean_h = h.iter().sum::<f64>() / width as f64;
            let mean_hx = h.iter().zip(&normal).map(|(h, n)| h * n).sum::<f64>() / width as f64;
            for c in 0..width {
                scale[0].data[r * width + c] = rstd * (h[c] + mean_h + normal[c] * mean_hx);
                scale[1].data[c] += g[c].abs() * normal[c];
                scale[2].data[c] += g[c].abs();
            }
        }
        add_around(&mut scale[0], &x[5..], f64::abs);
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        backward_roundings(&x[1])
    }
}

/// One row of the backward pass. Call inside `dispatch`.
#[inline(always)]
fn backward_row(
    g: &[f32],
    x: &[f32],
    weight: &[f32],
    mean: f32,
    rstd: f32,
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let width = g.len();
    let (x, weight, dx, dw, db) =
        (&x[..width], &weight[..width], &mut dx[..width], &mut dw[..width], &mut db[..width]);
    let sums = sums_of(
        [g, weight, x],
        #[inline(always)]
        |[g, w, x]| {
            let h = g * w;
            [h, h * ((x - mean) * rstd)]
        },
    );
    let [mean_h, mean_hx] = [sums[0] / width as f32, sums[1] / width as f32];
    for i in 0..width {
        let normal = (x[i] - mean) * rstd;
        dx[i] = rstd * ((g[i] * weight[i] - mean_h) - normal * mean_hx);
        dw[i] = g[i].mul_add(normal, dw[i]);
        db[i] += g[i];
    }
}

methods! {
    /// Normalises the last axis C to mean 0 and variance 1, times `weight` (C), plus `bias` (C) if given.
    ///
    /// # Errors
    /// If there is no last axis, the parameters have not its size, or the dtypes differ or are not floats.
    fn layer_norm(&self, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        apply_single(LayerNorm::new(eps), &inputs)
    }

    /// As [`Methods::layer_norm`], with [`LayerNorm`]'s choices made: y, and x if it passes.
    fn layer_norm_with(&self, weight: &Tensor, bias: Option<&Tensor>, options: LayerNorm) -> Result<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        apply(options, &inputs)
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "layer_norm",
            summary: "rows to mean 0 and variance 1, then scale and shift",
            samples: || {
                let norm = |dims: &[usize], bias: bool| {
                    let width = &dims[dims.len() - 1..];
                    let parameters = vec![Input::any(width); 1 + bias as usize];
                    let op = LayerNorm::new(1e-5);
                    Sample::new(op, [vec![Input::any(dims)], parameters].concat())
                };
                let around = |dims: &[usize]| {
                    let op = LayerNorm { eps: 1e-5, is_narrow: true, passes: true };
                    Sample::new(
                        op,
                        [Input::any(dims), Input::any(&dims[1..]), Input::any(&dims[1..])].map(Input::wide),
                    )
                };
                vec![
                    norm(&[3, 5, 70], true),
                    norm(&[4, 33], false),
                    norm(&[2, 1], true),
                    norm(&[0, 5], true),
                    norm(&[3, 0], true),
                    norm(&[7], false),
                    around(&[5, 72]),
                    around(&[4, 33]),
                    Sample::new(
                        LayerNorm { eps: 1e-5, is_narrow: false, passes: true },
                        [Input::any(&[3, 40]), Input::any(&[40])],
                    ),
                ]
            },
        },
        Spec {
            name: "layer_norm_backward",
            summary: "the gradients of layer_norm",
            samples: || {
                let norm = |dims: &[usize]| {
                    let (width, rows) = (&dims[dims.len() - 1..], &dims[..dims.len() - 1]);
                    let statistics =
                        [Input::between(rows, -2.0, 2.0), Input::between(rows, 0.1, 3.0)].map(Input::wide);
                    let x = [Input::any(dims), Input::between(dims, -4.0, 4.0), Input::any(width)];
                    Sample::new(LayerNormBackward, x.into_iter().chain(statistics))
                };
                // In the sweeps of 16 bits: g rounded, all others f32.
                let around = |dims: &[usize]| {
                    let mut sample = norm(dims);
                    sample.inputs.push(Input::any(dims));
                    sample.inputs[1..].iter_mut().for_each(|input| input.is_wide = true);
                    sample
                };
                let plain =
                    [norm(&[300, 70]), norm(&[2, 3, 33]), norm(&[2, 1]), norm(&[0, 5]), norm(&[3, 0])];
                plain.into_iter().chain([around(&[70, 72]), around(&[3, 33])]).collect()
            },
        },
    ]
}
