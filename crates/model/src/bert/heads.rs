//! What an encoder is asked: masked words, labels of texts or of tokens, the span of an answer.

use std::collections::BTreeMap;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Rng, Scope, Seed, Tensor};

use super::{Bert, BertConfig, EncoderBatch};
use crate::block::drop_out;
use crate::layers::{LayerNorm, Linear};
use crate::weights::{Init, Weights, state};

/// What a BERT model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Hidden states and a pooled vector.
    Encode,
    /// The logits of the word at each position.
    MaskedLm,
    /// The logits of the labels of a text.
    SequenceClassification,
    /// The logits of the labels of each token.
    TokenClassification,
    /// The logits of each token to begin or to end the answer.
    QuestionAnswering,
}

impl Task {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Encode, "BertModel"),
        (Self::MaskedLm, "BertForMaskedLM"),
        (Self::SequenceClassification, "BertForSequenceClassification"),
        (Self::TokenClassification, "BertForTokenClassification"),
        (Self::QuestionAnswering, "BertForQuestionAnswering"),
    ];

    /// The class of transformers that does this.
    pub fn architecture(self) -> &'static str {
        Self::ALL.iter().find(|(task, _)| *task == self).map_or("", |(_, name)| name)
    }

    /// The task of a class of transformers.
    ///
    /// # Errors
    /// If it is none of those known here.
    pub fn from_architecture(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(task, _)| *task);
        found.ok_or_else(|| {
            let known = Self::ALL.map(|(_, name)| name).join(", ");
            Error::value("config.json", format!("architecture `{name}` is not known")).hint(known)
        })
    }
}

/// An encoder and what it is asked.
#[derive(Clone, Debug)]
pub struct BertTask {
    encoder: Bert,
    task: Task,
    head: Head,
}

#[derive(Clone, Debug)]
enum Head {
    None,
    /// Dense, activation, norm, then the product with the word embedding and a bias.
    Words {
        dense: Linear,
        norm: LayerNorm,
        decoder: Linear,
        bias: Parameter,
    },
    Classifier(Linear),
}

impl Head {
    fn build(config: &BertConfig, weights: &Weights, task: Task, encoder: &Bert) -> Result<Self> {
        let (c, std) = (config.hidden_size, config.initializer_range);
        let linear = |name, n| Linear::transposed(&weights.at(name), (c, n), true, std);
        match task {
            Task::Encode => Ok(Self::None),
            Task::MaskedLm => {
                let root = weights.at("cls.predictions");
                Ok(Self::Words {
                    dense: linear("cls.predictions.transform.dense", c)?,
                    norm: LayerNorm::new(&root.at("transform.LayerNorm"), c, true, config.layer_norm_eps)?,
                    decoder: Linear::tied(&encoder.words),
                    bias: root.parameter("bias", &[config.vocab_size], Init::Constant(0.0))?,
                })
            }
            Task::SequenceClassification | Task::TokenClassification => {
                linear("classifier", config.labels.len()).map(Self::Classifier)
            }
            Task::QuestionAnswering => linear("qa_outputs", 2).map(Self::Classifier),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::None => Vec::new(),
            Self::Words { dense, norm, bias, .. } => {
                [dense.parameters(), norm.parameters(), vec![bias.clone()]].concat()
            }
            Self::Classifier(linear) => linear.parameters(),
        }
    }
}

/// Tensors that exporters add, and that hold nothing that these tasks need.
const IGNORED: [&str; 2] = ["embeddings.position_ids", "cls.seq_relationship."];

/// The tensors of a file under the names of a model with a head: plain encoders are saved without the prefix, TensorFlow's
/// norms have a gamma and a beta, and masked language models may bring a pooler that they do not use.
fn names(tensors: BTreeMap<String, Tensor>, task: Task) -> BTreeMap<String, Tensor> {
    let is_prefixed = tensors.keys().any(|name| name.starts_with("bert."));
    let pooled = matches!(task, Task::Encode | Task::SequenceClassification);
    let rename = |name: String| {
        let name = if is_prefixed { name } else { format!("bert.{name}") };
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    };
    tensors
        .into_iter()
        .map(|(name, t)| (rename(name), t))
        .filter(|(name, _)| !IGNORED.iter().any(|ignored| name.contains(ignored)))
        .filter(|(name, _)| pooled || !name.starts_with("bert.pooler."))
        .collect()
}

impl BertTask {
    /// A model with random weights.
    ///
    /// # Errors
    /// If the config makes no model, or memory runs out.
    pub fn new(config: BertConfig, task: Task, device: &Device, seed: Seed) -> Result<Self> {
        Self::build(config, task, &Weights::random(seed, device))
    }

    /// The model that a `config.json` and the tensors of its weight file describe.
    ///
    /// # Errors
    /// If the config makes no model; if a tensor is missing, unexpected or misshapen.
    pub fn from_state(config: &str, tensors: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        Self::from_weights(config, &Weights::given(tensors, device))
    }

    /// As [`BertTask::from_state`], of weights in whatever form.
    ///
    /// # Errors
    /// As [`BertTask::from_state`].
    pub fn from_weights(config: &str, weights: &Weights) -> Result<Self> {
        let (config, task) = BertConfig::from_json(config)?;
        weights.rename(|tensors| names(tensors, task));
        weights.tie("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight")?;
        weights.tie("cls.predictions.bias", "cls.predictions.decoder.bias")?;
        Self::build(config, task, weights)
    }

    fn build(config: BertConfig, task: Task, weights: &Weights) -> Result<Self> {
        let pooled = matches!(task, Task::Encode | Task::SequenceClassification);
        let encoder = Bert::build(config, &weights.at("bert"), pooled)?;
        let head = Head::build(encoder.config(), weights, task, &encoder)?;
        weights.finish()?;
        Ok(Self { encoder, task, head })
    }

    /// A plain encoder whose file has no pooler.
    pub(crate) fn without_pooler(config: BertConfig, weights: &Weights) -> Result<Self> {
        let encoder = Bert::build(config, &weights.at("bert"), false)?;
        weights.finish()?;
        Ok(Self { encoder, task: Task::Encode, head: Head::None })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Bert {
        &self.encoder
    }

    /// What the model is for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The answers, as logits: (B, T, V) of words; (B, labels) of texts; (B, T, labels) of tokens; (B, T, 2) of the
    /// answer's start and end; for plain encoders the pooled vectors (B, C). With `rng`, activations are dropped.
    ///
    /// # Errors
    /// As [`Bert::forward`].
    pub fn forward(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor> {
        let hidden = self.encoder.forward(batch, rng)?;
        let _scope = Scope::enter("head");
        let x = match self.encoder.pooled(&hidden)? {
            Some(pooled) => pooled,
            None => hidden,
        };
        let config = self.encoder.config();
        match &self.head {
            Head::None => Ok(x),
            Head::Words { dense, norm, decoder, bias } => {
                let x = norm.forward(&config.hidden_act.after(dense, &x)?)?;
                decoder.forward(&x)?.add(&bias.get())
            }
            Head::Classifier(linear) => {
                // Answers are asked of hidden states as they are; labels of ones with some dropped.
                let dropped =
                    if self.task == Task::QuestionAnswering { 0.0 } else { config.hidden_dropout_prob };
                linear.forward(&drop_out(x, dropped, rng)?)
            }
        }
    }

    /// All parameters, tied ones once, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        [self.encoder.parameters(), self.head.parameters()].concat()
    }

    /// All weights by their names in transformers: what a weight file holds.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        state(&self.parameters()).into_iter().map(|(name, t)| (self.name_in_file(name), t)).collect()
    }

    /// The name that a weight has in transformers: those of plain encoders have no prefix.
    pub fn name_in_file(&self, name: String) -> String {
        match self.task {
            Task::Encode => name.trim_start_matches("bert.").into(),
            _ => name,
        }
    }

    /// The text of the model's `config.json`.
    pub fn config_json(&self) -> String {
        self.encoder.config().to_json(self.task)
    }
}
