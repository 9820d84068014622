//! Additive attention: the score of a query q for a key k is v·tanh(W·q + U·k + b).
//!
//! Source: Bahdanau, Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015, arXiv
//! 1409.0473, §3.1 and appendix A.1.2.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Scope, Tensor};

use crate::layers::Linear;
use crate::weights::Weights;

/// Scores of a one-layer network, their softmax, and the mean of the keys by it.
#[derive(Clone, Debug)]
pub struct AdditiveAttention {
    query: Linear,
    key: Linear,
    score: Linear,
}

/// The keys of some sequences, with their part of the scores, which is the same for every query.
#[derive(Clone, Debug)]
pub struct Keys {
    values: Tensor,
    projected: Tensor,
    hidden: Option<Tensor>,
}

impl AdditiveAttention {
    /// For queries of `query` numbers and keys of `key`, by a layer of `width`.
    pub fn new(weights: &Weights, [query, key, width]: [usize; 3]) -> Result<Self> {
        let linear = |name: &str, k: usize, n: usize, bias| {
            Linear::transposed(&weights.at(name), (k, n), bias, 1.0 / (3.0 * k as f64).sqrt())
        };
        Ok(Self {
            query: linear("query", query, width, false)?,
            key: linear("key", key, width, true)?,
            score: linear("score", width, 1, false)?,
        })
    }

    /// Keys (B, K, C) to be asked; `hidden`, which stretches to (B, Q, K), is true where a query may not see a key.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn keys(&self, keys: &Tensor, hidden: Option<&Tensor>) -> Result<Keys> {
        let _scope = Scope::enter("keys");
        let projected = self.key.forward(keys)?.unsqueeze(1)?; // (B, 1, K, A)
        Ok(Keys { values: keys.clone(), projected, hidden: hidden.cloned() })
    }

    /// Queries (B, Q, D) → what they find (B, Q, C), and the weights (B, Q, K) by which.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, queries: &Tensor, keys: &Keys) -> Result<(Tensor, Tensor)> {
        let _scope = Scope::enter("attention");
        let q = self.query.forward(queries)?.unsqueeze(2)?; // (B, Q, 1, A)
        let scores = self.score.forward(&q.add(&keys.projected)?.tanh()?)?.squeeze(-1)?; // (B, Q, K)
        let scores = match &keys.hidden {
            Some(hidden) => scores.masked_fill(hidden, f64::NEG_INFINITY)?,
            None => scores,
        };
        let weights = scores.softmax()?;
        Ok((weights.matmul(&keys.values)?, weights))
    }

    /// Of the query's, the key's and the score's layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        [&self.query, &self.key, &self.score].into_iter().flat_map(Linear::parameters).collect()
    }
}
