//! The families against Hugging Face transformers: `tests/golden/families.py` made the numbers.

mod causal;
mod classical;
mod classical_models;
mod classifiers;
#[path = "../../../../fuzz/read/config.rs"]
mod config;
mod decoding;
mod encoders;
mod gguf;
mod golden;
mod hostile;
#[cfg(target_os = "linux")]
mod rounded;
#[path = "../../../../fuzz/read/safetensors.rs"]
mod safetensors;
mod sentences;
mod seq2seq;
mod stored;
