//! Batch norm over channels: by the batch in training, by running statistics afterwards.
//!
//! Source: Ioffe and Szegedy, *Batch Normalization*, 2015, arXiv 1502.03167, §3.1. As PyTorch, the batch is divided by its biased
//! variance, and the unbiased one goes into the running variance.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Scope, Tensor};

use crate::weights::{Init, Weights};

/// Scale and shift of channels, and what their mean and variance were lately.
#[derive(Clone, Debug)]
pub struct BatchNorm1d {
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    eps: f64,
    momentum: f64,
}

impl BatchNorm1d {
    /// C channels; `momentum` is the share that a batch has in the running statistics (PyTorch: 0.1, with ε 1e-5).
    pub fn new(weights: &Weights, channels: usize, eps: f64, momentum: f64) -> Result<Self> {
        let of = |name, value| weights.parameter(name, &[channels], Init::Constant(value));
        let (weight, bias) = (of("weight", 1.0)?, of("bias", 0.0)?);
        let (running_mean, running_var) = (of("running_mean", 0.0)?, of("running_var", 1.0)?);
        Ok(Self { weight, bias, running_mean, running_var, eps, momentum })
    }

    /// x (B, C) or (B, C, T) → the same, by its own statistics, which also go into the running ones.
    ///
    /// # Errors
    /// If the channels do not fit, or a channel holds less than two numbers: it has no variance.
    pub fn forward_train(&self, x: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("batch_norm");
        let [y, mean, variance] = x.batch_norm(&self.weight.get(), &self.bias.get(), self.eps)?;
        let count = x.numel() / mean.numel().max(1);
        if count < 2 {
            let message = "a channel of one number has no variance";
            return Err(
                Error::value("batch_norm", message).hint("train on more than one row, or use forward")
            );
        }
        let move_to = |running: &Parameter, new: &Tensor, factor: f64| {
            let kept = running.get().detach().affine(1.0 - self.momentum, 0.0)?;
            running.set(&kept.add(&new.detach().affine(self.momentum * factor, 0.0)?)?)
        };
        move_to(&self.running_mean, &mean, 1.0)?;
        move_to(&self.running_var, &variance, count as f64 / (count - 1) as f64)?;
        Ok(y)
    }

    /// The same by the running statistics, which stay as they are.
    ///
    /// # Errors
    /// If the channels do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("batch_norm");
        let inside = vec![1; x.rank().saturating_sub(2)];
        let of = |t: Tensor| t.reshape(&[&[t.numel()], &inside[..]].concat()); // (C) → (C, 1, …)
        let (mean, variance) = (self.running_mean.get().detach(), self.running_var.get().detach());
        let scale = variance.affine(1.0, self.eps)?.rsqrt()?.mul(&self.weight.get())?;
        x.sub(&of(mean)?)?.mul(&of(scale)?)?.add(&of(self.bias.get())?)
    }

    /// Weight, then bias: what is trained.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone(), self.bias.clone()]
    }

    /// The running mean, then the running variance: saved with the model, and not trained.
    pub fn buffers(&self) -> Vec<Parameter> {
        vec![self.running_mean.clone(), self.running_var.clone()]
    }
}
