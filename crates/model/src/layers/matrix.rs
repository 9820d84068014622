//! The weights of a product or the rows of a table: numbers that can be trained, or rows as a file has them.

use warpsmith_autograd::Parameter;
use warpsmith_ops::gelu::Form;
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

use crate::weights::{Init, Quantised, Weights};

/// Weights of two axes.
#[derive(Clone, Debug)]
pub(crate) enum Matrix {
    /// f32, (K, N) or, if `transposed`, (N, K).
    Numbers { weight: Parameter, transposed: bool },
    /// As the file has them, (N, K).
    Blocks(Box<Quantised>),
}

impl Matrix {
    /// The weights `weight` of a product from K to N features, or, (N, K) as it is then, of a table of N rows.
    pub(crate) fn new(weights: &Weights, (k, n): (usize, usize), transposed: bool, std: f64) -> Result<Self> {
        if let Some(blocks) = weights.quantised("weight", (n, k), transposed)? {
            return Ok(Self::Blocks(Box::new(blocks)));
        }
        let dims = if transposed { [n, k] } else { [k, n] };
        Ok(Self::Numbers { weight: weights.parameter("weight", &dims, Init::Normal(std))?, transposed })
    }

    /// f(x·W + b): x (…, K) → (…, N)
    pub(crate) fn product(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        precision: Precision,
    ) -> Result<Tensor> {
        match self {
            Self::Numbers { weight, transposed } => {
                x.linear(&weight.get(), bias, *transposed, activation, precision)
            }
            Self::Blocks(blocks) => {
                let y = blocks.product(x, precision)?;
                let y = bias.map_or(Ok(y.clone()), |bias| y.add(bias))?;
                match activation {
                    Activation::Identity => Ok(y),
                    Activation::Gelu(Form::Exact) => y.gelu(),
                    Activation::Gelu(Form::Tanh) => y.gelu_tanh(),
                }
            }
        }
    }

    /// What is trained.
    pub(crate) fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::Numbers { weight, .. } => Some(weight),
            Self::Blocks(_) => None,
        }
    }
}
