//! The tokenizer of a model folder: `tokenizer.json`, or the files of the tokenizers that came before it, `vocab.json` with
//! `merges.txt` and `vocab.txt`.
//!
//! Source: `GPT2Tokenizer`, `Qwen2Tokenizer` and `BertTokenizer` of Hugging Face transformers.

use std::fmt;
use std::path::Path;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};

use crate::byte_pairs::{BytePairs, halves};
use crate::json::frame;
use crate::settings::Settings;
use crate::word_piece::WordPiece;
use crate::words::Words;
use crate::{Error, Result, Tokenizer};

/// Larger files are refused unread; the largest published `tokenizer.json` is an eighth of it.
const MAX_FILE_BYTES: u64 = 256 << 20;
const TOKENIZER: &str = "tokenizer.json";
/// Files that say something about a vocabulary, see [`Settings`].
const SETTINGS: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];
/// The end of a text in GPT-2's vocabulary, if no file says another.
const GPT2_END: &str = "<|endoftext|>";

/// The bytes of a file.
///
/// # Errors
/// If it is missing, cannot be read, or is larger than any tokenizer.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_path_buf() },
        _ => Error::Io { path: path.to_path_buf(), source },
    };
    let found = std::fs::metadata(path).map_err(io)?;
    // A pipe would keep its reader waiting, and a device may give bytes without an end.
    if !found.is_file() && !found.is_dir() {
        let reason = "it is a pipe or a device, and no file".into();
        return Err(Error::InvalidTokenizer { path: path.to_path_buf(), reason });
    }
    let bytes = found.len();
    if bytes > MAX_FILE_BYTES {
        let reason = format!("it has {bytes} bytes, more than {MAX_FILE_BYTES}");
        return Err(Error::InvalidTokenizer { path: path.to_path_buf(), reason });
    }
    std::fs::read(path).map_err(io)
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

impl Tokenizer {
    /// Whether a folder has the files of a tokenizer.
    pub fn is_in(folder: &Path) -> bool {
        let has = |name: &str| folder.join(name).exists();
        has(TOKENIZER) || (has("vocab.json") && has("merges.txt")) || has("vocab.txt")
    }

    /// The tokenizer of a folder.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self> {
        let place = |name: &str| folder.join(name);
        let has = |name: &str| place(name).exists();
        if has(TOKENIZER) || !Self::is_in(folder) {
            let unread =
                ["tokenizer.model", "spiece.model"].into_iter().find(|name| !has(TOKENIZER) && has(name));
            return match unread {
                None => Self::from_file(place(TOKENIZER)),
                Some(name) => Err(Error::InvalidTokenizer {
                    path: place(name),
                    reason: "SentencePiece's own format is not read: save the tokenizer as a tokenizer.json"
                        .into(),
                }),
            };
        }
        let settings: Vec<Option<Vec<u8>>> =
            SETTINGS.iter().map(|name| optional(&place(name))).collect::<Result<_>>()?;
        let settings = [0, 1, 2].map(|i| settings[i].as_deref());
        let (file, tokenizer) = match has("vocab.json") && has("merges.txt") {
            true => {
                let (vocab, merges) = (read(&place("vocab.json"))?, read(&place("merges.txt"))?);
                ("vocab.json", Self::from_vocab_json(&vocab, &merges, settings))
            }
            false => ("vocab.txt", Self::from_vocab_txt(&read(&place("vocab.txt"))?, settings)),
        };
        tokenizer.map_err(|error| match error {
            Error::InvalidTokenizer { reason, .. } => Error::InvalidTokenizer { path: place(file), reason },
            other => other,
        })
    }

    /// Byte-level BPE of the bytes of `vocab.json` and `merges.txt`, as GPT-2 and Qwen2 have it. `settings` are the bytes of
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, as far as there are such files.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if the files are damaged or do not belong together, or the tokenizer is of another class.
    pub fn from_vocab_json(vocab: &[u8], merges: &[u8], settings: [Option<&[u8]>; 3]) -> Result<Self> {
        made(byte_pairs(vocab, merges, settings).and_then(BytePairs::into_json))
    }

    /// WordPiece of the bytes of a `vocab.txt`, as BERT has it; `settings` as in [`Tokenizer::from_vocab_json`].
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if the files are damaged, or the tokenizer is of another class.
    pub fn from_vocab_txt(vocab: &[u8], settings: [Option<&[u8]>; 3]) -> Result<Self> {
        made(word_piece(vocab, settings).and_then(WordPiece::into_json))
    }
}

fn made(json: std::result::Result<serde_json::Value, String>) -> Result<Tokenizer> {
    let json = json.map_err(|reason| Error::InvalidTokenizer { path: "<memory>".into(), reason })?;
    Tokenizer::from_json(json.to_string().as_bytes())
}

fn byte_pairs(
    vocab: &[u8],
    merges: &[u8],
    settings: [Option<&[u8]>; 3],
) -> std::result::Result<BytePairs, String> {
    let settings = Settings::new(settings)?;
    let words = match settings.class().unwrap_or("GPT2Tokenizer") {
        "GPT2Tokenizer" => Words::gpt2(),
        "Qwen2Tokenizer" => Words::qwen2(),
        other => return Err(unknown_class(other, "GPT2Tokenizer and Qwen2Tokenizer")),
    };
    if settings.truth("add_prefix_space")? == Some(true) {
        return Err("a space before each text (add_prefix_space) is not supported".into());
    }
    let vocab = tokens(vocab).map_err(|error| format!("vocab.json: {error}"))?;
    let id_of = |text: &str| vocab.iter().find(|(token, _)| token == text).map(|(_, id)| *id);
    let mut added = settings.added(id_of)?;
    if settings.named().is_empty()
        && let Some(id) = id_of(GPT2_END)
        && !added.iter().any(|token| token["id"] == id)
    {
        added.push(crate::json::special(id, GPT2_END));
    }
    let edge = |adds: &str, name: &str| -> std::result::Result<_, String> {
        let text = settings.token(name).unwrap_or(GPT2_END);
        let known = added.iter().find(|token| token["content"] == text);
        let id = known.and_then(|token| token["id"].as_u64()).map(|id| id as u32);
        match settings.truth(adds)? == Some(true) {
            false => Ok(None),
            true => id.map(|id| Some((text, id))).ok_or_else(|| format!("{adds}: there is no token {text}")),
        }
    };
    let frame = frame(edge("add_bos_token", "bos_token")?, edge("add_eos_token", "eos_token")?);
    let merges = std::str::from_utf8(merges).map_err(|error| format!("merges.txt: {error}"))?;
    let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges = lines.map(halves).collect::<std::result::Result<_, _>>();
    Ok(BytePairs {
        vocab,
        merges: merges.map_err(|error| format!("merges.txt: {error}"))?,
        words,
        added,
        frame,
    })
}

fn word_piece(vocab: &[u8], settings: [Option<&[u8]>; 3]) -> std::result::Result<WordPiece, String> {
    let settings = Settings::new(settings)?;
    match settings.class().unwrap_or("BertTokenizer") {
        "BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer" => {}
        other => return Err(unknown_class(other, "BertTokenizer and its kin")),
    }
    let text = std::str::from_utf8(vocab).map_err(|error| error.to_string())?;
    // Blank lines at the end are an editor's.
    let lines = text.trim_end_matches(['\r', '\n']).split('\n');
    let pieces: Vec<String> = lines.map(|line| line.strip_suffix('\r').unwrap_or(line).to_string()).collect();
    if let Some(line) = pieces.iter().position(String::is_empty) {
        return Err(format!("line {} is empty", line + 1));
    }
    let id_of = |text: &str| pieces.iter().position(|piece| piece == text).map(|id| id as u32);
    let added = settings.added(id_of)?;
    let plain = WordPiece::new(pieces);
    let named = |name: &str, default: &str| settings.token(name).unwrap_or(default).to_string();
    Ok(WordPiece {
        unknown: named("unk_token", &plain.unknown),
        begin: named("cls_token", &plain.begin),
        end: named("sep_token", &plain.end),
        special: plain.special,
        added,
        lower_case: settings.truth("do_lower_case")?.unwrap_or(true),
        strip_accents: settings.truth("strip_accents")?,
        splits_chinese: settings.truth("tokenize_chinese_chars")?.unwrap_or(true),
        pieces: plain.pieces,
    })
}

fn unknown_class(name: &str, known: &str) -> String {
    format!("a {name} is not read from these files ({known} are): save it as a tokenizer.json")
}

/// The tokens of a `vocab.json`. One that comes twice is told of by its user: JSON's own maps keep the last in silence.
fn tokens(bytes: &[u8]) -> serde_json::Result<Vec<(String, u32)>> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, u32)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of tokens and their ids")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let entries = deserializer.deserialize_map(Entries)?;
    deserializer.end().map(|()| entries)
}
