//! What shape a Marian has, by Hugging Face's names, from and to its `config.json`.

use serde::Deserialize;
use serde_json::json;
use warpsmith_tensor::{Error, Result};

use crate::bert::HiddenActivation;
use crate::config::{check_sizes, check_start_token, parse};

/// The shape of a Marian.
#[derive(Clone, Debug, PartialEq)]
pub struct MarianConfig {
    /// V: how many tokens there are, on both sides.
    pub vocab_size: usize,
    /// C: the width of the residual stream.
    pub d_model: usize,
    /// Blocks of the encoder.
    pub encoder_layers: usize,
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Heads of a block of the encoder. Divides `d_model`.
    pub encoder_attention_heads: usize,
    /// Heads of a block of the decoder. Divides `d_model`.
    pub decoder_attention_heads: usize,
    /// The width inside the network of a block of the encoder.
    pub encoder_ffn_dim: usize,
    /// The width inside the network of a block of the decoder.
    pub decoder_ffn_dim: usize,
    /// How long a text and an answer may be.
    pub max_position_embeddings: usize,
    /// The function inside a block's network.
    pub activation_function: HiddenActivation,
    /// The share of activations dropped in training.
    pub dropout: f64,
    /// The share of attention's probabilities dropped in training.
    pub attention_dropout: f64,
    /// The share of a network's inner activations dropped in training.
    pub activation_dropout: f64,
    /// The deviation of new weights.
    pub init_std: f64,
    /// Whether embeddings are multiplied by √C.
    pub scale_embedding: bool,
    /// The token that an answer begins with.
    pub decoder_start_token_id: u32,
    /// The token that ends an answer, if one does.
    pub eos_token_id: Option<u32>,
    /// The token that fills up rows.
    pub pad_token_id: Option<u32>,
}

#[derive(Deserialize)]
struct Json {
    model_type: String,
    vocab_size: usize,
    decoder_vocab_size: Option<usize>,
    d_model: usize,
    encoder_layers: usize,
    decoder_layers: usize,
    encoder_attention_heads: usize,
    decoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_ffn_dim: usize,
    max_position_embeddings: Option<usize>,
    activation_function: Option<String>,
    dropout: Option<f64>,
    attention_dropout: Option<f64>,
    activation_dropout: Option<f64>,
    init_std: Option<f64>,
    scale_embedding: Option<bool>,
    share_encoder_decoder_embeddings: Option<bool>,
    tie_word_embeddings: Option<bool>,
    normalize_before: Option<bool>,
    normalize_embedding: Option<bool>,
    add_final_layer_norm: Option<bool>,
    static_position_embeddings: Option<bool>,
    decoder_start_token_id: Option<u32>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
}

impl MarianConfig {
    /// An error that names the first field that makes no model.
    ///
    /// # Errors
    /// If a size is 0, the heads do not divide, or a share is not in [0, 1).
    pub fn validate(&self) -> Result<()> {
        let bad = |message: String| Err(Error::value("config", message));
        let heads = [
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
        ];
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("encoder_layers", self.encoder_layers),
            ("decoder_layers", self.decoder_layers),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("decoder_ffn_dim", self.decoder_ffn_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        check_sizes(&[&sizes[..], &heads].concat())?;
        check_start_token(self.decoder_start_token_id, self.vocab_size)?;
        if let Some((name, heads)) = heads.into_iter().find(|(_, heads)| !self.d_model.is_multiple_of(*heads))
        {
            return bad(format!("d_model = {} is not divisible by {name} = {heads}", self.d_model));
        }
        match [self.dropout, self.attention_dropout, self.activation_dropout]
            .into_iter()
            .find(|p| !(0.0..1.0).contains(p))
        {
            None => Ok(()),
            Some(p) => bad(format!("a dropout of {p} is not in [0, 1)")),
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it is not the config of a Marian, asks for what is not supported, or makes no model.
    pub fn from_json(text: &str) -> Result<Self> {
        let json: Json = parse(text)?;
        if json.model_type != "marian" {
            let message = format!("model_type `{}` is not marian", json.model_type);
            return Err(Error::value("config.json", message).hint("marian"));
        }
        // What early files say of the form of the model, and which of both transformers reads.
        let forms = [
            ("share_encoder_decoder_embeddings", json.share_encoder_decoder_embeddings, true),
            ("tie_word_embeddings", json.tie_word_embeddings, true),
            ("static_position_embeddings", json.static_position_embeddings, true),
            ("normalize_before", json.normalize_before, false),
            ("normalize_embedding", json.normalize_embedding, false),
            ("add_final_layer_norm", json.add_final_layer_norm, false),
        ];
        if let Some((name, _, known)) =
            forms.iter().find(|(_, given, known)| given.is_some_and(|g| g != *known))
        {
            let message = format!("{name} = {} is not supported", !known);
            return Err(Error::value("config.json", message).hint(format!("{known}, as in released models")));
        }
        if let Some(other) = json.decoder_vocab_size.filter(|size| *size != json.vocab_size) {
            let message = format!("decoder_vocab_size = {other} is not vocab_size = {}", json.vocab_size);
            return Err(Error::value("config.json", message).hint("both sides share one table"));
        }
        let config = Self {
            vocab_size: json.vocab_size,
            d_model: json.d_model,
            encoder_layers: json.encoder_layers,
            decoder_layers: json.decoder_layers,
            encoder_attention_heads: json.encoder_attention_heads,
            decoder_attention_heads: json.decoder_attention_heads,
            encoder_ffn_dim: json.encoder_ffn_dim,
            decoder_ffn_dim: json.decoder_ffn_dim,
            max_position_embeddings: json.max_position_embeddings.unwrap_or(1024),
            activation_function: HiddenActivation::from_name(
                json.activation_function.as_deref().unwrap_or("gelu"),
            )?,
            dropout: json.dropout.unwrap_or(0.1),
            attention_dropout: json.attention_dropout.unwrap_or(0.0),
            activation_dropout: json.activation_dropout.unwrap_or(0.0),
            init_std: json.init_std.unwrap_or(0.02),
            scale_embedding: json.scale_embedding.unwrap_or(false),
            decoder_start_token_id: json.decoder_start_token_id.unwrap_or(58100),
            eos_token_id: json.eos_token_id,
            pad_token_id: json.pad_token_id,
        };
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`, as transformers reads it.
    pub fn to_json(&self) -> String {
        let json = json!({
            "architectures": ["MarianMTModel"],
            "model_type": "marian",
            "is_encoder_decoder": true,
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "encoder_attention_heads": self.encoder_attention_heads,
            "decoder_attention_heads": self.decoder_attention_heads,
            "encoder_ffn_dim": self.encoder_ffn_dim,
            "decoder_ffn_dim": self.decoder_ffn_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "activation_function": self.activation_function.name(),
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation_dropout": self.activation_dropout,
            "init_std": self.init_std,
            "scale_embedding": self.scale_embedding,
            "share_encoder_decoder_embeddings": true,
            "decoder_start_token_id": self.decoder_start_token_id,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
            "torch_dtype": "float32",
        });
        format!("{json:#}\n")
    }
}
