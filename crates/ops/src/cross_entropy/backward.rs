//! The gradient of the logits: softmax less the distribution of the target.

use warpsmith_autograd::{Array, Cost, Differentiability, Meta, Op};
use warpsmith_kernels::cross_entropy as kernel;
use warpsmith_tensor::cpu::{dispatch, for_rows, math};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use super::{CrossEntropy, integers, integers_of};
use crate::normalise::per_row;

/// The gradient of the logits of [`CrossEntropy`], from (logits, targets, max, ln Σ, g); written over the logits if
/// nobody else holds them.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyBackward {
    /// The op whose gradient this is.
    pub forward: CrossEntropy,
}

impl Op for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross_entropy_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.forward.check(&x[0], &x[1])?;
        if x[2..4] != [per_row(&x[0]); 2] || x[4] != Meta::new(Shape::scalar(), x[0].dtype) {
            let message = "takes max and ln Σ of one number per row, and the gradient of one number";
            return Err(
                Error::shape(self.name(), &[], message).operands(x.iter().map(|m| (m.shape, m.dtype)))
            );
        }
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let classes = x[0].last();
        let columns = self.forward.columns(&integers_of(&x[1]), classes)?;
        let (peak, rest) = self.forward.distribution(classes);
        let weight = self.forward.weight(&columns) * x[4].data[0];
        for (n, column) in columns.iter().enumerate() {
            let Some(column) = *column else { continue };
            for j in 0..classes {
                let p = (x[0].data[n * classes + j] - x[2].data[n] - x[3].data[n]).exp();
                let q = rest + if j == column { peak } else { 0.0 };
                y[0].data[n * classes + j] = (p - q) * weight;
            }
        }
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let classes = y[0].shape.last();
        let columns = self.forward.columns(&integers(&x[1])?, classes)?;
        let (peak, rest) = self.forward.distribution(classes);
        let (peak, rest) = (peak as f32, rest as f32);
        let weight = (self.forward.weight(&columns) * x[4].item()?) as f32;
        let (max, log_sum) = (x[2].contiguous()?, x[3].contiguous()?);
        let (max, log_sum) = (max.data::<f32>()?, log_sum.data::<f32>()?);
        let mut logits = x.swap_remove(0);
        let source = if logits.is_unique() { None } else { Some(logits.contiguous()?) };
        let mut out = match source {
            None => logits,
            Some(_) => Tensor::empty(y[0].shape, y[0].dtype, &logits.device())?,
        };
        let from = source.as_ref().map(|s| s.data::<f32>()).transpose()?;
        for_rows(out.data_mut::<f32>()?, classes, 16, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, row) in block.chunks_mut(classes).enumerate() {
                        let n = first + i;
                        let Some(column) = columns[n] else {
                            row.fill(0.0);
                            continue;
                        };
                        let (max, log_sum) = (max[n], log_sum[n]);
                        let target = from.map_or(row[column], |from| from[n * classes + column]);
                        match from {
                            Some(from) => {
                                let x = &from[n * classes..][..classes];
                                let row = row.iter_mut().zip(x);
                                for (y, x) in row {
                                    *y = (probability(*x, max, log_sum) - rest) * weight;
                                }
                            }
                            None => {
                                for x in row.iter_mut() {
                                    *x = (probability(*x, max, log_sum) - rest) * weight;
                                }
                            }
                        }
                        row[column] = (probability(target, max, log_sum) - (peak + rest)) * weight;
                    }
                },
            );
        });
        Ok(vec![out])
    }

    fn cuda(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let g = x[4].contiguous()?;
        let [targets, max, log_sum] = [x[1].contiguous()?, x[2].contiguous()?, x[3].contiguous()?];
        let mut logits = x.swap_remove(0);
        let source = if logits.is_unique() { None } else { Some(logits.contiguous()?) };
        let mut out = match source {
            None => logits,
            Some(_) => Tensor::empty(y[0].shape, y[0].dtype, &g.device())?,
        };
        let from = source.as_ref().unwrap_or(&out);
        let mut weight = Tensor::empty(Shape::scalar(), DType::F32, &g.device())?;
        let call = self.forward.on_device(self.name(), [from, &targets, &max, &log_sum], &mut weight)?;
        let call =
            kernel::CrossEntropy { gradient: out.device_address_mut()?, g: g.device_address()?, ..call };
        g.device().launch(&kernel::backward(&call))?;
        Ok(vec![out])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + R*i + 8*R", "N*s", "5*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.forward.symbols(x)
    }

    /// p has the roundings of its exponent, multiplied by the exponent's size; p and q may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let classes = x[0].last();
        let mut scale = Array::zeros(y[0].shape);
        let Ok(columns) = self.forward.columns(&integers_of(&x[1]), classes) else { return vec![scale] };
        let (peak, rest) = self.forward.distribution(classes);
        let weight = (self.forward.weight(&columns) * x[4].data[0]).abs();
        for (at, s) in scale.data.iter_mut().enumerate() {
            let (n, j) = (at / classes, at % classes);
            let Some(column) = columns[n] else { continue };
            let (below, log_sum) = (x[0].data[at] - x[2].data[n], x[3].data[n]);
            let q = rest + if j == column { peak } else { 0.0 };
            *s = ((below - log_sum).exp() * (1.0 + (below.abs() + log_sum.abs()) / 4.0) + q) * weight;
        }
        vec![scale]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        10.0
    }
}

/// e^(x - max - ln Σ). Call inside `dispatch`.
#[inline(always)]
fn probability(x: f32, max: f32, log_sum: f32) -> f32 {
    math::exp((x - max) - log_sum)
}
