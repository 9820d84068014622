//! A Llama-family config from and to the text of Hugging Face's `config.json`, in the form of transformers 4
//! (`rope_theta`, `rope_scaling`) and of transformers 5 (`rope_parameters`).

use serde::Deserialize;
use serde_json::{Value, json};
use warpsmith_tensor::{Error, Result};

use super::{LlamaConfig, LlamaKind};
use crate::config::parse;
use crate::layers::{Rope, Scaling};

/// No published model has a fiftieth of it.
const MOST_LAYERS: usize = 10_000;

/// The fields that decide about numbers. What is optional has a default in transformers, which leaves it out.
#[derive(Deserialize)]
struct Json {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeJson>,
    rope_parameters: Option<RopeJson>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default, deserialize_with = "present")]
    sliding_window: Option<Option<usize>>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    attention_dropout: f64,
    initializer_range: Option<f64>,
    partial_rotary_factor: Option<f64>,
    is_causal: Option<bool>,
}

/// Tells an absent key (`None`) from `null` (`Some(None)`).
fn present<'de, D: serde::Deserializer<'de>>(
    value: D,
) -> std::result::Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[derive(Deserialize)]
struct RopeJson {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

fn unsupported(what: impl Into<String>, hint: &'static str) -> Error {
    Error::value("config.json", what).hint(hint)
}

impl RopeJson {
    fn scaling(&self) -> Result<Scaling> {
        let need = |name: &str, value: Option<f64>| {
            value.ok_or_else(|| Error::value("config.json", format!("the rope scaling has no {name}")))
        };
        let original = || {
            let original = self.original_max_position_embeddings;
            original.ok_or_else(|| {
                Error::value("config.json", "the rope scaling has no original_max_position_embeddings")
            })
        };
        if self.partial_rotary_factor.is_some_and(|f| f != 1.0) {
            return Err(unsupported("partial_rotary_factor is not 1", "heads turn as a whole here"));
        }
        let factor = || need("factor", self.factor);
        match self.rope_type.as_deref().unwrap_or("default") {
            "default" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor: factor()? }),
            "dynamic" => Ok(Scaling::Dynamic { factor: factor()? }),
            "llama3" => Ok(Scaling::Llama3 {
                factor: factor()?,
                low_freq_factor: need("low_freq_factor", self.low_freq_factor)?,
                high_freq_factor: need("high_freq_factor", self.high_freq_factor)?,
                original: original()?,
            }),
            "yarn"
                if self.truncate == Some(false) || self.mscale.is_some() || self.mscale_all_dim.is_some() =>
            {
                Err(unsupported("yarn with mscale or truncate = false", "give attention_factor instead"))
            }
            "yarn" => Ok(Scaling::Yarn {
                factor: factor()?,
                original: original()?,
                beta_fast: self.beta_fast.unwrap_or(32.0),
                beta_slow: self.beta_slow.unwrap_or(1.0),
                attention_factor: self.attention_factor,
            }),
            other => Err(unsupported(
                format!("rope type `{other}` is not known"),
                "default, linear, dynamic, llama3, yarn",
            )),
        }
    }
}

impl Json {
    fn kind(&self) -> Result<LlamaKind> {
        LlamaKind::ALL.into_iter().find(|kind| kind.name() == self.model_type).ok_or_else(|| {
            unsupported(
                format!("model_type `{}` is not of the Llama family", self.model_type),
                "llama, mistral, qwen2, qwen3",
            )
        })
    }

    fn rope(&self) -> Result<Rope> {
        let given = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = given.and_then(|r| r.rope_theta).or(self.rope_theta).unwrap_or(1e4);
        Ok(Rope { theta, scaling: given.map_or(Ok(Scaling::None), RopeJson::scaling)? })
    }

    /// The window of each layer.
    fn windows(&self, kind: LlamaKind) -> Result<Vec<Option<usize>>> {
        let layers = self.num_hidden_layers;
        // Both families give a window of 4096 where their config names none.
        let window = match kind {
            LlamaKind::Llama => None,
            LlamaKind::Mistral => self.sliding_window.unwrap_or(Some(4096)),
            _ if !self.use_sliding_window => None,
            _ => self.sliding_window.unwrap_or(Some(4096)),
        };
        let Some(types) = self.layer_types.as_ref().filter(|_| kind != LlamaKind::Llama) else {
            let from = if kind == LlamaKind::Mistral { 0 } else { self.max_window_layers.unwrap_or(28) };
            return Ok((0..layers).map(|i| window.filter(|_| i >= from)).collect());
        };
        if types.len() != layers {
            let message = format!("{} layer_types for {layers} layers", types.len());
            return Err(Error::value("config.json", message));
        }
        let of_type = |name: &String| match name.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            other => Err(unsupported(format!("layer type `{other}`"), "full_attention, sliding_attention")),
        };
        types.iter().map(of_type).collect()
    }
}

impl LlamaConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it is not the config of a Llama-family model, asks for what is not supported, or makes no model.
    pub fn from_json(text: &str) -> Result<Self> {
        let json: Json = parse(text)?;
        let kind = json.kind()?;
        if json.is_causal == Some(false) {
            return Err(unsupported("is_causal is false", "a token sees what stands before it, and no more"));
        }
        // One function by two names.
        if !matches!(json.hidden_act.as_deref(), None | Some("silu" | "swish")) {
            return Err(unsupported("hidden_act is not silu", "the gated network is SwiGLU"));
        }
        if json.partial_rotary_factor.is_some_and(|f| f != 1.0) {
            return Err(unsupported("partial_rotary_factor is not 1", "heads turn as a whole here"));
        }
        if json.num_hidden_layers > MOST_LAYERS {
            let message = format!("num_hidden_layers = {}", json.num_hidden_layers);
            return Err(Error::value("config.json", message).hint(format!("at most {MOST_LAYERS}")));
        }
        let heads = json.num_attention_heads;
        let (kv_heads, head_dim) = match kind {
            LlamaKind::Llama => (heads, None),
            LlamaKind::Mistral => (8, None),
            LlamaKind::Qwen2 => (32, None),
            LlamaKind::Qwen3 => (32, Some(128)),
        };
        let even_share = json.hidden_size.checked_div(heads).unwrap_or(0);
        let config = Self {
            kind,
            vocab_size: json.vocab_size,
            hidden_size: json.hidden_size,
            intermediate_size: json.intermediate_size,
            num_hidden_layers: json.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: json.num_key_value_heads.unwrap_or(kv_heads),
            head_dim: json.head_dim.or(head_dim).unwrap_or(even_share),
            max_position_embeddings: json.max_position_embeddings,
            rms_norm_eps: json.rms_norm_eps.unwrap_or(1e-6),
            rope: json.rope()?,
            tie_word_embeddings: json.tie_word_embeddings,
            attention_bias: match kind {
                LlamaKind::Llama | LlamaKind::Qwen3 => json.attention_bias,
                LlamaKind::Mistral => false,
                LlamaKind::Qwen2 => true,
            },
            mlp_bias: json.mlp_bias && kind == LlamaKind::Llama,
            windows: json.windows(kind)?,
            attention_dropout: json.attention_dropout,
            initializer_range: json.initializer_range.unwrap_or(0.02),
        };
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`, as transformers 4 and 5 read it.
    pub fn to_json(&self) -> String {
        let architecture = match self.kind {
            LlamaKind::Llama => "LlamaForCausalLM",
            LlamaKind::Mistral => "MistralForCausalLM",
            LlamaKind::Qwen2 => "Qwen2ForCausalLM",
            LlamaKind::Qwen3 => "Qwen3ForCausalLM",
        };
        let window = self.windows.iter().copied().flatten().next();
        let mut json = json!({
            "architectures": [architecture],
            "model_type": self.kind.name(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "hidden_act": "silu",
            "rope_theta": self.rope.theta,
            "rope_scaling": scaling_json(&self.rope.scaling),
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_dropout": self.attention_dropout,
            "initializer_range": self.initializer_range,
            "torch_dtype": "float32",
        });
        let mut set = |key: &str, value: Value| json[key] = value;
        match self.kind {
            LlamaKind::Llama => {
                set("attention_bias", json!(self.attention_bias));
                set("mlp_bias", json!(self.mlp_bias));
            }
            LlamaKind::Mistral => set("sliding_window", json!(window)),
            LlamaKind::Qwen2 | LlamaKind::Qwen3 => {
                let name =
                    |w: &Option<usize>| if w.is_some() { "sliding_attention" } else { "full_attention" };
                set("use_sliding_window", json!(window.is_some()));
                set("sliding_window", json!(window));
                set("layer_types", json!(self.windows.iter().map(name).collect::<Vec<_>>()));
                if self.kind == LlamaKind::Qwen3 {
                    set("attention_bias", json!(self.attention_bias));
                }
            }
        }
        format!("{json:#}\n")
    }
}

fn scaling_json(scaling: &Scaling) -> Value {
    match scaling {
        Scaling::None => Value::Null,
        Scaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        Scaling::Dynamic { factor } => json!({ "rope_type": "dynamic", "factor": factor }),
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original,
        }),
        Scaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor } => {
            let mut json = json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original,
                "beta_fast": beta_fast,
                "beta_slow": beta_slow,
            });
            if let Some(factor) = attention_factor {
                json["attention_factor"] = json!(factor);
            }
            json
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A config that says no more than it must.
    fn least(kind: &str) -> Value {
        json!({
            "model_type": kind, "vocab_size": 37, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        })
    }

    fn read(json: &Value) -> Result<LlamaConfig> {
        LlamaConfig::from_json(&json.to_string())
    }

    #[test]
    fn configs_survive_their_json() {
        let scalings = [
            Scaling::None,
            Scaling::Linear { factor: 2.0 },
            Scaling::Dynamic { factor: 2.0 },
            Scaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 16 },
            Scaling::Yarn {
                factor: 4.0,
                original: 16,
                beta_fast: 32.0,
                beta_slow: 1.0,
                attention_factor: Some(1.5),
            },
        ];
        for kind in LlamaKind::ALL {
            for scaling in &scalings {
                let window = if kind == LlamaKind::Llama { None } else { Some(5) };
                let config = LlamaConfig {
                    kind,
                    windows: vec![window; 4],
                    attention_bias: kind == LlamaKind::Qwen2,
                    rope: Rope { theta: 5e5, scaling: scaling.clone() },
                    ..LlamaConfig::default()
                };
                assert_eq!(LlamaConfig::from_json(&config.to_json()).unwrap(), config);
            }
        }
    }

    #[test]
    fn windows_are_where_each_family_has_them() {
        let windows = |json: &Value| read(json).unwrap().windows;
        assert_eq!(windows(&least("llama")), [None, None]);
        let mut mistral = least("mistral");
        assert_eq!(windows(&mistral), [Some(4096), Some(4096)]);
        mistral["sliding_window"] = Value::Null;
        assert_eq!(windows(&mistral), [None, None]);
        let mut qwen = least("qwen2");
        qwen["sliding_window"] = json!(5);
        assert_eq!(windows(&qwen), [None, None]);
        qwen["use_sliding_window"] = json!(true);
        qwen["max_window_layers"] = json!(1);
        assert_eq!(windows(&qwen), [None, Some(5)]);
        qwen["layer_types"] = json!(["sliding_attention", "full_attention"]);
        assert_eq!(windows(&qwen), [Some(5), None]);
    }

    #[test]
    fn both_spellings_of_rope_are_read() {
        let scaling = json!({ "type": "linear", "factor": 2.0 });
        let mut old = least("llama");
        (old["rope_theta"], old["rope_scaling"]) = (json!(500.0), scaling);
        let mut new = least("llama");
        new["rope_parameters"] = json!({ "rope_type": "linear", "factor": 2.0, "rope_theta": 500.0 });
        let rope = Rope { theta: 500.0, scaling: Scaling::Linear { factor: 2.0 } };
        assert_eq!(read(&old).unwrap().rope, rope);
        assert_eq!(read(&new).unwrap().rope, rope);
        assert_eq!(read(&old).unwrap().context(), 128);
    }

    #[test]
    fn silu_has_two_names() {
        let mut json = least("llama");
        json["hidden_act"] = json!("swish");
        assert_eq!(read(&json).unwrap(), read(&least("llama")).unwrap());
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let with = |key: &str, value: Value| {
            let mut json = least("llama");
            json[key] = value;
            read(&json).unwrap_err().to_string()
        };
        assert!(with("model_type", json!("mamba")).contains("mamba"));
        assert!(with("hidden_act", json!("gelu")).contains("hidden_act"));
        assert!(with("is_causal", json!(false)).contains("is_causal is false"));
        assert!(with("rope_scaling", json!({ "rope_type": "longrope" })).contains("longrope"));
        assert!(with("rope_scaling", json!({ "rope_type": "linear" })).contains("no factor"));
        assert!(with("num_key_value_heads", json!(3)).contains("no multiple"));
        assert!(with("num_attention_heads", json!(0)).contains("num_attention_heads is 0"));
        assert!(with("num_hidden_layers", json!(1u64 << 60)).contains("at most"));
        assert!(with("head_dim", json!(7)).contains("odd"));
        assert!(with("rope_theta", json!(-1.0)).contains("rope_theta"));
    }
}
