//! A decoder that classifies: the hidden state of a sequence's last token, one product.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use warpsmith_autograd::Parameter;
use warpsmith_tensor::{Device, Result, Rng, Scope, Tensor};

use crate::bert::EncoderBatch;
use crate::body::Body;
use crate::config::{check_sizes, parse};
use crate::layers::Linear;
use crate::llama::LlamaKind;
use crate::pooling::Pooling;
use crate::weights::{Policy, Weights};

/// The head's name in transformers, and how the names of its classes end.
pub(super) const SCORE: &str = "score";
const ENDING: &str = "ForSequenceClassification";
/// The deviation of a new head, as transformers draws it.
const HEAD_STD: f64 = 0.02;

/// Whether a class of transformers classifies sequences.
pub(crate) fn is_classifier(architecture: &str) -> bool {
    architecture.ends_with(ENDING)
}

/// A body without its language head, and the product that classifies.
pub(super) struct DecoderClassifier {
    body: Body,
    score: Linear,
    labels: Vec<String>,
    pad: Option<u32>,
}

/// What a classifier's config says beside its body's.
#[derive(Deserialize)]
struct Json {
    id2label: Option<BTreeMap<String, String>>,
    pad_token_id: Option<u32>,
}

impl DecoderClassifier {
    pub(super) fn from_state(
        config: &str,
        tensors: BTreeMap<String, Tensor>,
        policy: Policy,
        device: &Device,
    ) -> Result<Self> {
        let json: Json = parse(config)?;
        let (body, score) = body_and_head(config, tensors, policy, device)?;
        let weights = Weights::held(score, policy.precision, device);
        Self::build(body, crate::labels::read(json.id2label)?, json.pad_token_id, &weights)
    }

    pub(super) fn new(
        config: &str,
        tensors: BTreeMap<String, Tensor>,
        labels: Vec<String>,
        pad: Option<u32>,
        drawn: &Weights,
    ) -> Result<Self> {
        let (body, _) = body_and_head(config, tensors, drawn.precision().into(), drawn.device())?;
        Self::build(body, labels, pad, drawn)
    }

    fn build(body: Body, labels: Vec<String>, pad: Option<u32>, weights: &Weights) -> Result<Self> {
        check_sizes(&[("num_labels", labels.len())])?;
        let sizes = (body.width(), labels.len());
        let score = Linear::transposed(&weights.at(SCORE), sizes, false, HEAD_STD)?;
        weights.finish()?;
        Ok(Self { body, score, labels, pad })
    }

    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    pub(super) fn device(&self) -> &Device {
        self.body.causal().device()
    }

    pub(super) fn context(&self) -> usize {
        self.body.causal().context()
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.body.causal().vocab_size()
    }

    /// Logits (B, labels). No token sees what stands behind it, so that the ids behind a sequence's end change nothing.
    pub(super) fn forward(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor> {
        let hidden = self.body.hidden(&batch.ids, rng)?; // (B, T, C)
        let _scope = Scope::enter("head");
        self.score.forward(&Pooling::Last.pool(&hidden, &batch.lengths)?)
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        [self.body.causal().parameters(), self.score.parameters()].concat()
    }

    pub(super) fn config_json(&self) -> String {
        let text = self.body.causal().config_json();
        let name = match &self.body {
            Body::Gpt(_) => "GPT2",
            Body::Llama(model) => match model.config().kind {
                LlamaKind::Llama => "Llama",
                LlamaKind::Mistral => "Mistral",
                LlamaKind::Qwen2 => "Qwen2",
                LlamaKind::Qwen3 => "Qwen3",
            },
        };
        let (by_id, by_label) = crate::labels::to_json(&self.labels);
        // What a model says of itself is an object.
        let mut json: Value = serde_json::from_str(&text).unwrap_or_default();
        json["architectures"] = json!([format!("{name}{ENDING}")]);
        json["id2label"] = by_id;
        json["label2id"] = by_label;
        json["pad_token_id"] = json!(self.pad);
        json["problem_type"] = json!("single_label_classification");
        format!("{json:#}\n")
    }
}

/// The body that these tensors hold, and those of the head.
fn body_and_head(
    config: &str,
    mut tensors: BTreeMap<String, Tensor>,
    policy: Policy,
    device: &Device,
) -> Result<(Body, BTreeMap<String, Tensor>)> {
    let score = format!("{SCORE}.weight");
    let head = tensors.remove(&score).map(|t| (score, t)).into_iter().collect();
    Ok((Body::from_weights(config, &Weights::held(tensors, policy, device))?, head))
}
