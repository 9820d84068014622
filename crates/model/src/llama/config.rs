//! What shape a Llama-family decoder has, by Hugging Face's names.

use warpsmith_tensor::{Error, Result};

use crate::config::check_sizes;
use crate::layers::{AttentionShape, Rope, Scaling};

/// Which member of the family a config belongs to: its `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlamaKind {
    /// Llama 1 to 3, SmolLM2, TinyLlama.
    Llama,
    /// Mistral: a sliding window in every layer.
    Mistral,
    /// Qwen2: biases on queries, keys and values; a window in the upper layers.
    Qwen2,
    /// Qwen3: norms of queries and keys.
    Qwen3,
}

impl LlamaKind {
    /// All members.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// The `model_type` of a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// The shape of a Llama-family decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Which member of the family.
    pub kind: LlamaKind,
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: the width of the residual stream.
    pub hidden_size: usize,
    /// The width inside the gated network.
    pub intermediate_size: usize,
    /// How many blocks.
    pub num_hidden_layers: usize,
    /// H: query heads.
    pub num_attention_heads: usize,
    /// Heads of keys and values. Divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// D: the width of a head, even.
    pub head_dim: usize,
    /// The longest sequence that the model was made for; see [`LlamaConfig::context`].
    pub max_position_embeddings: usize,
    /// ε of the norms.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// Whether the head is the token embedding.
    pub tie_word_embeddings: bool,
    /// Whether attention has biases: on all four layers, but for Qwen2 only on queries, keys and values.
    pub attention_bias: bool,
    /// Whether the gated network has biases.
    pub mlp_bias: bool,
    /// For each block, how many of the latest keys a query sees; all if `None`.
    pub windows: Vec<Option<usize>>,
    /// The share of attention's probabilities dropped in training.
    pub attention_dropout: f64,
    /// The deviation of new weights.
    pub initializer_range: f64,
}

impl Default for LlamaConfig {
    /// A small model of 4 blocks, 128 wide, over bytes.
    fn default() -> Self {
        Self {
            kind: LlamaKind::Llama,
            vocab_size: 256,
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 32,
            max_position_embeddings: 256,
            rms_norm_eps: 1e-5,
            rope: Rope { theta: 1e4, scaling: Scaling::None },
            tie_word_embeddings: true,
            attention_bias: false,
            mlp_bias: false,
            windows: vec![None; 4],
            attention_dropout: 0.0,
            initializer_range: 0.02,
        }
    }
}

impl LlamaConfig {
    /// An error that names the first field that makes no model.
    ///
    /// # Errors
    /// If a size is 0, heads do not divide, a head's width is odd, or a number is outside its range.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        let bad = |message: String| Err(Error::value("config", message));
        check_sizes(&sizes)?;
        let (h, kv) = (self.num_attention_heads, self.num_key_value_heads);
        if !h.is_multiple_of(kv) {
            return bad(format!("num_attention_heads = {h} is no multiple of num_key_value_heads = {kv}"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return bad(format!("head_dim = {} is odd, but rotary positions turn pairs", self.head_dim));
        }
        if self.windows.len() != self.num_hidden_layers || self.windows.contains(&Some(0)) {
            let message = format!("{} windows for {} layers", self.windows.len(), self.num_hidden_layers);
            return Err(Error::value("config", message).hint("give each layer one, at least 1 wide, or none"));
        }
        if !(0.0..1.0).contains(&self.attention_dropout) {
            return bad(format!("attention_dropout = {} is not in [0, 1)", self.attention_dropout));
        }
        self.validate_rope()
    }

    fn validate_rope(&self) -> Result<()> {
        let above = |name: &str, value: f64, low: f64| match value > low && value.is_finite() {
            true => Ok(()),
            false => Err(Error::value("config", format!("{name} = {value} must be above {low}"))),
        };
        above("rope_theta", self.rope.theta, 1.0)?;
        above("rms_norm_eps", self.rms_norm_eps, 0.0)?;
        match &self.rope.scaling {
            Scaling::None => Ok(()),
            Scaling::Linear { factor } => above("factor", *factor, 0.0),
            Scaling::Dynamic { factor } if self.head_dim > 2 => above("factor", *factor, 0.0),
            Scaling::Dynamic { .. } => Err(Error::value("config", "dynamic rope needs a head_dim above 2")),
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                above("factor", *factor, 0.0)?;
                above("original_max_position_embeddings", *original as f64, 0.0)?;
                above("high_freq_factor", *high_freq_factor, *low_freq_factor)
            }
            Scaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor } => {
                above("factor", *factor, 0.0)?;
                above("original_max_position_embeddings", *original as f64, 0.0)?;
                above("beta_slow", *beta_slow, 0.0)?;
                above("beta_fast", *beta_fast, *beta_slow)?;
                above("attention_factor", attention_factor.unwrap_or(1.0), 0.0)
            }
        }
    }

    /// The longest sequence that the model can see. Files name the context of the first training where positions are
    /// stretched by `linear`, `dynamic` or `yarn`, which reach `factor` times as far.
    pub fn context(&self) -> usize {
        let known = self.max_position_embeddings;
        let stretched = |from: usize, factor: f64| known.max((from as f64 * factor) as usize);
        match self.rope.scaling {
            Scaling::Linear { factor } | Scaling::Dynamic { factor } => stretched(known, factor),
            Scaling::Yarn { factor, original, .. } => stretched(original, factor),
            Scaling::None | Scaling::Llama3 { .. } => known,
        }
    }

    /// The attention of block number `index`.
    pub(crate) fn attention(&self, index: usize) -> AttentionShape {
        AttentionShape {
            width: self.hidden_size,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_width: self.head_dim,
            qkv_bias: self.attention_bias,
            output_bias: self.attention_bias && self.kind != LlamaKind::Qwen2,
            qk_norm: (self.kind == LlamaKind::Qwen3).then_some(self.rms_norm_eps),
            window: self.windows.get(index).copied().flatten(),
            dropout: self.attention_dropout,
        }
    }
}
