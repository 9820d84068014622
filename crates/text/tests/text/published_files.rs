//! Tokenizer files of the other families, in small: special tokens, WordPiece, Unigram with metaspace.

use serde_json::{Value, json};
use warpsmith_text::Tokenizer;

fn load(fields: Value) -> Tokenizer {
    let mut file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
    });
    file.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

fn special(id: u32, content: &str) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true,
    })
}

/// A byte-level BPE file with GPT-2's special token, and settings that would cut and pad.
fn gpt2_like() -> Tokenizer {
    let mut file: Value = serde_json::from_str(
        &Tokenizer::train_bpe("low lower lowest low low", 262).unwrap().to_json().unwrap(),
    )
    .unwrap();
    let size = file["model"]["vocab"].as_object().unwrap().len() as u32;
    file["added_tokens"] = json!([special(size, "<|endoftext|>")]);
    file["truncation"] =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = json!({
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "!",
    });
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

#[test]
fn the_text_of_a_special_token_is_text() {
    let tokenizer = gpt2_like();
    let eos = tokenizer.eos().unwrap();
    assert_eq!(eos as usize, tokenizer.vocab_size() - 1);
    assert_eq!(tokenizer.bos(), None);
    let ids = tokenizer.encode("low <|endoftext|>").unwrap();
    assert!(!ids.contains(&eos), "{ids:?}");
    assert_eq!(tokenizer.decode(&ids).unwrap(), "low <|endoftext|>");
    assert_eq!(tokenizer.decode(&[eos]).unwrap(), "<|endoftext|>");
    assert_eq!(tokenizer.token_to_id("<|endoftext|>"), Some(eos));
}

#[test]
fn nothing_is_cut_or_padded() {
    let tokenizer = gpt2_like();
    let text = "lower and lowest and low";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
}

#[test]
fn wordpiece_with_bert_s_brackets() {
    let vocab = ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cats", "are"];
    let ids: serde_json::Map<_, _> =
        vocab.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id))).collect();
    let tokenizer = load(json!({
        "added_tokens": [special(0, "[UNK]"), special(1, "[CLS]"), special(2, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    }));
    assert_eq!(
        (tokenizer.name().as_str(), tokenizer.bos(), tokenizer.eos()),
        ("wordpiece:8", Some(1), Some(2))
    );
    assert_eq!(tokenizer.encode("Cats are unaffable").unwrap(), [6, 7, 3, 4, 5]);
    assert_eq!(tokenizer.decode(&[6, 7, 3, 4, 5]).unwrap(), "cats are unaffable");
    assert_eq!(pieces(&tokenizer, &[6, 7, 3, 4, 5]), ["cats", " are", " un", "aff", "able"]);
}

/// Single characters as words are not yet our character kind: this file drops white space.
#[test]
fn wordlevel_over_single_letters_keeps_its_own_rules() {
    let tokenizer = load(json!({
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"a": 1, "b": 0}, "unk_token": "b"},
    }));
    assert_eq!(tokenizer.name(), "wordlevel:2");
    assert_eq!(tokenizer.encode("a b a zzz").unwrap(), [1, 0, 1, 0]);
}

#[test]
fn unigram_with_metaspace() {
    let tokenizer = load(json!({
        "added_tokens": [special(1, "<s>"), special(2, "</s>")],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
                  "vocab": [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["▁hello", -1.0], ["▁wor", -2.0], ["ld", -2.0],
                            ["你好", -3.0], ["▁", -4.0]]},
    }));
    assert_eq!(
        (tokenizer.name().as_str(), tokenizer.bos(), tokenizer.eos()),
        ("unigram:8", Some(1), Some(2))
    );
    let ids = tokenizer.encode("hello world 你好").unwrap();
    assert_eq!(ids, [3, 4, 5, 7, 6]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "hello world 你好");
    assert_eq!(pieces(&tokenizer, &ids).concat(), "hello world 你好");
    assert_eq!(pieces(&tokenizer, &ids)[0], "hello", "the space before the first word is no text");
}

/// Llama's way with characters outside of the vocabulary: one token for each byte.
#[test]
fn byte_fallback_holds_a_character_back_until_it_is_whole() {
    let bytes = "😀é".bytes().map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<String> = ["<unk>", "▁a"].map(String::from).into_iter().chain(bytes).collect();
    let vocab: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, t)| (t.clone(), json!(id))).collect();
    let tokenizer = load(json!({
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": vocab, "merges": []},
    }));
    assert_eq!(tokenizer.encode("😀é").unwrap(), [2, 3, 4, 5, 6, 7]);
    assert_eq!(pieces(&tokenizer, &[1, 2, 3, 4, 5, 1, 6, 7]), [" a", "😀", " a", "é"]);
    assert_eq!(pieces(&tokenizer, &[1, 2, 3]).concat(), tokenizer.decode(&[1, 2, 3]).unwrap());
}

fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<String> = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
    pieces.extend(stream.finish().unwrap());
    pieces
}
