//! Bytes as printable characters, the alphabet of byte-level BPE.
//!
//! A `tokenizer.json` holds strings, and a token may be any bytes. GPT-2 (Radford et al., 2019, section 2.2) writes
//! the 188 printable bytes of Latin-1 as themselves, and the other 68 as U+0100, U+0101, … in order.

use serde_json::{Value, json};

/// Whether the byte stands for itself.
fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character of each byte.
pub(crate) fn byte_chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let mut next_free = 0x100_u32;
    for byte in 0..=255_u8 {
        chars[usize::from(byte)] = if is_printable(byte) {
            char::from(byte)
        } else {
            next_free += 1;
            char::from_u32(next_free - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
        };
    }
    chars
}

/// The bytes of a byte-level token. A token with any other character, such as an added special token, is its own
/// UTF-8, as the reference decoder has it.
pub(crate) fn token_bytes(token: &str) -> Vec<u8> {
    let chars = byte_chars();
    let byte_of =
        |c: char| chars.iter().position(|&known| known == c).and_then(|index| u8::try_from(index).ok());
    token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// The decoder and pre-tokenizer entry of a byte-level `tokenizer.json`.
pub(crate) fn component(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex})
}

/// The byte tokenizer as a `tokenizer.json`: byte-level BPE with no merges, where the id is the byte.
pub(crate) fn byte_tokenizer_json() -> Value {
    let vocab: serde_json::Map<String, Value> =
        byte_chars().iter().enumerate().map(|(byte, c)| (c.to_string(), json!(byte))).collect();
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
        let mut ours = byte_chars().to_vec();
        let mut theirs: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
        assert_eq!(byte_chars()[usize::from(b' ')], 'Ġ');
        assert_eq!(byte_chars()[usize::from(b'\n')], 'Ċ');
    }

    #[test]
    fn token_bytes_inverts_the_table() {
        for (byte, c) in byte_chars().iter().enumerate() {
            assert_eq!(token_bytes(&c.to_string()), [byte as u8]);
        }
        assert_eq!(token_bytes("<|end|> x"), b"<|end|> x", "a space is no byte-level character");
    }
}
