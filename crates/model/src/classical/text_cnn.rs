//! A classifier of texts: convolutions of several widths over token vectors, the largest of each channel, one product.
//!
//! Source: Kim, *Convolutional Neural Networks for Sentence Classification*, 2014, arXiv 1408.5882, §2.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Rng, Scope, Tensor};

use super::{Conv1d, Window};
use crate::block::drop_out;
use crate::layers::{Embedding, Linear};
use crate::weights::Weights;

/// The shape of a [`TextCnn`].
#[derive(Clone, Debug, PartialEq)]
pub struct TextCnnConfig {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: numbers of a token.
    pub embedding_size: usize,
    /// Widths of the windows, in tokens (Kim: 3, 4, 5).
    pub widths: Vec<usize>,
    /// Channels of each width (Kim: 100).
    pub channels: usize,
    /// How many classes.
    pub classes: usize,
    /// The share dropped before the last product in training (Kim: 0.5).
    pub dropout: f64,
}

/// Max over time of convolutions.
#[derive(Clone, Debug)]
pub struct TextCnn {
    embedding: Embedding,
    convolutions: Vec<Conv1d>,
    head: Linear,
    widest: usize,
    dropout: f64,
}

impl TextCnn {
    /// A model whose weights come from `weights`.
    ///
    /// # Errors
    /// If a size is 0 or there is no width.
    pub fn new(weights: &Weights, config: &TextCnnConfig) -> Result<Self> {
        let TextCnnConfig { vocab_size, embedding_size, channels, classes, .. } = *config;
        let Some(&widest) = config.widths.iter().max() else {
            return Err(Error::value("text_cnn", "has no width of a window"));
        };
        let convolution = |(i, &width): (usize, &usize)| {
            let place = weights.at("convolutions").at(i);
            Conv1d::new(&place, (embedding_size, channels), Window::of(width), 1, true)
        };
        let features = channels * config.widths.len();
        let std = 1.0 / (3.0 * features as f64).sqrt();
        Ok(Self {
            embedding: Embedding::new(&weights.at("embedding"), (vocab_size, embedding_size), 0.25)?,
            convolutions: config.widths.iter().enumerate().map(convolution).collect::<Result<_>>()?,
            head: Linear::transposed(&weights.at("head"), (features, classes), true, std)?,
            widest,
            dropout: config.dropout,
        })
    }

    /// ids (B, T) → logits (B, N). With `rng`, features are dropped.
    ///
    /// # Errors
    /// If T is less than the widest window, or an id is not below V.
    pub fn forward(&self, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("text_cnn");
        if ids.rank() != 2 || ids.dims()[1] < self.widest {
            let message = format!("takes ids (B, T) with T at least {}", self.widest);
            return Err(Error::shape("text_cnn", &[*ids.shape()], message).hint("pad short texts"));
        }
        let x = self.embedding.forward(ids)?.transpose(1, 2)?; // (B, C, T)
        let channels = |c: &Conv1d| c.forward(&x)?.relu()?.max(-1, false); // (B, N)
        let found = self.convolutions.iter().map(channels).collect::<Result<Vec<_>>>()?;
        let features = found[0].cat(&found[1..].iter().collect::<Vec<_>>(), -1)?;
        self.head.forward(&drop_out(features, self.dropout, rng)?)
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let convolutions = self.convolutions.iter().flat_map(Conv1d::parameters);
        self.embedding.parameters().into_iter().chain(convolutions).chain(self.head.parameters()).collect()
    }
}
