//! Ways to cut a text into words, within which byte-level BPE merges: by the names that llama.cpp gives them, which are
//! those of the models that came with them first.
//!
//! Source: `src/llama-vocab.cpp` of the repository ggml-org/llama.cpp, and the `tokenizer.json` of these models.

use serde_json::{Value, json};

use crate::byte_level::component;

/// GPT-2's own (Radford et al., 2019, section 2.2).
const GPT2: &str = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/// How Llama 3 and Qwen cut; LETTER, MARK and DIGITS are where they differ.
const LETTERS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?LETTER+|DIGITS| ?[^\\s\\p{L}MARK\\p{N}]+[\\r\\n]*|\
                       \\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/// How Mistral's Tekken cuts: a word has its capitals at its beginning.
const TEKKEN: &str = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|\
                      [^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}|\
                      \x20?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/// The characters of Chinese, Japanese and Korean that DeepSeek keeps together.
const HAN: &str = "[一-龥ࠀ-一가-\u{D7FF}]+";

/// Names that are known, as an error lists them.
pub(crate) const NAMES: &str = "gpt-2, phi-2, mpt, olmo, smollm, starcoder, refact, command-r, llama-bpe, smaug-bpe, \
                                tekken, qwen2, qwen35, deepseek-llm, deepseek-coder, falcon and default";

/// A way to cut a text into words.
pub(crate) struct Words {
    /// What is done to the text before: an entry `normalizer`, null for nothing.
    pub normalizer: Value,
    /// An entry `pre_tokenizer`.
    pub cut: Value,
    /// Whether a word that is a token is that token, whatever the merges make of it.
    pub whole: bool,
    /// Whether a text begins with the start token unless a file says that it does not.
    pub begins: bool,
}

impl Words {
    /// GPT-2's way.
    pub fn gpt2() -> Self {
        Self::cut(component(true))
    }

    /// Qwen2's way, which composes characters first.
    pub fn qwen2() -> Self {
        let cut = isolated(&letters("\\p{L}", "", "\\p{N}"));
        Self { normalizer: json!({ "type": "NFC" }), ..Self::cut(by_turns([cut])) }
    }

    /// The way of this name.
    pub fn of(name: &str) -> Option<Self> {
        let digits = || json!({ "type": "Digits", "individual_digits": true });
        Some(match name {
            "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" => Self::gpt2(),
            "smollm" | "starcoder" | "refact" | "command-r" => {
                Self::cut(by_turns([digits(), isolated(GPT2)]))
            }
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => {
                let cut = isolated(&letters("\\p{L}", "", "\\p{N}{1,3}"));
                Self { whole: true, begins: true, ..Self::cut(by_turns([cut])) }
            }
            "smaug-bpe" => Self::cut(by_turns([isolated(&letters("\\p{L}", "", "\\p{N}{1,3}"))])),
            "tekken" => Self { whole: true, begins: true, ..Self::cut(by_turns([isolated(TEKKEN)])) },
            "qwen2" | "deepseek-r1-qwen" => Self::qwen2(),
            "qwen35" => {
                let cut = isolated(&letters("[\\p{L}\\p{M}]", "\\p{M}", "\\p{N}"));
                Self::cut(by_turns([cut]))
            }
            "deepseek-llm" => Self::cut(by_turns([
                isolated("[\r\n]"),
                isolated("\\s?[\\p{Lu}\\p{Ll}\\p{Lt}]+"),
                isolated("\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+"),
                isolated("\\s+$"),
                isolated(HAN),
                json!({ "type": "Digits", "individual_digits": false }),
            ])),
            "deepseek-coder" => Self::cut(by_turns([
                isolated("[\r\n]"),
                isolated("\\s?\\p{L}+"),
                isolated("\\s?\\p{P}+"),
                isolated(HAN),
                digits(),
            ])),
            "falcon" => {
                let signs = isolated("[\\p{P}\\$\\+<=>\\^~\\|`]+");
                Self::cut(by_turns([signs, isolated(GPT2), isolated("[0-9][0-9][0-9]")]))
            }
            // What llama.cpp takes for files that do not say.
            "default" => {
                let signs = isolated("[\\p{P}\\$\\+<=>\\^~\\|]+");
                Self::cut(by_turns([signs, isolated(GPT2), isolated("\\p{N}+"), isolated("[0-9][0-9][0-9]")]))
            }
            _ => return None,
        })
    }

    fn cut(cut: Value) -> Self {
        Self { normalizer: Value::Null, cut, whole: false, begins: false }
    }
}

fn letters(letter: &str, mark: &str, digits: &str) -> String {
    LETTERS.replace("LETTER", letter).replace("MARK", mark).replace("DIGITS", digits)
}

/// Cuts out what matches.
fn isolated(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

/// Each way cuts what the one before has left; the pieces become bytes.
fn by_turns(ways: impl IntoIterator<Item = Value>) -> Value {
    let ways: Vec<Value> = ways.into_iter().chain([component(false)]).collect();
    json!({ "type": "Sequence", "pretokenizers": ways })
}

/// What a pre-tokenizer of byte-level BPE cuts at, one after the other, whichever way it is spelled; `None` if it does
/// anything else.
pub(crate) fn patterns(cut: &Value) -> Option<Vec<String>> {
    match cut["type"].as_str()? {
        "ByteLevel" if cut["add_prefix_space"] != false => None,
        "ByteLevel" if cut["use_regex"] == false => Some(Vec::new()),
        "ByteLevel" => Some(vec![GPT2.into()]),
        "Split" if cut["behavior"] == "Isolated" && cut["invert"] == false => {
            Some(vec![cut["pattern"]["Regex"].as_str()?.into()])
        }
        "Digits" => Some(vec![format!("digits, {}", cut["individual_digits"])]),
        "Sequence" => {
            let parts = cut["pretokenizers"].as_array()?.iter().map(patterns).collect::<Option<Vec<_>>>()?;
            Some(parts.concat())
        }
        _ => None,
    }
}
