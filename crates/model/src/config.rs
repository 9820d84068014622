//! What shape a GPT has: nanoGPT's names, written to and read from a Hugging Face `config.json`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warpsmith_ops::gelu::Form;
use warpsmith_tensor::{Error, Kind, Result};

/// The shape of a GPT-2-family decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct GptConfig {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// The longest sequence that the model can see: how many positions it has learned.
    pub block_size: usize,
    /// How many blocks.
    pub n_layer: usize,
    /// H: heads per block. Divides `n_embd`.
    pub n_head: usize,
    /// C: the width of the residual stream.
    pub n_embd: usize,
    /// The share of activations dropped in training, at least 0 and below 1.
    pub dropout: f64,
    /// Whether linear layers and layer norms have a bias.
    pub bias: bool,
    /// Which GELU: exact (nanoGPT) or tanh (the released GPT-2 weights).
    pub activation: Form,
    /// ε of the layer norms.
    pub layer_norm_epsilon: f64,
}

impl Default for GptConfig {
    /// nanoGPT's Shakespeare setting for a CPU: 4 layers, 4 heads, 128 wide, context 64, byte tokens.
    fn default() -> Self {
        Self {
            vocab_size: 256,
            block_size: 64,
            n_layer: 4,
            n_head: 4,
            n_embd: 128,
            dropout: 0.0,
            bias: false,
            activation: Form::Exact,
            layer_norm_epsilon: 1e-5,
        }
    }
}

impl GptConfig {
    /// GPT-2 124M with its 50,257 tokens.
    pub fn gpt2() -> Self {
        Self {
            vocab_size: 50_257,
            block_size: 1024,
            n_layer: 12,
            n_head: 12,
            n_embd: 768,
            bias: true,
            activation: Form::Tanh,
            ..Self::default()
        }
    }

    /// An error that names the first field that makes no model.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("block_size", self.block_size),
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
            ("n_embd", self.n_embd),
        ];
        check_sizes(&sizes)?;
        if !self.n_embd.is_multiple_of(self.n_head) {
            let message = format!("n_embd = {} is not divisible by n_head = {}", self.n_embd, self.n_head);
            let nearest = self.n_embd.div_ceil(self.n_head) * self.n_head;
            return Err(Error::value("config", message).hint(format!("n_embd = {nearest} would be")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::value("config", format!("dropout = {} is not in [0, 1)", self.dropout)));
        }
        Ok(())
    }

    /// How many numbers such a model learns. As f64: a config may ask for any number.
    pub fn parameter_count(&self) -> f64 {
        let [v, t, l, c] = [self.vocab_size, self.block_size, self.n_layer, self.n_embd].map(|n| n as f64);
        // Of a block: the products 3C² + C² + 4C² + 4C² and two norms; with biases two norms' more, and 3C + C + 4C + C.
        let block = 12.0 * c * c + if self.bias { 13.0 } else { 2.0 } * c;
        let last = if self.bias { 2.0 } else { 1.0 } * c;
        (v + t) * c + l * block + last
    }

    /// D: the width of a head.
    pub fn head_width(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// The text of `config.json`, as `transformers` reads it.
    pub fn to_json(&self) -> String {
        let json = ConfigJson {
            architectures: vec!["GPT2LMHeadModel".into()],
            model_type: "gpt2".into(),
            vocab_size: self.vocab_size,
            n_positions: self.block_size,
            n_layer: self.n_layer,
            n_head: self.n_head,
            n_embd: self.n_embd,
            activation_function: match self.activation {
                Form::Exact => "gelu".into(),
                Form::Tanh => "gelu_new".into(),
            },
            layer_norm_epsilon: self.layer_norm_epsilon,
            resid_pdrop: self.dropout,
            embd_pdrop: self.dropout,
            attn_pdrop: self.dropout,
            tie_word_embeddings: true,
            bias: self.bias,
            torch_dtype: "float32".into(),
            variants: Variants::default(),
        };
        // A struct of strings and finite numbers always serialises.
        serde_json::to_string_pretty(&json).unwrap_or_default() + "\n"
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it is not the config of a GPT-2-family model, or makes no model.
    pub fn from_json(text: &str) -> Result<Self> {
        let json: ConfigJson = parse(text)?;
        if json.model_type != "gpt2" {
            return Err(Error::value(
                "config.json",
                format!("model_type `{}` is not known", json.model_type),
            )
            .hint("this build knows gpt2"));
        }
        if !json.tie_word_embeddings {
            return Err(Error::value("config.json", "an untied head is not supported for gpt2"));
        }
        json.refuse_variants()?;
        let activation = match json.activation_function.as_str() {
            "gelu" => Form::Exact,
            "gelu_new" | "gelu_pytorch_tanh" => Form::Tanh,
            other => {
                return Err(Error::value(
                    "config.json",
                    format!("activation_function `{other}` is not known"),
                )
                .hint("gelu, gelu_new"));
            }
        };
        let config = Self {
            vocab_size: json.vocab_size,
            block_size: json.n_positions,
            n_layer: json.n_layer,
            n_head: json.n_head,
            n_embd: json.n_embd,
            dropout: json.resid_pdrop,
            bias: json.bias,
            activation,
            layer_norm_epsilon: json.layer_norm_epsilon,
        };
        config.validate()?;
        Ok(config)
    }
}

/// What transformers leaves out has its default there, and here.
#[derive(Serialize, Deserialize)]
struct ConfigJson {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: String,
    vocab_size: usize,
    n_positions: usize,
    n_layer: usize,
    n_head: usize,
    n_embd: usize,
    #[serde(default = "gelu_new")]
    activation_function: String,
    #[serde(default = "epsilon")]
    layer_norm_epsilon: f64,
    #[serde(default = "tenth")]
    resid_pdrop: f64,
    #[serde(default = "tenth")]
    embd_pdrop: f64,
    #[serde(default = "tenth")]
    attn_pdrop: f64,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    /// Ours: absent from Hugging Face's files, whose GPT-2 always has biases (and starts absent ones at zero).
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    torch_dtype: String,
    #[serde(flatten, skip_serializing)]
    variants: Variants,
}

/// Settings that change the numbers of a GPT-2, and that are not supported.
#[derive(Default, Deserialize)]
struct Variants {
    n_inner: Option<usize>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
    is_causal: Option<bool>,
}

impl ConfigJson {
    /// An error that names the first setting that asks for another model than this one.
    fn refuse_variants(&self) -> Result<()> {
        let v = &self.variants;
        let found = [
            ("n_inner", v.n_inner.is_some_and(|n| Some(n) != self.n_embd.checked_mul(4))),
            ("scale_attn_weights", v.scale_attn_weights == Some(false)),
            ("scale_attn_by_inverse_layer_idx", v.scale_attn_by_inverse_layer_idx == Some(true)),
            ("add_cross_attention", v.add_cross_attention == Some(true)),
            ("is_causal", v.is_causal == Some(false)),
        ];
        match found.iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Error::value("config.json", format!("{name} asks for a variant that is not supported"))
                    .hint("plain GPT-2: n_inner = 4·n_embd, scores divided by √D, no cross attention"))
            }
        }
    }
}

fn gelu_new() -> String {
    "gelu_new".into()
}

fn epsilon() -> f64 {
    1e-5
}

fn tenth() -> f64 {
    0.1
}

fn yes() -> bool {
    true
}

/// What a `config.json` says, as a family reads it.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::new(Kind::File, "config.json", e.to_string()))
}

/// An error that names the first size of which no model can be made.
pub(crate) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
        return Err(Error::value("config", format!("{name} is 0")).hint("it must be at least 1"));
    }
    match sizes.iter().find(|(_, size)| *size > 1 << 40) {
        Some((name, size)) => Err(Error::value("config", format!("{name} = {size} is beyond any memory"))),
        None => Ok(()),
    }
}

/// An error if answers begin with a token that the vocabulary does not have.
pub(crate) fn check_start_token(id: u32, vocab_size: usize) -> Result<()> {
    if (id as usize) < vocab_size {
        return Ok(());
    }
    let message = format!("decoder_start_token_id = {id}, but vocab_size = {vocab_size}");
    Err(Error::value("config", message).hint("write the id of the token that an answer begins with"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_its_json() {
        for config in
            [GptConfig::default(), GptConfig::gpt2(), GptConfig { dropout: 0.2, ..GptConfig::default() }]
        {
            assert_eq!(GptConfig::from_json(&config.to_json()).unwrap(), config);
        }
    }

    #[test]
    fn impossible_shapes_are_refused_with_advice() {
        let error =
            GptConfig { n_embd: 130, n_head: 4, ..GptConfig::default() }.validate().unwrap_err().to_string();
        assert!(error.contains("130 is not divisible by n_head = 4") && error.contains("132"), "{error}");
        assert!(GptConfig { n_layer: 0, ..GptConfig::default() }.validate().is_err());
        assert!(GptConfig { dropout: 1.0, ..GptConfig::default() }.validate().is_err());
        let json = GptConfig::default().to_json();
        assert!(GptConfig::from_json(&json.replace("gpt2\"", "mamba\"")).is_err());
        assert!(GptConfig::from_json("{").is_err());
        let inner = json.replace("\"bias\"", "\"n_inner\": 7, \"bias\"");
        assert!(GptConfig::from_json(&inner).unwrap_err().to_string().contains("n_inner"));
        let both_ways = json.replace("\"bias\"", "\"is_causal\": false, \"bias\"");
        assert!(GptConfig::from_json(&both_ways).unwrap_err().to_string().contains("is_causal"));
    }
}
