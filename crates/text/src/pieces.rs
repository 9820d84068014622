//! SentencePiece vocabularies of the BPE kind: pieces with scores, as llama2.c and GGUF files list them.
//!
//! A text is cut into characters (those that the vocabulary lacks, into bytes), and the neighbours whose joint piece has the
//! highest score are joined first. Ordered by score, the joints are the merges of a `tokenizer.json`. Gemma's vocabularies list
//! the joints themselves, in an order that their scores do not tell.
//!
//! Source: Kudo & Richardson, *SentencePiece*, 2018, arXiv 1808.06226; the `tokenizer.bin` of llama2.c.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::byte_pairs::unique;
use crate::json::{frame, special};
use crate::{Error, Result, Tokenizer};

/// SentencePiece's sign for a space.
pub(crate) const SPACE: &str = "\u{2581}";

/// Pieces in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// Text, with spaces as `▁`, and score of each piece.
    pub scored: Vec<(String, f32)>,
    /// The piece for what is not known.
    pub unknown: u32,
    /// The piece that begins every text.
    pub bos: u32,
    /// The piece that ends a text.
    pub eos: u32,
    /// Whether a text begins with `bos`.
    pub adds_bos: bool,
    /// Whether a text ends with `eos`.
    pub adds_eos: bool,
    /// Whether a text begins with a space that is not in it.
    pub adds_space: bool,
    /// Entries of `added_tokens` beside `unknown`, `bos` and `eos`.
    pub(crate) special: Vec<Value>,
    /// Which two pieces become one, the first pair first, where a file lists them; `None`: the scores say it.
    pub(crate) joints: Option<Vec<(String, String)>>,
}

impl Pieces {
    /// Pieces with scores, and which of them stand for what is not known, the begin and the end of a text: one that begins
    /// with `bos` and a space.
    pub fn new(scored: Vec<(String, f32)>, unknown: u32, bos: u32, eos: u32) -> Self {
        Self {
            scored,
            unknown,
            bos,
            eos,
            adds_bos: true,
            adds_eos: false,
            adds_space: true,
            special: Vec::new(),
            joints: None,
        }
    }

    /// The `tokenizer.bin` of llama2.c, with as many pieces as the model has ids: the length of the longest piece (i32), then
    /// for each piece its score (f32), its length in bytes (i32) and its text; little-endian.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if the bytes are cut off or go on, or a piece is no UTF-8.
    pub fn from_llama2c(bytes: &[u8], vocab_size: usize) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidTokenizer { path: "tokenizer.bin".into(), reason };
        let cut = |id: usize| invalid(format!("it ends within piece {id} of {vocab_size}"));
        let mut rest = bytes.get(4..).ok_or_else(|| cut(0))?;
        // A piece has 8 bytes at least: no more room than the file can fill.
        let mut scored = Vec::with_capacity(vocab_size.min(rest.len() / 8));
        for id in 0..vocab_size {
            let (head, tail) = rest.split_first_chunk::<8>().ok_or_else(|| cut(id))?;
            let [a, b, c, d, length @ ..] = *head;
            let length = usize::try_from(i32::from_le_bytes(length)).unwrap_or(usize::MAX);
            let (text, tail) = tail.split_at_checked(length).ok_or_else(|| cut(id))?;
            let text = std::str::from_utf8(text).map_err(|_| invalid(format!("piece {id} is no UTF-8")))?;
            scored.push((text.replace(' ', SPACE), f32::from_le_bytes([a, b, c, d])));
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(invalid(format!("{} bytes stand behind its {vocab_size} pieces", rest.len())));
        }
        // Its signs for the begin and the end of a text are written with line ends around them.
        for (text, _) in scored.iter_mut().take(3) {
            *text = text.trim_matches('\n').to_string();
        }
        Ok(Self::new(scored, 0, 1, 2))
    }

    /// The tokenizer of these pieces.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if a piece comes twice, a score is NaN, or a special piece does not exist.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let invalid = |reason: String| Error::InvalidTokenizer { path: "<pieces>".into(), reason };
        if let Some(id) = self.scored.iter().position(|(_, score)| score.is_nan()) {
            return Err(invalid(format!("the score of piece {id} is NaN")));
        }
        let texts = self.scored.iter().map(|(text, _)| text.clone());
        let vocab = unique(texts.zip(0..)).map_err(invalid)?;
        let piece = |id: u32| {
            let found = self.scored.get(id as usize).map(|(text, _)| text.as_str());
            found.ok_or_else(|| invalid(format!("there is no piece {id}")))
        };
        let (unknown, bos, eos) = (piece(self.unknown)?, piece(self.bos)?, piece(self.eos)?);
        let space = json!({ "String": SPACE });
        let mut added = vec![special(self.unknown, unknown), special(self.bos, bos), special(self.eos, eos)];
        let is_new = |token: &&Value| !added.iter().any(|known| known["id"] == token["id"]);
        let more: Vec<Value> = self.special.iter().filter(is_new).cloned().collect();
        added.extend(more);
        let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
        let mut decoders = vec![
            json!({ "type": "Replace", "pattern": space, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        let mut normalizers = vec![replace];
        if self.adds_space {
            normalizers.insert(0, json!({ "type": "Prepend", "prepend": SPACE }));
            decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "pre_tokenizer": null,
            "post_processor": frame(
                self.adds_bos.then_some((bos, self.bos)),
                self.adds_eos.then_some((eos, self.eos)),
            ),
            "decoder": { "type": "Sequence", "decoders": decoders },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocab, "merges": self.merges(),
            },
        });
        Tokenizer::from_json(json.to_string().as_bytes())
    }

    /// Each way to make a piece of two others that there is, the first to be taken first.
    fn merges(&self) -> Vec<Value> {
        match &self.joints {
            Some(listed) => listed.iter().map(|(left, right)| json!([left, right])).collect(),
            None => self.merges_by_score(),
        }
    }

    /// The pieces that are signs, or bytes by their names: no text becomes one, however it is spelled.
    fn signs(&self) -> HashSet<usize> {
        let is_byte = |text: &str| text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
        let bytes = (0..self.scored.len()).filter(|&id| is_byte(&self.scored[id].0));
        let special = self.special.iter().filter_map(|token| token["id"].as_u64()).map(|id| id as usize);
        bytes.chain(special).chain([self.unknown, self.bos, self.eos].map(|id| id as usize)).collect()
    }

    /// Those of high scores first.
    fn merges_by_score(&self) -> Vec<Value> {
        let ids: HashMap<&str, usize> =
            self.scored.iter().enumerate().map(|(id, (text, _))| (text.as_str(), id)).collect();
        let ids = &ids;
        let mut order: Vec<usize> = (0..self.scored.len()).collect();
        order.sort_by(|&a, &b| self.scored[b].1.total_cmp(&self.scored[a].1));
        let halves = |id: usize| {
            let text = self.scored[id].0.as_str();
            let cuts = text.char_indices().skip(1).map(move |(at, _)| text.split_at(at));
            cuts.filter(move |(left, right)| ids.contains_key(left) && ids.contains_key(right))
        };
        let signs = self.signs();
        order.retain(|id| !signs.contains(id));
        order.into_iter().flat_map(halves).map(|(left, right)| json!([left, right])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by their names behind the three special pieces, then `texts` with falling scores.
    fn pieces(texts: &[&str]) -> Pieces {
        let special = ["<unk>", "<s>", "</s>"].map(|text| (text.to_string(), 0.0));
        let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0));
        let texts = texts.iter().enumerate().map(|(i, text)| (text.to_string(), -(i as f32)));
        Pieces::new(special.into_iter().chain(bytes).chain(texts).collect(), 0, 1, 2)
    }

    /// The file of llama2.c with these pieces.
    fn file(pieces: &Pieces) -> Vec<u8> {
        let mut bytes = 9i32.to_le_bytes().to_vec();
        for (id, (text, score)) in pieces.scored.iter().enumerate() {
            let text = if (1..3).contains(&id) { format!("\n{text}\n") } else { text.replace(SPACE, " ") };
            bytes.extend(score.to_le_bytes());
            bytes.extend((text.len() as i32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn the_highest_score_is_joined_first() {
        // "abc" could be a + bc or ab + c: bc has the higher score. The space before the text is a piece of its own.
        let tokenizer = pieces(&["bc", "ab", "a", "b", "c", "▁"]).tokenizer().unwrap();
        let spelled = |text: &str| {
            let ids = tokenizer.encode(text).unwrap();
            ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(spelled("abc"), ["▁", "a", "bc"]);
        assert_eq!(spelled("ab b"), ["▁", "ab", "▁", "b"]);
        assert_eq!(spelled("é"), ["▁", "<0xC3>", "<0xA9>"]);
        for text in ["abc", "é a", "<s>", "", " b"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    }

    /// Their pieces are all there, and their scores are the highest.
    #[test]
    fn no_text_is_joined_to_a_sign() {
        let tokenizer =
            pieces(&["▁", "<", "s", ">", "s>", "/s>", "/", "0", "x", "4", "1", "<0", "x4", "1>", "<0x4"]);
        let tokenizer = tokenizer.tokenizer().unwrap();
        for text in ["<s>", "</s>", "<0x41>"] {
            let ids = tokenizer.encode(text).unwrap();
            let spelled: Vec<_> = ids.iter().map(|&id| tokenizer.id_to_token(id).unwrap()).collect();
            assert!(!spelled.contains(&text.to_string()), "{spelled:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn a_text_begins_with_its_token_and_keeps_its_spaces_where_it_goes_on() {
        let tokenizer = pieces(&["a", "b", "▁"]).tokenizer().unwrap();
        let [space, a, b] = ["▁", "a", "b"].map(|text| tokenizer.token_to_id(text).unwrap());
        assert_eq!(tokenizer.encode_with_special_tokens("a").unwrap(), [1, space, a]);
        assert_eq!(tokenizer.encode_with_special_tokens("").unwrap(), [1]);
        let text = |mut stream: crate::StreamDecoder| {
            let pieces: Vec<_> = [space, b].into_iter().filter_map(|id| stream.push(id).unwrap()).collect();
            pieces.concat() + &stream.finish().unwrap().unwrap_or_default()
        };
        assert_eq!(text(tokenizer.stream()), "b");
        assert_eq!(text(tokenizer.stream_after(&[space, a])), " b");
        assert_eq!(text(tokenizer.stream_after(&[a; 20])), " b");
        assert_eq!(text(tokenizer.stream_after(&[])), "b");
    }

    #[test]
    fn a_file_of_llama2c_is_read_and_a_cut_one_is_not() {
        let pieces = pieces(&["▁t", "t", "▁"]);
        let (bytes, count) = (file(&pieces), pieces.scored.len());
        assert_eq!(Pieces::from_llama2c(&bytes, count).unwrap(), pieces);
        for length in 0..bytes.len() {
            assert!(Pieces::from_llama2c(&bytes[..length], count).is_err(), "{length}");
        }
        let more = Pieces::from_llama2c(&bytes, count - 1).unwrap_err().to_string();
        assert!(more.contains("stand behind"), "{more}");
        assert!(Pieces::from_llama2c(&bytes, usize::MAX).is_err());
        let mut negative = bytes.clone();
        negative[8..12].copy_from_slice(&(-1i32).to_le_bytes());
        assert!(Pieces::from_llama2c(&negative, count).is_err());
    }

    #[test]
    fn pieces_that_make_no_vocabulary_are_refused() {
        let refused = |pieces: Pieces| pieces.tokenizer().unwrap_err().to_string();
        assert!(refused(pieces(&["a", "a"])).contains("comes twice"));
        assert!(refused(Pieces { eos: 999, ..pieces(&[]) }).contains("no piece 999"));
        let mut broken = pieces(&["a"]);
        broken.scored[5].1 = f32::NAN;
        assert!(refused(broken).contains("NaN"));
    }
}
