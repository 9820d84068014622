//! A recurrent language model: embedding, recurrent layers, a head.
//!
//! Source: Mikolov et al., *Recurrent Neural Network Based Language Model*, 2010.

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Rng, Scope, Seed, Tensor};

use super::{Recurrent, RecurrentConfig, RecurrentState};
use crate::layers::{Embedding, Linear};
use crate::weights::Weights;

/// Logits of the next token from all before it.
#[derive(Clone, Debug)]
pub struct RecurrentLm {
    embedding: Embedding,
    layers: Recurrent,
    head: Linear,
    device: Device,
}

impl RecurrentLm {
    /// A model with random weights over V tokens, whose vectors have `layers.input_size` numbers.
    ///
    /// # Errors
    /// If a size is 0, or the layers see the future.
    pub fn new(vocab_size: usize, layers: RecurrentConfig, device: &Device, seed: Seed) -> Result<Self> {
        if layers.bidirectional {
            let message = "a layer that runs backwards sees the token that is to be told";
            return Err(Error::value("recurrent_lm", message).hint("leave bidirectional false"));
        }
        let weights = Weights::random(seed, device);
        let std = 1.0 / (3.0 * layers.hidden_size.max(1) as f64).sqrt();
        Ok(Self {
            embedding: Embedding::new(&weights.at("embedding"), (vocab_size, layers.input_size), 1.0)?,
            layers: Recurrent::new(&weights.at("layers"), layers)?,
            head: Linear::transposed(&weights.at("head"), (layers.hidden_size, vocab_size), true, std)?,
            device: device.clone(),
        })
    }

    /// ids (B, T) → logits (B, T, V), and what is remembered: the next piece of the same texts begins with it.
    ///
    /// # Errors
    /// If an id is not below V, or `state` does not fit.
    pub fn forward(
        &self,
        ids: &Tensor,
        state: Option<&RecurrentState>,
        rng: Option<&Rng>,
    ) -> Result<(Tensor, RecurrentState)> {
        let x = {
            let _scope = Scope::enter("embed");
            self.embedding.forward(ids)? // (B, T, C)
        };
        let (x, state) = self.layers.forward(&x, state, None, rng)?; // (B, T, H)
        let _scope = Scope::enter("head");
        Ok((self.head.forward(&x)?, state))
    }

    /// The likeliest next tokens behind `prompt`, one by one: a step costs the same however long the text is.
    ///
    /// # Errors
    /// If the prompt is empty, or an id is not below V.
    pub fn complete(&self, prompt: &[u32], count: usize) -> Result<Vec<u32>> {
        let (mut given, mut state, mut found) = (prompt.to_vec(), None, Vec::with_capacity(count));
        while found.len() < count {
            let ids = Tensor::from_slice(&given, &[1, given.len()], &self.device)?;
            let (logits, next) = no_grad(|| self.forward(&ids, state.as_ref(), None))?; // (1, T, V)
            let last = logits.narrow(1, given.len() - 1, 1)?.argmax(-1, false)?.item()? as u32;
            found.push(last);
            (given, state) = (vec![last], Some(next));
        }
        Ok(found)
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        [self.embedding.parameters(), self.layers.parameters(), self.head.parameters()].concat()
    }
}
