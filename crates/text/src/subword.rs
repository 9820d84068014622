//! Any tokenizer of the `tokenizers` library: a trained byte-level BPE, or a `tokenizer.json` from elsewhere.
//!
//! Files are not trusted. They are checked before the library sees them, a panic inside the library becomes an
//! error, and truncation and padding settings are dropped: a corpus is never cut or filled up in silence.

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
}

/// Runs library code; its error and its panic both come back as a reason in words.
pub(crate) fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(|error| one_line(&error.to_string())),
        Err(_) => Err("the tokenizers library panicked on it".to_string()),
    }
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
        Self::new(guarded(|| tokenizers::Tokenizer::from_bytes(bytes))?)
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
        Ok(Self { inner, vocab_size, bytes, chunkable, frames })
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
            return self.encode_whole(text);
        }
        let chunks: Vec<&str> = word_safe_chunks(text, CHUNK_BYTES).collect();
        let encodings = guarded(|| self.inner.encode_batch_fast(chunks, false))?;
        Ok(encodings.iter().flat_map(|encoding| encoding.get_ids()).copied().collect())
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
