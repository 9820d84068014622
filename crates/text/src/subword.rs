//! Any tokenizer of the `tokenizers` library: a trained byte-level BPE, or a `tokenizer.json` from elsewhere.
//!
//! Files are not trusted. They are checked before the library sees them, a panic inside the library becomes an
//! error, and truncation and padding settings are dropped: a corpus is never cut or filled up in silence.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use crate::bpe::{MAX_VOCAB, word_safe_chunks};
use crate::byte_level::token_bytes;

/// Names under which published vocabularies keep their end-of-text token.
const EOS_NAMES: [&str; 7] =
    ["<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|eot_id|>", "<|im_end|>", "[SEP]"];
/// Names under which published vocabularies keep their start-of-text token.
const BOS_NAMES: [&str; 5] = ["<|startoftext|>", "<s>", "<bos>", "<|begin_of_text|>", "[CLS]"];
/// Published vocabularies leave out some ids; so many for each token, and some on top, need no more memory than is fair.
const MOST_IDS: usize = 4;
const SPARE_IDS: usize = 1 << 14;
/// Pieces of a long text that are encoded side by side.
const CHUNK_BYTES: usize = 1 << 14;

/// A library tokenizer and what its tokens mean.
#[derive(Debug)]
pub(crate) struct Subword {
    inner: tokenizers::Tokenizer,
    /// One past the largest id: the rows an embedding needs.
    vocab_size: usize,
    /// The bytes of each token, if the tokenizer is a byte-level one.
    bytes: Option<Vec<Option<Vec<u8>>>>,
    /// Whether cutting before some newlines leaves the ids as they are.
    chunkable: bool,
    /// Whether the file asks for special tokens around a text.
    frames: bool,
    /// Whether the bytes of a text are to be those of its tokens.
    keeps_bytes: bool,
}

/// Runs library code; its error and its panic both come back as a reason in words.
pub(crate) fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(|error| one_line(&error.to_string())),
        Err(_) => Err("the tokenizers library panicked on it".to_string()),
    }
}

/// Each merge makes a token of the vocabulary. The library looks for it in a buffer as long as the longest one, and a longer one
/// is a panic, of which the process tells at length before it is caught.
fn check_merges(model: &Value) -> Result<(), String> {
    let (Some(vocab), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array()) else {
        return Ok(());
    };
    let prefix = model["continuing_subword_prefix"].as_str().map_or(0, str::len);
    for merge in merges {
        let parts = match merge {
            Value::String(text) => text.split_once(' ').filter(|(_, second)| !second.contains(' ')),
            Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
            _ => None,
        };
        // What is no pair at all, the library says itself.
        let Some((first, second)) = parts else { continue };
        let merged = second.get(prefix..).map(|second| format!("{first}{second}"));
        if !merged.is_some_and(|merged| vocab.contains_key(&merged)) {
            return Err(format!("the merge of {first:?} and {second:?} makes no token of its vocabulary"));
        }
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Subword {
    pub(crate) fn from_json(bytes: &[u8], json: &Value) -> Result<Self, String> {
        let fields = json.as_object().ok_or("the outermost value is not an object")?;
        match fields.get("model") {
            Some(Value::Object(_)) => {}
            Some(_) => return Err("\"model\" is not an object".to_string()),
            None => return Err("it has no \"model\"".to_string()),
        }
        check_merges(&fields["model"])?;
        let inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes))?;
        for token in fields.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            let (Some(text), Some(id)) = (token["content"].as_str(), token["id"].as_u64()) else { continue };
            match inner.token_to_id(text).map(u64::from) {
                // Nobody spells a token of no text.
                found if found == Some(id) || text.is_empty() => {}
                found => {
                    let place = found.map_or("has none".into(), |found| format!("gets {found}"));
                    return Err(format!("the added token {text:?} should have the id {id}, and {place}"));
                }
            }
        }
        Self::new(inner)
    }

    pub(crate) fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, String> {
        guarded(|| {
            inner.with_truncation(None)?;
            inner.with_padding(None);
            // The text of a special token, typed by a user, is text.
            inner.set_encode_special_tokens(true);
            Ok(())
        })?;
        let vocab = guarded(|| Ok(inner.get_vocab(true)))?;
        let largest = *vocab.values().max().ok_or("its vocabulary is empty")?;
        let vocab_size = usize::try_from(largest).unwrap_or(usize::MAX).saturating_add(1);
        if vocab_size > MAX_VOCAB {
            return Err(format!("it has a token with id {largest}; ids must be below {MAX_VOCAB}"));
        }
        check_ids(&vocab, vocab_size)?;
        let byte_level = matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        let bytes = byte_level.then(|| {
            let mut table = vec![None; vocab_size];
            for (token, &id) in &vocab {
                table[id as usize] = Some(token_bytes(token));
            }
            table
        });
        let chunkable = splits_like_gpt2(&inner);
        let frames = guarded(|| inner.encode_fast("", true)).is_ok_and(|encoding| !encoding.is_empty());
        let keeps_bytes = byte_level && keeps_bytes(&inner);
        Ok(Self { inner, vocab_size, bytes, chunkable, frames, keeps_bytes })
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The model type and the vocabulary size.
    pub(crate) fn name(&self) -> String {
        let family = match self.inner.get_model() {
            ModelWrapper::BPE(_) => "bpe",
            ModelWrapper::WordPiece(_) => "wordpiece",
            ModelWrapper::WordLevel(_) => "wordlevel",
            ModelWrapper::Unigram(_) => "unigram",
        };
        format!("{family}:{}", self.vocab_size)
    }

    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub(crate) fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(crate) fn eos(&self) -> Option<u32> {
        self.special(&EOS_NAMES)
    }

    pub(crate) fn bos(&self) -> Option<u32> {
        self.special(&BOS_NAMES)
    }

    /// The special tokens.
    pub(crate) fn special_tokens(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special && !token.content.is_empty());
        special.map(|(&id, token)| (token.content.clone(), id)).collect()
    }

    fn special(&self, names: &[&str]) -> Option<u32> {
        let added = self.inner.get_added_tokens_decoder();
        let find = |name: &&str| added.iter().find(|(_, token)| token.special && token.content == **name);
        names.iter().find_map(find).map(|(&id, _)| id)
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        if !self.chunkable || text.len() <= CHUNK_BYTES {
            return self.encode_whole(text).and_then(|ids| self.checked(ids, text));
        }
        let chunks: Vec<&str> = word_safe_chunks(text, CHUNK_BYTES).collect();
        let encodings = guarded(|| self.inner.encode_batch_fast(chunks, false))?;
        let ids = encodings.iter().flat_map(|encoding| encoding.get_ids()).copied().collect();
        self.checked(ids, text)
    }

    /// An error if bytes of the text are in none of its tokens: the library leaves out what a vocabulary lacks.
    fn checked(&self, ids: Vec<u32>, text: &str) -> Result<Vec<u32>, String> {
        let bytes: usize = ids.iter().filter_map(|&id| self.token_bytes(id)).map(<[u8]>::len).sum();
        match self.keeps_bytes && bytes != text.len() {
            true => Err(format!("of {} bytes {bytes} are in tokens: its vocabulary lacks some", text.len())),
            false => Ok(ids),
        }
    }

    pub(crate) fn encode_whole(&self, text: &str) -> Result<Vec<u32>, String> {
        guarded(|| self.inner.encode_fast(text, false)).map(|encoding| encoding.get_ids().to_vec())
    }

    /// With the special tokens that the file's post-processor puts around a text.
    pub(crate) fn encode_with_special_tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        if !self.frames {
            return self.encode(text);
        }
        guarded(|| self.inner.encode_fast(text, true)).map(|encoding| encoding.get_ids().to_vec())
    }

    /// The bytes of one token, for byte-level tokenizers.
    pub(crate) fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.bytes.as_ref()?.get(id as usize)?.as_deref()
    }

    pub(crate) fn is_byte_level(&self) -> bool {
        self.bytes.is_some()
    }

    /// The library's decoder, for every other kind.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        guarded(|| self.inner.decode(ids, false))
    }

    pub(crate) fn to_json(&self) -> Result<String, String> {
        guarded(|| self.inner.to_string(true))
    }
}

/// Whether nothing but the vocabulary decides if a byte of a text is in a token.
fn keeps_bytes(inner: &tokenizers::Tokenizer) -> bool {
    let has_unknown = match inner.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.is_some(),
        _ => true,
    };
    let cut = inner.get_pre_tokenizer().and_then(|cut| serde_json::to_value(cut).ok());
    let is_plain = |token: &tokenizers::AddedToken| !token.lstrip && !token.rstrip;
    !has_unknown
        && inner.get_normalizer().is_none()
        && inner.get_added_tokens_decoder().values().all(is_plain)
        && cut.is_some_and(|cut| only_cuts(&cut))
}

/// Whether a pre-tokenizer neither adds nor removes anything.
fn only_cuts(cut: &Value) -> bool {
    match cut["type"].as_str() {
        Some("ByteLevel") => cut["add_prefix_space"] == false,
        Some("Split" | "Punctuation") => cut["behavior"] != "Removed",
        Some("Digits") => true,
        Some("Sequence") => cut["pretokenizers"].as_array().is_some_and(|all| all.iter().all(only_cuts)),
        _ => false,
    }
}

/// An error if two tokens have one id, or there are so few tokens that their ids must be wrong.
fn check_ids(vocab: &HashMap<String, u32>, vocab_size: usize) -> Result<(), String> {
    if vocab_size > MOST_IDS * vocab.len() + SPARE_IDS {
        return Err(format!("it has {} tokens, and one with id {}", vocab.len(), vocab_size - 1));
    }
    let mut by_id: Vec<(u32, &String)> = vocab.iter().map(|(token, &id)| (id, token)).collect();
    by_id.sort_unstable();
    match by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("{:?} and {:?} have the same id, {}", pair[0].1, pair[1].1, pair[0].0)),
        None => Ok(()),
    }
}

/// Whether the text is cut by GPT-2's regex before anything else happens to it.
fn splits_like_gpt2(inner: &tokenizers::Tokenizer) -> bool {
    let by_regex = match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::ByteLevel(split)) => split.use_regex && !split.add_prefix_space,
        _ => false,
    };
    by_regex
        && inner.get_normalizer().is_none()
        && inner.get_added_tokens_decoder().values().all(|t| t.special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_an_error_become_reasons() {
        assert_eq!(guarded(|| Ok(3)), Ok(3));
        assert_eq!(guarded::<()>(|| Err("two\n  lines".into())), Err("two lines".to_string()));
        assert!(guarded::<()>(|| panic!("on purpose")).unwrap_err().contains("panicked"));
    }
}
