//! What is asked of a `tokenizer.json` from anywhere: an error, or a tokenizer that can be asked for anything.

use warpsmith_text::{Result, Tokenizer};

const TEXT: &str = "low [SEP] 你 </s>";

/// Works a little with what loads: every id is one that it has, and no question is too much.
pub fn try_out(tokenizer: Result<Tokenizer>) {
    let Ok(tokenizer) = tokenizer else { return };
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

/// The whole question.
pub fn read(bytes: &[u8]) {
    try_out(Tokenizer::from_json(bytes));
}
