//! Sentence encoders: folders of BERT-class models, with what sentence-transformers says of how they are used.

use std::path::Path;

use serde::Deserialize;
use warpsmith_autograd::no_grad;
use warpsmith_model::{BertTask, EncoderBatch, Family, Held, Pooling, gguf_encoder};
use warpsmith_tensor::{DType, Device};
use warpsmith_text::Tokenizer;

use crate::folder::{CONFIG, parse_gguf, read, read_config, read_weights};
use crate::{Error, Result};

/// Texts that run through the model together.
const BATCH: usize = 32;

/// An encoder, its tokenizer, and how a text becomes one vector.
pub struct SentenceEncoder {
    /// The model.
    pub model: BertTask,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How the hidden states of a text become one vector.
    pub pooling: Pooling,
    /// Whether vectors are divided by their length.
    pub normalise: bool,
    /// Tokens of a text that are read, special ones counted; what lies behind is cut off.
    pub max_tokens: usize,
}

/// A text's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// C numbers.
    pub vector: Vec<f32>,
    /// How many tokens were read, special ones counted.
    pub tokens: usize,
    /// How many were cut off.
    pub cut: usize,
}

/// One of the modules that a folder lists in `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

/// `1_Pooling/config.json`.
#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

/// `sentence_bert_config.json`.
#[derive(Deserialize)]
struct Lengths {
    max_seq_length: Option<usize>,
}

impl SentenceEncoder {
    /// Reads a folder of a BERT. Without `modules.json` the vector is the mean, not normalised, as in sentence-transformers.
    /// Or a GGUF file of one, whose weights stay quantised; its vectors are normalised, as llama.cpp's are.
    ///
    /// # Errors
    /// If the folder or a file is missing or damaged, the model is no encoder, or the pooling is neither the mean nor the
    /// first token.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        if dir.is_file() {
            return Self::open_gguf(dir, device);
        }
        let config = read_config(dir)?;
        Family::of(&config).and_then(Family::check_encoder).map_err(Error::at(&dir.join(CONFIG)))?;
        let model = BertTask::from_weights(&config, &read_weights(dir, Held::AsStored, device)?)
            .map_err(Error::at(dir))?;
        let modules: Vec<Module> = optional(&dir.join("modules.json"))?.unwrap_or_default();
        let has = |kind: &str| modules.iter().any(|module| module.kind.ends_with(kind));
        let lengths: Option<Lengths> = optional(&dir.join("sentence_bert_config.json"))?;
        let most = model.encoder().config().max_position_embeddings;
        Ok(Self {
            tokenizer: Tokenizer::from_file(dir)?,
            pooling: pooling(&dir.join("1_Pooling/config.json"))?,
            normalise: has(".Normalize"),
            max_tokens: lengths.and_then(|l| l.max_seq_length).unwrap_or(most).min(most),
            model,
        })
    }

    fn open_gguf(path: &Path, device: &Device) -> Result<Self> {
        let bytes = read(path)?;
        let file = parse_gguf(path, &bytes)?;
        let (model, pooling) = gguf_encoder(&file, Held::AsStored, device).map_err(Error::at(path))?;
        Ok(Self {
            tokenizer: Tokenizer::from_gguf(&file).map_err(Error::at(path))?,
            pooling: pooling.unwrap_or(Pooling::Mean),
            normalise: true,
            max_tokens: model.encoder().config().max_position_embeddings,
            model,
        })
    }

    /// The vector of each text.
    ///
    /// # Errors
    /// If a text cannot be encoded or has no token, or an id is not among the model's.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let mut found = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let whole: Vec<Vec<u32>> = texts
                .iter()
                .map(|text| self.tokenizer.encode_with_special_tokens(text))
                .collect::<std::result::Result<_, _>>()?;
            let ids: Vec<Vec<u32>> = whole.iter().map(|ids| cut(ids, self.max_tokens)).collect();
            let rows: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
            let vectors = self.vectors(&rows)?;
            let width = vectors.len() / rows.len().max(1);
            for ((vector, ids), whole) in vectors.chunks(width.max(1)).zip(&ids).zip(&whole) {
                let (vector, tokens) = (vector.to_vec(), ids.len());
                found.push(Embedding { vector, tokens, cut: whole.len() - tokens });
            }
        }
        Ok(found)
    }

    /// The vectors (B, C) of sequences, one after the other.
    fn vectors(&self, rows: &[&[u32]]) -> Result<Vec<f32>> {
        let encoder = self.model.encoder();
        let batch = EncoderBatch::new(rows, None, encoder.device())?;
        let vectors = no_grad(|| {
            let hidden = encoder.forward(&batch, None)?;
            encoder.embed(&hidden, &batch, self.pooling, self.normalise)
        })?;
        Ok(vectors.to_dtype(DType::F32)?.to_vec()?)
    }
}

/// At most so many ids. The last stays, since it is the one that ends a text.
pub(crate) fn cut(ids: &[u32], longest: usize) -> Vec<u32> {
    match ids.split_last() {
        Some((last, rest)) if ids.len() > longest => {
            rest[..longest.saturating_sub(1)].iter().chain([last]).copied().collect()
        }
        _ => ids.to_vec(),
    }
}

/// The pooling that a file asks for; the mean if there is none.
fn pooling(path: &Path) -> Result<Pooling> {
    let Some(config) = optional::<PoolingConfig>(path)? else { return Ok(Pooling::Mean) };
    match (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token) {
        (true, false) => Ok(Pooling::Mean),
        (false, true) => Ok(Pooling::First),
        _ => Err(Error::Run(format!(
            "{}: this pooling is not known here; the mean of all tokens and the first token are",
            path.display()
        ))),
    }
}

/// What a JSON file holds, if it is there.
pub(crate) fn optional<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&read(path)?);
    parsed.map(Some).map_err(Error::at(path))
}
