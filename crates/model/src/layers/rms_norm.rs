//! Root-mean-square normalisation with a learned scale.
//!
//! Source: Zhang & Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467.

use warpsmith_autograd::Parameter;
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_ops::rms_norm;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::weights::{Init, Weights};

/// x / √(mean(x²) + ε) · weight.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Parameter,
    epsilon: f64,
    precision: Precision,
}

impl RmsNorm {
    /// A layer over C features, scale one.
    pub fn new(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        let weight = weights.parameter("weight", &[width], Init::Constant(1.0))?;
        Ok(Self { weight, epsilon, precision: weights.precision() })
    }

    /// x (…, C) → (…, C)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(&self.weight.get(), self.epsilon)
    }

    /// The same for what products alone read: on a GPU it is bf16 if they are.
    pub fn forward_rounded(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.with(x, false)?.swap_remove(0))
    }

    /// The same, and x itself for the way around: their gradients are added where the norm's is made.
    pub fn forward_around(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let made = self.with(x, true)?;
        made.try_into().map_err(|_| Error::internal("rms_norm", "two outputs"))
    }

    fn with(&self, x: &Tensor, passes: bool) -> Result<Vec<Tensor>> {
        let is_narrow = self.precision.is_narrow_on(x);
        x.rms_norm_with(&self.weight.get(), rms_norm::RmsNorm { eps: self.epsilon, is_narrow, passes })
    }

    /// The scale.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone()]
    }
}
