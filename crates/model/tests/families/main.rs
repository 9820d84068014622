//! The families against Hugging Face transformers: `tests/golden/families.py` made the numbers.

mod causal;
mod classical;
mod classical_models;
mod classifiers;
mod decoding;
mod encoders;
mod gguf;
mod golden;
mod seq2seq;
