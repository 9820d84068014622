//! The vocabulary of a GGUF file, as a tokenizer.
//!
//! Source: the keys `tokenizer.ggml.*` of llama.cpp's `gguf-py/gguf/constants.py`.

use serde_json::{Map, Value as Json, json};
use warpsmith_gguf::{Gguf, Value};

use crate::json::{added, frame, special};
use crate::{ChatTemplate, Error, Pieces, Result, Tokenizer};

/// The type of tokens that are never text.
const CONTROL: i64 = 3;
/// The type of tokens that a text is cut at before anything else.
const USER_DEFINED: i64 = 4;
/// How Llama 3 and Qwen2 cut a text into words; they differ in how many digits make one.
const WORDS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|DIGITS| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\
                     \\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

impl Tokenizer {
    /// The tokenizer of a GGUF file: SentencePiece of the BPE kind (`llama`), or byte-level BPE (`gpt2`) with one of the ways
    /// to cut words that are known here.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if a key is missing or of another type, or the kind is not known.
    pub fn from_gguf(file: &Gguf<'_>) -> Result<Self> {
        let vocabulary = Vocabulary { file };
        match vocabulary.text("model")? {
            "llama" => vocabulary.pieces()?.tokenizer(),
            "gpt2" => Self::from_json(vocabulary.bpe()?.to_string().as_bytes()),
            other => Err(invalid(format!("the kind `{other}` is not known; llama and gpt2 are"))),
        }
    }
}

impl ChatTemplate {
    /// The template of a GGUF file, if it has one.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if it is none.
    pub fn from_gguf(file: &Gguf<'_>) -> Result<Option<Self>> {
        let Ok(source) = file.get("tokenizer.chat_template", Value::as_text) else { return Ok(None) };
        let vocabulary = Vocabulary { file };
        let tokens = vocabulary.texts("tokens")?;
        let text = |name: &str| {
            let id = vocabulary.id(name).and_then(|id| tokens.get(id as usize));
            id.copied().unwrap_or_default()
        };
        Self::new(source, text("bos_token_id"), text("eos_token_id")).map(Some)
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidTokenizer { path: "<gguf>".into(), reason: reason.into() }
}

struct Vocabulary<'f, 'a> {
    file: &'f Gguf<'a>,
}

impl<'a> Vocabulary<'_, 'a> {
    fn get<T>(&self, name: &str, read: impl Fn(&Value<'a>) -> Option<T>) -> Result<T> {
        self.file.get(&format!("tokenizer.ggml.{name}"), read).map_err(|e| invalid(e.to_string()))
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.get(name, Value::as_text)
    }

    /// The id that a key names, if there is the key.
    fn id(&self, name: &str) -> Option<u32> {
        self.get(name, |value| value.as_unsigned().and_then(|id| u32::try_from(id).ok())).ok()
    }

    /// A truth value that a file may leave out.
    fn is_set(&self, name: &str, default: bool) -> bool {
        self.get(name, |value| Some(*value == Value::Truth(true))).unwrap_or(default)
    }

    /// The texts of an array.
    fn texts(&self, name: &str) -> Result<Vec<&'a str>> {
        let array = self.get(name, Value::as_array)?;
        let texts: Option<Vec<&str>> = array.iter().map(|value| value.as_text()).collect();
        texts.ok_or_else(|| invalid(format!("`{name}` holds something else than texts")))
    }

    fn pieces(&self) -> Result<Pieces> {
        let (texts, scores) = (self.texts("tokens")?, self.get("scores", Value::as_array)?);
        if texts.len() != scores.len() {
            return Err(invalid(format!("{} tokens and {} scores", texts.len(), scores.len())));
        }
        let scored = texts.into_iter().zip(scores.iter());
        let scored =
            scored.map(|(text, score)| (text.to_string(), score.as_real().unwrap_or(f64::NAN) as f32));
        Ok(Pieces {
            special: self.special(&self.texts("tokens")?),
            adds_bos: self.is_set("add_bos_token", true),
            adds_space: self.is_set("add_space_prefix", true),
            scored: scored.collect(),
            unknown: self.id("unknown_token_id").unwrap_or(0),
            bos: self.id("bos_token_id").unwrap_or(1),
            eos: self.id("eos_token_id").unwrap_or(2),
        })
    }

    /// A `tokenizer.json` of byte-level BPE.
    fn bpe(&self) -> Result<Json> {
        let texts = self.texts("tokens")?;
        let merges = self.texts("merges")?;
        let merges = merges.iter().map(|merge| {
            let halves = merge.split_once(' ').map(|(left, right)| json!([left, right]));
            halves.ok_or_else(|| invalid(format!("the merge {merge:?} is no pair")))
        });
        let vocab: Map<String, Json> =
            texts.iter().enumerate().map(|(id, text)| (text.to_string(), json!(id))).collect();
        let bos = self.id("bos_token_id").filter(|id| (*id as usize) < texts.len());
        let adds_bos = self.is_set("add_bos_token", false);
        let way = self.text("pre").unwrap_or("default");
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.special(&texts),
            "normalizer": null,
            "pre_tokenizer": words(way)?,
            "post_processor": match bos.filter(|_| adds_bos) {
                Some(id) => frame(texts[id as usize], id),
                None => Json::Null,
            },
            "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                // A word that is a token is that token, whatever the merges make of it: so Llama 3 was trained.
                "ignore_merges": way == "llama-bpe",
                "vocab": vocab, "merges": merges.collect::<Result<Vec<Json>>>()?,
            },
        }))
    }

    /// The tokens that are no pieces of words: those that are never text, the ends of texts among them, and those at which
    /// every text is cut.
    fn special(&self, texts: &[&str]) -> Vec<Json> {
        let types: Vec<i64> = match self.get("token_type", Value::as_array) {
            Ok(types) => types.iter().map(|kind| kind.as_real().unwrap_or(0.0) as i64).collect(),
            Err(_) => Vec::new(),
        };
        let named = ["bos_token_id", "eos_token_id"].map(|name| self.id(name).map(|id| id as usize));
        let token = |(id, text): (usize, &&str)| match types.get(id) {
            _ if text.is_empty() => None,
            Some(&CONTROL) => Some(special(id as u32, text)),
            _ if named.contains(&Some(id)) => Some(special(id as u32, text)),
            Some(&USER_DEFINED) => Some(added(id as u32, text)),
            _ => None,
        };
        texts.iter().enumerate().filter_map(token).collect()
    }
}

/// How a text is cut into words, by the name that llama.cpp gives it.
fn words(name: &str) -> Result<Json> {
    let by_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let split = |digits: &str| {
        let pattern = WORDS.replace("DIGITS", digits);
        json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        ]})
    };
    match name {
        "gpt-2" | "gpt2" | "default" => Ok(by_level),
        "smollm" => Ok(json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true }, by_level,
        ]})),
        "llama-bpe" => Ok(split("\\p{N}{1,3}")),
        "qwen2" => Ok(split("\\p{N}")),
        other => Err(invalid(format!(
            "its way `{other}` to cut words is not known; gpt-2, smollm, llama-bpe and qwen2 are"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_gguf::Writer;

    fn read(writer: Writer) -> Result<Tokenizer> {
        let bytes = writer.finish();
        Tokenizer::from_gguf(&Gguf::parse(&bytes).unwrap())
    }

    /// Byte-level BPE: the 256 bytes, two merges, and a token that ends a text.
    fn byte_level(pre: &str, merge: &str) -> Writer {
        let bytes = crate::byte_level::BYTE_CHARS.map(String::from);
        let tokens = bytes.iter().map(String::as_str).chain(["12", "ab", "<|end|>"]);
        let tokens: Vec<&str> = tokens.collect();
        let mut writer = Writer::new();
        writer.text("tokenizer.ggml.model", "gpt2");
        writer.text("tokenizer.ggml.pre", pre);
        writer.texts("tokenizer.ggml.tokens", tokens.into_iter());
        writer.texts("tokenizer.ggml.merges", ["1 2", merge].into_iter());
        writer.unsigned("tokenizer.ggml.eos_token_id", 258);
        writer
    }

    #[test]
    fn words_are_cut_as_the_file_says() {
        let ids = |pre: &str, text: &str| read(byte_level(pre, "a b")).unwrap().encode(text).unwrap();
        for pre in ["gpt-2", "llama-bpe"] {
            assert_eq!(ids(pre, "ab12"), [257, 256], "{pre}");
        }
        for pre in ["smollm", "qwen2"] {
            assert_eq!(
                ids(pre, "ab12"),
                [257, u32::from(b'1'), u32::from(b'2')],
                "{pre}: digits stand alone"
            );
        }
        let tokenizer = read(byte_level("smollm", "a b")).unwrap();
        for text in ["ab 12\n\n  x", "naïve 中文 🙂", "<|end|>"] {
            let ids = tokenizer.encode(text).unwrap();
            assert!(!ids.contains(&258), "what a user types is text");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn pieces_have_their_scores() {
        let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        let tokens = ["<unk>", "<s>", "</s>"].into_iter().chain(bytes.iter().map(String::as_str));
        let tokens: Vec<&str> = tokens.chain(["a", "b", "c", "▁", "ab", "bc"]).collect();
        let mut writer = Writer::new();
        writer.text("tokenizer.ggml.model", "llama");
        let mut scores = vec![0.0; tokens.len()];
        scores[263] = -2.0;
        scores[264] = -1.0;
        writer.reals("tokenizer.ggml.scores", &scores);
        writer.texts("tokenizer.ggml.tokens", tokens.into_iter());
        let tokenizer = read(writer).unwrap();
        assert_eq!(tokenizer.encode("abc").unwrap(), [262, 259, 264]);
        assert_eq!(tokenizer.encode_with_special_tokens("ab").unwrap(), [1, 262, 263]);
    }

    #[test]
    fn vocabularies_that_are_none_are_refused() {
        let refused = |writer: Writer| read(writer).unwrap_err().to_string();
        assert!(refused(Writer::new()).contains("tokenizer.ggml.model"));
        assert!(refused(byte_level("tekken", "a b")).contains("tekken"));
        assert!(refused(byte_level("gpt-2", "ab")).contains("is no pair"));
        refused(byte_level("gpt-2", "x y"));
        let mut other = Writer::new();
        other.text("tokenizer.ggml.model", "bert");
        assert!(refused(other).contains("bert"));
    }
}
