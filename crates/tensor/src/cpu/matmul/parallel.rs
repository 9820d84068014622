//! How a product is shared out: blocks of C, each computed by one thread from start to end.

use std::ops::Range;

use super::block::pieces;

/// Multiply-adds below which a second thread is not worth waking (about 10 µs of one core).
const MIN_WORK: usize = 1 << 20;
/// Multiply-adds of a task when there is plenty of work, small enough to even out a busy machine.
const TASK_WORK: usize = 1 << 25;
/// Smallest blocks, (rows, columns), when there are threads to feed, and when tasks are cut finer than that: each block
/// packs the columns of B that it needs, and reads the rows of A, for itself.
const FEED: (usize, usize) = (32, 96);
const SPLIT: (usize, usize) = (512, 256);
/// Rows as which a product of few rows counts: it is limited by reading B, not by multiply-adds.
const FEW_ROWS: usize = 8;

/// C cut into `row_blocks` x `col_blocks`.
pub(super) struct Grid {
    rows: usize,
    cols: usize,
    row_blocks: usize,
    col_blocks: usize,
    lanes: usize,
}

impl Grid {
    /// Chooses the cut for a product of this shape, one of `batch` that run together.
    pub(super) fn new((m, n, k): (usize, usize, usize), batch: usize, lanes: usize) -> Self {
        let threads = rayon::current_num_threads();
        let work = m.max(FEW_ROWS).saturating_mul(n).saturating_mul(k.max(1));
        let total = work.saturating_mul(batch);
        let cut = |tasks: usize, (min_rows, min_cols): (usize, usize)| {
            // Columns first: then no two tasks pack the same part of B.
            let col_blocks = tasks.min(n / min_cols).max(1);
            let row_blocks = tasks.div_ceil(col_blocks).min(m / min_rows).max(1);
            (row_blocks, col_blocks)
        };
        let feed = threads.min(total / MIN_WORK).div_ceil(batch.max(1)).max(1);
        let split = (total / TASK_WORK).min(8 * threads).div_ceil(batch.max(1));
        let fine = cut(split - split % threads, SPLIT);
        let (row_blocks, col_blocks) = if fine.0 * fine.1 >= 2 * feed { fine } else { cut(feed, FEED) };
        Self { rows: m, cols: n, row_blocks, col_blocks, lanes }
    }

    pub(super) fn len(&self) -> usize {
        self.row_blocks * self.col_blocks
    }

    /// Rows and columns of block `i`.
    pub(super) fn block(&self, i: usize) -> (Range<usize>, Range<usize>) {
        let (r, c) = (i % self.row_blocks, i / self.row_blocks);
        (nth(self.rows, self.row_blocks, 8, r), nth(self.cols, self.col_blocks, self.lanes, c))
    }
}

/// Whether a batch of products of this shape is worth a second thread.
pub(super) fn worth_sharing((m, n, k): (usize, usize, usize), batch: usize) -> bool {
    m.saturating_mul(n).saturating_mul(k.max(1)).saturating_mul(batch) >= 2 * MIN_WORK
}

/// Piece `i` of `count`, in whole units; empty if there are fewer pieces.
fn nth(len: usize, count: usize, unit: usize, i: usize) -> Range<usize> {
    let units = len.div_ceil(unit);
    pieces(len, units.div_ceil(count).max(1) * unit, unit).nth(i).unwrap_or(0..0)
}
