//! Layers of products with ReLU between them.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Scope, Tensor};

use crate::layers::Linear;
use crate::weights::Weights;

/// A multi-layer perceptron: a classifier by its logits, or a regressor.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// From `sizes[0]` numbers by way of the others to the last; weights of deviation √(2/K) (He et al., 2015, arXiv 1502.01852,
    /// §2.2), named `layers.i`.
    ///
    /// # Errors
    /// If there are less than two sizes, or one is 0.
    pub fn new(weights: &Weights, sizes: &[usize]) -> Result<Self> {
        if sizes.len() < 2 || sizes.contains(&0) {
            return Err(Error::value("mlp", format!("takes two sizes or more, none 0, not {sizes:?}")));
        }
        let layer = |(i, pair): (usize, &[usize])| {
            let std = (2.0 / pair[0] as f64).sqrt();
            Linear::transposed(&weights.at("layers").at(i), (pair[0], pair[1]), true, std)
        };
        Ok(Self { layers: sizes.windows(2).enumerate().map(layer).collect::<Result<_>>()? })
    }

    /// x (…, K) → (…, N): no function after the last layer.
    ///
    /// # Errors
    /// If the last axis does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let _scope = Scope::enter(format!("layers.{i}"));
            if i > 0 {
                x = x.relu()?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// Weight and bias of each layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.layers.iter().flat_map(Linear::parameters).collect()
    }
}
