//! Bytes as printable characters, the alphabet of byte-level BPE.
//!
//! A `tokenizer.json` holds strings, and a token may be any bytes. GPT-2 (Radford et al., 2019, section 2.2) writes
//! the 188 printable bytes of Latin-1 as themselves, and the other 68 as U+0100, U+0101, … in order.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Whether the byte stands for itself.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character of each byte.
pub(crate) static BYTE_CHARS: [char; 256] = byte_chars();

const fn byte_chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let mut byte = 0;
    let mut others = 0;
    while byte < 256 {
        chars[byte] = if is_printable(byte as u8) {
            byte as u8 as char
        } else {
            others += 1;
            match char::from_u32(0x100 + others - 1) {
                Some(c) => c,
                None => char::REPLACEMENT_CHARACTER,
            }
        };
        byte += 1;
    }
    chars
}

/// The byte of each character.
static CHAR_BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| BYTE_CHARS.into_iter().zip(0..=255).collect());

/// The bytes of a byte-level token. A token with any other character, such as an added special token, is its own
/// UTF-8, as the reference decoder has it.
pub(crate) fn token_bytes(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(|c| CHAR_BYTES.get(&c).copied()).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}

/// The decoder and pre-tokenizer entry of a byte-level `tokenizer.json`.
pub(crate) fn component(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex})
}

/// The byte tokenizer as a `tokenizer.json`: byte-level BPE with no merges, where the id is the byte.
pub(crate) fn byte_tokenizer_json() -> Value {
    let vocab: serde_json::Map<String, Value> =
        BYTE_CHARS.iter().enumerate().map(|(byte, c)| (c.to_string(), json!(byte))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": component(false),
        "post_processor": null,
        "decoder": component(false),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_alphabet_is_the_library_s() {
        let mut ours = BYTE_CHARS.to_vec();
        let mut theirs: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
        assert_eq!(BYTE_CHARS[usize::from(b' ')], 'Ġ');
        assert_eq!(BYTE_CHARS[usize::from(b'\n')], 'Ċ');
    }

    #[test]
    fn token_bytes_inverts_the_table() {
        for (byte, c) in BYTE_CHARS.iter().enumerate() {
            assert_eq!(token_bytes(&c.to_string()), [byte as u8]);
        }
        assert_eq!(token_bytes("<|end|> x"), b"<|end|> x", "a space is no byte-level character");
    }
}
