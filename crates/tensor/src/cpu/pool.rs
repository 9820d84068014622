//! One pool (rayon's), few coarse tasks, and chunks whose bounds do not depend on how many threads there are:
//! a sum made of per-chunk sums, added in order, has the same bits on any machine size.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::team::on_threads;

/// Work below this many elements is not worth waking a thread for: about 10 µs of elementwise work.
pub const GRAIN: usize = 16 * 1024;

/// Cuts `out` into blocks of whole rows and calls `body(first_row, block)` for each, in parallel if worthwhile.
///
/// `cost` is the work per element, in elementwise operations: 1 for an addition, 20 for an exponential.
pub fn for_rows<T: Send>(out: &mut [T], row: usize, cost: usize, body: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() || row == 0 {
        return;
    }
    let rows = rows_per_chunk(row, cost);
    if out.len() <= rows * row {
        return body(0, out);
    }
    in_blocks(out, rows * row, &|i, block| body(i * rows, block));
}

/// Calls `body(i, block)` for each block in parallel. The body is not a type parameter: a parallel loop is a hundred
/// functions, and would be compiled anew for every formula.
fn in_blocks<T: Send>(out: &mut [T], block: usize, body: &(dyn Fn(usize, &mut [T]) + Sync)) {
    for_each(out.chunks_mut(block).enumerate(), &|(i, block)| body(i, block));
}

/// As [`for_rows`] with two outputs that have the same number of rows, of widths `row_a` and `row_b`.
pub fn for_rows_zip<A: Send, B: Send>(
    (a, row_a): (&mut [A], usize),
    (b, row_b): (&mut [B], usize),
    cost: usize,
    body: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    if a.is_empty() || b.is_empty() || row_a == 0 || row_b == 0 {
        return;
    }
    let rows = rows_per_chunk(row_a.max(row_b), cost);
    if a.len() <= rows * row_a {
        return body(0, a, b);
    }
    in_block_pairs((a, rows * row_a), (b, rows * row_b), &|i, a, b| body(i * rows, a, b));
}

/// What [`in_block_pairs`] calls with a number and two blocks.
type PairBody<'a, A, B> = &'a (dyn Fn(usize, &mut [A], &mut [B]) + Sync);

/// As [`in_blocks`].
fn in_block_pairs<A: Send, B: Send>(
    (a, block_a): (&mut [A], usize),
    (b, block_b): (&mut [B], usize),
    body: PairBody<A, B>,
) {
    let blocks = a.chunks_mut(block_a).zip(b.chunks_mut(block_b));
    for_each(blocks.enumerate(), &|(i, (a, b))| body(i, a, b));
}

/// Calls `body` once for each of `0..tasks`, on all threads: whoever is free takes the next.
pub fn for_tasks(tasks: usize, body: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    on_threads(tasks, &|| {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                break;
            }
            body(i);
        }
    });
}

/// Calls `body` with each of the items, on all threads: whoever is free takes the next.
pub fn for_each<I: ExactSizeIterator + Send>(items: I, body: &(dyn Fn(I::Item) + Sync)) {
    let (count, items) = (items.len(), Mutex::new(items));
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    on_threads(count, &|| {
        while let Some(item) = next() {
            body(item);
        }
    });
}

/// How many rows make one task: a function of the work alone, never of the number of threads.
pub fn rows_per_chunk(row: usize, cost: usize) -> usize {
    (GRAIN / (row.max(1) * cost.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_and_whole() {
        let mut out = vec![0usize; 1000 * 70];
        for_rows(&mut out, 70, 1, |first, block| {
            for (i, row) in block.chunks_mut(70).enumerate() {
                row.fill(first + i);
            }
        });
        assert!(out.chunks(70).enumerate().all(|(i, row)| row.len() == 70 && row.iter().all(|&v| v == i)));
    }
}
