//! A text in overlapping windows, for evaluation.

use crate::batches::{Batch, IGNORE_INDEX, check_shape};
use crate::dataset::Tokens;
use crate::{Error, Result};

/// The text in order, in windows of at most T tokens that start `stride` apart, each a batch of one row.
///
/// Every token but the first is scored once, by the first window that reaches it; the targets of an overlap are
/// [`IGNORE_INDEX`]. A small stride gives each token much context and costs T / stride times the work; `stride == T`
/// is the cheap extreme, in which the first token of a window has no context but itself. This is the sliding window
/// of the perplexity guide of Hugging Face Transformers, except that targets are already moved by one, so that no
/// window loses a token. The last window may be shorter.
#[derive(Clone, Debug)]
pub struct Windows {
    tokens: Tokens,
    block_size: usize,
    stride: usize,
    begin: usize,
    /// Inputs before this one have been scored.
    scored: usize,
}

impl Windows {
    /// Windows of `block_size` tokens, `stride` apart.
    ///
    /// # Errors
    /// [`Error::TooShort`] with fewer than two tokens; [`Error::OutOfRange`] unless `1 ≤ stride ≤ block_size`.
    pub fn new(tokens: impl Into<Tokens>, block_size: usize, stride: usize) -> Result<Self> {
        let tokens = tokens.into();
        check_shape(1, block_size)?;
        if !(1..=block_size).contains(&stride) {
            return Err(Error::OutOfRange { what: "stride", low: 1, high: block_size, got: stride });
        }
        tokens.require(1)?;
        Ok(Self { tokens, block_size, stride, begin: 0, scored: 0 })
    }

    /// Tokens that all windows together score.
    pub fn total_scored(&self) -> usize {
        self.tokens.len() - 1
    }
}

impl Iterator for Windows {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let inputs = self.tokens.len() - 1;
        if self.scored == inputs {
            return None;
        }
        let end = (self.begin + self.block_size).min(inputs);
        let mut window = Batch::with_capacity(1, end - self.begin);
        window.ids.extend_from_slice(&self.tokens[self.begin..end]); // (1, T)
        for position in self.begin..end {
            let target = i64::from(self.tokens[position + 1]);
            window.targets.push(if position < self.scored { IGNORE_INDEX } else { target });
        }
        self.scored = end;
        self.begin += self.stride;
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows(tokens: u32, block_size: usize, stride: usize) -> Vec<Batch> {
        Windows::new((0..tokens).collect::<Vec<_>>(), block_size, stride).unwrap().collect()
    }

    #[test]
    fn an_overlap_is_context_and_not_scored() {
        let all = windows(8, 4, 2);
        let ids: Vec<&[u32]> = all.iter().map(|window| window.ids.as_slice()).collect();
        let targets: Vec<&[i64]> = all.iter().map(|window| window.targets.as_slice()).collect();
        assert_eq!(ids, [&[0, 1, 2, 3][..], &[2, 3, 4, 5], &[4, 5, 6]]);
        assert_eq!(targets, [&[1, 2, 3, 4][..], &[-100, -100, 5, 6], &[-100, -100, 7]]);
        assert_eq!(all[2].shape(), (1, 3));
    }

    #[test]
    fn two_tokens_make_one_window() {
        assert_eq!(windows(2, 64, 64).len(), 1);
        assert!(matches!(Windows::new(vec![1], 4, 4), Err(Error::TooShort { .. })));
    }

    #[test]
    fn the_stride_is_between_one_and_the_window() {
        for stride in [0, 5] {
            let message = Windows::new(vec![1, 2, 3], 4, stride).unwrap_err().to_string();
            assert_eq!(message, format!("stride must be in 1..=4, got {stride}"));
        }
    }

    proptest! {
        #[test]
        fn each_token_but_the_first_is_scored_once_in_order(tokens in 2_u32..200, block in 1_usize..40, cut in 0_usize..40) {
            let stride = 1 + cut % block;
            let scored: Vec<i64> = windows(tokens, block, stride)
                .iter()
                .flat_map(|window| window.targets.iter().copied().filter(|&target| target != IGNORE_INDEX))
                .collect();
            prop_assert_eq!(scored, (1..i64::from(tokens)).collect::<Vec<_>>());
        }
    }
}
