//! Random crops of a text, for training.

use crate::counter::Draws;
use crate::dataset::Tokens;
use crate::{Error, Result};

/// Target of a position that is not scored, as in PyTorch's cross entropy.
pub const IGNORE_INDEX: i64 = -100;
/// Most tokens in one batch; more is a typing error rather than a wish.
const MAX_BATCH_TOKENS: usize = 1 << 28;

/// Ids and the ids to predict, both of shape (B, T), rows one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Inputs. // (B, T)
    pub ids: Vec<u32>,
    /// The id after each input, or [`IGNORE_INDEX`]. // (B, T)
    pub targets: Vec<i64>,
    /// B, the number of rows.
    pub batch_size: usize,
    /// T, the length of a row.
    pub block_size: usize,
}

impl Batch {
    pub(crate) fn with_capacity(batch_size: usize, block_size: usize) -> Self {
        let (ids, targets) =
            (Vec::with_capacity(batch_size * block_size), Vec::with_capacity(batch_size * block_size));
        Self { ids, targets, batch_size, block_size }
    }

    /// (B, T).
    pub fn shape(&self) -> (usize, usize) {
        (self.batch_size, self.block_size)
    }

    /// How many positions are scored.
    pub fn scored(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORE_INDEX).count()
    }
}

/// Fails unless 1 ≤ B, 1 ≤ T, and B·T is within reason.
pub(crate) fn check_shape(batch_size: usize, block_size: usize) -> Result<()> {
    let check = |what, got: usize, high: usize| match (1..=high).contains(&got) {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, low: 1, high, got }),
    };
    check("batch_size", batch_size, MAX_BATCH_TOKENS)?;
    check("block_size", block_size, MAX_BATCH_TOKENS)?;
    check("batch_size * block_size", batch_size.saturating_mul(block_size), MAX_BATCH_TOKENS)
}

/// Endless random crops: row `b` of step `s` starts at a place drawn uniformly, with replacement, by a generator
/// addressed with `(seed, s · B + b)`.
///
/// So batch `s` is a function of the tokens, B, T, the seed and `s` alone, and the position in the data is the one
/// integer [`Batches::step`]: a resumed run sees what the uninterrupted one would have.
#[derive(Clone, Debug)]
pub struct Batches {
    tokens: Tokens,
    batch_size: usize,
    block_size: usize,
    draws: Draws,
    step: u64,
}

impl Batches {
    /// Crops of `block_size` tokens, `batch_size` in a batch, from step 0.
    ///
    /// # Errors
    /// [`Error::TooShort`] with fewer than `block_size + 1` tokens; [`Error::OutOfRange`] if B or T is zero or B·T
    /// above 2²⁸.
    pub fn new(tokens: impl Into<Tokens>, batch_size: usize, block_size: usize, seed: u64) -> Result<Self> {
        let tokens = tokens.into();
        check_shape(batch_size, block_size)?;
        tokens.require(block_size)?;
        Ok(Self { tokens, batch_size, block_size, draws: Draws::new(seed), step: 0 })
    }

    /// Continues at `step`.
    #[must_use]
    pub fn seek(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The step of the next batch.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Batch {
        let batch = self.at(self.step);
        self.step += 1;
        batch
    }

    /// The batch of a step, wherever the cursor is.
    pub fn at(&self, step: u64) -> Batch {
        let starts = (self.tokens.len() - self.block_size) as u64;
        let mut batch = Batch::with_capacity(self.batch_size, self.block_size);
        for row in 0..self.batch_size as u64 {
            let draw = step.wrapping_mul(self.batch_size as u64).wrapping_add(row);
            let start = self.draws.below(draw, starts) as usize;
            let crop = &self.tokens[start..=start + self.block_size]; // (T + 1)
            batch.ids.extend_from_slice(&crop[..self.block_size]);
            batch.targets.extend(crop[1..].iter().map(|&id| i64::from(id)));
        }
        batch
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        Some(self.next_batch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(tokens: u32) -> Vec<u32> {
        (0..tokens).collect()
    }

    #[test]
    fn targets_are_inputs_moved_by_one() {
        let batch = Batches::new(counting(50), 3, 4, 1).unwrap().next_batch();
        assert_eq!(batch.shape(), (3, 4));
        assert_eq!((batch.ids.len(), batch.targets.len(), batch.scored()), (12, 12, 12));
        for row in 0..3 {
            let ids = &batch.ids[4 * row..4 * row + 4];
            assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        assert!(batch.ids.iter().zip(&batch.targets).all(|(&id, &target)| target == i64::from(id) + 1));
    }

    #[test]
    fn every_start_is_drawn_and_none_beyond() {
        let mut seen = [false; 6];
        for batch in Batches::new(counting(10), 1, 4, 3).unwrap().take(200) {
            seen[batch.ids[0] as usize] = true;
        }
        assert_eq!(seen, [true; 6], "starts 0..=5 leave room for 4 inputs and a last target");
    }

    #[test]
    fn one_crop_is_enough_and_none_is_too_few() {
        let batch = Batches::new(counting(5), 2, 4, 0).unwrap().next_batch();
        assert_eq!(batch.ids, [0, 1, 2, 3, 0, 1, 2, 3]);
        let message = Batches::new(counting(4), 2, 4, 0).unwrap_err().to_string();
        assert!(message.contains("has 4 tokens, and block_size 4 needs at least 5"), "{message}");
    }

    #[test]
    fn a_step_is_reached_by_walking_or_by_seeking() {
        let fresh = || Batches::new(counting(1000), 4, 8, 1337).unwrap();
        let walked: Vec<Batch> = fresh().take(20).collect();
        for step in [0, 1, 7, 19] {
            let mut sought = fresh().seek(step as u64);
            assert_eq!(sought.next_batch(), walked[step]);
            assert_eq!(sought.step(), step as u64 + 1);
        }
        assert!(walked.windows(2).all(|pair| pair[0] != pair[1]));
        assert_ne!(Batches::new(counting(1000), 4, 8, 1338).unwrap().next_batch(), walked[0]);
    }

    #[test]
    fn each_row_has_a_draw_of_its_own() {
        let rows = Batches::new(counting(1000), 4, 8, 5).unwrap().at(3).ids;
        let single = Batches::new(counting(1000), 1, 8, 5).unwrap();
        let one_by_one: Vec<u32> = (12..16).flat_map(|draw| single.at(draw).ids).collect();
        assert_eq!(rows, one_by_one);
        assert_ne!(rows[..8], rows[8..16]);
    }

    #[test]
    fn sizes_out_of_range_are_errors() {
        for (batch_size, block_size) in [(0, 4), (4, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
            let error = Batches::new(counting(10), batch_size, block_size, 0).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
    }
}
