//! Self-attention in which groups of query heads share the keys and values of one head, with rotary positions.
//!
//! Sources: Ainslie et al., *GQA*, 2023, arXiv 2305.13245; Jiang et al., *Mistral 7B*, 2023, arXiv 2310.06825, §2 (sliding
//! window); Qwen team, *Qwen3 Technical Report*, 2025, arXiv 2505.09388, §2 (norms of queries and keys).

use warpsmith_autograd::Parameter;
use warpsmith_ops::attention::{AttentionOptions, Dropout, Mask};
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Rng, Scope, Tensor};

use super::rotary::Turns;
use super::{Linear, RmsNorm, attend};
use crate::cache::LayerCache;
use crate::weights::Weights;

/// What shape a [`GroupedAttention`] has.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionShape {
    /// C: the width of the residual stream.
    pub width: usize,
    /// H: query heads.
    pub heads: usize,
    /// How many heads keys and values have. Divides `heads`.
    pub kv_heads: usize,
    /// D: the width of a head, even.
    pub head_width: usize,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the output has a bias.
    pub output_bias: bool,
    /// ε of the norms of queries and keys, if they have norms.
    pub qk_norm: Option<f64>,
    /// A query sees this many of the latest keys, its own among them; all if `None`.
    pub window: Option<usize>,
    /// The share of probabilities dropped in training.
    pub dropout: f64,
}

/// Projections, norms and the way that queries see keys.
#[derive(Clone, Debug)]
pub struct GroupedAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norms: Option<(RmsNorm, RmsNorm)>,
    shape: AttentionShape,
    precision: Precision,
}

impl GroupedAttention {
    /// A layer whose weights are normal with deviation `std`.
    pub fn new(weights: &Weights, shape: AttentionShape, std: f64) -> Result<Self> {
        let linear = |name, sizes, bias| Linear::transposed(&weights.at(name), sizes, bias, std);
        let (c, q, kv) = (shape.width, shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        let norm = |name, epsilon| RmsNorm::new(&weights.at(name), shape.head_width, epsilon);
        Ok(Self {
            query: linear("q_proj", (c, q), shape.qkv_bias)?,
            key: linear("k_proj", (c, kv), shape.qkv_bias)?,
            value: linear("v_proj", (c, kv), shape.qkv_bias)?,
            output: linear("o_proj", (q, c), shape.output_bias)?,
            norms: shape.qk_norm.map(|e| Ok((norm("q_norm", e)?, norm("k_norm", e)?))).transpose()?,
            shape,
            precision: weights.precision(),
        })
    }

    /// around (B, T, C) + what x (B, T, C) sees of itself → (B, T, C). With `rng`, probabilities are dropped; with `cache`, x
    /// continues what the cache holds.
    pub(crate) fn forward(
        &self,
        [x, around]: [&Tensor; 2],
        turns: &Turns,
        rng: Option<&Rng>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let _scope = Scope::enter("attn");
        let (b, t) = (x.dims()[0], x.dims()[1]);
        let AttentionShape { heads, kv_heads, head_width: d, .. } = self.shape;
        // What a cache holds is f32.
        let precision = if cache.is_some() { Precision::F32 } else { self.precision };
        // A norm takes f32 and rounds what it makes; without one the product rounds.
        let is_rounded = precision != Precision::F32 && self.norms.is_none() && turns.take_rounded();
        let head = |layer: &Linear, heads, is_rounded| {
            let y = if is_rounded { layer.forward_rounded(x)? } else { layer.forward(x)? };
            y.reshape(&[b, t, heads, d]) // (B, T, H, D)
        };
        let mut q = head(&self.query, heads, is_rounded)?;
        let mut k = head(&self.key, kv_heads, is_rounded)?;
        let mut v = head(&self.value, kv_heads, precision != Precision::F32)?;
        if let Some((of_q, of_k)) = &self.norms {
            (q, k) = match precision != Precision::F32 && turns.take_rounded() {
                true => (of_q.forward_rounded(&q)?, of_k.forward_rounded(&k)?),
                false => (of_q.forward(&q)?, of_k.forward(&k)?),
            };
        }
        (q, k) = (turns.turn(&q)?, turns.turn(&k)?);
        let mut options = self.options(rng);
        if let Some(cache) = cache {
            (k, v) = cache.append(&k, &v)?; // (B, past + T, Hkv, D)
            options.key_lengths = cache.key_lengths();
            if let (Some(_), Some(window)) = (&options.key_lengths, self.shape.window) {
                // The last key is not that of the cache's end, and only the device knows which it is.
                options.mask = Mask::Trailing(window);
            }
        }
        let y = attend([&q, &k, &v], &options, precision)?.reshape(&[b, t, heads * d])?;
        self.output.forward_onto(around, &y)
    }

    fn options(&self, rng: Option<&Rng>) -> AttentionOptions {
        let p = self.shape.dropout;
        let drawn = rng.filter(|_| p > 0.0);
        AttentionOptions {
            mask: self.shape.window.map_or(Mask::Causal, Mask::SlidingWindow),
            dropout: drawn.map(|rng| Dropout { p: p as f32, seed: rng.seed(), stream: rng.stream() }),
            ..Default::default()
        }
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let linears = [&self.query, &self.key, &self.value, &self.output];
        let norms = self.norms.iter().flat_map(|(q, k)| [q, k]).flat_map(RmsNorm::parameters);
        linears.into_iter().flat_map(Linear::parameters).chain(norms).collect()
    }
}
