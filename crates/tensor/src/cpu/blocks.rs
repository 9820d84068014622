//! One output, many tasks, and rows that interleave: a head's rows of a (B, T, H, D) tensor lie H·D apart, so no
//! `chunks_mut` gives each task its own. [`split`] cuts such a tensor into disjoint blocks that can be sent to tasks.

use std::marker::PhantomData;
use std::ops::Range;

use crate::{Error, Result};

/// Which of two axes lies outside the other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// (B, T, H, D)
    TimeOutside,
    /// (B, H, T, D)
    HeadOutside,
}

/// The rows (of `D` numbers) of some heads and times of one batch row. No other block has any of them.
pub struct Block<'a, T> {
    base: *mut T,
    stride: (usize, usize),
    /// The times of this block.
    pub times: Range<usize>,
    /// The heads of this block.
    pub heads: Range<usize>,
    /// The batch row.
    pub batch: usize,
    width: usize,
    rows: PhantomData<&'a mut [T]>,
}

// SAFETY: a block is an exclusive borrow of its rows, as `&mut [T]` is.
unsafe impl<T: Send> Send for Block<'_, T> {}

impl<T> Block<'_, T> {
    /// The row of one time and head, both counted in the whole tensor.
    ///
    /// # Panics
    /// If the row is not in this block.
    #[inline]
    pub fn row(&mut self, time: usize, head: usize) -> &mut [T] {
        assert!(self.times.contains(&time) && self.heads.contains(&head), "a row of another block");
        let at = time * self.stride.0 + head * self.stride.1;
        // SAFETY: `split` checked that the slice holds batch · times · heads rows of `width`, and (time, head) lies in
        // this block, so the row is inside the slice; rows of different (batch, time, head) do not overlap, `split`
        // gives each to one block, and `&mut self` keeps a second borrow through this block out.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(at), self.width) }
    }
}

/// Cuts `out`, of [batch, times, heads, width] numbers in `order`, into blocks of `step` = (times, heads) at most.
///
/// Blocks come by batch row, then by heads, then by times.
///
/// # Errors
/// If `out` has another length.
pub fn split<T>(
    out: &mut [T],
    [batch, times, heads, width]: [usize; 4],
    order: Order,
    step: (usize, usize),
) -> Result<Vec<Block<'_, T>>> {
    if out.len() != batch * times * heads * width {
        return Err(Error::internal("split", format!("{} numbers are not {batch} batch rows", out.len())));
    }
    let stride = match order {
        Order::TimeOutside => (heads * width, width),
        Order::HeadOutside => (width, times * width),
    };
    let base = out.as_mut_ptr();
    let cut = |n: usize, step: usize| {
        let step = step.max(1);
        (0..n.div_ceil(step)).map(move |i| i * step..((i + 1) * step).min(n))
    };
    let mut blocks =
        Vec::with_capacity(batch * heads.div_ceil(step.1.max(1)) * times.div_ceil(step.0.max(1)));
    for batch in 0..batch {
        // SAFETY: batch rows lie one after the other in `out`, whose length was checked above.
        let base = unsafe { base.add(batch * times * heads * width) };
        for heads in cut(heads, step.1) {
            for times in cut(times, step.0) {
                blocks.push(Block {
                    base,
                    stride,
                    times,
                    heads: heads.clone(),
                    batch,
                    width,
                    rows: PhantomData,
                });
            }
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn blocks_cover_every_row_once_in_both_orders() {
        let (batch, times, heads, width) = (2, 5, 3, 4);
        for order in [Order::TimeOutside, Order::HeadOutside] {
            let mut out = vec![0; batch * times * heads * width];
            let blocks = split(&mut out, [batch, times, heads, width], order, (2, 2)).unwrap();
            assert_eq!(blocks.len(), batch * 3 * 2);
            blocks.into_par_iter().for_each(|mut block| {
                for time in block.times.clone() {
                    for head in block.heads.clone() {
                        let name = 1 + (block.batch * times + time) * heads + head;
                        for v in block.row(time, head) {
                            *v += name;
                        }
                    }
                }
            });
            for (i, row) in out.chunks(width).enumerate() {
                let (b, rest) = (i / (times * heads), i % (times * heads));
                let (time, head) = match order {
                    Order::TimeOutside => (rest / heads, rest % heads),
                    Order::HeadOutside => (rest % times, rest / times),
                };
                assert!(row.iter().all(|&v| v == 1 + (b * times + time) * heads + head), "{order:?} {i}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "another block")]
    fn a_row_of_another_block_is_out_of_reach() {
        let mut out = vec![0; 8];
        split(&mut out, [1, 4, 1, 2], Order::TimeOutside, (2, 1)).unwrap()[0].row(2, 0);
    }

    #[test]
    fn a_wrong_length_is_an_error_and_nothing_has_no_blocks() {
        assert!(split(&mut [0; 7], [1, 4, 1, 2], Order::TimeOutside, (2, 1)).is_err());
        assert!(split::<f32>(&mut [], [1, 0, 1, 2], Order::TimeOutside, (2, 1)).unwrap().is_empty());
    }
}
