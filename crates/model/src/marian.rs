//! The original Transformer: an encoder and a decoder with sinusoids for positions, norms behind the residual paths, and one
//! table for both sides and the head. Names and config are those of Marian, the translator that Hugging Face has of it.
//!
//! Source: Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, §3; Junczys-Dowmunt et al., *Marian: Fast Neural
//! Machine Translation in C++*, 2018, arXiv 1804.00344. Sines stand before all cosines here, not in turns with them as in §3.5:
//! another order of the same features.

mod block;
mod config;

use std::collections::BTreeMap;
use std::ops::Range;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Scope, Seed, Tensor};

use crate::answers::EncoderDecoder;
use crate::bert::EncoderBatch;
use crate::block::drop_out;
use crate::cache::{KvCache, ReadTexts};
use crate::causal::{check_capacity, check_ids};
use crate::layers::{Embedding, Linear};
use crate::weights::{Init, Weights, state};
use block::{Block, Own};

pub use config::MarianConfig;

/// An encoder-decoder in the form of the original Transformer.
#[derive(Clone, Debug)]
pub struct Marian {
    config: MarianConfig,
    device: Device,
    embed: Embedding,
    /// 10000^(2i/C), of which sinusoids are made where they are wanted: the config may name any number of positions.
    waves: Vec<f64>,
    encoder: Vec<Block>,
    decoder: Vec<Block>,
    /// What is added to the logits, (1, V): kept in the file, not trained.
    logits_bias: Parameter,
}

/// sin(p/w₀), sin(p/w₁), …, then cos(p/w₀), cos(p/w₁), … for positions p and waves wᵢ = 10000^(2i/C): (positions, C).
///
/// Source: Vaswani et al. 2017, §3.5.
fn sinusoids(positions: Range<usize>, waves: &[f64], width: usize, device: &Device) -> Result<Tensor> {
    let dims = [positions.len(), width];
    let row = |p: usize| {
        let angles = waves.iter().map(move |wave| p as f64 / wave);
        let cosines = angles.clone().map(|angle| angle.cos() as f32).take(width - waves.len());
        angles.map(|angle| angle.sin() as f32).chain(cosines)
    };
    Tensor::from_vec(positions.flat_map(row).collect(), &dims, device)
}

impl Marian {
    /// A model with random weights.
    ///
    /// # Errors
    /// If the config makes no model, or memory runs out.
    pub fn new(config: MarianConfig, device: &Device, seed: Seed) -> Result<Self> {
        Self::build(config, &Weights::random(seed, device))
    }

    /// The model that a `config.json` and the tensors of its weight file describe.
    ///
    /// # Errors
    /// If the config makes no model; if a tensor is missing, unexpected or misshapen.
    pub fn from_state(config: &str, tensors: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        Self::from_weights(config, &Weights::given(tensors, device))
    }

    /// As [`Marian::from_state`], of weights in whatever form.
    ///
    /// # Errors
    /// As [`Marian::from_state`].
    pub fn from_weights(config: &str, weights: &Weights) -> Result<Self> {
        Self::build(MarianConfig::from_json(config)?, weights)
    }

    fn build(config: MarianConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        // Sinusoids are computed; some files have them.
        weights.rename(|tensors| {
            tensors.into_iter().filter(|(name, _)| !name.ends_with(".embed_positions.weight")).collect()
        });
        for copy in
            ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"]
        {
            weights.tie("model.shared.weight", copy)?;
        }
        let (v, c) = (config.vocab_size, config.d_model);
        let embed = Embedding::new(&weights.at("model.shared"), (v, c), config.init_std)?;
        let blocks = |side: &str, decodes: bool, count: usize| {
            let block = |i| Block::new(&weights.at("model").at(side).at("layers").at(i), &config, decodes);
            (0..count).map(block).collect::<Result<Vec<_>>>()
        };
        let encoder = blocks("encoder", false, config.encoder_layers)?;
        let decoder = blocks("decoder", true, config.decoder_layers)?;
        let logits_bias = weights.parameter("final_logits_bias", &[1, v], Init::Constant(0.0))?;
        weights.finish()?;
        let device = weights.device().clone();
        let waves = (0..c.div_ceil(2)).map(|i| 10000f64.powf((2 * i) as f64 / c as f64)).collect();
        Ok(Self { config, device, embed, waves, encoder, decoder, logits_bias })
    }

    /// The shape of the model.
    pub fn config(&self) -> &MarianConfig {
        &self.config
    }

    /// ids (B, T) behind `past` others → vectors (B, T, C), and T.
    fn embedded(
        &self,
        ids: &Tensor,
        past: usize,
        limit: usize,
        rng: Option<&Rng>,
    ) -> Result<(Tensor, usize)> {
        let t = check_ids("marian", ids, past, limit)?;
        let c = self.config.d_model;
        let factor = if self.config.scale_embedding { (c as f64).sqrt() } else { 1.0 };
        let positions = sinusoids(past..past + t, &self.waves, c, &self.device)?; // (T, C)
        let x = self.embed.forward(ids)?.affine(factor, 0.0)?.add(&positions)?;
        Ok((drop_out(x, self.config.dropout, rng)?, t))
    }

    /// x (B, T, C) → logits (B, T, V)
    fn head(&self, x: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("head");
        Linear::tied(&self.embed).forward(x)?.add(&self.logits_bias.get().detach())
    }
}

impl EncoderDecoder for Marian {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn start(&self) -> u32 {
        self.config.decoder_start_token_id
    }

    fn context(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn config_json(&self) -> String {
        self.config.to_json()
    }

    fn encode(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("encoder");
        let (mut x, _) = self.embedded(&batch.ids, 0, self.config.max_position_embeddings, rng)?;
        for (i, block) in self.encoder.iter().enumerate() {
            let _scope = Scope::enter(format!("blocks.{i}"));
            x = block.forward(&x, Own::Text(&batch.lengths), None, rng)?;
        }
        Ok(x)
    }

    fn memory(&self, encoded: &Tensor) -> Result<Vec<(Tensor, Tensor)>> {
        self.decoder.iter().filter_map(|block| block.memory(encoded)).collect()
    }

    fn cache_of(&self, texts: &ReadTexts, rows: &[usize], capacity: usize) -> Result<KvCache> {
        let c = &self.config;
        check_capacity(capacity, c.max_position_embeddings)?;
        let heads = c.decoder_attention_heads;
        let dims = [rows.len(), capacity, heads, c.d_model / heads];
        KvCache::new(c.decoder_layers, dims, DType::F32, &self.device)?.answering(texts, rows)
    }

    fn decode_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let memory = cache.texts()?;
        let (mut x, t) = self.embedded(ids, cache.len(), cache.capacity(), None)?;
        for (i, block) in self.decoder.iter().enumerate() {
            let _scope = Scope::enter(format!("decoder.blocks.{i}"));
            let read = (&memory.blocks[i], &memory.lengths);
            x = block.forward(&x, Own::Answer(Some(cache.layer(i)?)), Some(read), None)?;
        }
        cache.advance(t);
        self.head(&x)
    }

    fn forward(&self, batch: &EncoderBatch, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let encoded = self.encode(batch, rng)?;
        let (mut x, _) = self.embedded(ids, 0, self.config.max_position_embeddings, rng)?;
        for (i, (block, memory)) in self.decoder.iter().zip(self.memory(&encoded)?).enumerate() {
            let _scope = Scope::enter(format!("decoder.blocks.{i}"));
            x = block.forward(&x, Own::Answer(None), Some((&memory, &batch.lengths)), rng)?;
        }
        self.head(&x)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let blocks = self.encoder.iter().chain(&self.decoder).flat_map(Block::parameters);
        self.embed.parameters().into_iter().chain(blocks).collect()
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        let mut parameters = self.parameters();
        parameters.push(self.logits_bias.clone());
        state(&parameters)
    }
}
