//! Text for language models: tokenizers, corpora, and batches.
//!
//! The way of a sentence: [`Corpus`] → [`Tokenizer`] → [`Dataset`] → [`Batch`]. Nothing here knows a tensor; ids are
//! plain slices.
//!
//! ```
//! use warpsmith_text::{Corpus, Tokenizer};
//!
//! # fn main() -> warpsmith_text::Result<()> {
//! let corpus = Corpus::from_text("the quick brown fox jumps over the lazy dog. ".repeat(20));
//! let text = corpus.tokenize(&Tokenizer::chars())?;
//! for batch in text.train().batches(4, 16, 1337)?.take(3) {
//!     assert_eq!(batch.shape(), (4, 16)); // (B, T)
//!     assert_eq!(i64::from(batch.ids[1]), batch.targets[0]);
//! }
//!
//! let ids = text.tokenizer().encode("lazy fox")?;
//! assert_eq!(text.tokenizer().decode(&ids)?, "lazy fox");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod alphabet;
mod batches;
mod bpe;
mod byte_level;
mod byte_pairs;
mod chat;
mod corpus;
mod counter;
mod dataset;
mod error;
mod files;
mod gguf;
mod gguf_write;
mod json;
mod pieces;
mod settings;
mod spec;
mod stop;
mod stream;
mod subword;
mod tasks;
mod text_rank;
mod tokenizer;
mod windows;
mod word_piece;
mod words;

pub use batches::{Batch, Batches, IGNORE_INDEX};
pub use chat::{ChatTemplate, Message};
pub use corpus::{Corpus, Skipped, list_files};
pub use counter::{Draws, mix};
pub use dataset::{Dataset, Tokens};
pub use error::{Error, Result};
pub use pieces::Pieces;
pub use spec::{Fit, TokenizerSpec};
pub use stop::{Checked, StopStrings};
pub use stream::StreamDecoder;
pub use tasks::{Problem, Side, Task, TaskBatches};
pub use text_rank::{sentences, text_rank};
pub use tokenizer::Tokenizer;
pub use windows::Windows;
