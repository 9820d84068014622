//! Products with quantised weights on any processor: the same sums in the same order as the AVX-512 path has them.

use super::super::fused;
use super::super::view::{Out, View};
use super::{Blocks, Part, UNIT};
use crate::cpu::dispatch;

/// The numbers of all rows.
///
/// # Safety
/// `out` must have a place for each.
pub(super) unsafe fn dequantise(w: Blocks<'_>, out: *mut f32) {
    // SAFETY: the caller's promise.
    let out = unsafe { std::slice::from_raw_parts_mut(out, w.n * w.k) };
    let done = w.kind.dequantise(w.bytes, out);
    debug_assert!(done.is_ok(), "the sizes of `Blocks` are checked");
}

/// All `m` rows of A times some rows of W.
///
/// # Safety
/// A must have `m` rows of k contiguous numbers, C as many rows and, from `out` on, a column for each row of W, which nobody
/// else sees.
pub(super) unsafe fn rows(a: View<f32>, m: usize, w: Part, out: Out<f32>) {
    let is_fused = fused();
    for i in 0..m {
        // SAFETY: row i of A and of C, and the rows of W.
        let (x, weights, y) = unsafe {
            (
                std::slice::from_raw_parts(a.ptr.add(i * a.row_stride), w.k),
                std::slice::from_raw_parts(w.numbers, w.rows * w.k),
                out.row(i, 0..w.rows),
            )
        };
        dispatch(
            #[inline(always)]
            || {
                for (y, row) in y.iter_mut().zip(weights.chunks_exact(w.k)) {
                    *y = if is_fused { dot::<true>(x, row) } else { dot::<false>(x, row) };
                }
            },
        );
    }
}

/// Σ xₖ·wₖ in the order that the module tells of.
#[inline(always)]
fn dot<const FUSED: bool>(x: &[f32], w: &[f32]) -> f32 {
    let mut sums = [0.0f32; UNIT];
    for (x, w) in x.chunks_exact(UNIT).zip(w.chunks_exact(UNIT)) {
        for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
            *sum = if FUSED { w.mul_add(*x, *sum) } else { *sum + w * x };
        }
    }
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}
