//! Vocabularies of byte-level BPE that do not come as a `tokenizer.json`: of GGUF files, and of `vocab.json` with
//! `merges.txt`.

use serde_json::{Map, Value, json};

use crate::byte_level::component;
use crate::words::Words;

/// Tokens, merges and how texts are cut.
pub(crate) struct BytePairs {
    /// Each token with its id.
    pub vocab: Vec<(String, u32)>,
    /// Two tokens that become one, the first pair first.
    pub merges: Vec<(String, String)>,
    /// How a text is cut into words.
    pub words: Words,
    /// Entries of `added_tokens`.
    pub added: Vec<Value>,
    /// An entry `post_processor`.
    pub frame: Value,
}

impl BytePairs {
    /// The `tokenizer.json`.
    ///
    /// # Errors
    /// If a token comes twice.
    pub fn into_json(self) -> Result<Value, String> {
        let merges: Vec<Value> = self.merges.into_iter().map(|(left, right)| json!([left, right])).collect();
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added,
            "normalizer": self.words.normalizer,
            "pre_tokenizer": self.words.cut,
            "post_processor": self.frame,
            "decoder": component(true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": self.words.whole,
                "vocab": unique(self.vocab)?, "merges": merges,
            },
        }))
    }
}

/// The two tokens of a merge as files spell it: one space between them.
pub(crate) fn halves(merge: &str) -> Result<(String, String), String> {
    let halves = merge.split_once(' ').filter(|(left, right)| {
        let is_token = |text: &str| !text.is_empty() && !text.contains(' ');
        is_token(left) && is_token(right)
    });
    let halves = halves.map(|(left, right)| (left.to_string(), right.to_string()));
    halves.ok_or_else(|| format!("the merge {merge:?} is no pair"))
}

/// The tokens as an object.
///
/// # Errors
/// If a token comes twice: which id it has would be a matter of chance.
pub(crate) fn unique(tokens: impl IntoIterator<Item = (String, u32)>) -> Result<Map<String, Value>, String> {
    let mut vocab = Map::new();
    for (token, id) in tokens {
        match vocab.entry(token) {
            serde_json::map::Entry::Vacant(place) => place.insert(json!(id)),
            serde_json::map::Entry::Occupied(place) => {
                return Err(format!("the token {:?} comes twice, as {} and {id}", place.key(), place.get()));
            }
        };
    }
    Ok(vocab)
}
