//! The network of a T5 block: two layers with ReLU, or three of which one gates another by GELU (version 1.1).

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Rng, Scope, Tensor};

use super::T5Config;
use crate::bert::HiddenActivation;
use crate::block::drop_out;
use crate::layers::Linear;
use crate::weights::Weights;

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    up: Linear,
    gated: Option<Linear>,
    down: Linear,
    activation: HiddenActivation,
    dropout: f64,
}

impl Mlp {
    pub(super) fn new(weights: &Weights, config: &T5Config) -> Result<Self> {
        let (c, hidden) = (config.d_model, config.d_ff);
        let linear = |name, (k, n): (usize, usize)| {
            let std = config.initializer_factor * (k as f64).powf(-0.5);
            Linear::transposed(&weights.at(name), (k, n), false, std)
        };
        let (up, gated) = match config.gated {
            true => (linear("wi_0", (c, hidden))?, Some(linear("wi_1", (c, hidden))?)),
            false => (linear("wi", (c, hidden))?, None),
        };
        let down = linear("wo", (hidden, c))?;
        Ok(Self { up, gated, down, activation: config.activation, dropout: config.dropout_rate })
    }

    /// x (B, T, C) → (B, T, C)
    pub(super) fn forward(&self, x: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("mlp");
        let mut hidden = self.activation.after(&self.up, x)?;
        if let Some(gated) = &self.gated {
            hidden = hidden.mul(&gated.forward(x)?)?;
        }
        self.down.forward(&drop_out(hidden, self.dropout, rng)?)
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let gated = self.gated.iter().flat_map(Linear::parameters).collect();
        [self.up.parameters(), gated, self.down.parameters()].concat()
    }
}
