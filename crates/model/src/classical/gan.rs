//! A generator and a discriminator of single numbers, or of short vectors: two networks, two losses, two optimisers.
//!
//! Source: Goodfellow et al., *Generative Adversarial Nets*, 2014, arXiv 1406.2661, §3 (the generator's loss is the one
//! that does not fade when the discriminator wins).

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

use super::Mlp;
use crate::weights::Weights;

/// Two networks against each other.
#[derive(Clone, Debug)]
pub struct Gan {
    /// Noise (B, Z) → samples (B, X).
    pub generator: Mlp,
    /// Samples (B, X) → a logit (B, 1) of being real.
    pub discriminator: Mlp,
}

impl Gan {
    /// Samples of X numbers from noise of Z, both networks with two hidden layers of `width`.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(weights: &Weights, [noise, sample, width]: [usize; 3]) -> Result<Self> {
        Ok(Self {
            generator: Mlp::new(&weights.at("generator"), &[noise, width, width, sample])?,
            discriminator: Mlp::new(&weights.at("discriminator"), &[sample, width, width, 1])?,
        })
    }

    /// -ln D(real) - ln(1 - D(G(noise))), on average. No gradient reaches the generator.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn discriminator_loss(&self, real: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let made = no_grad(|| self.generator.forward(noise))?;
        let real = self.discriminator.forward(real)?.neg()?.softplus()?.mean_all()?;
        real.add(&self.discriminator.forward(&made)?.softplus()?.mean_all()?)
    }

    /// -ln D(G(noise)), on average: step the generator's parameters alone by it.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn generator_loss(&self, noise: &Tensor) -> Result<Tensor> {
        let made = self.generator.forward(noise)?;
        self.discriminator.forward(&made)?.neg()?.softplus()?.mean_all()
    }

    /// Those of the generator, and those of the discriminator.
    pub fn parameters(&self) -> [Vec<Parameter>; 2] {
        [self.generator.parameters(), self.discriminator.parameters()]
    }
}
