//! Sentence encoders: folders of encoders and decoders, with what sentence-transformers says of how they are used.

mod prompts;

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use warpsmith_model::{EncoderBatch, Family, Policy, Pooling, TextReader, gguf_reader};
use warpsmith_tensor::{DType, Device};
use warpsmith_text::Tokenizer;

use crate::folder::{CONFIG, TOKENIZER_CONFIG, read, read_config, read_weights};
use crate::on_disk::GgufFile;
use crate::{Error, Result};

pub use prompts::Prompts;

/// Texts that run through the model together.
const BATCH: usize = 32;

/// A model that reads, its tokenizer, and how a text becomes one vector.
pub struct SentenceEncoder {
    /// The model.
    pub model: TextReader,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How the hidden states of a text become one vector.
    pub pooling: Pooling,
    /// Whether vectors are divided by their length.
    pub normalise: bool,
    /// Tokens of a text that are read, special ones counted; what lies behind is cut off.
    pub max_tokens: usize,
    /// The prompts that the folder names.
    pub prompts: Prompts,
    /// What stands before every text: the usual one of those, or nothing.
    pub prompt: String,
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

/// The modules that are known: what reads, what makes one vector of hidden states, and what divides that by its length.
const MODULES: [&str; 3] = [".Transformer", ".Pooling", ".Normalize"];

/// `pooling_mode`, or what stands behind it and an underscore in older files, and the pooling that it is.
const POOLINGS: [(&str, &str, Pooling); 3] = [
    ("mean", "mean_tokens", Pooling::Mean),
    ("cls", "cls_token", Pooling::First),
    ("lasttoken", "lasttoken", Pooling::Last),
];

/// `sentence_bert_config.json`.
#[derive(Deserialize)]
struct Lengths {
    max_seq_length: Option<usize>,
}

impl SentenceEncoder {
    /// Reads a folder of a BERT or of a decoder, whose head is left out. Without `modules.json` the vector is the mean, not
    /// normalised, as in sentence-transformers. Or a GGUF file of one; its vectors are normalised, as llama.cpp's are, and the
    /// mean if it says nothing.
    ///
    /// # Errors
    /// If the folder or a file is missing or damaged, the model is a T5, the pooling is neither the mean nor the first nor the
    /// last token, or the folder lists a module that is not known.
    pub fn open(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Self> {
        if dir.is_file() {
            return Self::open_gguf(dir, policy.into(), device);
        }
        let config = read_config(dir)?;
        Family::of(&config).and_then(Family::check_reads).map_err(Error::at(&dir.join(CONFIG)))?;
        let model =
            TextReader::from_weights(&config, &read_weights(dir, policy, device)?).map_err(Error::at(dir))?;
        let modules: Vec<Module> = optional(&dir.join("modules.json"))?.unwrap_or_default();
        let has = |kind: &str| modules.iter().any(|module| module.kind.ends_with(kind));
        let is_known = |module: &&Module| MODULES.iter().any(|kind| module.kind.ends_with(kind));
        if let Some(Module { kind }) = modules.iter().find(|module| !is_known(module)) {
            let known = MODULES.map(|kind| &kind[1..]).join(", ");
            let problem = format!("the module {kind} is not known here; {known} are");
            return Err(Error::Run(format!("{}: {problem}", dir.join("modules.json").display())));
        }
        let lengths: Option<Lengths> = optional(&dir.join("sentence_bert_config.json"))?;
        let most = model.context();
        let asked = lengths.and_then(|lengths| lengths.max_seq_length);
        let max_tokens = asked.map_or_else(|| longest(dir, most), |asked| Ok(asked.min(most)))?;
        let pooled = dir.join("1_Pooling/config.json");
        let prompts = Prompts::of(dir, &pooled)?;
        Ok(Self {
            tokenizer: Tokenizer::from_file(dir)?,
            pooling: pooling(&pooled)?,
            normalise: has(".Normalize"),
            max_tokens,
            prompt: prompts.usual().to_owned(),
            prompts,
            model,
        })
    }

    fn open_gguf(path: &Path, policy: Policy, device: &Device) -> Result<Self> {
        let file = GgufFile::open(path)?;
        let file = file.parse()?;
        let (model, pooling) = gguf_reader(&file, policy, device).map_err(Error::at(path))?;
        Ok(Self {
            tokenizer: Tokenizer::from_gguf(&file).map_err(Error::at(path))?,
            pooling: pooling.unwrap_or(Pooling::Mean),
            normalise: true,
            max_tokens: model.context(),
            prompts: Prompts::default(),
            prompt: String::new(),
            model,
        })
    }

    /// The vector of each text, read behind the prompt.
    ///
    /// # Errors
    /// If a text cannot be encoded or has no token, or an id is not among the model's.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let mut found = Vec::with_capacity(texts.len());
        let frame = self.tokenizer.encode_with_special_tokens("")?;
        for texts in texts.chunks(self.model.most_together(BATCH)) {
            let whole: Vec<Vec<u32>> = texts
                .iter()
                .map(|text| self.tokenizer.encode_with_special_tokens(&format!("{}{text}", self.prompt)))
                .collect::<std::result::Result<_, _>>()?;
            let ids: Vec<Vec<u32>> = whole.iter().map(|ids| self.cut(ids, &frame)).collect();
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

    /// As many ids as are read; `frame` is what stands around a text. Decoders may have no mark behind it.
    fn cut(&self, ids: &[u32], frame: &[u32]) -> Vec<u32> {
        match frame.last().is_some_and(|mark| ids.last() == Some(mark)) {
            true => cut(ids, self.max_tokens),
            false => ids[..ids.len().min(self.max_tokens)].to_vec(),
        }
    }

    /// The vectors (B, C) of sequences, one after the other.
    fn vectors(&self, rows: &[&[u32]]) -> Result<Vec<f32>> {
        let batch = EncoderBatch::new(rows, None, self.model.device())?;
        let vectors = self.model.vectors(&batch, self.pooling, self.normalise)?;
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

/// The pooling that `1_Pooling/config.json` asks for; the mean if there is none. Newer files name it, older ones have a
/// truth for each.
fn pooling(path: &Path) -> Result<Pooling> {
    let Some(config) = optional::<Map<String, Value>>(path)? else { return Ok(Pooling::Mean) };
    let asked: Vec<&str> = match config.get("pooling_mode") {
        Some(Value::Array(modes)) => modes.iter().map(|mode| mode.as_str().unwrap_or("?")).collect(),
        Some(mode) => vec![mode.as_str().unwrap_or("?")],
        None => {
            let are_so = config.iter().filter(|(_, is_so)| **is_so == Value::Bool(true));
            are_so.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect()
        }
    };
    let find = |name: &str| POOLINGS.iter().find(|(new, old, _)| [*new, *old].contains(&name));
    let found = if let [name] = asked[..] { find(name) } else { None };
    found.map(|(.., pooling)| *pooling).ok_or_else(|| {
        Error::Run(format!(
            "{}: the pooling {asked:?} is not known here; mean, cls and lasttoken are, one of them",
            path.display()
        ))
    })
}

/// How many tokens of a text are read: as many as the tokenizer's settings say, and at most `most`.
pub(crate) fn longest(dir: &Path, most: usize) -> Result<usize> {
    #[derive(Deserialize)]
    struct Lengths {
        model_max_length: Option<f64>,
    }
    let lengths: Option<Lengths> = optional(&dir.join(TOKENIZER_CONFIG))?;
    let asked = lengths.and_then(|lengths| lengths.model_max_length).filter(|length| *length >= 1.0);
    Ok(asked.map_or(most, |length| (length as usize).min(most)))
}

/// What a JSON file holds, if it is there.
pub(crate) fn optional<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&read(path)?);
    parsed.map(Some).map_err(Error::at(path))
}
