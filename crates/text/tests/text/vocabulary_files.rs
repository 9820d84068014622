//! Folders without a `tokenizer.json`: `vocab.json` with `merges.txt`, and `vocab.txt`.

use serde_json::{Value, json};
use warpsmith_text::Tokenizer;

const TEXT: &str = "low lower lowest, 12 34 you're\n\n  x 你好 😀 <|endoftext|>";
const NONE: [Option<&[u8]>; 3] = [None; 3];

/// `vocab.json` and `merges.txt` of a tokenizer that was learned here, with GPT-2's end of a text, and the tokenizer itself.
pub fn byte_pairs() -> (Vec<u8>, Vec<u8>, Tokenizer) {
    let learned = Tokenizer::train_bpe(&TEXT.repeat(3), 280).unwrap();
    let mut file: Value = serde_json::from_str(&learned.to_json().unwrap()).unwrap();
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    let lines = merges.map(|pair| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    let merges = format!("#version: 0.2\n{}", lines.collect::<String>());
    let end = learned.vocab_size();
    file["model"]["vocab"]["<|endoftext|>"] = json!(end);
    file["added_tokens"] = json!([{
        "id": end, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    }]);
    let vocab = file["model"]["vocab"].to_string().into_bytes();
    (vocab, merges.into_bytes(), Tokenizer::from_json(file.to_string().as_bytes()).unwrap())
}

/// A `vocab.txt` in BERT's manner.
pub const WORD_PIECES: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\ncats\nÉtat\netat\n你\n,\n";

fn refused(tokenizer: warpsmith_text::Result<Tokenizer>) -> String {
    tokenizer.unwrap_err().to_string()
}

#[test]
fn vocab_json_and_merges_are_the_tokenizer_json() {
    let (vocab, merges, whole) = byte_pairs();
    let tokenizer = Tokenizer::from_vocab_json(&vocab, &merges, NONE).unwrap();
    assert_eq!(tokenizer.encode(TEXT).unwrap(), whole.encode(TEXT).unwrap());
    assert_eq!(tokenizer.decode(&tokenizer.encode(TEXT).unwrap()).unwrap(), TEXT);
    assert_eq!((tokenizer.eos(), tokenizer.vocab_size()), (whole.eos(), whole.vocab_size()));
    // Merged within words, one at least is of two bytes.
    assert!(tokenizer.encode(TEXT).unwrap().len() < TEXT.len());
    let qwen: Option<&[u8]> =
        Some(br#"{"tokenizer_class": "Qwen2TokenizerFast", "eos_token": "<|endoftext|>"}"#);
    let qwen = Tokenizer::from_vocab_json(&vocab, &merges, [qwen, None, None]).unwrap();
    // Letters and what makes one of them are one character, as NFC has it.
    assert_eq!(qwen.encode("e\u{301}").unwrap(), qwen.encode("é").unwrap());
    assert_eq!(qwen.eos(), whole.eos());
}

#[test]
fn a_merge_that_makes_no_token_is_refused_before_the_library_panics() {
    let read = |merge: Value, prefix: Option<&str>| {
        let model = json!({
            "type": "BPE", "vocab": { "a": 0, "b": 1, "ab": 2, "a ": 3 }, "merges": [merge],
            "continuing_subword_prefix": prefix,
        });
        Tokenizer::from_json(json!({ "version": "1.0", "model": model }).to_string().as_bytes())
    };
    assert!(read(json!("a b"), None).is_ok() && read(json!(["a", "b"]), None).is_ok());
    for (merge, prefix) in [
        (json!("b ab"), None),
        (json!(["b", "ab"]), None),
        (json!(["b", "a "]), None),
        (json!("a b"), Some("##")),
    ] {
        let error = refused(read(merge, prefix));
        assert!(error.contains("makes no token of its vocabulary"), "{error}");
    }
    assert!(refused(read(json!("a b b"), None)).contains("not a usable tokenizer"));
}

#[test]
fn settings_beside_a_vocabulary_count() {
    let (vocab, merges, whole) = byte_pairs();
    let end = whole.eos().unwrap();
    let config = json!({
        "add_bos_token": true, "bos_token": { "content": "<|endoftext|>" },
        "added_tokens_decoder": { (end + 1).to_string(): { "content": "<pad>", "special": true } },
    });
    let read = |config: &Value| {
        Tokenizer::from_vocab_json(&vocab, &merges, [Some(config.to_string().as_bytes()), None, None])
    };
    let tokenizer = read(&config).unwrap();
    assert_eq!(tokenizer.encode_with_special_tokens("").unwrap(), [end]);
    assert_eq!(tokenizer.token_to_id("<pad>"), Some(end + 1));
    assert_eq!(tokenizer.vocab_size() as u32, end + 2);
    let gap = json!({ "added_tokens_decoder": { "900": { "content": "<pad>", "special": true } } });
    assert!(refused(read(&gap)).contains("should have the id 900"));
    assert!(refused(read(&json!({ "tokenizer_class": "XLNetTokenizer" }))).contains("XLNetTokenizer"));
    assert!(refused(read(&json!({ "add_prefix_space": true }))).contains("add_prefix_space"));
    assert!(refused(read(&json!({ "add_bos_token": 1 }))).contains("not true or false"));
    let twice = [&vocab[..vocab.len() - 1], br#","a":7}"#].concat();
    assert!(refused(Tokenizer::from_vocab_json(&twice, &merges, NONE)).contains("comes twice"));
    let same = String::from_utf8(vocab.clone()).unwrap().replacen(":5,", ":6,", 1);
    assert!(refused(Tokenizer::from_vocab_json(same.as_bytes(), &merges, NONE)).contains("the same id, 6"));
    assert!(refused(Tokenizer::from_vocab_json(&vocab, b"l o w", NONE)).contains("is no pair"));
    assert!(refused(Tokenizer::from_vocab_json(&vocab, b"~ ~", NONE)).contains('~'));
    let far = [&vocab[..vocab.len() - 1], br#","far":99999}"#].concat();
    assert!(refused(Tokenizer::from_vocab_json(&far, &merges, NONE)).contains("one with id 99999"));
}

#[test]
fn vocab_txt_is_word_pieces() {
    let tokenizer = Tokenizer::from_vocab_txt(WORD_PIECES.as_bytes(), NONE).unwrap();
    assert_eq!(
        tokenizer.encode_with_special_tokens("Unaffable État, 你你").unwrap(),
        [2, 5, 6, 7, 10, 12, 11, 11, 3]
    );
    assert_eq!(tokenizer.encode("dogs [MASK]").unwrap(), [1, 1, 1, 1], "what a user types is text");
    assert_eq!(tokenizer.decode(&[5, 6, 7, 8]).unwrap(), "unaffable cats");
    let windows = WORD_PIECES.replace('\n', "\r\n");
    let again = Tokenizer::from_vocab_txt(windows.as_bytes(), NONE).unwrap();
    assert_eq!(again.to_json().unwrap(), tokenizer.to_json().unwrap());
    let cased: Option<&[u8]> = Some(br#"{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}"#);
    let cased = Tokenizer::from_vocab_txt(WORD_PIECES.as_bytes(), [cased, None, None]).unwrap();
    assert_eq!(cased.encode("État etat Cats").unwrap(), [9, 10, 1]);
    let refused = |text: &str| refused(Tokenizer::from_vocab_txt(text.as_bytes(), NONE));
    assert!(refused(&WORD_PIECES.replace("[UNK]\n", "")).contains("no token [UNK]"));
    assert!(refused(&WORD_PIECES.replace("cats", "un")).contains("comes twice"));
    assert!(refused(&WORD_PIECES.replace("cats", "")).contains("line 9 is empty"));
    assert!(refused("").contains("line 1 is empty"));
}

#[test]
fn a_folder_is_read_by_the_files_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let read = || Tokenizer::from_file(folder.path());
    assert!(!Tokenizer::is_in(folder.path()));
    write("tokenizer.model", b"\x0A");
    assert!(refused(read()).contains("tokenizer.model is not a usable tokenizer"));
    write("vocab.txt", WORD_PIECES.as_bytes());
    assert_eq!(read().unwrap().name(), "wordpiece:13");
    let (vocab, merges, whole) = byte_pairs();
    write("vocab.json", &vocab);
    write("merges.txt", &merges);
    write("added_tokens.json", format!("{{\"<pad>\": {}}}", whole.vocab_size()).as_bytes());
    assert_eq!(read().unwrap().vocab_size(), whole.vocab_size() + 1);
    write("merges.txt", b"one");
    assert!(refused(read()).contains("vocab.json is not a usable tokenizer: merges.txt"));
    write("tokenizer.json", Tokenizer::byte_level().to_json().unwrap().as_bytes());
    assert_eq!(read().unwrap().name(), "byte");
}

/// The library leaves out what no token has, in silence; here it is an error.
#[test]
fn a_text_that_no_tokens_hold_is_refused() {
    let (vocab, merges, _) = byte_pairs();
    let vocab = String::from_utf8(vocab).unwrap().replacen("\"z\"", "\"zz\"", 1);
    let tokenizer = Tokenizer::from_vocab_json(vocab.as_bytes(), &merges, NONE).unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode("low you").unwrap()).unwrap(), "low you");
    let error = tokenizer.encode("lazy").unwrap_err().to_string();
    assert!(error.contains("of 4 bytes 3 are in tokens"), "{error}");
}
