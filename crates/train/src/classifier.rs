//! Folders of classifiers of texts: BERT, or a decoder with a head for labels in the place of its language head.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use warpsmith_autograd::no_grad;
use warpsmith_model::{Policy, TextClassifier, Weights};
use warpsmith_tensor::{DType, Device};
use warpsmith_text::Tokenizer;

use crate::folder::{
    CONFIG, TOKENIZER, TOKENIZER_CONFIG, ends, read_config, read_tensors, write_state, write_text,
};
use crate::sentence::{cut, longest, optional};
use crate::{Error, Result};

/// Texts that run through the model together.
const BATCH: usize = 32;
/// How the vocabularies of encoders call what fills up short texts.
const PADDING: [&str; 2] = ["[PAD]", "<pad>"];

/// A classifier and its tokenizer.
pub struct ClassifierFolder {
    /// The model.
    pub model: TextClassifier,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Tokens of a text that are read, special ones counted; what lies behind is cut off. It is written with the folder, since
    /// another number gives other answers.
    pub max_tokens: usize,
    pad: Option<u32>,
}

/// What a classifier says of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The likeliest label, by number.
    pub label: usize,
    /// A number for each label.
    pub logits: Vec<f32>,
    /// Their softmax: adds up to 1.
    pub probabilities: Vec<f64>,
    /// How many tokens were read, special ones counted.
    pub tokens: usize,
    /// How many were cut off.
    pub cut: usize,
}

/// What is used of a `config.json`.
#[derive(Deserialize)]
struct Padding {
    pad_token_id: Option<u32>,
}

impl ClassifierFolder {
    /// Reads the folder of a classifier, in the numbers that `policy` says.
    ///
    /// # Errors
    /// If the folder or a file is missing or damaged, the model is no classifier, or the files do not belong together.
    pub fn open(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Self> {
        let config = read_config(dir)?;
        let labels = TextClassifier::labels_of(&config).map_err(Error::at(dir))?;
        // What is no classifier says so before the weights are read.
        let tensors = if labels.is_some() { read_tensors(dir, &Device::Cpu)? } else { Default::default() };
        let model = TextClassifier::from_state(&config, tensors, policy, device).map_err(Error::at(dir))?;
        Self::with(dir, model, Tokenizer::from_file(dir)?)
    }

    /// Reads a folder that is to learn `labels`: a classifier that knows them all goes on with its head; a model of any other
    /// task gets one of `drawn`, in whose precision and on whose device the model is ([`Weights::random`]). Says whether the head
    /// is new.
    ///
    /// # Errors
    /// As [`ClassifierFolder::open`], but that the model may be a BERT of any task, a GPT-2 or one of Llama's kind.
    pub fn for_labels(dir: &Path, labels: &[String], drawn: &Weights) -> Result<(Self, bool)> {
        let config = read_config(dir)?;
        let known = TextClassifier::labels_of(&config).map_err(Error::at(dir))?.unwrap_or_default();
        if labels.iter().all(|label| known.contains(label)) {
            return Ok((Self::open(dir, drawn.precision(), drawn.device())?, false));
        }
        let (tokenizer, tensors) = (Tokenizer::from_file(dir)?, read_tensors(dir, drawn.device())?);
        let pad = padding(dir, &tokenizer)?;
        let model = TextClassifier::with_new_head(&config, tensors, labels.to_vec(), pad, drawn);
        Ok((Self::with(dir, model.map_err(Error::at(dir))?, tokenizer)?, true))
    }

    fn with(dir: &Path, model: TextClassifier, tokenizer: Tokenizer) -> Result<Self> {
        let (tokens, ids) = (tokenizer.vocab_size(), model.vocab_size());
        if tokens > ids {
            let problem =
                format!("the tokenizer has {tokens} tokens, the model {ids}; are they of one model?");
            return Err(Error::Run(format!("{}: {problem}", dir.display())));
        }
        let max_tokens = longest(dir, model.context())?;
        Ok(Self { pad: padding(dir, &tokenizer)?, model, tokenizer, max_tokens })
    }

    /// The ids of a text, with the marks that the model wants around it, and how many were cut off.
    ///
    /// # Errors
    /// If the text cannot be encoded, or has no token.
    pub fn read(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let whole = self.tokenizer.encode_with_special_tokens(text)?;
        let ids = match self.model.keeps_last() {
            true => cut(&whole, self.max_tokens),
            false => whole[..whole.len().min(self.max_tokens)].to_vec(),
        };
        let cut = whole.len() - ids.len();
        if ids.is_empty() { Err(Error::Run("the text has no token".into())) } else { Ok((ids, cut)) }
    }

    /// What the model says of each text: the same whatever texts stand beside it.
    ///
    /// # Errors
    /// As [`ClassifierFolder::read`].
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<Classified>> {
        let mut found = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let rows = texts.iter().map(|text| self.read(text)).collect::<Result<Vec<_>>>()?;
            let ids: Vec<&[u32]> = rows.iter().map(|(ids, _)| ids.as_slice()).collect();
            let logits = no_grad(|| self.model.forward(&ids, None))?.to_dtype(DType::F32)?.to_vec::<f32>()?;
            let of_text = logits.chunks(self.model.labels().len());
            found.extend(
                of_text.zip(&rows).map(|(logits, (ids, cut))| Classified::of(logits, ids.len(), *cut)),
            );
        }
        Ok(found)
    }

    /// Writes the model, its labels and its tokenizer, as transformers reads them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        write_text(dir, CONFIG, &self.model.config_json())?;
        write_text(dir, TOKENIZER, &self.tokenizer.to_json()?)?;
        let pad = self.pad.and_then(|id| self.tokenizer.id_to_token(id));
        // The class that reads a tokenizer.json as it is.
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": self.max_tokens, "pad_token": pad,
        });
        write_text(dir, TOKENIZER_CONFIG, &format!("{config:#}\n"))?;
        write_state(dir, &self.model.state())
    }
}

impl Classified {
    fn of(logits: &[f32], tokens: usize, cut: usize) -> Self {
        let most = largest(logits);
        Self {
            // The first of several that are the largest, as argmax has it.
            label: logits.iter().position(|x| *x == most).unwrap_or(0),
            logits: logits.to_vec(),
            probabilities: probabilities(logits),
            tokens,
            cut,
        }
    }
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The softmax of a row of logits.
pub(crate) fn probabilities(logits: &[f32]) -> Vec<f64> {
    let most = largest(logits);
    let shares: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(most)).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / sum).collect()
}

/// The token that fills up short texts: what the config says, or the vocabulary's, or the one that ends a text, which no text to
/// be classified has at its end.
fn padding(dir: &Path, tokenizer: &Tokenizer) -> Result<Option<u32>> {
    let config: Option<Padding> = optional(&dir.join(CONFIG))?;
    let named = || {
        let special = tokenizer.special_tokens();
        let is_named = |(name, _): &&(String, u32)| PADDING.contains(&name.as_str());
        special.iter().find(is_named).map(|(_, id)| *id)
    };
    let last = || Ok::<_, Error>(ends(dir, tokenizer)?.first().copied());
    match config.and_then(|config| config.pad_token_id).or_else(named) {
        Some(id) => Ok(Some(id)),
        None => last(),
    }
}
