//! Loss and gradient of the logits in one pass, for a training step: the gradient is written over the logits.
//!
//! It can be where the gradient g that the loss will get is known before: (logits, targets, g) → the loss, and as a hidden
//! output ∂(g·L)/∂logits. Loss and g are f32 where the logits are 16-bit. On a GPU that is one kernel less, and a row of logits
//! is still in the cache when it is read again.
//! Source: the fusion is that of llm.c (`fused_classifier`) and of Hsu et al., *Liger Kernel*, 2024, arXiv 2410.10989, §3.2.

use warpsmith_autograd::{Array, Backward, Cost, Meta, Op, Saves, apply_owned, apply_single};
use warpsmith_kernels::cross_entropy as kernel;
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use super::{CrossEntropy, CrossEntropyBackward};
use crate::cast::Methods as _;
use crate::cuda;
use crate::div::Div;
use crate::mul::Mul;
use crate::normalise::per_row;
use crate::rows::matrix_in_place;

/// [`CrossEntropy`] with its gradient, from (logits, targets, g), g being () and what the loss gets in the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct FusedCrossEntropy(pub CrossEntropy);

impl FusedCrossEntropy {
    fn backward(&self) -> CrossEntropyBackward {
        CrossEntropyBackward { forward: self.0 }
    }
}

impl Op for FusedCrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy_fused"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let loss = Meta::new(self.0.shape(&x[..2])?[0].shape, per_row(&x[0]).dtype);
        if x[2] != loss {
            return Err(Error::shape(self.name(), &[x[2].shape], "the gradient of the loss is one number")
                .operands(x.iter().map(|m| (m.shape, m.dtype))));
        }
        Ok(vec![loss, x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let row = Array::zeros(x[1].shape);
        let mut made = [Array::zeros(Shape::scalar()), row.clone(), row];
        self.0.reference(&x[..2], &mut made)?;
        let [loss, max, log_sum] = made;
        y[0] = loss;
        self.backward().reference(&[x[0].clone(), x[1].clone(), max, log_sum, x[2].clone()], &mut y[1..])
    }

    fn cpu(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let row = per_row(&y[1]);
        let mut made = self.0.cpu(x[..2].to_vec(), &[y[0], row, row])?;
        let rows = made.split_off(1);
        let g = x.split_off(2);
        made.append(&mut self.backward().cpu([x, rows, g].concat(), &y[1..])?);
        Ok(made)
    }

    fn cuda(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (device, op) = (x[0].device(), self.name());
        let (targets, g) = (x[1].contiguous()?, x[2].contiguous()?);
        let mut logits = x.swap_remove(0);
        // Rows may lie apart, as a product that others read leaves them.
        let row = matrix_in_place(&logits)?.map(|rows| rows.strides()[0]);
        let source = if logits.is_alone() && row.is_some() { None } else { Some(logits.contiguous()?) };
        let gradient = match source {
            None => logits,
            Some(_) => Tensor::empty(y[1].shape, y[1].dtype, &device)?,
        };
        let from = source.as_ref().unwrap_or(&gradient);
        let stride = row.filter(|_| source.is_none()).unwrap_or(y[1].shape.last());
        let [row, one] = [per_row(&y[1]).shape, Shape::scalar()];
        let empty = |shape| Tensor::empty(shape, DType::F32, &device);
        let (mut loss, max, log_sum, mut weight) = (empty(row)?, empty(row)?, empty(row)?, empty(one)?);
        let mut total = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let call = self.0.on_device(op, [from, &targets, &max, &log_sum], &mut weight)?;
        let out = y[0].dtype.float_on_device(op)?;
        let call = kernel::CrossEntropy {
            loss: loss.device_address_mut()?,
            gradient: gradient.device_address()?,
            g: g.device_address()?,
            ..call
        };
        let sum = kernel::total(out, total.device_address_mut()?, call.loss, call.weight, call.targets.rows);
        cuda::launch_all(&device, &[kernel::fused_of_rows(&call, stride as u64), sum])?;
        Ok(vec![total, gradient])
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[2], outputs: &[1] }
    }

    fn hidden_outputs(&self) -> usize {
        1
    }

    /// What was promised is what comes, and nothing is left to do; anything else is set right.
    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (came, promised) = (back.grad(0)?, back.input(2)?);
        let logits = back.want(0, || back.output(1));
        let logits = match logits? {
            Some(gradient) if !came.shares_storage(&promised) => {
                let factor = apply_single(Div, &[&came, &promised])?;
                Some(apply_single(Mul, &[&gradient, &factor.cast(gradient.dtype())?])?)
            }
            gradient => gradient,
        };
        drop(back.take_output(1)?);
        // The loss itself is the same whatever was promised.
        let g = back.want(2, || Tensor::zeros(*promised.shape(), promised.dtype(), &promised.device()))?;
        Ok(vec![logits, None, g])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + R*i + l", "l + N*s", "9*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let mut symbols = self.0.symbols(&x[..2]);
        symbols.push(("l", x[2].dtype.size()));
        symbols
    }

    fn scale(&self, x: &[Array], _y: &[Array]) -> Vec<Array> {
        let row = Array::zeros(x[1].shape);
        let mut made = [Array::zeros(Shape::scalar()), row.clone(), row];
        // The loss of the same shapes: it cannot fail where the first did not.
        let _ = self.0.reference(&x[..2], &mut made);
        let mut scale = self.0.scale(&x[..2], &made);
        scale.truncate(1);
        let [_, max, log_sum] = made;
        let inputs = [x[0].clone(), x[1].clone(), max, log_sum, x[2].clone()];
        scale.append(&mut self.backward().scale(&inputs, &x[..1]));
        scale
    }

    /// The gradient takes over the error of ln Σ, which is relative to 1 + ln Σ: four times what its own scale has of that.
    fn roundings(&self, x: &[Meta]) -> f64 {
        10.0 + 4.0 * self.0.roundings(&x[..2])
    }
}

/// The loss of a training step, as [`CrossEntropy`] gives it, whose backward pass will begin with `g` (): the gradient of the
/// logits is computed now, over the logits if nobody else holds them. To be followed by `backward_from(g)`; another gradient
/// costs a pass over them.
///
/// # Errors
/// As [`super::Methods::cross_entropy`].
pub fn cross_entropy_before(
    logits: Tensor,
    targets: &Tensor,
    g: &Tensor,
    options: CrossEntropy,
) -> Result<Tensor> {
    let mut made = apply_owned(FusedCrossEntropy(options), vec![logits, targets.clone(), g.clone()])?;
    made.pop().ok_or_else(|| Error::internal("cross_entropy_fused", "no loss"))
}
