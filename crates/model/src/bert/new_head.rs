//! Encoders that have read before, with a head for a task that they have not had.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use warpsmith_tensor::{Error, Result, Tensor};

use super::{BertConfig, BertTask, Task};
use crate::weights::{Init, Weights};

/// What the heads of all tasks are called in a weight file.
const HEADS: [&str; 3] = ["cls.", "qa_outputs.", "classifier."];

impl BertTask {
    /// A model whose encoder comes from the `config.json` and tensors of a model of any task, and whose head for `task` is `drawn`: see
    /// [`Weights::random`].
    ///
    /// # Errors
    /// If the config is no BERT's; if the task is to name masked words, whose head is not drawn but learned with the encoder; if a
    /// tensor of the encoder is missing, unexpected or misshapen.
    pub fn with_new_head(
        config: &str,
        tensors: BTreeMap<String, Tensor>,
        task: Task,
        drawn: &Weights,
    ) -> Result<Self> {
        Self::with_drawn_head(BertConfig::from_json(config)?.0, tensors, task, drawn)
    }

    /// The same for a config whose labels are those of the task.
    pub(crate) fn with_drawn_head(
        config: BertConfig,
        tensors: BTreeMap<String, Tensor>,
        task: Task,
        drawn: &Weights,
    ) -> Result<Self> {
        let (c, n, std) = (config.hidden_size, config.labels.len(), config.initializer_range);
        let layers: &[(&str, usize)] = match task {
            Task::Encode => &[],
            // Masked language models are saved without the pooler.
            Task::SequenceClassification => &[("bert.pooler.dense", c), ("classifier", n)],
            Task::TokenClassification => &[("classifier", n)],
            Task::QuestionAnswering => &[("qa_outputs", 2)],
            Task::MaskedLm => {
                return Err(Error::value("encoder", "a head for masked words is not drawn")
                    .hint("open a BertForMaskedLM, or begin with a model of random weights"));
            }
        };
        let is_prefixed = tensors.keys().any(|name| name.starts_with("bert."));
        let mut tensors: BTreeMap<String, Tensor> = tensors
            .into_iter()
            .filter(|(name, _)| !HEADS.iter().any(|head| name.starts_with(head)))
            .map(|(name, t)| (if is_prefixed { name } else { format!("bert.{name}") }, t))
            .collect();
        for (layer, rows) in layers {
            let parts: [(&str, &[usize], _); 2] =
                [("weight", &[*rows, c], Init::Normal(std)), ("bias", &[*rows], Init::Constant(0.0))];
            for (name, dims, init) in parts {
                if let Entry::Vacant(place) = tensors.entry(format!("{layer}.{name}")) {
                    place.insert(drawn.at(layer).parameter(name, dims, init)?.get().detach());
                }
            }
        }
        let weights = Weights::held(tensors, drawn.precision(), drawn.device());
        Self::from_weights(&config.to_json(task), &weights)
    }
}
