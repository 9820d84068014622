//! A block of the original Transformer: norm(x + attention(x)), in the decoder norm(x + cross(x)), then norm(x + mlp(x)).
//!
//! Source: Vaswani et al., 2017, arXiv 1706.03762, §3.1 to §3.3.

use warpsmith_autograd::Parameter;
use warpsmith_ops::attention::{AttentionOptions, Dropout, Mask};
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Rng, Scope, Tensor};

use super::MarianConfig;
use crate::bert::HiddenActivation;
use crate::block::drop_out;
use crate::cache::LayerCache;
use crate::layers::{LayerNorm, Linear};
use crate::weights::Weights;

/// ε of the norms, which the config does not name.
const EPSILON: f64 = 1e-5;

/// Which tokens of its own side a block sees.
pub(super) enum Own<'a> {
    /// All of the text, of which so many (B,) are real.
    Text(&'a Tensor),
    /// What was said up to each, and what the cache holds.
    Answer(Option<&'a mut LayerCache>),
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    attention: (Attention, LayerNorm),
    cross: Option<(Attention, LayerNorm)>,
    up: Linear,
    down: Linear,
    mlp_norm: LayerNorm,
    activation: HiddenActivation,
    dropout: f64,
    activation_dropout: f64,
}

impl Block {
    pub(super) fn new(weights: &Weights, config: &MarianConfig, decodes: bool) -> Result<Self> {
        let (c, std) = (config.d_model, config.init_std);
        let (heads, hidden) = match decodes {
            true => (config.decoder_attention_heads, config.decoder_ffn_dim),
            false => (config.encoder_attention_heads, config.encoder_ffn_dim),
        };
        let norm = |name: &str| LayerNorm::new(&weights.at(name), c, true, EPSILON);
        let attention = |name: &str| {
            let attention = Attention::new(&weights.at(name), config, heads)?;
            Ok((attention, norm(&format!("{name}_layer_norm"))?))
        };
        Ok(Self {
            attention: attention("self_attn")?,
            cross: decodes.then(|| attention("encoder_attn")).transpose()?,
            up: Linear::transposed(&weights.at("fc1"), (c, hidden), true, std)?,
            down: Linear::transposed(&weights.at("fc2"), (hidden, c), true, std)?,
            mlp_norm: norm("final_layer_norm")?,
            activation: config.activation_function,
            dropout: config.dropout,
            activation_dropout: config.activation_dropout,
        })
    }

    /// x (B, T, C) → (B, T, C); `memory` is what the decoder attends to: keys, values and lengths.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        own: Own<'_>,
        memory: Option<(&(Tensor, Tensor), &Tensor)>,
        rng: Option<&Rng>,
    ) -> Result<Tensor> {
        let behind =
            |norm: &LayerNorm, x: &Tensor, y| norm.forward(&x.add(&drop_out(y, self.dropout, rng)?)?);
        let (attention, norm) = &self.attention;
        let mut x = behind(norm, x, attention.to_itself(x, own, rng)?)?;
        if let (Some((cross, norm)), Some((memory, lengths))) = (&self.cross, memory) {
            let _scope = Scope::enter("cross");
            x = behind(norm, &x, cross.to_memory(&x, memory, lengths, rng)?)?;
        }
        let _scope = Scope::enter("mlp");
        let hidden = drop_out(self.activation.after(&self.up, &x)?, self.activation_dropout, rng)?;
        behind(&self.mlp_norm, &x, self.down.forward(&hidden)?)
    }

    /// The keys and values (B, T, H, D) of the encoder's output (B, T, C), in a decoder.
    pub(super) fn memory(&self, encoded: &Tensor) -> Option<Result<(Tensor, Tensor)>> {
        self.cross.as_ref().map(|(cross, _)| cross.keys_and_values(encoded, cross.precision))
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let of =
            |(attention, norm): &(Attention, LayerNorm)| [attention.parameters(), norm.parameters()].concat();
        let cross = self.cross.as_ref().map(of).unwrap_or_default();
        let mlp = [self.up.parameters(), self.down.parameters(), self.mlp_norm.parameters()].concat();
        [of(&self.attention), cross, mlp].concat()
    }
}

/// Four projections with biases.
#[derive(Clone, Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    dropout: f64,
    precision: Precision,
}

impl Attention {
    fn new(weights: &Weights, config: &MarianConfig, heads: usize) -> Result<Self> {
        let c = config.d_model;
        let linear = |name| Linear::transposed(&weights.at(name), (c, c), true, config.init_std);
        Ok(Self {
            query: linear("q_proj")?,
            key: linear("k_proj")?,
            value: linear("v_proj")?,
            output: linear("out_proj")?,
            heads,
            dropout: config.attention_dropout,
            precision: weights.precision(),
        })
    }

    /// (B, T, C) → (B, T, H, D), as attention in this precision takes it.
    fn head(&self, layer: &Linear, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let (b, t, c) = (x.dims()[0], x.dims()[1], x.dims()[2]);
        let y = match precision {
            Precision::F32 => layer.forward(x)?,
            Precision::Bf16 => layer.forward_rounded(x)?,
        };
        y.reshape(&[b, t, self.heads, c / self.heads])
    }

    fn keys_and_values(&self, x: &Tensor, precision: Precision) -> Result<(Tensor, Tensor)> {
        Ok((self.head(&self.key, x, precision)?, self.head(&self.value, x, precision)?))
    }

    /// x (B, T, C) sees its own side → (B, T, C).
    fn to_itself(&self, x: &Tensor, own: Own<'_>, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("attn");
        // What a cache holds is f32.
        let precision = if matches!(own, Own::Answer(Some(_))) { Precision::F32 } else { self.precision };
        let x = precision.operand(x)?; // for three products
        let q = self.head(&self.query, &x, precision)?;
        let (k, v) = self.keys_and_values(&x, precision)?;
        match own {
            Own::Text(lengths) => self.attend(&q, &(k, v), Mask::Full, Some(lengths), rng),
            Own::Answer(None) => self.attend(&q, &(k, v), Mask::Causal, None, rng),
            Own::Answer(Some(cache)) => self.attend(&q, &cache.append(&k, &v)?, Mask::Causal, None, rng),
        }
    }

    /// x (B, Tq, C) sees the keys and values (B, Tk, H, D) of which the first `lengths` (B,) are real → (B, Tq, C).
    fn to_memory(
        &self,
        x: &Tensor,
        memory: &(Tensor, Tensor),
        lengths: &Tensor,
        rng: Option<&Rng>,
    ) -> Result<Tensor> {
        let q = self.head(&self.query, x, self.precision)?;
        self.attend(&q, memory, Mask::Full, Some(lengths), rng)
    }

    /// q (B, Tq, H, D) sees keys and values (B, Tk, H, D) → (B, Tq, C).
    fn attend(
        &self,
        q: &Tensor,
        (k, v): &(Tensor, Tensor),
        mask: Mask,
        lengths: Option<&Tensor>,
        rng: Option<&Rng>,
    ) -> Result<Tensor> {
        let drawn = rng.filter(|_| self.dropout > 0.0);
        let dropout =
            drawn.map(|rng| Dropout { p: self.dropout as f32, seed: rng.seed(), stream: rng.stream() });
        let options = AttentionOptions { mask, key_lengths: lengths.cloned(), dropout, scale: None };
        let y = q.attention(k, v, &options)?; // (B, Tq, H, D)
        let [b, t, h, d] = [0, 1, 2, 3].map(|axis| y.dims()[axis]);
        self.output.forward(&y.reshape(&[b, t, h * d])?)
    }

    fn parameters(&self) -> Vec<Parameter> {
        [&self.query, &self.key, &self.value, &self.output].into_iter().flat_map(Linear::parameters).collect()
    }
}
