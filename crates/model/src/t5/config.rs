//! What shape a T5 has, by Hugging Face's names, from and to its `config.json`.

use serde::Deserialize;
use serde_json::json;
use warpsmith_ops::gelu::Form;
use warpsmith_tensor::{Error, Result};

use crate::bert::HiddenActivation;
use crate::config::{check_sizes, check_start_token, parse};

/// The shape of a T5.
#[derive(Clone, Debug, PartialEq)]
pub struct T5Config {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: the width of the residual stream.
    pub d_model: usize,
    /// D: the width of a head.
    pub d_kv: usize,
    /// The width inside a block's network.
    pub d_ff: usize,
    /// Blocks of the encoder.
    pub num_layers: usize,
    /// Blocks of the decoder.
    pub num_decoder_layers: usize,
    /// H: heads per block.
    pub num_heads: usize,
    /// How many buckets distances fall into.
    pub relative_attention_num_buckets: usize,
    /// From this distance on all fall into the last.
    pub relative_attention_max_distance: usize,
    /// The share of activations and probabilities dropped in training.
    pub dropout_rate: f64,
    /// ε of the norms.
    pub layer_norm_epsilon: f64,
    /// The function inside a block's network.
    pub activation: HiddenActivation,
    /// Whether a third layer is multiplied in.
    pub gated: bool,
    /// Whether the head is the token embedding.
    pub tie_word_embeddings: bool,
    /// Whether the head's input is divided by √C.
    pub scale_decoder_outputs: bool,
    /// What new weights' deviations are multiplied by.
    pub initializer_factor: f64,
    /// The token that an answer begins with.
    pub decoder_start_token_id: u32,
}

#[derive(Deserialize)]
struct Json {
    model_type: String,
    vocab_size: usize,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    relative_attention_num_buckets: Option<usize>,
    relative_attention_max_distance: Option<usize>,
    dropout_rate: Option<f64>,
    layer_norm_epsilon: Option<f64>,
    feed_forward_proj: Option<String>,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
    initializer_factor: Option<f64>,
    decoder_start_token_id: Option<u32>,
}

impl T5Config {
    /// An error that names the first field that makes no model.
    ///
    /// # Errors
    /// If a size is 0, distances make no buckets, or a share is not in [0, 1).
    pub fn validate(&self) -> Result<()> {
        let bad = |message: String| Err(Error::value("config", message));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_decoder_layers", self.num_decoder_layers),
            ("num_heads", self.num_heads),
        ];
        check_sizes(&sizes)?;
        check_start_token(self.decoder_start_token_id, self.vocab_size)?;
        let (buckets, distance) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if buckets < 4 || distance <= buckets / 2 {
            return bad(format!("{buckets} buckets for distances up to {distance}"));
        }
        match (0.0..1.0).contains(&self.dropout_rate) {
            true => Ok(()),
            false => bad(format!("dropout_rate = {} is not in [0, 1)", self.dropout_rate)),
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it is not the config of a T5, asks for what is not supported, or makes no model.
    pub fn from_json(text: &str) -> Result<Self> {
        let json: Json = parse(text)?;
        if json.model_type != "t5" {
            let message = format!("model_type `{}` is not t5", json.model_type);
            return Err(Error::value("config.json", message).hint("t5"));
        }
        let feed_forward = json.feed_forward_proj.as_deref().unwrap_or("relu");
        let (gated, activation) = match feed_forward.strip_prefix("gated-") {
            // The released models mean the approximation by tanh when they say so.
            Some("gelu") => (true, HiddenActivation::Gelu(Form::Tanh)),
            Some(name) => (true, HiddenActivation::from_name(name)?),
            None => (false, HiddenActivation::from_name(feed_forward)?),
        };
        let tied = json.tie_word_embeddings.unwrap_or(true);
        let config = Self {
            vocab_size: json.vocab_size,
            d_model: json.d_model,
            d_kv: json.d_kv,
            d_ff: json.d_ff,
            num_layers: json.num_layers,
            num_decoder_layers: json.num_decoder_layers.unwrap_or(json.num_layers),
            num_heads: json.num_heads,
            relative_attention_num_buckets: json.relative_attention_num_buckets.unwrap_or(32),
            relative_attention_max_distance: json.relative_attention_max_distance.unwrap_or(128),
            dropout_rate: json.dropout_rate.unwrap_or(0.1),
            layer_norm_epsilon: json.layer_norm_epsilon.unwrap_or(1e-6),
            activation,
            gated,
            tie_word_embeddings: tied,
            scale_decoder_outputs: json.scale_decoder_outputs.unwrap_or(tied),
            initializer_factor: json.initializer_factor.unwrap_or(1.0),
            decoder_start_token_id: json.decoder_start_token_id.unwrap_or(0),
        };
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`, as transformers reads it.
    pub fn to_json(&self) -> String {
        let activation = match self.activation {
            HiddenActivation::Gelu(Form::Tanh) if self.gated => "gelu",
            other => other.name(),
        };
        let json = json!({
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "is_encoder_decoder": true,
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "d_kv": self.d_kv,
            "d_ff": self.d_ff,
            "num_layers": self.num_layers,
            "num_decoder_layers": self.num_decoder_layers,
            "num_heads": self.num_heads,
            "relative_attention_num_buckets": self.relative_attention_num_buckets,
            "relative_attention_max_distance": self.relative_attention_max_distance,
            "dropout_rate": self.dropout_rate,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "feed_forward_proj": format!("{}{activation}", if self.gated { "gated-" } else { "" }),
            "tie_word_embeddings": self.tie_word_embeddings,
            "scale_decoder_outputs": self.scale_decoder_outputs,
            "initializer_factor": self.initializer_factor,
            "decoder_start_token_id": self.decoder_start_token_id,
            "torch_dtype": "float32",
        });
        format!("{json:#}\n")
    }
}
