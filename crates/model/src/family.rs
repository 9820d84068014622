//! Which family of models a `config.json` describes, and what its models can be asked.

use std::collections::BTreeMap;
use std::fmt;

use warpsmith_tensor::{Device, Error, Result, Tensor};

use crate::causal::CausalModel;
use crate::classifier::is_classifier;
use crate::config::parse;
use crate::llama::{Llama, LlamaConfig, LlamaKind};
use crate::weights::Weights;
use crate::{Gpt, GptConfig};

/// A family of models: those that one file of this crate builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2: learned positions, layer norms, a tied head.
    Gpt,
    /// Llama and its kin: RMS norms, rotary positions, SwiGLU, grouped attention.
    Llama,
    /// BERT: an encoder, with or without a head.
    Bert,
    /// T5: an encoder and a decoder, with relative positions.
    T5,
    /// Marian: the encoder and the decoder of the original Transformer, with sinusoids.
    Marian,
}

impl Family {
    /// The family of a `config.json`, by its `model_type`.
    ///
    /// # Errors
    /// If the text is no JSON object with that key, or the type is not known: the error lists those that are.
    pub fn of(config: &str) -> Result<Self> {
        let model_type = model_type(config)?;
        let known = Self::all().find(|(name, _)| *name == model_type).map(|(_, family)| family);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(|(name, _)| name).collect();
            Error::value("config.json", format!("model_type `{model_type}` is not known"))
                .hint(names.join(", "))
        })
    }

    /// Each `model_type` that is known, with its family.
    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let llamas = LlamaKind::ALL.into_iter().map(|kind| (kind.name(), Self::Llama));
        std::iter::once(("gpt2", Self::Gpt)).chain(llamas).chain([
            ("bert", Self::Bert),
            ("t5", Self::T5),
            ("marian", Self::Marian),
        ])
    }

    /// Whether models of this family read a text and answer it.
    pub fn answers(self) -> bool {
        matches!(self, Self::T5 | Self::Marian)
    }

    /// An error unless models of this family say what token comes next.
    ///
    /// # Errors
    /// For an encoder, and for an encoder with a decoder: the error says what takes them.
    pub fn check_causal(self) -> Result<()> {
        let (what, hint) = match self {
            Self::Gpt | Self::Llama => return Ok(()),
            Self::Bert => ("reads a text and writes none", "`warpsmith embed` runs it"),
            Self::T5 | Self::Marian => {
                ("answers a text and does not write on from it", "`warpsmith generate` lets it answer")
            }
        };
        Err(Error::value("config.json", format!("a {self} {what}")).hint(hint))
    }

    /// An error unless models of this family have one hidden state for each token that they read.
    ///
    /// # Errors
    /// For an encoder with a decoder.
    pub fn check_reads(self) -> Result<()> {
        match self {
            Self::Gpt | Self::Llama | Self::Bert => Ok(()),
            Self::T5 | Self::Marian => {
                let message = format!("a {self} answers a text and makes no vector of it");
                Err(Error::value("config.json", message)
                    .hint("a BERT, a GPT-2 or a model of Llama's kind does"))
            }
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "GPT-2",
            Self::Llama => "Llama",
            Self::Bert => "BERT",
            Self::T5 => "T5",
            Self::Marian => "Marian",
        })
    }
}

/// The `model_type` of a `config.json`.
///
/// # Errors
/// If the text is no JSON object with that key.
pub fn model_type(config: &str) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Typed {
        model_type: String,
    }
    let typed: Typed = parse(config)?;
    Ok(typed.model_type)
}

/// An error if the architecture is a classifier's: its language head is gone.
fn check_writes(config: &str) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Architectures {
        #[serde(default)]
        architectures: Option<Vec<String>>,
    }
    let found: Architectures = parse(config)?;
    match found.architectures.iter().flatten().find(|name| is_classifier(name)) {
        None => Ok(()),
        Some(name) => Err(Error::value("config.json", format!("a {name} classifies texts and writes none"))
            .hint("`warpsmith classify` runs it")),
    }
}

/// The decoder that a `config.json` and the tensors of its weight files describe.
///
/// # Errors
/// If the family is not known or writes no text, or the config makes no model; if a tensor is missing, unexpected or
/// misshapen.
pub fn causal_model(
    config: &str,
    tensors: BTreeMap<String, Tensor>,
    device: &Device,
) -> Result<Box<dyn CausalModel>> {
    causal_model_from(config, &Weights::given(tensors, device))
}

/// As [`causal_model`], of weights in whatever form.
///
/// # Errors
/// As [`causal_model`].
pub fn causal_model_from(config: &str, weights: &Weights) -> Result<Box<dyn CausalModel>> {
    let family = Family::of(config)?;
    family.check_causal()?;
    check_writes(config)?;
    Ok(match family {
        Family::Llama => Box::new(Llama::from_weights(LlamaConfig::from_json(config)?, weights)?),
        _ => Box::new(Gpt::from_weights(GptConfig::from_json(config)?, weights)?),
    })
}
