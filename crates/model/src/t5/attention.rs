//! T5's attention: scores are not divided by √D, and in a stack's own attention each distance has a learned bias.

use warpsmith_autograd::Parameter;
use warpsmith_ops::attention::{AttentionOptions, Dropout};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Scope, Shape, Tensor};

use super::T5Config;
use crate::block::drop_out;
use crate::cache::LayerCache;
use crate::layers::{Embedding, Linear};
use crate::weights::Weights;

/// What is added to the scores of a stack's own attention, and which keys are not seen.
pub(super) struct Biased {
    /// (H, Tq, Tk)
    bias: Tensor,
    /// True where a key is not seen: it stretches to (B, H, Tq, Tk).
    hidden: Tensor,
}

/// A number for each head and each bucket of distances.
#[derive(Clone, Debug)]
pub(super) struct DistanceBias {
    table: Embedding,
    buckets: usize,
    max_distance: usize,
    decodes: bool,
    device: Device,
}

impl DistanceBias {
    pub(super) fn new(weights: &Weights, config: &T5Config, decodes: bool) -> Result<Self> {
        let buckets = config.relative_attention_num_buckets;
        let std = config.initializer_factor * (config.d_model as f64).powf(-0.5);
        Ok(Self {
            table: Embedding::new(weights, (buckets, config.num_heads), std)?,
            buckets,
            max_distance: config.relative_attention_max_distance,
            decodes,
            device: weights.device().clone(),
        })
    }

    /// Every query sees every key of its sequence: T of them, the first `lengths` (B,) of each row real.
    pub(super) fn all(&self, t: usize, lengths: &Tensor) -> Result<Biased> {
        let lengths = lengths.to_vec::<i64>()?;
        let hidden = lengths.iter().flat_map(|&n| (0..t).map(move |key| key as i64 >= n));
        let hidden = Tensor::from_vec(hidden.collect(), &[lengths.len(), 1, 1, t], &self.device)?;
        Ok(Biased { bias: self.between(0, t, t)?, hidden })
    }

    /// Each of T queries behind `past` others sees the keys up to its own.
    pub(super) fn causal(&self, past: usize, t: usize) -> Result<Biased> {
        let keys = past + t;
        let bias = self.between(past, t, keys)?;
        let hidden = (past..keys).flat_map(|query| (0..keys).map(move |key| key > query));
        let hidden = Tensor::from_vec(hidden.collect(), &[t, keys], &self.device)?;
        Ok(Biased { bias, hidden })
    }

    /// The biases (H, Tq, Tk) of T queries behind `past` others.
    fn between(&self, past: usize, t: usize, keys: usize) -> Result<Tensor> {
        // A number for each pair: of a long text they may be more than memory holds, which is an error.
        let mut buckets = Tensor::empty(Shape::new(&[t, keys])?, DType::I64, &Device::Cpu)?;
        for (row, buckets) in buckets.data_mut::<i64>()?.chunks_mut(keys.max(1)).enumerate() {
            buckets.iter_mut().enumerate().for_each(|(key, to)| *to = self.bucket(past + row, key) as i64);
        }
        let buckets = buckets.to_device(&self.device)?;
        self.table.forward(&buckets)?.permute(&[2, 0, 1])
    }

    /// Near distances have a bucket each, far ones share buckets whose widths grow as their logarithm; an encoder has as
    /// many for keys ahead as for keys behind.
    fn bucket(&self, query: usize, key: usize) -> usize {
        let buckets = if self.decodes { self.buckets } else { self.buckets / 2 };
        let ahead = if !self.decodes && key > query { buckets } else { 0 };
        let distance = if self.decodes { query.saturating_sub(key) } else { query.abs_diff(key) };
        let exact = buckets / 2;
        if distance < exact {
            return ahead + distance;
        }
        // In f32 as in transformers, since whole logarithms decide where a bucket ends.
        let share =
            (distance as f32 / exact as f32).ln() / (self.max_distance as f64 / exact as f64).ln() as f32;
        let far = exact + (share * (buckets - exact) as f32) as usize;
        ahead + far.min(buckets - 1)
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        self.table.parameters()
    }
}

/// Four projections without biases.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    width: usize,
    dropout: f64,
}

impl Attention {
    pub(super) fn new(weights: &Weights, config: &T5Config) -> Result<Self> {
        let (c, heads, width) = (config.d_model, config.num_heads, config.d_kv);
        let linear = |name, sizes: (usize, usize), fan: usize| {
            let std = config.initializer_factor * (fan as f64).powf(-0.5);
            Linear::transposed(&weights.at(name), sizes, false, std)
        };
        Ok(Self {
            query: linear("q", (c, heads * width), c * width)?,
            key: linear("k", (c, heads * width), c)?,
            value: linear("v", (c, heads * width), c)?,
            output: linear("o", (heads * width, c), heads * width)?,
            heads,
            width,
            dropout: config.dropout_rate,
        })
    }

    /// (B, T, C) → (B, T, H, D)
    fn head(&self, layer: &Linear, x: &Tensor) -> Result<Tensor> {
        layer.forward(x)?.reshape(&[x.dims()[0], x.dims()[1], self.heads, self.width])
    }

    /// The same, as [`Self::to_memory`] takes it.
    fn rounded(&self, layer: &Linear, x: &Tensor) -> Result<Tensor> {
        layer.forward_rounded(x)?.reshape(&[x.dims()[0], x.dims()[1], self.heads, self.width])
    }

    /// What [`Self::to_memory`] sees of x (B, T, C).
    pub(super) fn memory(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.rounded(&self.key, x)?, self.rounded(&self.value, x)?))
    }

    /// x (B, Tq, C) sees itself, and what the cache holds → (B, Tq, C). Scores and what follows from them are f32 in any precision,
    /// since biases are added to them.
    pub(super) fn to_itself(
        &self,
        x: &Tensor,
        biased: &Biased,
        rng: Option<&Rng>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let _scope = Scope::enter("attn");
        let (mut k, mut v) = (self.head(&self.key, x)?, self.head(&self.value, x)?);
        if let Some(cache) = cache {
            (k, v) = cache.append(&k, &v)?; // (B, Tk, H, D)
        }
        let q = self.head(&self.query, x)?.permute(&[0, 2, 1, 3])?; // (B, H, Tq, D)
        let scores = q.matmul(&k.permute(&[0, 2, 3, 1])?)?.add(&biased.bias)?; // (B, H, Tq, Tk)
        let shares = scores.masked_fill(&biased.hidden, f64::NEG_INFINITY)?.softmax()?;
        let y = drop_out(shares, self.dropout, rng)?.matmul(&v.permute(&[0, 2, 1, 3])?)?; // (B, H, Tq, D)
        self.join(&y.permute(&[0, 2, 1, 3])?)
    }

    /// x (B, Tq, C) sees the keys and values (B, Tk, H, D) of which the first `lengths` (B,) are real → (B, Tq, C).
    pub(super) fn to_memory(
        &self,
        x: &Tensor,
        (k, v): &(Tensor, Tensor),
        lengths: &Tensor,
        rng: Option<&Rng>,
    ) -> Result<Tensor> {
        let _scope = Scope::enter("cross");
        let drawn = rng.filter(|_| self.dropout > 0.0);
        let options = AttentionOptions {
            scale: Some(1.0),
            key_lengths: Some(lengths.clone()),
            dropout: drawn.map(|rng| Dropout {
                p: self.dropout as f32,
                seed: rng.seed(),
                stream: rng.stream(),
            }),
            ..Default::default()
        };
        self.join(&self.rounded(&self.query, x)?.attention(k, v, &options)?)
    }

    /// (B, T, H, D) → (B, T, C)
    fn join(&self, y: &Tensor) -> Result<Tensor> {
        self.output.forward(&y.reshape(&[y.dims()[0], y.dims()[1], self.heads * self.width])?)
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        [&self.query, &self.key, &self.value, &self.output].into_iter().flat_map(Linear::parameters).collect()
    }
}
