//! Root-mean-square normalisation with a learned scale.
//!
//! Source: Zhang & Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

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

    /// The scale.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone()]
    }
}
