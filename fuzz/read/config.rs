//! What is asked of a `config.json` from anywhere: an error, or a config of the family that it names.

use warpsmith_model::{BertConfig, Family, GptConfig, LlamaConfig, MarianConfig, T5Config};

/// Whether it is one.
pub fn is_config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Family::of(text) {
        Ok(Family::Gpt) => GptConfig::from_json(text).is_ok(),
        Ok(Family::Llama) => LlamaConfig::from_json(text).is_ok(),
        Ok(Family::Bert) => BertConfig::from_json(text).is_ok(),
        Ok(Family::T5) => T5Config::from_json(text).is_ok(),
        Ok(Family::Marian) => MarianConfig::from_json(text).is_ok(),
        Err(_) => false,
    }
}

/// The whole question.
#[allow(dead_code, reason = "tests count what is a config")]
pub fn read(bytes: &[u8]) {
    is_config(bytes);
}
