//! Classifiers of texts: an encoder asked by its first token, or a decoder asked by its last, which has seen all others.
//!
//! Sources: Devlin et al., *BERT*, 2018, arXiv 1810.04805, §4.1 (the pooled first token); Radford et al., *Improving Language
//! Understanding by Generative Pre-Training*, 2018, §3.2 (the last token of a decoder).

mod decoder;

use std::collections::BTreeMap;

use serde::Deserialize;
use warpsmith_autograd::Parameter;
use warpsmith_tensor::{Device, Error, Result, Rng, Tensor};

use crate::bert::{BertConfig, BertTask, EncoderBatch, Task};
use crate::config::parse;
use crate::family::Family;
use crate::weights::{Policy, Weights};

pub(crate) use decoder::is_classifier;
use decoder::{DecoderClassifier, SCORE};

/// The head of an encoder in a weight file, and the layer before it.
const CLASSIFIER: &str = "classifier";
const POOLER: &str = "bert.pooler.dense";
/// How the names of tables of tokens end: of BERT, GPT-2, and models of Llama's kind.
const TOKEN_TABLES: [&str; 3] = ["word_embeddings.weight", "wte.weight", "embed_tokens.weight"];

/// A model that gives a sequence of ids a logit for each of its labels.
pub struct TextClassifier {
    kind: Kind,
}

enum Kind {
    Encoder(BertTask),
    Decoder(DecoderClassifier),
}

/// What decides about the head.
#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, String>>,
    problem_type: Option<String>,
}

impl Json {
    fn is_classifier(&self) -> bool {
        self.architectures.iter().flatten().next().is_some_and(|name| is_classifier(name))
    }

    /// An error unless a text has one label of several, which is what a softmax over them is about.
    fn check_problem(&self) -> Result<()> {
        let problem = self.problem_type.as_deref().filter(|name| *name != "single_label_classification");
        let problem = problem.map(|name| format!("problem_type is {name}")).or_else(|| {
            let labels = self.id2label.as_ref().map_or(2, BTreeMap::len);
            (labels == 1).then(|| "one label is a score, and no choice".into())
        });
        problem.map_or(Ok(()), |problem| {
            Err(Error::value("config.json", problem).hint("a text has one of several labels here"))
        })
    }
}

impl TextClassifier {
    /// The classifier that a `config.json` and the tensors of its weight files describe. With
    /// [`Held::AsStored`](crate::Held::AsStored) matrices of 16 bits stay so, and it can be asked but not trained or written.
    ///
    /// # Errors
    /// If it is no classifier of a family that is known here; if a tensor is missing, unexpected or misshapen.
    pub fn from_state(
        config: &str,
        tensors: BTreeMap<String, Tensor>,
        policy: impl Into<Policy>,
        device: &Device,
    ) -> Result<Self> {
        let (json, policy): (Json, Policy) = (parse(config)?, policy.into());
        if !json.is_classifier() {
            return Err(Error::value("config.json", "the architecture is no classifier of texts").hint(
                "`warpsmith finetune --task classify` makes one of a BERT, a GPT-2 or a model of Llama's kind",
            ));
        }
        json.check_problem()?;
        let kind = match Family::of(config)? {
            Family::Bert => {
                Kind::Encoder(BertTask::from_weights(config, &Weights::held(tensors, policy, device))?)
            }
            Family::Gpt | Family::Llama => {
                Kind::Decoder(DecoderClassifier::from_state(config, tensors, policy, device)?)
            }
            family @ (Family::T5 | Family::Marian) => return Err(no_classifier(family)),
        };
        Ok(Self { kind })
    }

    /// The names of the classes of a `config.json`, if it describes a classifier.
    ///
    /// # Errors
    /// If the text is no config, or its labels are not numbered from 0.
    pub fn labels_of(config: &str) -> Result<Option<Vec<String>>> {
        let json: Json = parse(config)?;
        if json.is_classifier() { crate::labels::read(json.id2label).map(Some) } else { Ok(None) }
    }

    /// A classifier whose body comes from a model of any task, and whose head for `labels` is `drawn`, in whose precision all
    /// is multiplied ([`Weights::random`]). `pad` fills up short sequences where transformers reads them together.
    ///
    /// # Errors
    /// If the family is not known or reads no text by itself, there are no labels; if a tensor of the body is missing,
    /// unexpected or misshapen.
    pub fn with_new_head(
        config: &str,
        tensors: BTreeMap<String, Tensor>,
        labels: Vec<String>,
        pad: Option<u32>,
        drawn: &Weights,
    ) -> Result<Self> {
        let kind = match Family::of(config)? {
            Family::Bert => {
                let config = BertConfig { labels, ..BertConfig::from_json(config)?.0 };
                let task = Task::SequenceClassification;
                Kind::Encoder(BertTask::with_drawn_head(config, tensors, task, drawn)?)
            }
            Family::Gpt | Family::Llama => {
                Kind::Decoder(DecoderClassifier::new(config, tensors, labels, pad, drawn)?)
            }
            family @ (Family::T5 | Family::Marian) => return Err(no_classifier(family)),
        };
        Ok(Self { kind })
    }

    /// The names of the classes, by number.
    pub fn labels(&self) -> &[String] {
        match &self.kind {
            Kind::Encoder(model) => &model.encoder().config().labels,
            Kind::Decoder(model) => model.labels(),
        }
    }

    /// Where the model lives.
    pub fn device(&self) -> &Device {
        match &self.kind {
            Kind::Encoder(model) => model.encoder().device(),
            Kind::Decoder(model) => model.device(),
        }
    }

    /// The longest sequence that the model can read.
    pub fn context(&self) -> usize {
        match &self.kind {
            Kind::Encoder(model) => model.encoder().config().max_position_embeddings,
            Kind::Decoder(model) => model.context(),
        }
    }

    /// V: how many ids the model knows.
    pub fn vocab_size(&self) -> usize {
        match &self.kind {
            Kind::Encoder(model) => model.encoder().config().vocab_size,
            Kind::Decoder(model) => model.vocab_size(),
        }
    }

    /// Whether the last id of a sequence ends it, and stays if the sequence is cut: the mark behind an encoder's text.
    pub fn keeps_last(&self) -> bool {
        matches!(self.kind, Kind::Encoder(_))
    }

    /// Logits (B, labels) of sequences of any lengths. With `rng`, activations are dropped. A sequence's logits do not depend on
    /// the others.
    ///
    /// # Errors
    /// If there is no sequence, one is empty or too long, or an id is not below V.
    pub fn forward(&self, sequences: &[&[u32]], rng: Option<&Rng>) -> Result<Tensor> {
        let batch = EncoderBatch::new(sequences, None, self.device())?;
        match &self.kind {
            Kind::Encoder(model) => model.forward(&batch, rng),
            Kind::Decoder(model) => model.forward(&batch, rng),
        }
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        match &self.kind {
            Kind::Encoder(model) => model.parameters(),
            Kind::Decoder(model) => model.parameters(),
        }
    }

    /// The parameters behind the body: the head, and what an encoder pools with.
    pub fn head(&self) -> Vec<Parameter> {
        let is_head =
            |p: &Parameter| [CLASSIFIER, POOLER, SCORE].iter().any(|name| p.name().starts_with(name));
        self.parameters().into_iter().filter(is_head).collect()
    }

    /// The table (V, C) that tokens are looked up in, if the body has one that learns.
    pub fn token_table(&self) -> Option<Parameter> {
        let is_table = |p: &Parameter| TOKEN_TABLES.iter().any(|name| p.name().ends_with(name));
        self.parameters().into_iter().find(is_table)
    }

    /// All weights by their names in transformers: what a weight file holds.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        crate::weights::state(&self.parameters())
    }

    /// The text of the model's `config.json`.
    pub fn config_json(&self) -> String {
        match &self.kind {
            Kind::Encoder(model) => model.config_json(),
            Kind::Decoder(model) => model.config_json(),
        }
    }
}

fn no_classifier(family: Family) -> Error {
    Error::value("config.json", format!("a {family} is no classifier here"))
        .hint("BERT, GPT-2 and models of Llama's kind are")
}
