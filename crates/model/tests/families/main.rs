//! The families against Hugging Face transformers: `tests/golden/families.py` made the numbers.

mod causal;
mod decoding;
mod encoders;
mod golden;
mod seq2seq;
