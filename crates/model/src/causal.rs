//! What decoding, evaluation and training ask of a model that says what comes next, whatever its family.

use std::collections::BTreeMap;

use warpsmith_autograd::Parameter;
use warpsmith_tensor::{Device, Error, Result, Rng, Tensor};

use crate::weights::state;
use crate::{Gpt, KvCache};

/// A decoder-only language model.
pub trait CausalModel {
    /// V: how many ids the model knows.
    fn vocab_size(&self) -> usize;

    /// The longest sequence that the model can see.
    fn context(&self) -> usize;

    /// Where the model lives.
    fn device(&self) -> &Device;

    /// The text of the model's `config.json`.
    fn config_json(&self) -> String;

    /// Logits of the next token at every position: ids (B, T) → (B, T, V). Nothing is dropped.
    ///
    /// # Errors
    /// If T passes the context, or an id is not below V.
    fn forward(&self, ids: &Tensor) -> Result<Tensor>;

    /// As [`CausalModel::forward`], in training: activations are dropped by numbers from `rng`, and with `recompute` the
    /// blocks keep only their inputs and run again in the backward pass.
    ///
    /// # Errors
    /// As [`CausalModel::forward`].
    fn forward_train(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor>;

    /// As [`CausalModel::forward_train`], for the loss of a training step: logits as products take them, since what the loss makes of
    /// them goes into two. On a GPU with products in bf16 they may be bf16.
    ///
    /// # Errors
    /// As [`CausalModel::forward`].
    fn forward_for_loss(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.forward_train(ids, rng, recompute)
    }

    /// Logits at the last of these positions, which continue what `cache` holds: ids (B, T) → (B, 1, V).
    ///
    /// # Errors
    /// If the sequence would pass the capacity of the cache.
    fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor>;

    /// Whether [`CausalModel::forward_cached`] can take the position of a single token from the device, so that a step of
    /// writing is recorded once and launched for each token. The family must ask the cache where it stands.
    fn can_be_recorded(&self) -> bool {
        false
    }

    /// Whether a text's bits depend on how many positions its cache has: rotary positions may turn by it.
    fn sees_capacity(&self) -> bool {
        false
    }

    /// A cache for `batch` sequences of at most `capacity` positions.
    ///
    /// # Errors
    /// If `capacity` passes the context, or memory runs out.
    fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache>;

    /// As [`CausalModel::cache`], for some of several requests: row i belongs to request `rows[i]`. Who answers texts that it
    /// has read has one for each.
    ///
    /// # Errors
    /// As [`CausalModel::cache`].
    fn cache_for(&self, rows: &[usize], capacity: usize) -> Result<KvCache> {
        self.cache(rows.len(), capacity)
    }

    /// All parameters, tied ones once, in the order of the forward pass.
    fn parameters(&self) -> Vec<Parameter>;

    /// All weights by their Hugging Face names, tied ones once: what a weight file holds.
    fn state(&self) -> BTreeMap<String, Tensor> {
        state(&self.parameters())
    }
}

impl CausalModel for Gpt {
    fn vocab_size(&self) -> usize {
        self.config().vocab_size
    }

    fn context(&self) -> usize {
        self.config().block_size
    }

    fn device(&self) -> &Device {
        self.device()
    }

    fn config_json(&self) -> String {
        self.config().to_json()
    }

    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.forward(ids)
    }

    fn forward_train(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.forward_train(ids, rng, recompute)
    }

    fn forward_for_loss(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.forward_for_loss(ids, rng, recompute)
    }

    fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        self.forward_cached(ids, cache)
    }

    fn can_be_recorded(&self) -> bool {
        true
    }

    fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        check_capacity(capacity, self.context())?;
        self.cache(batch, capacity)
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.parameters()
    }
}

/// An error unless a cache of `capacity` positions fits the context.
pub(crate) fn check_capacity(capacity: usize, context: usize) -> Result<()> {
    if capacity > context {
        let message = format!("{capacity} positions, the model knows {context}");
        return Err(Error::value("cache", message).hint(format!("ask for at most {context}")));
    }
    Ok(())
}

/// T of ids (B, T), if they fit behind `past` positions of at most `limit`.
pub(crate) fn check_ids(op: &'static str, ids: &Tensor, past: usize, limit: usize) -> Result<usize> {
    if ids.rank() != 2 || !ids.dtype().is_index() {
        return Err(Error::shape(op, &[], "takes ids of shape (B, T) and an integer dtype")
            .operands([(*ids.shape(), ids.dtype())]));
    }
    let t = ids.dims()[1];
    if t == 0 {
        return Err(Error::shape(op, &[*ids.shape()], "an empty sequence has no next token")
            .hint("give at least one id"));
    }
    if past + t > limit {
        let message = format!("{} positions, the model knows {limit}", past + t);
        return Err(
            Error::shape(op, &[*ids.shape()], message).hint(format!("cut the sequence to {limit} tokens"))
        );
    }
    Ok(t)
}
