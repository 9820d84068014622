//! The vocabulary of a GGUF file, as a tokenizer.
//!
//! Source: the keys `tokenizer.ggml.*` of llama.cpp's `gguf-py/gguf/constants.py`.

use serde_json::Value as Json;
use warpsmith_gguf::{Gguf, Value};

use crate::byte_pairs::{BytePairs, halves};
use crate::json::{added, frame, special};
use crate::pieces::SPACE;
use crate::word_piece::{CONTINUES, WordPiece};
use crate::words::{self, Words};
use crate::{ChatTemplate, Error, Pieces, Result, Tokenizer};

/// The type of the token for what is not known.
const UNKNOWN: i64 = 2;
/// The type of tokens that are never text.
const CONTROL: i64 = 3;
/// The type of tokens that a text is cut at before anything else.
const USER_DEFINED: i64 = 4;

impl Tokenizer {
    /// The tokenizer of a GGUF file: SentencePiece of the BPE kind, by scores (`llama`) or by merges (`gemma4`), byte-level BPE
    /// (`gpt2`) with one of the ways to cut words that are known here, or WordPiece (`bert`).
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if a key is missing or of another type, or the kind or the way is not known.
    pub fn from_gguf(file: &Gguf<'_>) -> Result<Self> {
        let vocabulary = Vocabulary { file };
        let json = match vocabulary.text("model")? {
            "llama" => return vocabulary.pieces()?.tokenizer(),
            "gemma4" => return vocabulary.pieces_with_joints()?.tokenizer(),
            "gpt2" => vocabulary.bpe()?.into_json(),
            "bert" => vocabulary.word_piece()?.into_json(),
            other => {
                return Err(invalid(format!(
                    "the kind `{other}` is not known; llama, gemma4, gpt2 and bert are"
                )));
            }
        };
        Self::from_json(json.map_err(invalid)?.to_string().as_bytes())
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

    /// The tokens in the order of their ids. Those without a text get one, as in llama.cpp: no text is made of them.
    fn tokens(&self) -> Result<Vec<String>> {
        let named = |(id, text): (usize, &str)| match text.is_empty() {
            true => format!("[EMPTY_{id}]"),
            false => text.to_string(),
        };
        Ok(self.texts("tokens")?.into_iter().enumerate().map(named).collect())
    }

    fn pieces(&self) -> Result<Pieces> {
        let (tokens, scores) = (self.tokens()?, self.get("scores", Value::as_array)?);
        if tokens.len() != scores.len() {
            return Err(invalid(format!("{} tokens and {} scores", tokens.len(), scores.len())));
        }
        let special = self.special(&tokens);
        let scores = scores.iter().map(|score| score.as_real().unwrap_or(f64::NAN) as f32);
        Ok(Pieces {
            special,
            adds_bos: self.is_set("add_bos_token", true),
            adds_eos: self.is_set("add_eos_token", false),
            adds_space: self.is_set("add_space_prefix", true),
            scored: tokens.into_iter().zip(scores).collect(),
            unknown: self.id("unknown_token_id").unwrap_or(0),
            bos: self.id("bos_token_id").unwrap_or(1),
            eos: self.id("eos_token_id").unwrap_or(2),
            joints: None,
        })
    }

    /// Gemma's: its scores say nothing, the merges are listed. llama.cpp begins every text with the start token, whatever the
    /// file says.
    fn pieces_with_joints(&self) -> Result<Pieces> {
        Ok(Pieces { joints: Some(self.merges()?), adds_bos: true, ..self.pieces()? })
    }

    /// The merges, the first to be taken first.
    fn merges(&self) -> Result<Vec<(String, String)>> {
        self.texts("merges")?.into_iter().map(halves).collect::<std::result::Result<_, _>>().map_err(invalid)
    }

    fn bpe(&self) -> Result<BytePairs> {
        let tokens = self.tokens()?;
        let way = self.text("pre").unwrap_or("default");
        let words = Words::of(way).ok_or_else(|| {
            invalid(format!("its way `{way}` to cut words is not known; {} are", words::NAMES))
        })?;
        let edge = |adds: &str, default: bool, name: &str| {
            let id = self.id(name).filter(|_| self.is_set(adds, default))?;
            Some((tokens.get(id as usize)?.as_str(), id))
        };
        let begin = edge("add_bos_token", words.begins, "bos_token_id");
        let frame = frame(begin, edge("add_eos_token", false, "eos_token_id"));
        Ok(BytePairs {
            merges: self.merges()?,
            words,
            added: self.special(&tokens),
            frame,
            vocab: tokens.into_iter().zip(0..).collect(),
        })
    }

    /// llama.cpp marks the pieces that begin a word, where BERT marks those that go on one.
    fn word_piece(&self) -> Result<WordPiece> {
        let tokens = self.tokens()?;
        let is_sign = |text: &str| text.starts_with('[') && text.ends_with(']') && text.len() > 2;
        let piece = |text: &String| match text.strip_prefix(SPACE) {
            Some(begin) => begin.to_string(),
            None if is_sign(text) => text.clone(),
            None => format!("{CONTINUES}{text}"),
        };
        let pieces: Vec<String> = tokens.iter().map(piece).collect();
        let named = |keys: &[&str], default: String| {
            let id = keys.iter().find_map(|key| self.id(key));
            id.and_then(|id| pieces.get(id as usize).cloned()).unwrap_or(default)
        };
        let plain = WordPiece::new(Vec::new());
        let lower_case = self.is_set("normalizer.lowercase", true);
        Ok(WordPiece {
            unknown: named(&["unknown_token_id"], plain.unknown),
            begin: named(&["cls_token_id", "bos_token_id"], plain.begin),
            // The key is spelled so in the files.
            end: named(&["seperator_token_id", "eos_token_id"], plain.end),
            special: plain.special,
            added: plain.added,
            lower_case,
            strip_accents: Some(self.is_set("normalizer.strip_accents", lower_case)),
            splits_chinese: true,
            pieces,
        })
    }

    /// The tokens that are no pieces of words: those that are never text, the ends of texts among them, and those at which
    /// every text is cut.
    fn special(&self, tokens: &[String]) -> Vec<Json> {
        let types: Vec<i64> = match self.get("token_type", Value::as_array) {
            Ok(types) => types.iter().map(|kind| kind.as_real().unwrap_or(0.0) as i64).collect(),
            Err(_) => Vec::new(),
        };
        let named = ["bos_token_id", "eos_token_id"].map(|name| self.id(name).map(|id| id as usize));
        let token = |(id, text): (usize, &String)| match types.get(id) {
            Some(&(UNKNOWN | CONTROL)) => Some(special(id as u32, text)),
            _ if named.contains(&Some(id)) => Some(special(id as u32, text)),
            Some(&USER_DEFINED) => Some(added(id as u32, text)),
            _ => None,
        };
        tokens.iter().enumerate().filter_map(token).collect()
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
        for pre in ["gpt-2", "llama-bpe", "deepseek-llm", "default", "falcon"] {
            assert_eq!(ids(pre, "ab12"), [257, 256], "{pre}");
        }
        for pre in ["smollm", "qwen2", "qwen35", "tekken", "deepseek-coder"] {
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

    /// Gemma's kind, with these merges if there are any.
    fn gemma(merges: &[&str]) -> Writer {
        let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        let tokens = ["<pad>", "<eos>", "<bos>", "<unk>"].into_iter().chain(bytes.iter().map(String::as_str));
        let tokens = tokens.chain(["a", "b", "c", "▁", "ab", "bc", "▁a", "c▁a", "\n", "\n\n"]);
        let tokens: Vec<&str> = tokens.collect();
        let mut writer = Writer::new();
        writer.text("tokenizer.ggml.model", "gemma4");
        writer.reals("tokenizer.ggml.scores", &vec![-1000.0; tokens.len()]);
        writer.texts("tokenizer.ggml.tokens", tokens.into_iter());
        if !merges.is_empty() {
            writer.texts("tokenizer.ggml.merges", merges.iter().copied());
        }
        for (name, id) in [("bos", 2), ("eos", 1), ("unknown", 3)] {
            writer.unsigned(&format!("tokenizer.ggml.{name}_token_id"), id);
        }
        writer.truth("tokenizer.ggml.add_space_prefix", false);
        writer.truth("tokenizer.ggml.add_bos_token", false);
        writer
    }

    #[test]
    fn listed_merges_go_before_scores_and_over_spaces() {
        let tokenizer = read(gemma(&["b c", "▁ a", "c ▁a", "a b", "\n \n"])).unwrap();
        let spelled = |text: &str| {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
            ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(spelled("abc"), ["a", "bc"]);
        assert_eq!(spelled("c ab"), ["c▁a", "b"]);
        assert_eq!(spelled("\n\n\n é"), ["\n\n", "\n", "▁", "<0xC3>", "<0xA9>"]);
        assert!(!tokenizer.encode("<eos>").unwrap().contains(&1), "what a user types is text");
        assert_eq!(tokenizer.encode_with_special_tokens("a").unwrap(), [2, 260], "whatever the file says");
        assert!(read(gemma(&[])).unwrap_err().to_string().contains("merges"));
        assert!(read(gemma(&["a x"])).is_err(), "a merge of what is no piece");
    }

    #[test]
    fn word_pieces_have_their_marks_turned() {
        let mut writer = Writer::new();
        writer.text("tokenizer.ggml.model", "bert");
        writer.texts(
            "tokenizer.ggml.tokens",
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁play", "ing", ""].into_iter(),
        );
        let tokenizer = read(writer).unwrap();
        assert_eq!(tokenizer.encode_with_special_tokens("Pláying play x").unwrap(), [2, 4, 5, 4, 1, 3]);
        assert_eq!(tokenizer.decode(&[4, 5, 4]).unwrap(), "playing play");
        assert_eq!(tokenizer.encode("[SEP]").unwrap(), [1, 1, 1], "what a user types is text");
    }

    #[test]
    fn vocabularies_that_are_none_are_refused() {
        let refused = |writer: Writer| read(writer).unwrap_err().to_string();
        assert!(refused(Writer::new()).contains("tokenizer.ggml.model"));
        assert!(refused(byte_level("kimi-k2", "a b")).contains("kimi-k2"));
        assert!(refused(byte_level("gpt-2", "ab")).contains("is no pair"));
        refused(byte_level("gpt-2", "x y"));
        let mut other = Writer::new();
        other.text("tokenizer.ggml.model", "t5");
        assert!(refused(other).contains("t5"));
        let mut twice = Writer::new();
        twice.text("tokenizer.ggml.model", "bert");
        twice.texts("tokenizer.ggml.tokens", ["[UNK]", "[CLS]", "[SEP]", "▁a", "▁a"].into_iter());
        assert!(refused(twice).contains("\"a\" comes twice"));
    }
}
