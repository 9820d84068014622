//! WordPiece vocabularies that do not come as a `tokenizer.json`: `vocab.txt`, and those of GGUF files.
//!
//! Source: Devlin et al., *BERT*, 2018, arXiv 1810.04805, section 3; `BertTokenizer` of Hugging Face transformers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::byte_pairs::unique;
use crate::json::{frame, special};

/// What a piece begins with that goes on a word.
pub(crate) const CONTINUES: &str = "##";

/// Pieces in the order of their ids, and how a text is cut into words.
pub(crate) struct WordPiece {
    /// Pieces that go on a word begin with `##`.
    pub pieces: Vec<String>,
    /// The piece for words that are not known.
    pub unknown: String,
    /// The piece before a text.
    pub begin: String,
    /// The piece behind a text.
    pub end: String,
    /// More pieces that are never text, if they are there.
    pub special: Vec<String>,
    /// Entries of `added_tokens` beside all these.
    pub added: Vec<Value>,
    /// Whether capitals are made small.
    pub lower_case: bool,
    /// Whether accents are left out; as `lower_case` if `None`.
    pub strip_accents: Option<bool>,
    /// Whether each Chinese character is a word.
    pub splits_chinese: bool,
}

impl WordPiece {
    /// Pieces for uncased English, with BERT's names of the special ones.
    pub fn new(pieces: Vec<String>) -> Self {
        let name = |text: &str| text.to_string();
        Self {
            pieces,
            unknown: name("[UNK]"),
            begin: name("[CLS]"),
            end: name("[SEP]"),
            special: vec![name("[PAD]"), name("[MASK]")],
            added: Vec::new(),
            lower_case: true,
            strip_accents: None,
            splits_chinese: true,
        }
    }

    /// The `tokenizer.json`.
    ///
    /// # Errors
    /// If a piece comes twice, or a special one is not there.
    pub fn into_json(self) -> Result<Value, String> {
        let vocab = unique(self.pieces.into_iter().zip(0..))?;
        let id = |text: &str| vocab.get(text).and_then(Value::as_u64).map(|id| id as u32);
        let needed = |text: &String| id(text).ok_or_else(|| format!("it has no token {text}"));
        needed(&self.unknown)?;
        let (begin, end) = (needed(&self.begin)?, needed(&self.end)?);
        let named = [&self.unknown, &self.begin, &self.end].into_iter().chain(&self.special);
        let named = named.filter_map(|text| id(text).map(|id| (id, special(id, text))));
        let given = self.added.into_iter().filter_map(|token| Some((token["id"].as_u64()? as u32, token)));
        let added: BTreeMap<u32, Value> = given.chain(named).collect();
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added.into_values().collect::<Vec<_>>(),
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": self.splits_chinese,
                "strip_accents": self.strip_accents, "lowercase": self.lower_case,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": frame(Some((&self.begin, begin)), Some((&self.end, end))),
            "decoder": { "type": "WordPiece", "prefix": CONTINUES, "cleanup": true },
            "model": {
                "type": "WordPiece", "unk_token": self.unknown, "continuing_subword_prefix": CONTINUES,
                "max_input_chars_per_word": 100, "vocab": vocab,
            },
        }))
    }
}
