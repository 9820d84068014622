//! The character tokenizer: one id for each character of the training text, in code point order (nanoGPT's rule).

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::{Error, Result};

/// Matches every single character, newlines included, in both regex engines that read a `tokenizer.json`.
const ANY_CHAR: &str = "[\\s\\S]";
/// The model has to name an unknown token. Longer than one character, it is never in the vocabulary, so that an
/// unknown character is an error and not a silent substitute.
const NO_UNKNOWN: &str = "<unk>";

/// A sorted set of characters; the id is the rank.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Alphabet {
    chars: Vec<char>,
    ids: HashMap<char, u32>,
}

impl Alphabet {
    pub(crate) fn of(text: &str) -> Self {
        Self::new(text.chars().collect())
    }

    fn new(set: BTreeSet<char>) -> Self {
        let chars: Vec<char> = set.into_iter().collect();
        let ids = chars.iter().copied().zip(0..).collect();
        Self { chars, ids }
    }

    pub(crate) fn len(&self) -> usize {
        self.chars.len()
    }

    pub(crate) fn char_of(&self, id: u32) -> Option<char> {
        self.chars.get(usize::try_from(id).ok()?).copied()
    }

    pub(crate) fn id_of(&self, character: char) -> Option<u32> {
        self.ids.get(&character).copied()
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let id = |(offset, character)| {
            self.id_of(character).ok_or(Error::UnknownChar { character, offset, vocab_size: self.len() })
        };
        text.char_indices().map(id).collect()
    }

    /// As a `tokenizer.json`: a word-level model over pieces of one character each.
    pub(crate) fn to_json(&self) -> Value {
        let vocab: serde_json::Map<String, Value> =
            self.chars.iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Split", "pattern": {"Regex": ANY_CHAR}, "behavior": "Isolated", "invert": false,
            },
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": NO_UNKNOWN},
        })
    }

    /// The alphabet whose [`Alphabet::to_json`] this is, if there is one.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let vocab = json.get("model")?.get("vocab")?.as_object()?;
        let only_char = |token: &String| {
            let mut chars = token.chars();
            chars.next().filter(|_| chars.next().is_none())
        };
        let alphabet = Self::new(vocab.keys().map(only_char).collect::<Option<_>>()?);
        (alphabet.len() > 0 && alphabet.to_json() == *json).then_some(alphabet)
    }
}
