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
}

impl RmsNorm {
    /// A layer over C features, scale one.
    pub fn new(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        Ok(Self { weight: weights.parameter("weight", &[width], Init::Constant(1.0))?, epsilon })
    }

    /// x (…, C) → (…, C)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(&self.weight.get(), self.epsilon)
    }

    /// The same for what products of this precision alone read: on a GPU it may be bf16.
    pub fn forward_for(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        Ok(self.with(x, precision, false)?.swap_remove(0))
    }

    /// The same, and x itself for the way around: their gradients are added where the norm's is made.
    pub fn forward_around(&self, x: &Tensor, precision: Precision) -> Result<[Tensor; 2]> {
        let made = self.with(x, precision, true)?;
        made.try_into().map_err(|_| Error::internal("rms_norm", "two outputs"))
    }

    fn with(&self, x: &Tensor, precision: Precision, passes: bool) -> Result<Vec<Tensor>> {
        let is_narrow = precision.is_narrow_on(x);
        x.rms_norm_with(&self.weight.get(), rms_norm::RmsNorm { eps: self.epsilon, is_narrow, passes })
    }

    /// The scale.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone()]
    }
}
