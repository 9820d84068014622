//! A decoder without its language head: who classifies texts or makes vectors of them reads its hidden states.

use warpsmith_tensor::{Error, Result, Rng, Tensor};

use crate::causal::CausalModel;
use crate::family::{Family, model_type};
use crate::llama::{Llama, LlamaConfig};
use crate::weights::Weights;
use crate::{Gpt, GptConfig};

const LM_HEAD: &str = "lm_head.weight";

/// A decoder of any family.
pub(crate) enum Body {
    Gpt(Gpt),
    Llama(Llama),
}

impl Body {
    /// The decoder that a `config.json` and the weights of its file describe. A head is left out, and need not be there.
    ///
    /// # Errors
    /// If the family is no decoder or the config makes no model; if a tensor is missing, unexpected or misshapen.
    pub(crate) fn from_weights(config: &str, weights: &Weights) -> Result<Self> {
        weights.rename(|mut tensors| {
            tensors.remove(LM_HEAD);
            tensors
        });
        match Family::of(config)? {
            Family::Llama => {
                // Without a language head there is nothing that could be untied.
                let config = LlamaConfig { tie_word_embeddings: true, ..LlamaConfig::from_json(config)? };
                Ok(Self::Llama(Llama::from_weights(config, weights)?))
            }
            Family::Gpt => Ok(Self::Gpt(Gpt::from_weights(GptConfig::from_json(config)?, weights)?)),
            _ => {
                let problem = format!("a {} is no decoder", model_type(config)?);
                Err(Error::value("config.json", problem).hint("GPT-2 and models of Llama's kind are"))
            }
        }
    }

    pub(crate) fn causal(&self) -> &dyn CausalModel {
        match self {
            Self::Gpt(model) => model,
            Self::Llama(model) => model,
        }
    }

    pub(crate) fn into_causal(self) -> Box<dyn CausalModel> {
        match self {
            Self::Gpt(model) => Box::new(model),
            Self::Llama(model) => Box::new(model),
        }
    }

    /// C
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Gpt(model) => model.config().n_embd,
            Self::Llama(model) => model.config().hidden_size,
        }
    }

    /// What a head would read: ids (B, T) → (B, T, C). With `rng`, activations are dropped.
    pub(crate) fn hidden(&self, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        match self {
            Self::Gpt(model) => model.hidden(ids, rng),
            Self::Llama(model) => model.hidden(ids, rng),
        }
    }
}
