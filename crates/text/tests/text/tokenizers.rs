//! Each kind of tokenizer there and back, through memory and through its file.

use proptest::prelude::*;
use std::sync::LazyLock;
use warpsmith_text::{Error, Tokenizer};

/// Newlines, tabs, Chinese, emoji of several code points, combining marks, right-to-left, and a special token's text.
const VARIED: &str = "Hello,  world!\n\n\tIt's 12:34 -- 你好，世界。\r\n👩‍👩‍👧‍👦 e\u{301} é \u{200F}שלום <|endoftext|> \u{0} \u{FEFF}\u{10FFFF} ";

static BPE: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::train_bpe(&VARIED.repeat(3), 300).unwrap());

fn all_kinds() -> [Tokenizer; 3] {
    [Tokenizer::byte_level(), Tokenizer::from_chars(VARIED).unwrap(), BPE.clone()]
}

fn saved_and_read(tokenizer: &Tokenizer) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path().join("tokenizer.json")).unwrap();
    let read = Tokenizer::from_file(folder.path()).unwrap();
    let named = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(read.to_json().unwrap(), named.to_json().unwrap());
    read
}

#[test]
fn names_and_sizes() {
    let [byte, char, bpe] = all_kinds();
    assert_eq!((byte.name().as_str(), byte.vocab_size()), ("byte", 256));
    let distinct = VARIED.chars().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((char.name().as_str(), char.vocab_size()), ("char", distinct));
    assert_eq!((bpe.name().as_str(), bpe.vocab_size()), ("bpe:300", 300));
}

#[test]
fn varied_text_survives() {
    for tokenizer in all_kinds() {
        let ids = tokenizer.encode(VARIED).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), VARIED, "{tokenizer:?}");
        assert_eq!(tokenizer.decode_bytes(&ids).unwrap(), VARIED.as_bytes(), "{tokenizer:?}");
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        assert!(tokenizer.encode("").unwrap().is_empty());
        assert_eq!(tokenizer.decode(&[]).unwrap(), "");
    }
}

#[test]
fn the_file_reads_back_to_the_same_ids_and_the_same_file() {
    for tokenizer in all_kinds() {
        let read = saved_and_read(&tokenizer);
        assert_eq!(read.name(), tokenizer.name());
        assert_eq!(read.encode(VARIED).unwrap(), tokenizer.encode(VARIED).unwrap());
        assert_eq!(read.to_json().unwrap(), tokenizer.to_json().unwrap());
    }
}

/// The library alone, with none of our code, must read our files to the same ids: that is what others will do.
#[test]
fn the_library_reads_the_files_alike() {
    for tokenizer in all_kinds() {
        let library = tokenizers::Tokenizer::from_bytes(tokenizer.to_json().unwrap()).unwrap();
        let ids = tokenizer.encode(VARIED).unwrap();
        assert_eq!(library.encode(VARIED, true).unwrap().get_ids(), ids, "{tokenizer:?}");
        assert_eq!(library.decode(&ids, false).unwrap(), VARIED, "{tokenizer:?}");
        for id in 0..tokenizer.vocab_size() as u32 {
            assert_eq!(library.id_to_token(id), tokenizer.id_to_token(id));
            let token = tokenizer.id_to_token(id).unwrap();
            assert_eq!(tokenizer.token_to_id(&token), Some(id));
        }
    }
}

#[test]
fn characters_are_numbered_by_code_point() {
    let char = Tokenizer::from_chars("中ba\nb").unwrap();
    assert_eq!(char.encode("\nab中").unwrap(), [0, 1, 2, 3]);
    assert_eq!(char.id_to_token(3).as_deref(), Some("中"));
    assert_eq!(char.token_to_id("ab"), None);
}

#[test]
fn an_unknown_character_is_named() {
    let char = Tokenizer::from_chars("abc ").unwrap();
    let message = char.encode("cab é").unwrap_err().to_string();
    assert!(
        message.starts_with("character 'é' (U+00E9) at byte 4 is not among the 4 characters"),
        "{message}"
    );
    let message = char.encode("ab\n").unwrap_err().to_string();
    assert!(message.starts_with("character '\\n' (U+000A) at byte 2"), "{message}");
    assert!(char.encode("😀").unwrap_err().to_string().contains("(U+1F600)"));
}

#[test]
fn an_unknown_id_is_named() {
    for tokenizer in all_kinds() {
        let bad = tokenizer.vocab_size() as u32;
        for ids in [[0, bad], [0, u32::MAX]] {
            let error = tokenizer.decode(&ids).unwrap_err();
            assert!(matches!(error, Error::UnknownId { position: 1, .. }), "{error}");
            assert!(tokenizer.decode_bytes(&ids).is_err());
        }
        assert_eq!(tokenizer.id_to_token(bad), None);
    }
}

#[test]
fn a_long_text_is_encoded_alike_in_pieces() {
    // Longer than the pieces into which a long text is cut; each line alone is shorter.
    let lines = "It's the 1st  line,\n\n  and 你好 the 2nd\t\n".repeat(1500);
    let whole = BPE.encode(&lines).unwrap();
    let library = tokenizers::Tokenizer::from_bytes(BPE.to_json().unwrap()).unwrap();
    assert_eq!(library.encode(lines.as_str(), false).unwrap().get_ids(), whole);
    assert_eq!(BPE.decode(&whole).unwrap(), lines);
}

proptest! {
    #[test]
    fn any_string_survives_bytes_and_bpe(text in any::<String>()) {
        for tokenizer in [Tokenizer::byte_level(), BPE.clone()] {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), text.as_str());
        }
    }

    #[test]
    fn any_string_survives_its_own_characters(text in "\\PC{1,60}[\\n\\t 你é😀]{0,20}") {
        let char = Tokenizer::from_chars(&text).unwrap();
        let ids = char.encode(&text).unwrap();
        prop_assert_eq!(ids.len(), text.chars().count());
        prop_assert_eq!(char.decode(&ids).unwrap(), text);
    }

    #[test]
    fn a_stream_of_any_ids_is_their_text(ids in prop::collection::vec(0_u32..300, 0..80)) {
        let [byte, char, bpe] = all_kinds();
        for tokenizer in [byte, char, bpe] {
            let known: Vec<u32> = ids.iter().map(|id| id % tokenizer.vocab_size() as u32).collect();
            prop_assert_eq!(streamed(&tokenizer, &known), tokenizer.decode(&known).unwrap());
        }
    }

    #[test]
    fn a_stream_of_a_text_never_replaces(text in any::<String>()) {
        for tokenizer in [Tokenizer::byte_level(), BPE.clone()] {
            prop_assert_eq!(streamed(&tokenizer, &tokenizer.encode(&text).unwrap()), text.as_str());
        }
    }
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
    text.extend(stream.finish().unwrap());
    text
}
