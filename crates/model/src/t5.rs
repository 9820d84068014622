//! T5: an encoder and a decoder whose attention knows positions by a learned bias for each distance.
//!
//! Source: Raffel et al., *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*, 2019, arXiv
//! 1910.10683, §2.1; the gated network of version 1.1 is that of Shazeer 2020, arXiv 2002.05202.

mod attention;
mod config;
mod mlp;

use std::collections::BTreeMap;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Scope, Seed, Tensor};

use crate::answers::EncoderDecoder;
use crate::bert::EncoderBatch;
use crate::block::drop_out;
use crate::cache::{KvCache, LayerCache, ReadTexts};
use crate::causal::check_ids;
use crate::layers::{Embedding, Linear, RmsNorm};
use crate::weights::Weights;
use attention::{Attention, Biased, DistanceBias};
use mlp::Mlp;

pub use config::T5Config;

/// An encoder-decoder of the T5 family.
#[derive(Clone, Debug)]
pub struct T5 {
    config: T5Config,
    device: Device,
    embed: Embedding,
    encoder: Stack,
    decoder: Stack,
    head: Option<Linear>,
}

/// The blocks of one side.
#[derive(Clone, Debug)]
struct Stack {
    bias: DistanceBias,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

/// x + attention(norm x), in the decoder x + cross(norm x), then x + mlp(norm x).
#[derive(Clone, Debug)]
struct Block {
    attention: (RmsNorm, Attention),
    cross: Option<(RmsNorm, Attention)>,
    mlp: (RmsNorm, Mlp),
    dropout: f64,
}

impl Block {
    fn new(weights: &Weights, config: &T5Config, decodes: bool) -> Result<Self> {
        let place = |i: usize| weights.at("layer").at(i);
        let norm = |i| RmsNorm::new(&place(i).at("layer_norm"), config.d_model, config.layer_norm_epsilon);
        let cross = || Ok((norm(1)?, Attention::new(&place(1).at("EncDecAttention"), config)?));
        let last = if decodes { 2 } else { 1 };
        Ok(Self {
            attention: (norm(0)?, Attention::new(&place(0).at("SelfAttention"), config)?),
            cross: decodes.then(cross).transpose()?,
            mlp: (norm(last)?, Mlp::new(&place(last).at("DenseReluDense"), config)?),
            dropout: config.dropout_rate,
        })
    }

    /// x (B, T, C) → (B, T, C); `memory` is what the decoder attends to: keys, values and lengths.
    fn forward(
        &self,
        x: &Tensor,
        biased: &Biased,
        memory: Option<(&(Tensor, Tensor), &Tensor)>,
        rng: Option<&Rng>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let (norm, attention) = &self.attention;
        let y = attention.to_itself(&norm.forward_rounded(x)?, biased, rng, cache)?;
        let mut x = x.add(&drop_out(y, self.dropout, rng)?)?;
        if let (Some((norm, cross)), Some((memory, lengths))) = (&self.cross, memory) {
            let y = cross.to_memory(&norm.forward_rounded(&x)?, memory, lengths, rng)?;
            x = x.add(&drop_out(y, self.dropout, rng)?)?;
        }
        let (norm, mlp) = &self.mlp;
        let y = mlp.forward(&norm.forward_rounded(&x)?, rng)?;
        x.add(&drop_out(y, self.dropout, rng)?)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let of =
            |(norm, attention): &(RmsNorm, Attention)| [attention.parameters(), norm.parameters()].concat();
        let cross = self.cross.as_ref().map(of).unwrap_or_default();
        let mlp = [self.mlp.1.parameters(), self.mlp.0.parameters()].concat();
        [of(&self.attention), cross, mlp].concat()
    }
}

impl Stack {
    fn new(weights: &Weights, config: &T5Config, decodes: bool) -> Result<Self> {
        let layers = if decodes { config.num_decoder_layers } else { config.num_layers };
        let blocks = (0..layers)
            .map(|i| Block::new(&weights.at("block").at(i), config, decodes))
            .collect::<Result<_>>()?;
        // The first block owns the table of all.
        let table = weights.at("block.0.layer.0.SelfAttention.relative_attention_bias");
        Ok(Self {
            bias: DistanceBias::new(&table, config, decodes)?,
            blocks,
            norm: RmsNorm::new(&weights.at("final_layer_norm"), config.d_model, config.layer_norm_epsilon)?,
        })
    }

    fn parameters(&self) -> Vec<Parameter> {
        let blocks = self.blocks.iter().flat_map(Block::parameters);
        self.bias.parameters().into_iter().chain(blocks).chain(self.norm.parameters()).collect()
    }
}

impl T5 {
    /// A model with random weights.
    ///
    /// # Errors
    /// If the config makes no model, or memory runs out.
    pub fn new(config: T5Config, device: &Device, seed: Seed) -> Result<Self> {
        Self::build(config, &Weights::random(seed, device))
    }

    /// The model that a `config.json` and the tensors of its weight file describe.
    ///
    /// # Errors
    /// If the config makes no model; if a tensor is missing, unexpected or misshapen.
    pub fn from_state(config: &str, tensors: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        Self::from_weights(config, &Weights::given(tensors, device))
    }

    /// As [`T5::from_state`], of weights in whatever form.
    ///
    /// # Errors
    /// As [`T5::from_state`].
    pub fn from_weights(config: &str, weights: &Weights) -> Result<Self> {
        Self::build(T5Config::from_json(config)?, weights)
    }

    fn build(config: T5Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        for copy in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
            weights.tie("shared.weight", copy)?;
        }
        if config.tie_word_embeddings {
            weights.tie("shared.weight", "lm_head.weight")?;
        }
        let sizes = (config.vocab_size, config.d_model);
        let embed = Embedding::new(&weights.at("shared"), sizes, config.initializer_factor)?;
        let encoder = Stack::new(&weights.at("encoder"), &config, false)?;
        let decoder = Stack::new(&weights.at("decoder"), &config, true)?;
        let head = || {
            let sizes = (config.d_model, config.vocab_size);
            Linear::transposed(&weights.at("lm_head"), sizes, false, config.initializer_factor)
        };
        let head = (!config.tie_word_embeddings).then(head).transpose()?;
        weights.finish()?;
        Ok(Self { device: weights.device().clone(), embed, encoder, decoder, head, config })
    }

    /// The shape of the model.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// x (B, T, C) → logits (B, T, V)
    fn head(&self, x: Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("head");
        let x = drop_out(self.decoder.norm.forward(&x)?, self.config.dropout_rate, rng)?;
        let x = match self.config.scale_decoder_outputs {
            true => x.affine((self.config.d_model as f64).powf(-0.5), 0.0)?,
            false => x,
        };
        match &self.head {
            Some(head) => head.forward(&x),
            None => Linear::tied(&self.embed).forward(&x),
        }
    }
}

impl EncoderDecoder for T5 {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn start(&self) -> u32 {
        self.config.decoder_start_token_id
    }

    /// Positions are relative: no answer is too long.
    fn context(&self) -> usize {
        usize::MAX
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn config_json(&self) -> String {
        self.config.to_json()
    }

    fn encode(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("encoder");
        let t = check_ids("t5", &batch.ids, 0, usize::MAX)?;
        let biased = self.encoder.bias.all(t, &batch.lengths)?;
        let mut x = drop_out(self.embed.forward(&batch.ids)?, self.config.dropout_rate, rng)?;
        for (i, block) in self.encoder.blocks.iter().enumerate() {
            let _scope = Scope::enter(format!("blocks.{i}"));
            x = block.forward(&x, &biased, None, rng, None)?;
        }
        // Products alone read it.
        drop_out(self.encoder.norm.forward_rounded(&x)?, self.config.dropout_rate, rng)
    }

    fn memory(&self, encoded: &Tensor) -> Result<Vec<(Tensor, Tensor)>> {
        let crosses = self.decoder.blocks.iter().flat_map(|block| &block.cross);
        crosses.map(|(_, cross)| cross.memory(encoded)).collect()
    }

    fn decode_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let memory = cache.texts()?;
        let past = cache.len();
        let t = check_ids("t5", ids, past, cache.capacity())?;
        let biased = self.decoder.bias.causal(past, t)?;
        let mut x = self.embed.forward(ids)?;
        for (i, block) in self.decoder.blocks.iter().enumerate() {
            let _scope = Scope::enter(format!("decoder.blocks.{i}"));
            let read = (&memory.blocks[i], &memory.lengths);
            x = block.forward(&x, &biased, Some(read), None, Some(cache.layer(i)?))?;
        }
        cache.advance(t);
        self.head(x, None)
    }

    fn forward(&self, batch: &EncoderBatch, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let encoded = self.encode(batch, rng)?;
        let t = check_ids("t5", ids, 0, usize::MAX)?;
        let biased = self.decoder.bias.causal(0, t)?;
        let mut x = drop_out(self.embed.forward(ids)?, self.config.dropout_rate, rng)?;
        for (i, (block, memory)) in self.decoder.blocks.iter().zip(self.memory(&encoded)?).enumerate() {
            let _scope = Scope::enter(format!("decoder.blocks.{i}"));
            x = block.forward(&x, &biased, Some((&memory, &batch.lengths)), rng, None)?;
        }
        self.head(x, rng)
    }

    fn cache_of(&self, texts: &ReadTexts, rows: &[usize], capacity: usize) -> Result<KvCache> {
        let c = &self.config;
        let dims = [rows.len(), capacity, c.num_heads, c.d_kv];
        KvCache::new(c.num_decoder_layers, dims, DType::F32, &self.device)?.answering(texts, rows)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let head = self.head.iter().flat_map(Linear::parameters);
        let embed = self.embed.parameters().into_iter();
        embed.chain(self.encoder.parameters()).chain(self.decoder.parameters()).chain(head).collect()
    }
}
