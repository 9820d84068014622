//! A linear support vector machine, trained by its objective's gradient.
//!
//! Source: Cortes and Vapnik, *Support-Vector Networks*, 1995; Shalev-Shwartz et al., *Pegasos*, 2007, for the objective.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

use super::hinge;
use crate::weights::{Init, Weights};

/// x·w + b, whose sign is the class.
#[derive(Clone, Debug)]
pub struct LinearSvm {
    weight: Parameter,
    bias: Parameter,
    lambda: f64,
}

impl LinearSvm {
    /// Over K features; `lambda` weighs ½‖w‖² against the mean hinge loss. It starts from zeros: the objective is convex.
    pub fn new(weights: &Weights, features: usize, lambda: f64) -> Result<Self> {
        let weight = weights.parameter("weight", &[features, 1], Init::Constant(0.0))?;
        Ok(Self { weight, bias: weights.parameter("bias", &[1], Init::Constant(0.0))?, lambda })
    }

    /// x (B, K) → signed distances from the border, times ‖w‖: (B).
    ///
    /// # Errors
    /// If x has other features.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.get())?.add(&self.bias.get())?.squeeze(-1)
    }

    /// The mean hinge loss of truths -1 and 1 (B), and λ/2·‖w‖².
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn loss(&self, x: &Tensor, target: &Tensor) -> Result<Tensor> {
        let size = self.weight.get().square()?.sum_all()?;
        hinge(&self.forward(x)?, target)?.add(&size.mul_scalar(self.lambda / 2.0)?)
    }

    /// w, then b.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone(), self.bias.clone()]
    }
}
