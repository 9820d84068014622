//! L = Σₙ (ln Σⱼ e^(xₙⱼ) - Σⱼ qₙⱼ·xₙⱼ), divided by the number of targets for the mean, fused with its softmax.
//!
//! q is 1 at the target and 0 elsewhere; with label smoothing α it is 1 - α + α/V at the target and α/V elsewhere.
//! Derivative: ∂L/∂xₙⱼ = (softmax(xₙ)ⱼ - qₙⱼ)·g, and 0 in rows whose target is `ignore_index`.
//! Shapes: `(…, V)` and `(…)` of i64, u32 or u8 → `()`. Hidden outputs: the largest logit and ln Σⱼ e^(xⱼ - max) of
//! each row, apart, so that a large common offset of the logits costs the gradient no digits.
//! Numerics: rows add up in f64, in order. If every target is ignored, loss and gradients are 0 (PyTorch: the mean is
//! NaN), so that a micro-batch without targets adds nothing. A NaN or +∞ in a row makes its loss NaN.
//! Source: Szegedy et al., *Rethinking the Inception Architecture*, 2016, §7, for the smoothing.

mod backward;
mod fused;

use warpsmith_autograd::{
    Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_owned, apply_single,
};
use warpsmith_kernels::cross_entropy as kernel;
use warpsmith_tensor::cpu::{dispatch, for_rows, math};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::cuda;
use crate::elementwise::require_floats;
use crate::indices::kind;
use crate::normalise::per_row;
use crate::rows;

pub use backward::CrossEntropyBackward;
pub use fused::{FusedCrossEntropy, cross_entropy_before};

/// The target that says "no target here", as in PyTorch.
pub const IGNORE_INDEX: i64 = -100;

/// How the losses of the rows become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum over the number of targets that are not ignored.
    Mean,
    /// Their sum: for batches in parts, which are divided by the number of all targets in the end.
    Sum,
}

/// The negative log-likelihood of the targets under the softmax of the logits.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// Mean or sum.
    pub reduction: Reduction,
    /// Targets of this value count for nothing; usually [`IGNORE_INDEX`].
    pub ignore_index: i64,
    /// α in [0, 1]: how much of each target is spread evenly over all classes.
    pub label_smoothing: f64,
}

impl CrossEntropy {
    /// The mean over all targets but those of [`IGNORE_INDEX`], without smoothing.
    pub const MEAN: Self =
        Self { reduction: Reduction::Mean, ignore_index: IGNORE_INDEX, label_smoothing: 0.0 };

    /// The sum over the same targets.
    pub const SUM: Self = Self { reduction: Reduction::Sum, ..Self::MEAN };

    /// Each target as a column, `None` where it is ignored.
    fn columns(&self, targets: &[i64], classes: usize) -> Result<Vec<Option<usize>>> {
        let column = |(n, &target): (usize, &i64)| {
            if target == self.ignore_index {
                return Ok(None);
            }
            match usize::try_from(target) {
                Ok(column) if column < classes => Ok(Some(column)),
                _ => {
                    let message = format!("target {target} at position {n}, but there are {classes} classes");
                    let hint = format!("mark targets that do not count with {}", self.ignore_index);
                    Err(Error::index("cross_entropy", message).hint(hint))
                }
            }
        };
        targets.iter().enumerate().map(column).collect()
    }

    /// What each row's loss is multiplied by.
    fn weight(&self, columns: &[Option<usize>]) -> f64 {
        match self.reduction {
            Reduction::Mean => 1.0 / columns.iter().flatten().count().max(1) as f64,
            Reduction::Sum => 1.0,
        }
    }

    /// (q at the target less q elsewhere, q elsewhere).
    fn distribution(&self, classes: usize) -> (f64, f64) {
        (1.0 - self.label_smoothing, self.label_smoothing / classes.max(1) as f64)
    }

    /// The call of the kernels on gapless logits and targets. The weight, one f32, is computed by the first launch.
    fn on_device(
        &self,
        op: &'static str,
        [logits, targets, max, log_sum]: [&Tensor; 4],
        weight: &mut Tensor,
    ) -> Result<kernel::CrossEntropy> {
        let (device, classes) = (logits.device(), logits.shape().last());
        let targets = kernel::Targets {
            pointer: targets.device_address()?,
            kind: kind(targets.dtype()),
            ignore_index: self.ignore_index,
            rows: targets.numel() as u64,
        };
        let weight = weight.device_address_mut()?;
        device.launch(&kernel::weight(&targets, self.reduction == Reduction::Mean, weight))?;
        Ok(kernel::CrossEntropy {
            dtype: logits.dtype().float_on_device(op)?,
            logits: logits.device_address()?,
            gradient: 0,
            targets,
            loss: 0,
            max: max.device_address()?,
            log_sum: log_sum.device_address()?,
            weight,
            g: 0,
            bad: device.watch(op, classes)?,
            n: cuda::size(op, classes)?,
            label_smoothing: self.label_smoothing,
        })
    }

    fn check(&self, logits: &Meta, targets: &Meta) -> Result<()> {
        require_floats("cross_entropy", &[*logits])?;
        let operands = || [(logits.shape, logits.dtype), (targets.shape, targets.dtype)];
        if !targets.dtype.is_index() {
            let message = format!("targets are i64, u32 or u8, not {}", targets.dtype);
            return Err(Error::dtype("cross_entropy", message).operands(operands()));
        }
        if logits.dims().split_last().map(|(_, outer)| outer) != Some(targets.dims()) {
            return Err(Error::shape("cross_entropy", &[], "takes logits (…, V) and targets (…)")
                .operands(operands())
                .hint("one target per row of logits"));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let message = format!("label_smoothing is {}, not between 0 and 1", self.label_smoothing);
            return Err(Error::value("cross_entropy", message));
        }
        Ok(())
    }
}

/// How many targets count: those that are not `ignore_index`.
///
/// # Errors
/// If the tensor holds no whole numbers.
pub fn count_targets(targets: &Tensor, ignore_index: i64) -> Result<usize> {
    Ok(integers(targets)?.iter().filter(|&&t| t != ignore_index).count())
}

/// The targets as i64, row-major.
fn integers(targets: &Tensor) -> Result<Vec<i64>> {
    match targets.dtype() {
        DType::U32 => Ok(targets.to_vec::<u32>()?.into_iter().map(i64::from).collect()),
        DType::U8 => Ok(targets.to_vec::<u8>()?.into_iter().map(i64::from).collect()),
        _ => targets.to_vec::<i64>(),
    }
}

fn integers_of(targets: &Array) -> Vec<i64> {
    targets.data.iter().map(|&t| t as i64).collect()
}

/// Largest number, ln Σ e^(x - max), and Σ (x - max) of a row, in f64.
fn row_reference(x: &[f64]) -> (f64, f64, f64) {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b });
    (max, x.iter().map(|v| (v - max).exp()).sum::<f64>().ln(), x.iter().map(|v| v - max).sum())
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.check(&x[0], &x[1])?;
        Ok(vec![Meta::new(Shape::scalar(), x[0].dtype), per_row(&x[0]), per_row(&x[0])])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let classes = x[0].last();
        let columns = self.columns(&integers_of(&x[1]), classes)?;
        let (peak, rest) = self.distribution(classes);
        for (n, column) in columns.iter().enumerate() {
            let row = &x[0].data[n * classes..][..classes];
            let (max, log_sum, below) = row_reference(row);
            (y[1].data[n], y[2].data[n]) = (max, log_sum);
            if let Some(column) = *column {
                let smooth = if rest > 0.0 { rest * below } else { 0.0 };
                y[0].data[0] += log_sum - peak * (row[column] - max) - smooth;
            }
        }
        y[0].data[0] *= self.weight(&columns);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let classes = x[0].shape().last();
        let columns = self.columns(&integers(&x[1])?, classes)?;
        let (peak, rest) = self.distribution(classes);
        let (logits, device) = (x[0].contiguous()?, x[0].device());
        let logits = logits.data::<f32>()?;
        let mut rows = vec![Row::default(); columns.len()];
        for_rows(&mut rows, 1, classes * 16, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, row) in block.iter_mut().enumerate() {
                        let x = &logits[(first + i) * classes..][..classes];
                        *row = Row::of(x, columns[first + i], peak, rest);
                    }
                },
            );
        });
        let loss = rows.iter().map(|r| r.loss).sum::<f64>() * self.weight(&columns);
        let column = |value: fn(&Row) -> f32| {
            Tensor::from_slice(&rows.iter().map(value).collect::<Vec<f32>>(), y[1].dims(), &device)
        };
        Ok(vec![Tensor::scalar(loss as f32, &device)?, column(|r| r.max)?, column(|r| r.log_sum)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (device, op) = (x[0].device(), self.name());
        let (logits, targets) = (x[0].contiguous()?, x[1].contiguous()?);
        let empty = |shape, dtype| Tensor::empty(shape, dtype, &device);
        let (mut total, mut weight) = (empty(y[0].shape, y[0].dtype)?, empty(Shape::scalar(), DType::F32)?);
        let (max, log_sum) = (empty(y[1].shape, y[1].dtype)?, empty(y[2].shape, y[2].dtype)?);
        let mut loss = empty(y[1].shape, DType::F32)?;
        let call = self.on_device(op, [&logits, &targets, &max, &log_sum], &mut weight)?;
        let call = kernel::CrossEntropy { loss: loss.device_address_mut()?, ..call };
        let (to, rows) = (total.device_address_mut()?, call.targets.rows);
        let sum = kernel::total(call.dtype, to, call.loss, call.weight, rows);
        cuda::launch_all(&device, &[kernel::forward(&call), sum])?;
        Ok(vec![total, max, log_sum])
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], outputs: &[1, 2] }
    }

    fn hidden_outputs(&self) -> usize {
        2
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        if !back.needs(0) {
            return Ok(vec![None, None]);
        }
        let (targets, max, log_sum) = (back.input(1)?, back.output(1)?, back.output(2)?);
        let inputs = vec![back.take_input(0)?, targets, max, log_sum, back.grad(0)?];
        let mut grads = apply_owned(CrossEntropyBackward { forward: *self }, inputs)?;
        Ok(vec![grads.pop(), None])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + R*i", "s + 8*R", "4*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[1].shape.numel()), ("i", x[1].dtype.size())]
    }

    /// The size of every term; ln Σ may cancel down to 0, so 1 stands for the relative error of the sum.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let classes = x[0].last();
        let (peak, rest) = self.distribution(classes);
        let mut scale = vec![Array::zeros(y[0].shape), y[1].clone(), y[2].clone()];
        let Ok(columns) = self.columns(&integers_of(&x[1]), classes) else { return scale };
        for (n, column) in columns.iter().enumerate() {
            let row = &x[0].data[n * classes..][..classes];
            let (max, log_sum, below) = row_reference(row);
            (scale[1].data[n], scale[2].data[n]) = (0.0, 1.0 + log_sum);
            if let Some(column) = *column {
                scale[0].data[0] += 1.0 + log_sum + peak * (max - row[column]) - rest * below;
            }
        }
        scale[0].data[0] *= self.weight(&columns);
        scale
    }

    /// Each term of Σ e^(x - max) has 2 roundings of e^ and, relative to the sum, at most 1 of x - max; then the sum.
    fn roundings(&self, x: &[Meta]) -> f64 {
        12.0 + x[0].shape.last() as f64 / 32.0
    }
}

/// What one row of logits gives.
#[derive(Clone, Copy)]
struct Row {
    max: f32,
    log_sum: f32,
    loss: f64,
}

impl Default for Row {
    /// The row of no classes.
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, log_sum: f32::NEG_INFINITY, loss: 0.0 }
    }
}

impl Row {
    /// Call inside `dispatch`.
    #[inline(always)]
    fn of(x: &[f32], column: Option<usize>, peak: f64, rest: f64) -> Self {
        let max = rows::max_of(x);
        let sum = rows::sum_of(
            x,
            #[inline(always)]
            |x| math::exp(x - max),
        );
        let log_sum = math::ln(sum);
        let Some(column) = column else { return Self { max, log_sum, loss: 0.0 } };
        let mut loss = log_sum as f64 - peak * (x[column] as f64 - max as f64);
        if rest > 0.0 {
            // Weighted term by term: the sum of many large differences could pass the range of f32.
            let rest = rest as f32;
            let below = rows::sum_of(
                x,
                #[inline(always)]
                |x| rest * (x - max),
            );
            loss -= below as f64;
        }
        Self { max, log_sum, loss }
    }
}

methods! {
    /// The mean negative log-likelihood of `targets` (…) under the softmax of these logits (…, V), in nats. Targets
    /// of [`IGNORE_INDEX`] do not count; if none counts, the result is 0. For sums, smoothing or another mark, apply
    /// [`CrossEntropy`] with [`Methods::cross_entropy_with`].
    ///
    /// # Errors
    /// If the shapes do not fit, the targets are not whole numbers, or one is not below V.
    fn cross_entropy(&self, targets: &Tensor) -> Result<Tensor> {
        apply_single(CrossEntropy::MEAN, &[self, targets])
    }

    /// As [`Methods::cross_entropy`], with reduction, ignored target and label smoothing chosen.
    fn cross_entropy_with(&self, targets: &Tensor, options: CrossEntropy) -> Result<Tensor> {
        apply_single(options, &[self, targets])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "cross_entropy",
            summary: "negative log-likelihood of targets, fused with the softmax",
            samples: || {
                let smoothed = |op: CrossEntropy| CrossEntropy { label_smoothing: 0.1, ..op };
                let sample = |op: CrossEntropy, dims: &[usize]| {
                    Sample::new(
                        op,
                        [Input::any(dims), Input::integers(&dims[..dims.len() - 1], some_ignored(dims))],
                    )
                };
                vec![
                    sample(CrossEntropy::MEAN, &[3, 5, 70]),
                    sample(smoothed(CrossEntropy::MEAN), &[9, 33]),
                    sample(CrossEntropy::SUM, &[2, 4, 7]),
                    sample(CrossEntropy::MEAN, &[4, 1]),
                    sample(CrossEntropy::MEAN, &[0, 5]),
                    Sample::new(
                        CrossEntropy::MEAN,
                        [Input::any(&[2, 5]), Input::integers(&[2], vec![IGNORE_INDEX; 2])],
                    ),
                ]
            },
        },
        Spec {
            name: "cross_entropy_fused",
            summary: "cross_entropy and its gradient in one pass, for a known gradient of the loss",
            samples: || {
                let sample = |op: CrossEntropy, dims: &[usize]| {
                    let targets = Input::integers(&dims[..dims.len() - 1], some_ignored(dims));
                    let g = Input::between(&[], 0.25, 2.0).wide();
                    Sample::new(FusedCrossEntropy(op), [Input::any(dims), targets, g])
                };
                vec![
                    sample(CrossEntropy::SUM, &[3, 5, 70]),
                    sample(CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::MEAN }, &[9, 33]),
                    sample(CrossEntropy::MEAN, &[0, 5]),
                ]
            },
        },
        Spec {
            name: "cross_entropy_backward",
            summary: "the gradient of cross_entropy",
            samples: || {
                let sample = |forward: CrossEntropy, dims: &[usize]| {
                    let outer = &dims[..dims.len() - 1];
                    let statistics =
                        [Input::between(outer, 2.0, 4.0), Input::between(outer, 0.0, 3.0)].map(Input::wide);
                    let logits = Input::between(dims, -4.0, 4.0);
                    let inputs =
                        [logits, Input::integers(outer, some_ignored(dims))].into_iter().chain(statistics);
                    Sample::new(
                        CrossEntropyBackward { forward },
                        inputs.chain([Input::between(&[], -2.0, 2.0)]),
                    )
                };
                let smoothed = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::SUM };
                vec![
                    sample(CrossEntropy::MEAN, &[3, 5, 70]),
                    sample(smoothed, &[9, 33]),
                    sample(CrossEntropy::MEAN, &[4, 1]),
                    sample(CrossEntropy::MEAN, &[0, 5]),
                ]
            },
        },
    ]
}

/// Targets for logits of these dims, every fourth ignored.
fn some_ignored(dims: &[usize]) -> Vec<i64> {
    let (classes, rows) = (dims[dims.len() - 1], dims[..dims.len() - 1].iter().product());
    (0..rows).map(|n| if n % 4 == 2 { IGNORE_INDEX } else { (n * 31 % classes) as i64 }).collect()
}
