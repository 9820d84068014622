//! What shape a BERT encoder has, by Hugging Face's names, from and to its `config.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use warpsmith_ops::gelu::Form;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Tensor};

use super::Task;
use crate::config::{check_sizes, parse};
use crate::labels;
use crate::layers::Linear;

/// The function between the two layers of a block's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenActivation {
    /// GELU, exact or by tanh.
    Gelu(Form),
    /// max(x, 0).
    Relu,
    /// x·σ(x), also called swish.
    Silu,
}

impl HiddenActivation {
    /// f(layer(x))
    pub(crate) fn after(self, layer: &Linear, x: &Tensor) -> Result<Tensor> {
        let x = layer.forward(x)?;
        match self {
            Self::Gelu(Form::Exact) => x.gelu(),
            Self::Gelu(Form::Tanh) => x.gelu_tanh(),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self> {
        match name {
            "gelu" => Ok(Self::Gelu(Form::Exact)),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::Gelu(Form::Tanh)),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            other => Err(Error::value("config.json", format!("activation `{other}` is not known"))
                .hint("gelu, gelu_new, relu, silu")),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gelu(Form::Exact) => "gelu",
            Self::Gelu(Form::Tanh) => "gelu_new",
            Self::Relu => "relu",
            Self::Silu => "silu",
        }
    }
}

/// The shape of a BERT encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: the width of the residual stream.
    pub hidden_size: usize,
    /// The width inside a block's network.
    pub intermediate_size: usize,
    /// How many blocks.
    pub num_hidden_layers: usize,
    /// H: heads per block. Divides `hidden_size`.
    pub num_attention_heads: usize,
    /// How many positions have been learned.
    pub max_position_embeddings: usize,
    /// How many sentences of a pair (or more) are told apart.
    pub type_vocab_size: usize,
    /// ε of the layer norms.
    pub layer_norm_eps: f64,
    /// The function inside a block's network.
    pub hidden_act: HiddenActivation,
    /// The share of activations dropped in training.
    pub hidden_dropout_prob: f64,
    /// The share of attention's probabilities dropped in training.
    pub attention_probs_dropout_prob: f64,
    /// The deviation of new weights.
    pub initializer_range: f64,
    /// What is said of a text or a token by a classifier, by number.
    pub labels: Vec<String>,
}

#[derive(Deserialize)]
struct Json {
    model_type: String,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    initializer_range: Option<f64>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    id2label: Option<BTreeMap<String, String>>,
}

impl BertConfig {
    /// An error that names the first field that makes no model.
    ///
    /// # Errors
    /// If a size is 0, the heads do not divide, or a share is not in [0, 1).
    pub fn validate(&self) -> Result<()> {
        let bad = |message: String| Err(Error::value("config", message));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
            ("num_labels", self.labels.len()),
        ];
        check_sizes(&sizes)?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (c, h) = (self.hidden_size, self.num_attention_heads);
            return bad(format!("hidden_size = {c} is not divisible by num_attention_heads = {h}"));
        }
        for p in [self.hidden_dropout_prob, self.attention_probs_dropout_prob] {
            if !(0.0..1.0).contains(&p) {
                return bad(format!("a dropout of {p} is not in [0, 1)"));
            }
        }
        Ok(())
    }

    /// Reads the text of a `config.json`: the encoder's shape, and the task that its architecture names.
    ///
    /// # Errors
    /// If it is not the config of a BERT encoder, asks for what is not supported, or makes no model.
    pub fn from_json(text: &str) -> Result<(Self, Task)> {
        let json: Json = parse(text)?;
        let refuse =
            |what: String| Err(Error::value("config.json", what).hint("plain BERT encoders are known"));
        if json.model_type != "bert" {
            return refuse(format!("model_type `{}` is not bert", json.model_type));
        }
        if json.position_embedding_type.as_deref().is_some_and(|t| t != "absolute") {
            return refuse("position_embedding_type is not absolute".into());
        }
        if json.is_decoder == Some(true) {
            return refuse("is_decoder is true".into());
        }
        let architecture = json.architectures.as_ref().and_then(|a| a.first());
        let task = architecture.map_or(Ok(Task::Encode), |name| Task::from_architecture(name))?;
        let config = Self {
            vocab_size: json.vocab_size,
            hidden_size: json.hidden_size,
            intermediate_size: json.intermediate_size,
            num_hidden_layers: json.num_hidden_layers,
            num_attention_heads: json.num_attention_heads,
            max_position_embeddings: json.max_position_embeddings,
            type_vocab_size: json.type_vocab_size.unwrap_or(2),
            layer_norm_eps: json.layer_norm_eps.unwrap_or(1e-12),
            hidden_act: HiddenActivation::from_name(json.hidden_act.as_deref().unwrap_or("gelu"))?,
            hidden_dropout_prob: json.hidden_dropout_prob.unwrap_or(0.1),
            attention_probs_dropout_prob: json.attention_probs_dropout_prob.unwrap_or(0.1),
            initializer_range: json.initializer_range.unwrap_or(0.02),
            labels: labels::read(json.id2label)?,
        };
        config.validate()?;
        Ok((config, task))
    }

    /// The text of `config.json`, as transformers reads it.
    pub fn to_json(&self, task: Task) -> String {
        let (by_id, by_label) = labels::to_json(&self.labels);
        let json = json!({
            "architectures": [task.architecture()],
            "model_type": "bert",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "layer_norm_eps": self.layer_norm_eps,
            "hidden_act": self.hidden_act.name(),
            "hidden_dropout_prob": self.hidden_dropout_prob,
            "attention_probs_dropout_prob": self.attention_probs_dropout_prob,
            "initializer_range": self.initializer_range,
            "id2label": by_id,
            "label2id": by_label,
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
        });
        format!("{json:#}\n")
    }
}
