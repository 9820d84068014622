//! The GPT-2 family: token and position embeddings, blocks, a final norm, and a head tied to the token embedding.

use std::collections::BTreeMap;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Scope, Seed, Tensor};

use crate::GptConfig;
use crate::block::{Block, drop_out};
use crate::cache::KvCache;
use crate::causal::check_ids;
use crate::layers::{Embedding, LayerNorm, Linear};
use crate::stack;
use crate::weights::{Weights, state};

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
    /// A model with random weights, drawn as nanoGPT draws them. Its products are f32; for bf16 see [`Gpt::build`].
    ///
    /// # Errors
    /// If the config makes no model ([`GptConfig::validate`]), or memory runs out.
    pub fn new(config: GptConfig, device: &Device, seed: Seed) -> Result<Self> {
        Self::build(config, &Weights::random(seed, device))
    }

    /// A model whose weights come from `weights`, under Hugging Face's names. With
    /// `Weights::random(seed, &device).with_precision(Precision::Bf16)` its products round what they read to bf16; weights, sums,
    /// norms and the residual stream are f32.
    ///
    /// # Errors
    /// If the config makes no model, a name is missing or unexpected, or a shape differs.
    pub fn build(config: GptConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (root, c) = (weights.at("transformer"), config.n_embd);
        let wte = Embedding::new(&root.at("wte"), (config.vocab_size, c), 0.02)?;
        let wpe = Embedding::new(&root.at("wpe"), (config.block_size, c), 0.02)?;
        let blocks = (0..config.n_layer)
            .map(|i| Block::new(&root.at("h").at(i), &config))
            .collect::<Result<Vec<_>>>()?;
        let ln_f = LayerNorm::new(&root.at("ln_f"), c, config.bias, config.layer_norm_epsilon)?;
        weights.finish()?;
        Ok(Self { device: weights.device().clone(), wte, wpe, blocks, ln_f, config })
    }

    /// A model with the weights of a file, under Hugging Face's names.
    ///
    /// # Errors
    /// If the config makes no model, a name is missing or unexpected, or a shape differs.
    pub fn from_state(
        config: GptConfig,
        tensors: &BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        Self::from_weights(config, &Weights::given(tensors.clone(), device))
    }

    /// As [`Gpt::from_state`], of weights in whatever form.
    pub(crate) fn from_weights(config: GptConfig, weights: &Weights) -> Result<Self> {
        as_published(weights)?;
        Self::build(config, weights)
    }

    /// Replaces all weights; nothing is changed unless everything fits.
    ///
    /// # Errors
    /// If a name is missing or unexpected, or a shape differs.
    pub fn load_state(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let weights = Weights::given(tensors.clone(), &self.device);
        as_published(&weights)?;
        weights.load(&self.parameters())
    }

    /// All weights by their Hugging Face names; the tied head is not repeated.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        state(&self.parameters())
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

    /// As [`Gpt::forward_train`], for the loss of a training step: logits as products take them, since what the loss makes of them
    /// goes into two. On a GPU with products in bf16 they are bf16, as in nanoGPT.
    ///
    /// # Errors
    /// As there.
    pub fn forward_for_loss(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        let x = self.trunk(ids, Some(rng), recompute)?;
        self.with_head(&x, Linear::forward_rounded)
    }

    /// Logits at the last of these positions, which continue what `cache` holds: ids (B, T) → (B, 1, V).
    ///
    /// # Errors
    /// If the sequence would pass `block_size`.
    pub fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let limit = self.config.block_size.min(cache.capacity());
        let t = check_ids("gpt", ids, cache.len(), limit)?;
        let positions = match cache.place() {
            Some(place) => self.wpe.forward(&place.position)?,
            None => self.positions(cache.len(), t)?,
        }; // (T, C)
        let x = self.embed(ids, &positions)?; // (B, T, C)
        let x =
            stack::run_cached(&self.blocks, x, cache, |block, x, layer| block.forward(x, None, Some(layer)))?;
        self.head(&x.slice(1, t - 1, 1, 1)?)
    }

    fn trunk(&self, ids: &Tensor, rng: Option<&Rng>, again: bool) -> Result<Tensor> {
        let t = check_ids("gpt", ids, 0, self.config.block_size)?;
        let x = drop_out(self.embed(ids, &self.positions(0, t)?)?, self.config.dropout, rng)?; // (B, T, C)
        stack::run(&self.blocks, x, rng, again, |block: &Block, x, rng| block.forward(x, rng, None))
    }

    /// The vectors (T, C) of the T positions behind `past` others.
    fn positions(&self, past: usize, t: usize) -> Result<Tensor> {
        self.wpe.slice(past, t)
    }

    /// Token plus position: ids (B, T), positions (T, C) → (B, T, C)
    fn embed(&self, ids: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("embed");
        self.wte.forward(ids)?.add(positions)
    }

    /// What the head reads: ids (B, T) → (B, T, C). With `rng`, activations are dropped.
    pub(crate) fn hidden(&self, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        self.ln_f.forward(&self.trunk(ids, rng, false)?)
    }

    /// x (B, T, C) → logits (B, T, V)
    fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.with_head(x, Linear::forward)
    }

    fn with_head(&self, x: &Tensor, forward: impl Fn(&Linear, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let _scope = Scope::enter("head");
        let x = self.ln_f.forward_rounded(x)?;
        forward(&Linear::tied(&self.wte), &x)
    }

    /// All parameters, the tied one once, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let embeddings = [self.wte.parameters(), self.wpe.parameters()].concat();
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

    /// A cache for `batch` sequences as long as the context.
    pub fn new_cache(&self, batch: usize) -> Result<KvCache> {
        self.cache(batch, self.config.block_size)
    }

    /// A cache for `batch` sequences of at most `capacity` positions.
    pub(crate) fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        let c = &self.config;
        KvCache::new(c.n_layer, [batch, capacity, c.n_head, c.head_width()], DType::F32, &self.device)
    }
}

/// Names that some exporters of GPT-2 add and that hold nothing learned: causal masks.
const MASKS: [&str; 2] = [".attn.bias", ".attn.masked_bias"];

/// Gives the tensors of a file the names of the language model, whose prefix released files leave out, and the head the weights
/// of the token table.
fn as_published(weights: &Weights) -> Result<()> {
    let prefixed = |name: String| match name.starts_with("transformer.") || name.starts_with("lm_head.") {
        true => name,
        false => format!("transformer.{name}"),
    };
    weights.rename(|tensors| {
        let named = tensors.into_iter().map(|(name, t)| (prefixed(name), t));
        named.filter(|(name, _)| !MASKS.iter().any(|mask| name.ends_with(mask))).collect()
    });
    weights.tie("transformer.wte.weight", "lm_head.weight")
}
