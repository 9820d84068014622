//! Vocabularies cut off, with bits flipped and with bytes changed at random: an error or a tokenizer that works, never a panic.

use std::path::Path;

use serde_json::json;
use warpsmith_damage::{Counting, cut_off, edited, fair, flipped, rounds};
use warpsmith_gguf::{Gguf, Writer};
use warpsmith_text::{ChatTemplate, Message, Tokenizer};

use crate::tokenizer;
use crate::vocabulary_files::WORD_PIECES;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Loads under the bound of memory, and works a little with what loads.
fn try_out(len: usize, load: impl FnOnce() -> warpsmith_text::Result<Tokenizer>) {
    tokenizer::try_out(fair(len, load));
}

fn gguf(kind: &str, tokens: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text("tokenizer.ggml.model", kind);
    if kind == "gpt2" {
        // The way whose pattern is not compiled anew for each file.
        writer.text("tokenizer.ggml.pre", "gpt-2");
        writer.texts("tokenizer.ggml.merges", ["l o", "lo w"].into_iter());
        writer.unsigned("tokenizer.ggml.eos_token_id", 2);
    }
    writer.texts("tokenizer.ggml.tokens", tokens.iter().copied());
    writer.reals("tokenizer.ggml.scores", &vec![-1.0; tokens.len()]);
    writer.text("tokenizer.chat_template", "{{ messages[0].content }}");
    writer.finish()
}

fn try_gguf(bytes: &[u8]) {
    let Ok(file) = Gguf::parse(bytes) else { return };
    try_out(bytes.len(), || Tokenizer::from_gguf(&file));
    if let Ok(Some(template)) = ChatTemplate::from_gguf(&file) {
        let _ = template.render(&[Message::new("user", "x")], true);
    }
}

fn try_config(bytes: &[u8]) {
    let whole = bytes.len() + WORD_PIECES.len();
    try_out(whole, || Tokenizer::from_vocab_txt(WORD_PIECES.as_bytes(), [Some(bytes), None, None]));
    if let Ok(Some(template)) = ChatTemplate::from_tokenizer_config(bytes) {
        let _ = template.render(&[Message::new("user", "x")], true);
    }
}

/// A whole file, and what is done with a damaged one.
type Case = (Vec<u8>, fn(&[u8]));

const VOCAB: &str = r#"{"l":0,"o":1,"w":2,"lo":3,"low":4,"Ġ":5,"<|endoftext|>":6}"#;
const MERGES: &str = "#version: 0.2\nl o\nlo w\n";
const NONE: [Option<&[u8]>; 3] = [None; 3];

fn cases() -> Vec<Case> {
    let config = json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": false, "cls_token": { "content": "[CLS]" },
        "added_tokens_decoder": { "13": { "content": "<x>", "special": true } }, "bos_token": "[CLS]",
        "chat_template": "{% for m in messages %}{{ bos_token + m.role }}{% endfor %}",
    });
    let whole = |bytes: &[u8]| try_out(bytes.len(), || Tokenizer::from_json(bytes));
    let json = Tokenizer::from_vocab_json(VOCAB.as_bytes(), MERGES.as_bytes(), NONE).unwrap().to_json();
    vec![
        (json.unwrap().into_bytes(), whole),
        (VOCAB.into(), |bytes| {
            try_out(bytes.len(), || Tokenizer::from_vocab_json(bytes, MERGES.as_bytes(), NONE))
        }),
        (MERGES.into(), |bytes| {
            try_out(bytes.len(), || Tokenizer::from_vocab_json(VOCAB.as_bytes(), bytes, NONE))
        }),
        (WORD_PIECES.into(), |bytes| try_out(bytes.len(), || Tokenizer::from_vocab_txt(bytes, NONE))),
        (config.to_string().into_bytes(), try_config),
        (gguf("llama", &["<unk>", "<s>", "</s>", "<0x20>", "▁low", "l", "o", "w", "lo"]), try_gguf),
        (gguf("gpt2", &["l", "o", "<|end|>", "w", "lo", "low"]), try_gguf),
        (gguf("bert", &["[UNK]", "[CLS]", "[SEP]", "▁low", "l"]), try_gguf),
    ]
}

#[test]
fn every_truncation_is_survived() {
    for (whole, try_out) in cases() {
        try_out(&whole);
        cut_off(&whole, try_out);
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    for (whole, try_out) in cases() {
        flipped(&whole, 0..whole.len(), |bytes, _| try_out(bytes));
    }
}

#[test]
fn random_edits_are_survived() {
    for (seed, (whole, try_out)) in (11..).zip(cases()) {
        edited(&whole, 0..whole.len(), rounds(EDITS), seed, try_out);
    }
}

/// Of each file: the libraries beneath are slow without optimisation. `WARPSMITH_EDITS=20000` asks for more.
const EDITS: usize = 300;

#[test]
fn the_corpus_of_the_fuzzer_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tokenizer");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5);
    files.iter().for_each(|path| tokenizer::read(&std::fs::read(path).unwrap()));
}
