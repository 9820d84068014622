//! The Llama family: token embedding, blocks of RMSNorm, rotary grouped attention and SwiGLU, a final norm and a head.
//! Covers Llama, Mistral, Qwen2 and Qwen3 (and SmolLM2, TinyLlama, …) by what their configs say.
//!
//! Source: Touvron et al., *LLaMA*, 2023, arXiv 2302.13971, §2.2.

mod config;
mod json;
mod llama2c;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Scope, Seed, Tensor};

use crate::cache::{KvCache, LayerCache};
use crate::causal::{CausalModel, check_capacity, check_ids};
use crate::layers::rotary::{Tables, Turns};
use crate::layers::{Embedding, GroupedAttention, Linear, RmsNorm, SwiGlu};
use crate::stack;
use crate::weights::Weights;

pub use config::{LlamaConfig, LlamaKind};
pub use llama2c::from_llama2c;

/// How the names of a body's parameters begin.
const BODY: [&str; 3] = ["embed_tokens.", "layers.", "norm."];

/// A decoder-only Transformer of the Llama family.
#[derive(Clone, Debug)]
pub struct Llama {
    config: LlamaConfig,
    device: Device,
    embed: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
}

/// x + attention(norm x), then x + mlp(norm x).
#[derive(Clone, Debug)]
struct Block {
    input_norm: RmsNorm,
    attention: GroupedAttention,
    mlp_norm: RmsNorm,
    mlp: SwiGlu,
}

impl Block {
    fn new(weights: &Weights, config: &LlamaConfig, index: usize) -> Result<Self> {
        let norm = |name| RmsNorm::new(&weights.at(name), config.hidden_size, config.rms_norm_eps);
        let std = config.initializer_range;
        let sizes = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: GroupedAttention::new(&weights.at("self_attn"), config.attention(index), std)?,
            mlp_norm: norm("post_attention_layernorm")?,
            mlp: SwiGlu::new(&weights.at("mlp"), sizes, config.mlp_bias, std)?,
        })
    }

    /// x (B, T, C) → (B, T, C)
    fn forward(
        &self,
        x: &Tensor,
        turns: &Turns,
        rng: Option<&Rng>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let [x, around] = self.input_norm.forward_around(x)?;
        let x = self.attention.forward([&x, &around], turns, rng, cache)?;
        let [x, around] = self.mlp_norm.forward_around(&x)?;
        let _scope = Scope::enter("mlp");
        self.mlp.forward_onto(&around, &x)
    }

    fn parameters(&self) -> Vec<Parameter> {
        [
            self.input_norm.parameters(),
            self.attention.parameters(),
            self.mlp_norm.parameters(),
            self.mlp.parameters(),
        ]
        .concat()
    }
}

impl Llama {
    /// A model with random weights, as Hugging Face draws them: normal with deviation `initializer_range`. Its products are f32; for
    /// bf16 see [`Gpt::build`](crate::Gpt::build).
    ///
    /// # Errors
    /// If the config makes no model ([`LlamaConfig::validate`]), or memory runs out.
    pub fn new(config: LlamaConfig, device: &Device, seed: Seed) -> Result<Self> {
        Self::build(config, &Weights::random(seed, device))
    }

    /// A model whose weights come from `weights`, under Hugging Face's names.
    ///
    /// # Errors
    /// If the config makes no model, a name is missing or unexpected, or a shape differs.
    pub fn build(config: LlamaConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (root, c, std) = (weights.at("model"), config.hidden_size, config.initializer_range);
        if config.tie_word_embeddings {
            weights.tie("model.embed_tokens.weight", "lm_head.weight")?;
        }
        let embed = Embedding::new(&root.at("embed_tokens"), (config.vocab_size, c), std)?;
        let blocks = (0..config.num_hidden_layers)
            .map(|i| Block::new(&root.at("layers").at(i), &config, i))
            .collect::<Result<Vec<_>>>()?;
        let norm = RmsNorm::new(&root.at("norm"), c, config.rms_norm_eps)?;
        let head = match config.tie_word_embeddings {
            true => Linear::tied(&embed),
            false => Linear::transposed(&weights.at("lm_head"), (c, config.vocab_size), false, std)?,
        };
        weights.finish()?;
        Ok(Self { device: weights.device().clone(), embed, blocks, norm, head, config })
    }

    /// A model whose weights come from a file, which may leave out the prefix of a body that was saved alone.
    ///
    /// # Errors
    /// As [`Llama::build`].
    pub(crate) fn from_weights(config: LlamaConfig, weights: &Weights) -> Result<Self> {
        let is_bare = |name: &str| BODY.iter().any(|part| name.starts_with(part));
        weights.rename(|tensors| {
            let named = |name: String| if is_bare(&name) { format!("model.{name}") } else { name };
            tensors.into_iter().map(|(name, t)| (named(name), t)).collect()
        });
        Self::build(config, weights)
    }

    /// The shape of the model.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The turns of all positions of sequences of at most `length`, if they stand in tables.
    fn tables(&self, length: usize) -> Result<Option<Tables>> {
        let c = &self.config;
        c.rope.tables(c.head_dim, (length, c.max_position_embeddings), &self.device)
    }

    fn trunk(&self, ids: &Tensor, rng: Option<&Rng>, again: bool) -> Result<Tensor> {
        let t = check_ids("llama", ids, 0, self.context())?;
        let turns = self.config.rope.turns(0, t, self.tables(t)?.as_ref())?;
        let x = self.embed.forward(ids)?; // (B, T, C)
        stack::run(&self.blocks, x, rng, again, move |block: &Block, x, rng| {
            block.forward(x, &turns, rng, None)
        })
    }

    /// What the head reads: ids (B, T) → (B, T, C). With `rng`, activations are dropped.
    pub(crate) fn hidden(&self, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        self.norm.forward(&self.trunk(ids, rng, false)?)
    }

    /// x (B, T, C) → logits (B, T, V)
    fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.with_head(x, Linear::forward)
    }

    fn with_head(&self, x: &Tensor, forward: impl Fn(&Linear, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let _scope = Scope::enter("head");
        forward(&self.head, &self.norm.forward_rounded(x)?)
    }
}

impl CausalModel for Llama {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context(&self) -> usize {
        self.config.context()
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn config_json(&self) -> String {
        self.config.to_json()
    }

    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.head(&self.trunk(ids, None, false)?)
    }

    fn forward_train(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.head(&self.trunk(ids, Some(rng), recompute)?)
    }

    fn forward_for_loss(&self, ids: &Tensor, rng: &Rng, recompute: bool) -> Result<Tensor> {
        self.with_head(&self.trunk(ids, Some(rng), recompute)?, Linear::forward_rounded)
    }

    fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let past = cache.len();
        let t = check_ids("llama", ids, past, self.context().min(cache.capacity()))?;
        let (rope, limit) = (&self.config.rope, cache.capacity());
        let place = cache.place().cloned();
        let tables = cache.tables(|| self.tables(limit))?;
        let turns = match place {
            Some(place) => rope.turns_at(&place.position, limit, tables)?,
            None => rope.turns(past, t, tables)?,
        };
        let x = self.embed.forward(ids)?; // (B, T, C)
        let x = stack::run_cached(&self.blocks, x, cache, |block, x, layer| {
            block.forward(x, &turns, None, Some(layer))
        })?;
        self.head(&x.slice(1, t - 1, 1, 1)?)
    }

    fn can_be_recorded(&self) -> bool {
        true
    }

    fn sees_capacity(&self) -> bool {
        matches!(self.config.rope.scaling, crate::Scaling::Dynamic { .. })
    }

    fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        check_capacity(capacity, self.context())?;
        let c = &self.config;
        let dims = [batch, capacity, c.num_key_value_heads, c.head_dim];
        KvCache::new(c.num_hidden_layers, dims, DType::F32, &self.device)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let own_head = if self.config.tie_word_embeddings { Vec::new() } else { self.head.parameters() };
        let embed = self.embed.parameters().into_iter();
        let blocks = self.blocks.iter().flat_map(Block::parameters);
        embed.chain(blocks).chain(self.norm.parameters()).chain(own_head).collect()
    }
}
