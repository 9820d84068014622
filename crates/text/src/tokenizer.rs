//! Text to token ids and back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::alphabet::Alphabet;
use crate::files::read;
use crate::subword::Subword;
use crate::{Error, Result, StreamDecoder, TokenizerSpec, bpe, byte_level};

/// Text to token ids and back: bytes, characters, or any `tokenizer.json`.
///
/// Cloning is cheap. Whatever the kind, [`Tokenizer::save`] writes a `tokenizer.json` that
/// [`Tokenizer::from_file`] and the Python package `tokenizers` read back to the same ids.
///
/// The text of a special token (`<|endoftext|>`, say) typed into a prompt is encoded as ordinary text, and no
/// special token is added unless [`Tokenizer::encode_with_special_tokens`] is asked for it.
#[derive(Clone)]
pub struct Tokenizer {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Byte,
    Char(Arc<Alphabet>),
    Subword(Arc<Subword>),
}

/// Recipes, to be fitted on a corpus by [`Corpus::tokenize`](crate::Corpus::tokenize).
impl Tokenizer {
    /// The recipe of one id per byte.
    pub fn bytes() -> TokenizerSpec {
        TokenizerSpec::Byte
    }

    /// The recipe of one id per character that occurs in the corpus.
    pub fn chars() -> TokenizerSpec {
        TokenizerSpec::Char
    }

    /// The recipe of a byte-level BPE vocabulary of `vocab_size` tokens learned from the corpus.
    pub fn bpe(vocab_size: usize) -> TokenizerSpec {
        TokenizerSpec::Bpe(vocab_size)
    }
}

/// Tokenizers ready for use.
impl Tokenizer {
    /// One id per byte: 256 ids, every text encodes.
    pub fn byte_level() -> Self {
        Self { kind: Kind::Byte }
    }

    /// One id per character of `text`, in code point order, as nanoGPT's character data sets have it.
    ///
    /// # Errors
    /// [`Error::NothingToFit`] if the text is empty.
    pub fn from_chars(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::NothingToFit { kind: "char" });
        }
        Ok(Self { kind: Kind::Char(Arc::new(Alphabet::of(text))) })
    }

    /// Learns byte-level BPE from `text`: the 256 bytes, then merges of pairs seen at least twice, up to
    /// `vocab_size` tokens in all. A short text may give fewer. The same text always gives the same vocabulary.
    ///
    /// # Errors
    /// If the size is below 256 or above 16,777,216, or the text is empty or has 2 GiB and more.
    pub fn train_bpe(text: &str, vocab_size: usize) -> Result<Self> {
        let subword = bpe::train(text, vocab_size)?;
        Ok(Self { kind: Kind::Subword(Arc::new(subword)) })
    }

    /// Reads a `tokenizer.json`, or the tokenizer of a model folder: its `tokenizer.json`, else `vocab.json` with
    /// `merges.txt` (GPT-2, Qwen2), else `vocab.txt` (BERT).
    ///
    /// Truncation and padding settings in the file are ignored.
    ///
    /// # Errors
    /// If a file is missing, larger than 256 MiB, or no valid tokenizer; never a panic.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::of_folder(path);
        }
        let invalid = |reason| Error::InvalidTokenizer { path: path.to_path_buf(), reason };
        Self::parse(&read(path)?).map_err(invalid)
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if they are none; never a panic.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|reason| Error::InvalidTokenizer { path: "<memory>".into(), reason })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let json: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        // Files of ours keep their kind, with its exact error messages and speed.
        if json == byte_level::byte_tokenizer_json() {
            return Ok(Self::byte_level());
        }
        if let Some(alphabet) = Alphabet::from_json(&json) {
            return Ok(Self { kind: Kind::Char(Arc::new(alphabet)) });
        }
        let subword = Subword::from_json(bytes, &json)?;
        Ok(Self { kind: Kind::Subword(Arc::new(subword)) })
    }

    /// Token ids of a text. Special tokens are neither added nor recognised.
    ///
    /// # Errors
    /// [`Error::UnknownChar`] for the character kind; [`Error::Tokenizer`] if a loaded tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::Byte => Ok(text.bytes().map(u32::from).collect()),
            Kind::Char(alphabet) => alphabet.encode(text),
            Kind::Subword(subword) => subword.encode(text).map_err(|reason| self.failure("encode", reason)),
        }
    }

    /// Token ids of a text with the special tokens around it that its file asks for, as a model wants them: `[CLS]` and
    /// `[SEP]` of a BERT, `<s>` of a Llama. Special tokens in the text itself are still text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_special_tokens(&self, text: &str) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::Subword(subword) => {
                subword.encode_with_special_tokens(text).map_err(|reason| self.failure("encode", reason))
            }
            _ => self.encode(text),
        }
    }

    /// Text of token ids. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::UnknownId`] if an id names no token; [`Error::Tokenizer`] if a loaded tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        match &self.kind {
            Kind::Subword(subword) if !subword.is_byte_level() => {
                ids.iter().enumerate().try_for_each(|(position, &id)| self.check(id, position))?;
                subword.decode(ids).map_err(|reason| self.failure("decode", reason))
            }
            _ => Ok(String::from_utf8_lossy(&self.decode_bytes(ids)?).into_owned()),
        }
    }

    /// Bytes of token ids: what [`Tokenizer::decode`] makes text of.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(ids.len());
        for (position, &id) in ids.iter().enumerate() {
            match &self.kind {
                Kind::Byte => bytes.push(u8::try_from(id).map_err(|_| self.unknown(id, position))?),
                Kind::Char(alphabet) => {
                    let character = alphabet.char_of(id).ok_or_else(|| self.unknown(id, position))?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Kind::Subword(subword) if subword.is_byte_level() => {
                    bytes.extend_from_slice(
                        subword.token_bytes(id).ok_or_else(|| self.unknown(id, position))?,
                    );
                }
                Kind::Subword(_) => return self.decode(ids).map(String::into_bytes),
            }
        }
        Ok(bytes)
    }

    /// A decoder for ids that come one by one.
    pub fn stream(&self) -> StreamDecoder {
        StreamDecoder::new(self.clone())
    }

    /// As [`Tokenizer::stream`], for ids that go on from others, whose text is not shown again.
    pub fn stream_after(&self, ids: &[u32]) -> StreamDecoder {
        StreamDecoder::after(self.clone(), ids)
    }

    /// Number of ids, one past the largest: the rows an embedding needs.
    pub fn vocab_size(&self) -> usize {
        match &self.kind {
            Kind::Byte => 256,
            Kind::Char(alphabet) => alphabet.len(),
            Kind::Subword(subword) => subword.vocab_size(),
        }
    }

    /// `byte`, `char`, or the model type with the vocabulary size, such as `bpe:512`.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Byte => "byte".to_string(),
            Kind::Char(_) => "char".to_string(),
            Kind::Subword(subword) => subword.name(),
        }
    }

    /// The token as its vocabulary spells it (byte-level vocabularies write a space as `Ġ`).
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        match &self.kind {
            Kind::Byte => Some(byte_level::BYTE_CHARS[usize::from(u8::try_from(id).ok()?)].to_string()),
            Kind::Char(alphabet) => alphabet.char_of(id).map(String::from),
            Kind::Subword(subword) => subword.token(id),
        }
    }

    /// The id of a token as its vocabulary spells it, special tokens included.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match &self.kind {
            Kind::Byte => (0..256).find(|&id| self.id_to_token(id).as_deref() == Some(token)),
            Kind::Char(alphabet) => {
                let mut chars = token.chars();
                let character = chars.next().filter(|_| chars.next().is_none())?;
                alphabet.id_of(character)
            }
            Kind::Subword(subword) => subword.id_of(token),
        }
    }

    /// The special tokens, as they are spelled, with their ids: they are never read from a text.
    pub fn special_tokens(&self) -> Vec<(String, u32)> {
        match &self.kind {
            Kind::Subword(subword) => subword.special_tokens(),
            _ => Vec::new(),
        }
    }

    /// The end-of-text token, if the file has a special token of one of the usual names.
    pub fn eos(&self) -> Option<u32> {
        match &self.kind {
            Kind::Subword(subword) => subword.eos(),
            _ => None,
        }
    }

    /// The start-of-text token, if the file has a special token of one of the usual names.
    pub fn bos(&self) -> Option<u32> {
        match &self.kind {
            Kind::Subword(subword) => subword.bos(),
            _ => None,
        }
    }

    /// The text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a loaded tokenizer cannot be written.
    pub fn to_json(&self) -> Result<String> {
        match &self.kind {
            Kind::Byte => Ok(format!("{:#}", byte_level::byte_tokenizer_json())),
            Kind::Char(alphabet) => Ok(format!("{:#}", alphabet.to_json())),
            Kind::Subword(subword) => subword.to_json().map_err(|reason| self.failure("be written", reason)),
        }
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()?).map_err(|source| Error::Io { path: path.to_path_buf(), source })
    }

    /// Whether the bytes of a text are the bytes of its tokens, one after the other.
    pub(crate) fn is_bytewise(&self) -> bool {
        match &self.kind {
            Kind::Byte | Kind::Char(_) => true,
            Kind::Subword(subword) => subword.is_byte_level(),
        }
    }

    pub(crate) fn check(&self, id: u32, position: usize) -> Result<()> {
        match self.id_to_token(id) {
            Some(_) => Ok(()),
            None => Err(self.unknown(id, position)),
        }
    }

    fn unknown(&self, id: u32, position: usize) -> Error {
        Error::UnknownId { id, position, name: self.name(), vocab_size: self.vocab_size() }
    }

    fn failure(&self, action: &'static str, reason: String) -> Error {
        Error::Tokenizer { name: self.name(), action, reason }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("name", &self.name())
            .field("vocab_size", &self.vocab_size())
            .finish()
    }
}
