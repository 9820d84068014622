//! y = w·x̂ + b with x̂ = (x - μ)/√(σ² + ε), where μ and σ² are the mean and the biased variance of each channel over the
//! batch and all that lies inside the channel. They are outputs too: running statistics are made of them.
//!
//! Derivative, with N numbers to a channel: ∂w = Σ g·x̂, ∂b = Σ g, and ∂x = w·(g - ∂b/N - x̂·∂w/N)/√(σ² + ε) + γ_μ/N +
//! 2·γ_σ²·(x - μ)/N for gradients γ of the statistics. Shapes: `(B, C, …)`, `(C)`, `(C)` → `(B, C, …)`, μ `(C)`, σ² `(C)`.
//! Numerics: two passes in f64, so a mean of 10⁴ with a spread of 1 costs no digits; a channel that holds a NaN is NaN. For
//! what was trained, take the running statistics and elementwise ops.
//! Source: Ioffe and Szegedy, *Batch Normalization*, 2015, arXiv 1502.03167, §3.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply, apply_owned,
};
use warpsmith_kernels::batch_norm::{self as kernel, Channels};
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::axis::Around;
use crate::cuda;
use crate::elementwise::require_floats;
use crate::normalise::require_epsilon;

/// Normalises channels to mean 0 and variance 1, then scales and shifts them.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// ε, added to the variance.
    pub eps: f64,
}

/// An error unless `x` is (B, C, …) and all `parameters` are (C).
fn require_channels(op: &'static str, x: &Meta, parameters: &[Meta]) -> Result<()> {
    let channels = x.dims().get(1).copied();
    if channels.is_some_and(|c| parameters.iter().all(|p| p.dims() == [c])) {
        return Ok(());
    }
    let shapes: Vec<Shape> = std::iter::once(x).chain(parameters).map(|p| p.shape).collect();
    Err(Error::shape(op, &shapes, "takes (B, C, …) and numbers of shape (C)"))
}

/// Shape and dtype of one number per channel. Never a 16-bit float: running statistics add up.
fn statistic(x: &Meta, channels: &Meta) -> Meta {
    Meta::new(channels.shape, if x.dtype == DType::F64 { DType::F64 } else { DType::F32 })
}

/// Where each number of a channel lies.
fn places(around: Around, c: usize) -> impl Iterator<Item = usize> {
    let Around { outer, size, inner } = around;
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (o * size + c) * inner + i))
}

/// f of each channel, in parallel.
fn per_channel(around: Around, f: impl Fn(usize) -> [f64; 2] + Sync) -> Vec<[f64; 2]> {
    let mut numbers = vec![[f64::NAN; 2]; around.size];
    for_rows(&mut numbers, 1, around.outer * around.inner * 4, |first, block| {
        block.iter_mut().enumerate().for_each(|(i, numbers)| *numbers = f(first + i));
    });
    numbers
}

fn channels(op: &'static str, x: &Meta, eps: f64) -> Result<Channels> {
    let Around { outer, size, inner } = Around::new(&x.shape, 1);
    let (batch, inner) = (outer as u64, inner as u64);
    Ok(Channels { dtype: x.dtype.float_on_device(op)?, batch, channels: cuda::size(op, size)?, inner, eps })
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        require_channels(self.name(), &x[0], &x[1..])?;
        require_epsilon(self.name(), self.eps)?;
        if x[0].shape.numel() == 0 && x[1].shape.numel() > 0 {
            return Err(Error::shape(self.name(), &[x[0].shape], "no number in a channel has no mean"));
        }
        let statistic = statistic(&x[0], &x[1]);
        Ok(vec![x[0], statistic, statistic])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let around = Around::new(&x[0].shape, 1);
        let count = (around.outer * around.inner) as f64;
        for c in 0..around.size {
            let mean = places(around, c).map(|at| x[0].data[at]).sum::<f64>() / count;
            let variance = places(around, c).map(|at| (x[0].data[at] - mean).powi(2)).sum::<f64>() / count;
            let rstd = 1.0 / (variance + self.eps).sqrt();
            for at in places(around, c) {
                y[0].data[at] = (x[0].data[at] - mean) * rstd * x[1].data[c] + x[2].data[c];
            }
            (y[1].data[c], y[2].data[c]) = (mean, variance);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (from, weight, bias) = (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?);
        let (around, device) = (Around::new(&y[0].shape, 1), x[0].device());
        let count = (around.outer * around.inner) as f64;
        let statistics = per_channel(around, |c| {
            let mean = places(around, c).map(|at| f64::from(from[at])).sum::<f64>() / count;
            let squares = places(around, c).map(|at| (f64::from(from[at]) - mean).powi(2));
            [mean, squares.sum::<f64>() / count]
        });
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let inner = around.inner;
        for_rows(out.data_mut::<f32>()?, inner, 4, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, y) in block.chunks_mut(inner).enumerate() {
                        let (row, c) = (first + i, (first + i) % around.size);
                        let ([mean, variance], w, b) = (statistics[c], weight[c], bias[c]);
                        let rstd = 1.0 / (variance + self.eps).sqrt();
                        for (y, x) in y.iter_mut().zip(&from[row * inner..][..inner]) {
                            *y = (((f64::from(*x) - mean) * rstd) as f32).mul_add(w, b);
                        }
                    }
                },
            );
        });
        let column = |k: usize| {
            let values: Vec<f32> = statistics.iter().map(|s| s[k] as f32).collect();
            Tensor::from_slice(&values, y[1].dims(), &device)
        };
        Ok(vec![out, column(0)?, column(1)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let empty = |m: &Meta| Tensor::empty(m.shape, m.dtype, &device);
        let mut out = y.iter().map(empty).collect::<Result<Vec<_>>>()?;
        let to = [out[0].device_address_mut()?, out[1].device_address_mut()?, out[2].device_address_mut()?];
        let from = [x[0].device_address()?, x[1].device_address()?, x[2].device_address()?];
        device.launch(&kernel::forward(&channels(self.name(), &y[0], self.eps)?, to, from))?;
        Ok(out)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], outputs: &[1, 2] }
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grads = [back.take_grad(0)?, back.take_grad(1)?, back.take_grad(2)?];
        let kept = [back.take_input(0)?, back.input(1)?, back.output(1)?, back.output(2)?];
        let inputs = grads.into_iter().chain(kept).collect();
        Ok(apply_owned(BatchNormBackward { eps: self.eps }, inputs)?.into_iter().map(Some).collect())
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + 2*C*s", "N*s + 2*C*t", "8*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("C", x[1].shape.numel()), ("t", statistic(&x[0], &x[1]).dtype.size())]
    }

    /// |w·x̂| + |b|, which may cancel, and the rounding of the f64 sums against the largest number of the channel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let around = Around::new(&x[0].shape, 1);
        let mut scale = y.to_vec();
        for c in 0..around.size {
            let largest = places(around, c).fold(0.0, |a: f64, at| a.max(x[0].data[at].abs()));
            let lost = largest * (around.outer * around.inner) as f64 * 2f64.powi(-29);
            let (w, b, rstd) = (x[1].data[c], x[2].data[c], 1.0 / (y[2].data[c] + self.eps).sqrt());
            for at in places(around, c) {
                scale[0].data[at] = (y[0].data[at] - b).abs() + b.abs() + lost * rstd * w.abs();
            }
            scale[1].data[c] = y[1].data[c].abs() + lost;
            scale[2].data[c] = y[2].data[c].abs() + lost * lost;
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        6.0
    }
}

/// The gradients of [`BatchNorm`] with respect to input, weight and bias, from (g, γ_μ, γ_σ², x, w, μ, σ²).
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward {
    /// ε, added to the variance.
    pub eps: f64,
}

impl BatchNormBackward {
    /// What one element of a channel gets, from its g, its x - μ, and the numbers of the channel.
    fn dx(&self, x: &[Array], c: usize, [sum_g, sum_gx]: [f64; 2], count: f64) -> impl Fn(f64, f64) -> f64 {
        let (w, rstd) = (x[4].data[c], 1.0 / (x[6].data[c] + self.eps).sqrt());
        let (of_mean, of_variance) = (x[1].data[c] / count, 2.0 * x[2].data[c] / count);
        let (mean_g, mean_gx) = (sum_g / count, sum_gx / count);
        move |g, d| w * rstd * (g - mean_g - d * rstd * mean_gx) + of_mean + of_variance * d
    }
}

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), &[x[0], x[3], x[4]])?;
        require_channels(self.name(), &x[3], &[x[1], x[2], x[4], x[5], x[6]])?;
        let statistic = statistic(&x[3], &x[4]);
        if x[0] != x[3] || [x[1], x[2], x[5], x[6]] != [statistic; 4] {
            let message =
                "takes g and x of one shape, and statistics and their gradients of one number per channel";
            let operands = x.iter().map(|m| (m.shape, m.dtype));
            return Err(Error::shape(self.name(), &[], message).operands(operands));
        }
        Ok(vec![x[3], x[4], x[4]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let around = Around::new(&x[3].shape, 1);
        let count = (around.outer * around.inner) as f64;
        for c in 0..around.size {
            let (mean, rstd) = (x[5].data[c], 1.0 / (x[6].data[c] + self.eps).sqrt());
            let sum_g = places(around, c).map(|at| x[0].data[at]).sum::<f64>();
            let sum_gx =
                places(around, c).map(|at| x[0].data[at] * (x[3].data[at] - mean) * rstd).sum::<f64>();
            let dx = self.dx(x, c, [sum_g, sum_gx], count);
            for at in places(around, c) {
                y[0].data[at] = dx(x[0].data[at], x[3].data[at] - mean);
            }
            (y[1].data[c], y[2].data[c]) = (sum_gx, sum_g);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let all = x.iter().map(|x| x.data::<f32>()).collect::<Result<Vec<_>>>()?;
        let (g, from, device) = (all[0], all[3], x[0].device());
        let around = Around::new(&y[0].shape, 1);
        let (inner, count) = (around.inner, (around.outer * around.inner) as f64);
        let numbers = |c: usize| [1, 2, 4, 5, 6].map(|i| f64::from(all[i][c]));
        let sums = per_channel(around, |c| {
            let [.., mean, variance] = numbers(c);
            let rstd = 1.0 / (variance + self.eps).sqrt();
            places(around, c).fold([0.0; 2], |[sum_g, sum_gx], at| {
                let g = f64::from(g[at]);
                [sum_g + g, sum_gx + g * (f64::from(from[at]) - mean) * rstd]
            })
        });
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        for_rows(out.data_mut::<f32>()?, inner, 6, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, dx) in block.chunks_mut(inner).enumerate() {
                        let (row, c) = (first + i, (first + i) % around.size);
                        let [g_mean, g_variance, w, mean, variance] = numbers(c);
                        let rstd = 1.0 / (variance + self.eps).sqrt();
                        let (scale, of_mean, of_variance) =
                            (w * rstd, g_mean / count, 2.0 * g_variance / count);
                        let (mean_g, mean_gx) = (sums[c][0] / count, sums[c][1] / count * rstd);
                        let inputs = g[row * inner..][..inner].iter().zip(&from[row * inner..][..inner]);
                        for (dx, (g, x)) in dx.iter_mut().zip(inputs) {
                            let d = f64::from(*x) - mean;
                            let inside = f64::from(*g) - mean_g - d * mean_gx;
                            *dx = (scale * inside + of_mean + of_variance * d) as f32;
                        }
                    }
                },
            );
        });
        let column = |k: usize| {
            let values: Vec<f32> = sums.iter().map(|s| s[k] as f32).collect();
            Tensor::from_slice(&values, y[1].dims(), &device)
        };
        Ok(vec![out, column(1)?, column(0)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let zeros = |m: &Meta| Tensor::zeros(m.shape, m.dtype, &device);
        let mut out = y.iter().map(zeros).collect::<Result<Vec<_>>>()?;
        let to = [out[0].device_address_mut()?, out[1].device_address_mut()?, out[2].device_address_mut()?];
        let from = x.iter().map(Tensor::device_address).collect::<Result<Vec<_>>>()?;
        let from = from.try_into().map_err(|_| Error::internal(self.name(), "takes seven inputs"))?;
        device.launch(&kernel::backward(&channels(self.name(), &y[0], self.eps)?, to, from))?;
        Ok(out)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s + C*s + 4*C*t", "N*s + 2*C*s", "16*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("C", x[4].shape.numel()), ("t", x[5].dtype.size())]
    }

    /// The same sums over the sizes of their terms.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let around = Around::new(&x[3].shape, 1);
        let count = (around.outer * around.inner) as f64;
        let mut scale = y.to_vec();
        for c in 0..around.size {
            let (mean, rstd) = (x[5].data[c], 1.0 / (x[6].data[c] + self.eps).sqrt());
            let w = x[4].data[c].abs() * rstd;
            let sum_g = places(around, c).map(|at| x[0].data[at].abs()).sum::<f64>();
            let terms =
                places(around, c).map(|at| x[0].data[at].abs() * (x[3].data[at].abs() + mean.abs()) * rstd);
            let sum_gx = terms.sum::<f64>();
            for at in places(around, c) {
                let d = x[3].data[at].abs() + mean.abs();
                let inside = x[0].data[at].abs() + sum_g / count + d * rstd * sum_gx / count;
                let outside = x[1].data[c].abs() + 2.0 * x[2].data[c].abs() * d;
                scale[0].data[at] = w * inside + outside / count;
            }
            (scale[1].data[c], scale[2].data[c]) = (sum_gx, sum_g);
        }
        scale
    }

    /// On a GPU 256 threads add up their shares.
    fn roundings(&self, x: &[Meta]) -> f64 {
        let Around { outer, inner, .. } = Around::new(&x[3].shape, 1);
        16.0 + (outer * inner) as f64 / 256.0
    }
}

methods! {
    /// Normalises each channel of (B, C, …) over the batch to mean 0 and variance 1, times `weight` (C), plus `bias` (C). Behind
    /// the result, the mean and the biased variance (C) of each channel.
    ///
    /// # Errors
    /// If there is no axis of channels, a channel is empty, the parameters have not its size, or the dtypes differ or are not
    /// floats.
    fn batch_norm(&self, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<[Tensor; 3]> {
        let outputs = apply(BatchNorm { eps }, &[self, weight, bias])?;
        outputs.try_into().map_err(|_| Error::internal("batch_norm", "three outputs"))
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    fn shapes() -> [&'static [usize]; 4] {
        [&[5, 3, 37], &[33, 4], &[2, 2, 3, 5], &[4, 0, 2]]
    }
    vec![
        Spec {
            name: "batch_norm",
            summary: "channels to mean 0 and variance 1 over the batch",
            samples: || {
                let sample = |x: &'static [usize]| {
                    Sample::new(
                        BatchNorm { eps: 1e-5 },
                        [Input::any(x), Input::any(&x[1..2]), Input::any(&x[1..2])],
                    )
                };
                shapes().map(sample).into()
            },
        },
        Spec {
            name: "batch_norm_backward",
            summary: "the gradients of batch_norm",
            samples: || {
                let sample = |x: &'static [usize]| {
                    let channel = &x[1..2];
                    let statistics = [Input::between(channel, -2.0, 2.0), Input::between(channel, 0.1, 3.0)]
                        .map(Input::wide);
                    let inputs = [
                        Input::any(x),
                        Input::between(channel, -1.0, 1.0).wide(),
                        Input::between(channel, -1.0, 1.0).wide(),
                        Input::between(x, -4.0, 4.0),
                        Input::any(channel),
                    ];
                    Sample::new(BatchNormBackward { eps: 1e-5 }, inputs.into_iter().chain(statistics))
                };
                shapes().map(sample).into()
            },
        },
    ]
}
