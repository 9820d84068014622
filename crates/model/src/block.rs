//! One Transformer block in GPT-2's form: x + attention(norm x), then x + mlp(norm x).
//!
//! Source: Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019, §2.3 (norms before the layers);
//! Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, §3.

use warpsmith_autograd::Parameter;
use warpsmith_ops::attention::{AttentionOptions, Dropout, Mask};
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Rng, Scope, Tensor};

use crate::GptConfig;
use crate::cache::LayerCache;
use crate::layers::{LayerNorm, Linear, attend};
use crate::weights::Weights;

/// Attention and a two-layer network, each behind a layer norm and beside a residual path.
#[derive(Clone, Debug)]
pub struct Block {
    ln_1: LayerNorm,
    c_attn: Linear,
    attn_c_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    mlp_c_proj: Linear,
    n_head: usize,
    dropout: f64,
    precision: Precision,
}

impl Block {
    /// A block, its weights drawn as nanoGPT draws them: deviation 0.02, and 0.02/√(2·n_layer) for the
    /// two layers that end in the residual stream (GPT-2, §2.3).
    pub fn new(weights: &Weights, config: &GptConfig) -> Result<Self> {
        let c = config.n_embd;
        let residual_std = 0.02 / (2.0 * config.n_layer as f64).sqrt();
        let norm = |layer| LayerNorm::new(&weights.at(layer), c, config.bias, config.layer_norm_epsilon);
        let linear = |layer: &str, sizes, std| Linear::new(&weights.at(layer), sizes, config.bias, std);
        Ok(Self {
            ln_1: norm("ln_1")?,
            c_attn: linear("attn.c_attn", (c, 3 * c), 0.02)?,
            attn_c_proj: linear("attn.c_proj", (c, c), residual_std)?,
            ln_2: norm("ln_2")?,
            c_fc: linear("mlp.c_fc", (c, 4 * c), 0.02)?.with_activation(Activation::Gelu(config.activation)),
            mlp_c_proj: linear("mlp.c_proj", (4 * c, c), residual_std)?,
            n_head: config.n_head,
            dropout: config.dropout,
            precision: weights.precision(),
        })
    }

    /// x (B, T, C) → (B, T, C). With `rng`, activations are dropped; with `cache`, x continues what the cache holds.
    pub fn forward(&self, x: &Tensor, rng: Option<&Rng>, cache: Option<&mut LayerCache>) -> Result<Tensor> {
        let x = self.attention(x, rng, cache)?; // (B, T, C)
        self.mlp(&x, rng) // (B, T, C)
    }

    /// x + attention(norm x)
    fn attention(
        &self,
        around: &Tensor,
        rng: Option<&Rng>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let [x, around] = self.ln_1.forward_around(around)?;
        let _scope = Scope::enter("attn");
        let (b, t, c) = (x.dims()[0], x.dims()[1], x.dims()[2]);
        let heads = [b, t, self.n_head, c / self.n_head];
        // What a cache holds is f32.
        let precision = if cache.is_some() { Precision::F32 } else { self.precision };
        let qkv = match cache {
            Some(_) => self.c_attn.forward(&x)?,
            None => self.c_attn.forward_rounded(&x)?,
        }; // (B, T, 3C)
        let qkv = qkv.split(-1, &[c, c, c])?; // 3 × (B, T, C)
        let head = |i: usize| qkv[i].reshape(&heads); // (B, T, H, D)
        let (q, mut k, mut v) = (head(0)?, head(1)?, head(2)?);
        let mut key_lengths = None;
        if let Some(cache) = cache {
            (k, v) = cache.append(&k, &v)?; // (B, past + T, H, D)
            key_lengths = cache.key_lengths();
        }
        let dropout = self.dropping(rng).map(|rng| Dropout {
            p: self.dropout as f32,
            seed: rng.seed(),
            stream: rng.stream(),
        });
        let options = AttentionOptions { mask: Mask::Causal, dropout, key_lengths, scale: None };
        let y = attend([&q, &k, &v], &options, precision)?.reshape(&[b, t, c])?; // (B, T, C)
        match self.dropping(rng) {
            None => self.attn_c_proj.forward_onto(&around, &y),
            dropping => around.add(&drop_out(self.attn_c_proj.forward(&y)?, self.dropout, dropping)?),
        }
    }

    /// x + mlp(norm x)
    fn mlp(&self, around: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let [x, around] = self.ln_2.forward_around(around)?;
        let _scope = Scope::enter("mlp");
        match self.dropping(rng) {
            None => self.c_fc.then(&self.mlp_c_proj, &x, Some(&around)), // (B, T, 4C) inside
            dropping => {
                let y = self.c_fc.then(&self.mlp_c_proj, &x, None)?;
                around.add(&drop_out(y, self.dropout, dropping)?)
            }
        }
    }

    /// The generator, if something is dropped: what is dropped cannot be added in the product's last pass.
    fn dropping<'a>(&self, rng: Option<&'a Rng>) -> Option<&'a Rng> {
        rng.filter(|_| self.dropout > 0.0)
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        [
            self.ln_1.parameters(),
            self.c_attn.parameters(),
            self.attn_c_proj.parameters(),
            self.ln_2.parameters(),
            self.c_fc.parameters(),
            self.mlp_c_proj.parameters(),
        ]
        .concat()
    }
}

/// Dropout in training (`rng` given), nothing else otherwise.
pub(crate) fn drop_out(x: Tensor, p: f64, rng: Option<&Rng>) -> Result<Tensor> {
    match rng {
        Some(rng) if p > 0.0 => x.dropout(p, rng.seed(), rng.stream()),
        _ => Ok(x),
    }
}
