//! The GPT-2 family: token and position embeddings, blocks, a final norm, and a head tied to the token embedding.

use warpsmith_autograd::{Parameter, recompute};
use warpsmith_ops::linear::Activation;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Error, Result, Rng, Scope, Seed, Tensor};

use crate::GptConfig;
use crate::block::{Block, drop_out};
use crate::cache::KvCache;
use crate::layers::{Embedding, LayerNorm};

/// A decoder-only Transformer.
#[derive(Clone, Debug)]
pub struct Gpt {
    config: GptConfig,
    device: Device,
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
}

impl Gpt {
    /// A model with random weights, drawn as nanoGPT draws them.
    ///
    /// # Errors
    /// If the config makes no model ([`GptConfig::validate`]), or memory runs out.
    pub fn new(config: GptConfig, device: &Device, seed: Seed) -> Result<Self> {
        config.validate()?;
        let rng = Rng::new(seed);
        let c = config.n_embd;
        let wte = Embedding::new("transformer.wte", (config.vocab_size, c), 0.02, &rng, device)?;
        let wpe = Embedding::new("transformer.wpe", (config.block_size, c), 0.02, &rng, device)?;
        let blocks =
            (0..config.n_layer).map(|i| Block::new(i, &config, &rng, device)).collect::<Result<Vec<_>>>()?;
        let ln_f = LayerNorm::new("transformer.ln_f", c, config.bias, config.layer_norm_epsilon, device)?;
        Ok(Self { device: device.clone(), wte, wpe, blocks, ln_f, config })
    }

    /// The shape of the model.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// Where the model lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Logits of the next token at every position: ids (B, T) → (B, T, V). Nothing is dropped.
    ///
    /// # Errors
    /// If T passes `block_size`, or an id is not below `vocab_size`.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.head(&self.trunk(ids, None, false)?)
    }

    /// As [`Gpt::forward`], in training: activations are dropped by numbers from `rng`, and with `recompute` the blocks
    /// keep only their inputs and run again in the backward pass.
    pub fn forward_train(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.head(&self.trunk(ids, Some(rng), recompute)?)
    }

    /// Logits at the last of these positions, which continue what `cache` holds: ids (B, T) → (B, 1, V).
    ///
    /// # Errors
    /// If the sequence would pass `block_size`.
    pub fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let t = self.check_ids(ids, cache.len())?;
        let mut x = self.embed(ids, cache.len())?; // (B, T, C)
        for (i, block) in self.blocks.iter().enumerate() {
            let _scope = Scope::enter(format!("blocks.{i}"));
            x = block.forward(&x, None, Some(cache.layer(i)?))?;
        }
        cache.advance(t);
        self.head(&x.slice(1, t - 1, 1, 1)?)
    }

    fn trunk(&self, ids: &Tensor, rng: Option<&Rng>, again: bool) -> Result<Tensor> {
        self.check_ids(ids, 0)?;
        let mut x = drop_out(self.embed(ids, 0)?, self.config.dropout, rng)?; // (B, T, C)
        for (i, block) in self.blocks.iter().enumerate() {
            let _scope = Scope::enter(format!("blocks.{i}"));
            // A generator of the block's own: a second run of the block then drops the same activations.
            let own = rng.map(Rng::child);
            x = if again {
                let block = block.clone();
                recompute(&[&x], move |x| {
                    block.forward(&x[0], own.as_ref().map(Rng::restart).as_ref(), None)
                })?
            } else {
                block.forward(&x, own.as_ref(), None)?
            };
        }
        Ok(x)
    }

    /// Token plus position: ids (B, T) → (B, T, C); the first id stands at position `past`.
    fn embed(&self, ids: &Tensor, past: usize) -> Result<Tensor> {
        let _scope = Scope::enter("embed");
        let positions = self.wpe.weight().get().slice(0, past, ids.dims()[1], 1)?; // (T, C)
        self.wte.forward(ids)?.add(&positions)
    }

    /// x (B, T, C) → logits (B, T, V)
    fn head(&self, x: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("head");
        let x = self.ln_f.forward(x)?;
        x.linear(&self.wte.weight().get(), None, true, Activation::Identity, self.config.precision)
    }

    /// T, if the ids (B, T) fit behind `past` positions.
    fn check_ids(&self, ids: &Tensor, past: usize) -> Result<usize> {
        if ids.rank() != 2 || !ids.dtype().is_index() {
            return Err(Error::shape("gpt", &[], "takes ids of shape (B, T) and an integer dtype")
                .operands([(*ids.shape(), ids.dtype())]));
        }
        let (t, limit) = (ids.dims()[1], self.config.block_size);
        if t == 0 {
            return Err(Error::shape("gpt", &[*ids.shape()], "an empty sequence has no next token")
                .hint("give at least one id"));
        }
        if past + t > limit {
            return Err(Error::shape(
                "gpt",
                &[*ids.shape()],
                format!("{} positions, the model knows {limit}", past + t),
            )
            .hint(format!("cut the sequence to block_size = {limit}")));
        }
        Ok(t)
    }

    /// All parameters, the tied one once, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let embeddings = [self.wte.weight().clone(), self.wpe.weight().clone()];
        let blocks = self.blocks.iter().flat_map(Block::parameters);
        embeddings.into_iter().chain(blocks).chain(self.ln_f.parameters()).collect()
    }

    /// How many numbers the model has learned; nanoGPT leaves the position embedding out of its count.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|p| p.shape().numel()).sum()
    }

    /// Floating-point operations per token of a training step: 6 per weight and 12·n_layer·C·T for attention
    /// (Chowdhery et al., *PaLM*, 2022, appendix B).
    pub fn flops_per_token(&self) -> f64 {
        let config = &self.config;
        let weights = self.parameter_count() - config.block_size * config.n_embd;
        6.0 * weights as f64 + 12.0 * (config.n_layer * config.n_embd * config.block_size) as f64
    }

    /// A cache for `batch` sequences.
    pub fn new_cache(&self, batch: usize) -> Result<KvCache> {
        let c = &self.config;
        KvCache::new(c.n_layer, [batch, c.block_size, c.n_head, c.head_width()], DType::F32, &self.device)
    }
}
