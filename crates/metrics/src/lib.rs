//! Numbers to judge models by. Pure functions over labels, ids and text: no tensor, no file.
//!
//! | module | what |
//! |---|---|
//! | [`classification`] | confusion matrix, accuracy, precision, recall, F1 |
//! | [`language`] | perplexity per token, word and byte, bits per byte, entropy |
//! | [`answers`] | exact match and F1 of answers from a text |
//! | [`bleu`] | BLEU with its tokenizers and its signature |
//! | [`rouge`] | ROUGE-1, -2 and -L |
//! | [`diversity`] | distinct-n, repeated n-grams |
//! | [`calibration`] | reliability bins, expected calibration error, Brier score |
//! | [`multiple_choice`] | which option a model finds likeliest |
//! | [`similarity`] | cosine of two vectors |
//! | [`tokens`] | words of a text in any script; what ROUGE and diversity count |
//!
//! `tests/golden/make.py` computes the same with scikit-learn, sacrebleu and rouge-score; the tests hold this crate to its
//! numbers.
//!
//! ```
//! use warpsmith_metrics::bleu::{Bleu, Tokenizer};
//!
//! let bleu = Bleu { tokenizer: Tokenizer::Zh, ..Bleu::default() };
//! let score = bleu.corpus(&["我今天去了公园。"], &[vec!["我今天去公园了。"]])?;
//! assert_eq!(format!("{:.2}", score.score), "44.18");
//! # Ok::<(), warpsmith_metrics::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod answers;
pub mod bleu;
pub mod calibration;
pub mod classification;
pub mod diversity;
mod error;
pub mod language;
pub mod multiple_choice;
pub mod ngrams;
pub mod rouge;
pub mod similarity;
pub mod tokens;

pub use error::{Error, Result};
