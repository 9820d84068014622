//! Vocabularies cut off, with bits flipped and with bytes changed at random: an error or a tokenizer that works, never a panic.

use serde_json::json;
use warpsmith_gguf::{Gguf, Writer};
use warpsmith_text::{ChatTemplate, Message, Tokenizer};

use crate::vocabulary_files::WORD_PIECES;

const TEXT: &str = "low [SEP] 你 </s>";
/// A tokenizer has no more ids than a fair number for each token that it could hold.
const MOST_IDS: usize = 1 << 15;

/// Works a little with what loads. Any answer is right but a panic.
fn try_out(tokenizer: warpsmith_text::Result<Tokenizer>) {
    let Ok(tokenizer) = tokenizer else { return };
    assert!(tokenizer.vocab_size() < MOST_IDS, "{}", tokenizer.vocab_size());
    for ids in [tokenizer.encode(TEXT), tokenizer.encode_with_special_tokens("low")].into_iter().flatten() {
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        let _ = tokenizer.decode(&ids);
    }
    let mut stream = tokenizer.stream();
    for id in [0, 1, 9, 300, u32::MAX] {
        let _ = (tokenizer.id_to_token(id), tokenizer.decode(&[id]), stream.push(id));
    }
    let _ = (tokenizer.eos(), tokenizer.bos(), stream.finish(), tokenizer.to_json());
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
    try_out(Tokenizer::from_gguf(&file));
    if let Ok(Some(template)) = ChatTemplate::from_gguf(&file) {
        let _ = template.render(&[Message::new("user", "x")], true);
    }
}

fn try_config(bytes: &[u8]) {
    try_out(Tokenizer::from_vocab_txt(WORD_PIECES.as_bytes(), [Some(bytes), None, None]));
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
    let whole = |bytes: &[u8]| try_out(Tokenizer::from_json(bytes));
    let json = Tokenizer::from_vocab_json(VOCAB.as_bytes(), MERGES.as_bytes(), NONE).unwrap().to_json();
    vec![
        (json.unwrap().into_bytes(), whole),
        (VOCAB.into(), |bytes| try_out(Tokenizer::from_vocab_json(bytes, MERGES.as_bytes(), NONE))),
        (MERGES.into(), |bytes| try_out(Tokenizer::from_vocab_json(VOCAB.as_bytes(), bytes, NONE))),
        (WORD_PIECES.into(), |bytes| try_out(Tokenizer::from_vocab_txt(bytes, NONE))),
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
        (0..whole.len()).for_each(|length| try_out(&whole[..length]));
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    for (mut bytes, try_out) in cases() {
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            try_out(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// The next of a series of numbers without order (Marsaglia, *Xorshift RNGs*, 2003).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

/// Bytes changed, doubled and left out, and digits put where digits were: a number that is another is the nastiest change.
#[test]
fn random_edits_are_survived() {
    let mut state = 11;
    for (whole, try_out) in cases() {
        for _ in 0..ROUNDS {
            let mut bytes = whole.clone();
            for _ in 0..=next(&mut state) % 4 {
                let at = next(&mut state) % bytes.len();
                match next(&mut state) % 4 {
                    0 => bytes[at] = next(&mut state) as u8,
                    1 => bytes.insert(at, bytes[at]),
                    2 => drop(bytes.remove(at)),
                    _ if bytes[at].is_ascii_digit() => bytes[at] = b'0' + (next(&mut state) % 10) as u8,
                    _ => bytes.insert(at, b'9'),
                }
            }
            try_out(&bytes);
        }
    }
}

/// Of each file; a long run of 20,000 and more is one number away.
const ROUNDS: usize = 300;
