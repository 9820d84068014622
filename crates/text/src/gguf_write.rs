//! Tokenizers as the vocabulary of a GGUF file: the way of reading, backwards.

use serde_json::Value;
use warpsmith_gguf::Writer;

use crate::words::{self, Words};
use crate::{ChatTemplate, Error, Result, Tokenizer};

/// Types of tokens, as in `gguf.rs`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

impl Tokenizer {
    /// Adds this tokenizer to the metadata of a GGUF file; `ends` are the tokens that end a text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is neither byte-level BPE with a way to cut words that has a name in the format, nor BPE
    /// that falls back to bytes as SentencePiece does.
    pub fn write_gguf(&self, writer: &mut Writer, ends: &[u32]) -> Result<()> {
        let json: Value =
            serde_json::from_str(&self.to_json()?).map_err(|e| self.unwritten(e.to_string()))?;
        let model = &json["model"];
        match (model["type"].as_str(), model["byte_fallback"] == true) {
            (Some("BPE"), false) if json["decoder"]["type"] == "ByteLevel" => {
                let way = way(&json).ok_or_else(|| {
                    self.unwritten(format!("its way to cut words has no name there ({} have)", words::NAMES))
                })?;
                writer.text("tokenizer.ggml.model", "gpt2");
                writer.text("tokenizer.ggml.pre", way);
                let merges: Vec<String> =
                    merges(model).map(|(left, right)| format!("{left} {right}")).collect();
                writer.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
            }
            (Some("BPE"), true) => {
                writer.text("tokenizer.ggml.model", "llama");
                writer.text("tokenizer.ggml.pre", "default");
                writer.reals("tokenizer.ggml.scores", &self.scores(model));
                let adds_space = json["normalizer"].to_string().contains("\"Prepend\"")
                    || json["pre_tokenizer"]["prepend_scheme"].as_str().is_some_and(|way| way != "never");
                writer.truth("tokenizer.ggml.add_space_prefix", adds_space);
            }
            _ => return Err(self.unwritten("byte-level BPE and SentencePiece's BPE are")),
        }
        self.write_tokens(writer, &json, ends)
    }

    /// What all kinds have.
    fn write_tokens(&self, writer: &mut Writer, json: &Value, ends: &[u32]) -> Result<()> {
        let (mut tokens, mut types) = (Vec::new(), Vec::new());
        let unknown = json["model"]["unk_token"].as_str();
        let falls_back = json["model"]["byte_fallback"] == true;
        let is_byte = |token: &str| falls_back && token.len() == 6 && token.starts_with("<0x");
        let added = json["added_tokens"].as_array().into_iter().flatten();
        let added: Vec<(Option<u64>, bool)> =
            added.map(|token| (token["id"].as_u64(), token["special"] == true)).collect();
        for id in 0..self.vocab_size() as u32 {
            let kind_of_added =
                added.iter().find(|(of, _)| *of == Some(id.into())).map(|(_, special)| *special);
            let token = self.id_to_token(id);
            types.push(match (&token, kind_of_added) {
                (None, _) => UNUSED,
                (Some(token), _) if Some(token.as_str()) == unknown => UNKNOWN,
                (_, Some(true)) => CONTROL,
                (_, Some(false)) => USER_DEFINED,
                (Some(token), None) if is_byte(token) => BYTE,
                _ => NORMAL,
            });
            tokens.push(token.unwrap_or_else(|| format!("[PAD{id}]")));
        }
        writer.texts("tokenizer.ggml.tokens", tokens.iter().map(String::as_str));
        writer.integers("tokenizer.ggml.token_type", &types);
        let mut id = |name: &str, id: Option<u32>| {
            if let Some(id) = id {
                writer.unsigned(&format!("tokenizer.ggml.{name}"), id);
            }
        };
        let (begin, end) = self.around()?;
        let eos = ends.first().copied().or(end).or(self.eos());
        if end.is_some() && end != eos {
            return Err(self.unwritten("a text has another token behind it than the one that ends texts"));
        }
        id("bos_token_id", begin.or(self.bos()));
        id("eos_token_id", eos);
        id("eot_token_id", ends.get(1).copied());
        id("unknown_token_id", unknown.and_then(|token| self.token_to_id(token)));
        writer.truth("tokenizer.ggml.add_bos_token", begin.is_some());
        writer.truth("tokenizer.ggml.add_eos_token", end.is_some());
        Ok(())
    }

    /// The tokens that stand before and behind every text.
    fn around(&self) -> Result<(Option<u32>, Option<u32>)> {
        let (plain, framed) = (self.encode("a")?, self.encode_with_special_tokens("a")?);
        let at = framed.windows(plain.len().max(1)).position(|ids| ids == plain).unwrap_or(0);
        match (&framed[..at], &framed[(at + plain.len()).min(framed.len())..]) {
            (before @ ([] | [_]), behind @ ([] | [_])) => {
                Ok((before.first().copied(), behind.first().copied()))
            }
            _ => Err(self.unwritten("more than one token stands before or behind a text")),
        }
    }

    fn unwritten(&self, reason: impl Into<String>) -> Error {
        Error::Tokenizer { name: self.name(), action: "be written as GGUF", reason: reason.into() }
    }

    /// Scores that order pieces as the merges do: the earlier a piece is made, the higher.
    fn scores(&self, model: &Value) -> Vec<f32> {
        let mut scores = vec![0.0; self.vocab_size()];
        for (rank, (left, right)) in merges(model).enumerate() {
            let id = self.token_to_id(&[left, right].concat());
            if let Some(score) = id.and_then(|id| scores.get_mut(id as usize)).filter(|score| **score == 0.0)
            {
                *score = -1.0 - rank as f32;
            }
        }
        scores
    }
}

impl ChatTemplate {
    /// Adds the template to the metadata of a GGUF file.
    pub fn write_gguf(&self, writer: &mut Writer) {
        writer.text("tokenizer.chat_template", self.source());
    }
}

fn merges(model: &Value) -> impl Iterator<Item = (&str, &str)> {
    let merges = model["merges"].as_array().into_iter().flatten();
    merges.filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
}

/// The name of the way in which a tokenizer cuts words.
fn way(json: &Value) -> Option<&'static str> {
    const ALL: [&str; 10] = [
        "gpt-2",
        "smollm",
        "llama-bpe",
        "smaug-bpe",
        "qwen2",
        "qwen35",
        "tekken",
        "deepseek-llm",
        "deepseek-coder",
        "falcon",
    ];
    let cuts = words::patterns(&json["pre_tokenizer"])?;
    let is_same = |name: &&str| {
        Words::of(name).is_some_and(|known| {
            words::patterns(&known.cut).as_ref() == Some(&cuts)
                && known.normalizer == json["normalizer"]
                && Value::Bool(known.whole) == json["model"]["ignore_merges"]
        })
    };
    // Without merges every way gives bytes.
    let is_bytes = cuts.is_empty() && merges(&json["model"]).next().is_none();
    ALL.into_iter().find(is_same).or(is_bytes.then_some("gpt-2"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pieces;
    use warpsmith_gguf::Gguf;

    const TEXT: &str = "low lower lowest, 12 345 you're\n\n  x 你好 😀 <|end|> </s>";

    fn again(tokenizer: &Tokenizer, ends: &[u32]) -> Result<Tokenizer> {
        let mut writer = Writer::new();
        tokenizer.write_gguf(&mut writer, ends)?;
        let bytes = writer.finish();
        Tokenizer::from_gguf(&Gguf::parse(&bytes).unwrap())
    }

    #[test]
    fn a_tokenizer_written_and_read_is_the_same() {
        let learned = Tokenizer::train_bpe(&TEXT.repeat(3), 300).unwrap();
        let mut json: Value = serde_json::from_str(&learned.to_json().unwrap()).unwrap();
        let end = learned.vocab_size() as u32 + 3;
        json["model"]["vocab"]["<|end|>"] = end.into();
        json["added_tokens"] = [crate::json::special(end, "<|end|>")].into_iter().collect();
        for way in ["gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-coder", "falcon"] {
            let words = Words::of(way).unwrap();
            json["pre_tokenizer"] = words.cut;
            json["normalizer"] = words.normalizer;
            json["model"]["ignore_merges"] = words.whole.into();
            let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
            let read = again(&tokenizer, &[end]).unwrap();
            assert_eq!(read.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap(), "{way}");
            assert_eq!((read.vocab_size(), read.token_to_id("<|end|>")), (tokenizer.vocab_size(), Some(end)));
            assert!(read.special_tokens().contains(&("<|end|>".into(), end)));
        }
        let bytes = again(&Tokenizer::byte_level(), &[]).unwrap();
        assert_eq!(bytes.encode(TEXT).unwrap(), Tokenizer::byte_level().encode(TEXT).unwrap());
        json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x".into();
        let odd = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        assert!(again(&odd, &[]).unwrap_err().to_string().contains("has no name there"));
        assert!(again(&Tokenizer::from_chars("abc").unwrap(), &[]).is_err());
    }

    #[test]
    fn pieces_written_and_read_are_the_same() {
        let special = ["<unk>", "<s>", "</s>"].map(|text| (text.to_string(), 0.0));
        let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0));
        let texts = ["▁", "l", "o", "w", "lo", "▁lo", "ow", "▁low", "low"];
        let texts = texts.into_iter().zip(0..).map(|(text, i)| (text.to_string(), -(i as f32)));
        let tokenizer = Pieces::new(special.into_iter().chain(bytes).chain(texts).collect(), 0, 1, 2)
            .tokenizer()
            .unwrap();
        let read = again(&tokenizer, &[2]).unwrap();
        for text in [TEXT, "low", "slow owl", ""] {
            let both = [&tokenizer, &read].map(|t| t.encode_with_special_tokens(text).unwrap());
            assert_eq!(both[0], both[1], "{text}");
        }
        assert_eq!((read.bos(), read.eos()), (Some(1), Some(2)));
    }
}
