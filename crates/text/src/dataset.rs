//! A tokenized text, cut into a part to train on and a part to validate on.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::{Batches, Error, Result, Tokenizer, Windows};

/// nanoGPT's share of the text to train on.
const TRAIN_FRACTION: f64 = 0.9;

/// A stretch of token ids, shared and not copied when cloned or cut; dereferences to a slice.
#[derive(Clone, Debug)]
pub struct Tokens {
    all: Arc<[u32]>,
    range: Range<usize>,
    part: &'static str,
}

impl Tokens {
    /// Random crops of `block_size` tokens, `batch_size` at a time; see [`Batches`].
    ///
    /// # Errors
    /// As [`Batches::new`].
    pub fn batches(&self, batch_size: usize, block_size: usize, seed: u64) -> Result<Batches> {
        Batches::new(self.clone(), batch_size, block_size, seed)
    }

    /// Windows of at most `block_size` tokens for evaluation; see [`Windows`].
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn windows(&self, block_size: usize, stride: usize) -> Result<Windows> {
        Windows::new(self.clone(), block_size, stride)
    }

    /// `train`, `val` or `whole`.
    pub fn part(&self) -> &'static str {
        self.part
    }

    /// Fails unless there are `block_size + 1` tokens: a crop, and the target of its last token.
    pub(crate) fn require(&self, block_size: usize) -> Result<()> {
        if self.len() <= block_size {
            return Err(Error::TooShort { part: self.part, tokens: self.len(), block_size });
        }
        Ok(())
    }

    fn cut(&self, range: Range<usize>, part: &'static str) -> Self {
        Self { all: Arc::clone(&self.all), range, part }
    }
}

impl From<Vec<u32>> for Tokens {
    fn from(ids: Vec<u32>) -> Self {
        Self { range: 0..ids.len(), all: ids.into(), part: "whole" }
    }
}

impl From<&[u32]> for Tokens {
    fn from(ids: &[u32]) -> Self {
        ids.to_vec().into()
    }
}

impl Deref for Tokens {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.all[self.range.clone()]
    }
}

/// A tokenized text and its tokenizer.
#[derive(Clone, Debug)]
pub struct Dataset {
    tokens: Tokens,
    train_tokens: usize,
    tokenizer: Tokenizer,
}

impl Dataset {
    /// Takes ids, with the first 90 % for training.
    pub fn new(tokens: impl Into<Tokens>, tokenizer: Tokenizer) -> Self {
        let tokens = tokens.into();
        let train_tokens = share(tokens.len(), TRAIN_FRACTION);
        Self { tokens, train_tokens, tokenizer }
    }

    /// Takes ids that are cut already: those to train on, and those to validate on.
    pub fn of_parts(train: &[u32], val: &[u32], tokenizer: Tokenizer) -> Self {
        Self { tokens: [train, val].concat().into(), train_tokens: train.len(), tokenizer }
    }

    /// Cuts by position: the first `train_fraction` of the tokens, rounded down, are for training and the rest for
    /// validation.
    ///
    /// # Errors
    /// [`Error::Fraction`] unless `0 < train_fraction < 1`.
    pub fn split(mut self, train_fraction: f64) -> Result<Self> {
        if !(train_fraction > 0.0 && train_fraction < 1.0) {
            return Err(Error::Fraction { fraction: train_fraction });
        }
        self.train_tokens = share(self.tokens.len(), train_fraction);
        Ok(self)
    }

    /// All tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The tokens to train on.
    pub fn train(&self) -> Tokens {
        self.tokens.cut(0..self.train_tokens, "train")
    }

    /// The tokens to validate on.
    pub fn val(&self) -> Tokens {
        self.tokens.cut(self.train_tokens..self.tokens.len(), "val")
    }

    /// The tokenizer that made the tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// [`Tokenizer::vocab_size`].
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// Fails if either part is too short for crops of `block_size` tokens.
    ///
    /// # Errors
    /// [`Error::TooShort`], naming the part.
    pub fn check_block_size(&self, block_size: usize) -> Result<()> {
        self.train().require(block_size)?;
        self.val().require(block_size)
    }
}

fn share(tokens: usize, fraction: f64) -> usize {
    // Truncation is meant, as in nanoGPT's `int(n * 0.9)`.
    (tokens as f64 * fraction) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(tokens: usize) -> Dataset {
        Dataset::new((0..tokens as u32).collect::<Vec<_>>(), Tokenizer::byte_level())
    }

    #[test]
    fn the_first_nine_tenths_are_for_training() {
        let data = dataset(25);
        assert_eq!(*data.train(), (0..22).collect::<Vec<_>>());
        assert_eq!(*data.val(), [22, 23, 24]);
        // nanoGPT's counts for the 1,115,394 characters of tiny Shakespeare.
        let shakespeare = dataset(1_115_394);
        assert_eq!((shakespeare.train().len(), shakespeare.val().len()), (1_003_854, 111_540));
    }

    #[test]
    fn the_share_is_a_choice_inside_zero_and_one() {
        let data = dataset(10).split(0.5).unwrap();
        assert_eq!((data.train().len(), data.val().len()), (5, 5));
        for fraction in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(dataset(10).split(fraction), Err(Error::Fraction { .. })), "{fraction}");
        }
    }

    #[test]
    fn parts_that_are_cut_already_stay_so() {
        let data = Dataset::of_parts(&[1, 2, 3], &[4], Tokenizer::byte_level());
        assert_eq!((&*data.train(), &*data.val()), (&[1, 2, 3][..], &[4][..]));
    }

    #[test]
    fn a_short_part_is_named() {
        assert!(dataset(100).check_block_size(9).is_ok());
        let message = dataset(100).check_block_size(10).unwrap_err().to_string();
        assert!(
            message.starts_with("the val text has 10 tokens, and block_size 10 needs at least 11"),
            "{message}"
        );
        let message = dataset(100).check_block_size(90).unwrap_err().to_string();
        assert!(message.starts_with("the train text has 90 tokens"), "{message}");
    }
}
