//! bf16 products of one to four rows: B is streamed once, its pairs woven or turned in registers and never stored.

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::{LANES, lanes};
use super::avx512_bf16::as_bf16;
use super::pairs::PairSource;
use super::scratch::Scratch;
use super::transpose::transpose_16;
use super::view::{Out, View};

/// Columns whose sums stay in the first-level cache while B streams by.
const WIDTH: usize = 2048;
/// Pairs of rows of B in flight.
const DEPTH: usize = 4;
/// Bytes that memory moves at once.
const LINE: usize = 64;
/// Steps of k that are turned at once.
const STEP: usize = 2 * LANES;

/// The block, moved to the origin, and its rows of A as pairs, the last one padded with a zero.
struct Few<S> {
    /// `k.div_ceil(2)` pairs for each row.
    pairs: *const i32,
    b: View<S>,
    c: Out<f32>,
    k: usize,
    accumulate: bool,
}

/// C (rows, cols) from `rows.len()` rows of A. Says whether the layout of B allows it; if not, nothing is done.
///
/// # Safety
/// As [`super::block::Product::run`], at most [`super::gemv::MAX_ROWS`] rows, and AVX-512 F, BW and BF16.
pub(super) unsafe fn few_rows<S: PairSource>(
    a: View<S>,
    b: View<S>,
    c: Out<f32>,
    (rows, k, cols): (Range<usize>, usize, Range<usize>),
    accumulate: bool,
    scratch: &mut Scratch,
) -> bool {
    if b.col_stride != 1 && b.row_stride != 1 {
        return false;
    }
    // SAFETY: the caller's block lies in the matrices, and has as many rows as the function chosen.
    unsafe {
        let (pairs, _) = scratch.buffers::<i32>(rows.len() * k.div_ceil(2), 0);
        for i in 0..rows.len() {
            write_pairs(a.at(rows.start + i, 0), k, pairs.add(i * k.div_ceil(2)));
        }
        let job = Few { pairs, b: b.at(0, cols.start), c: c.at(rows.start, cols.start), k, accumulate };
        let by_rows = [rows_of_b::<S, 1>, rows_of_b::<S, 2>, rows_of_b::<S, 3>, rows_of_b::<S, 4>];
        let by_columns = [
            columns_of_b::<S, 1, 2>,
            columns_of_b::<S, 2, 1>,
            columns_of_b::<S, 3, 1>,
            columns_of_b::<S, 4, 1>,
        ];
        if b.col_stride == 1 {
            by_rows[rows.len() - 1](&job, cols.len())
        } else {
            by_columns[rows.len() - 1](&job, cols.len())
        }
    }
    true
}

impl<S> Few<S> {
    /// Pair `p` of row `i`.
    ///
    /// # Safety
    /// There must be such a pair.
    #[inline]
    unsafe fn pair(&self, i: usize, p: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { *self.pairs.add(i * self.k.div_ceil(2) + p) }
    }
}

/// The first row of `a`, two values to an integer.
///
/// # Safety
/// It must have k values, and `out` room for their pairs.
unsafe fn write_pairs<S: PairSource>(a: View<S>, k: usize, out: *mut i32) {
    // SAFETY: p < k.
    let bits = |p: usize| unsafe { u32::from((*a.ptr.add(p * a.col_stride)).to_bf16().to_bits()) };
    for p in (0..k).step_by(2) {
        let high = if p + 1 < k { bits(p + 1) << 16 } else { 0 };
        // SAFETY: the room that the caller promises.
        unsafe { *out.add(p / 2) = (bits(p) | high) as i32 };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_pairs(sum: __m512, x: i32, row: __m512i) -> __m512 {
    _mm512_dpbf16_ps(sum, as_bf16(_mm512_set1_epi32(x)), as_bf16(row))
}

/// B with contiguous rows: pairs of rows are woven together and pass by the sums of up to `WIDTH` columns.
///
/// # Safety
/// The block must lie in the matrices and have `M` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows_of_b<S: PairSource, const M: usize>(job: &Few<S>, cols: usize) {
    for first in (0..cols).step_by(WIDTH) {
        let columns = first..(first + WIDTH).min(cols);
        let mut p = 0;
        while p < job.k {
            let resume = p > 0 || job.accumulate;
            // SAFETY: so many steps are left (an odd last one is a pair of its own); columns are the block's.
            unsafe {
                if job.k - p >= 2 * DEPTH {
                    few_steps::<S, M, DEPTH>(job, columns.clone(), p, resume);
                    p += 2 * DEPTH;
                } else {
                    few_steps::<S, M, 1>(job, columns.clone(), p, resume);
                    p += 2;
                }
            }
        }
    }
}

/// Adds `D` pairs of steps, from `p` on, to the sums of some columns.
///
/// # Safety
/// As [`rows_of_b`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn few_steps<S: PairSource, const M: usize, const D: usize>(
    job: &Few<S>,
    columns: Range<usize>,
    p: usize,
    resume: bool,
) {
    let mut x = [[0; D]; M];
    for i in 0..M {
        for q in 0..D {
            // SAFETY: the caller says that D pairs are left.
            x[i][q] = unsafe { job.pair(i, p / 2 + q) };
        }
    }
    for j in columns.clone().step_by(LANES) {
        let (n, mask) = (columns.end - j, lanes(columns.end - j));
        let mut sums = [_mm512_setzero_ps(); M];
        // SAFETY: steps p.. of B (the second of a pair only if there is one) and the columns of C, under the mask.
        unsafe {
            if resume {
                for i in 0..M {
                    sums[i] = _mm512_maskz_loadu_ps(mask, job.c.ptr.add(i * job.c.row_stride + j));
                }
            }
            for q in 0..D {
                let at = p + 2 * q;
                let from = job.b.ptr.add(at * job.b.row_stride + j);
                let low = S::load_low(from, n);
                let high = if at + 1 < job.k {
                    S::load_low(from.add(job.b.row_stride), n)
                } else {
                    _mm512_setzero_si512()
                };
                let row = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
                for i in 0..M {
                    sums[i] = add_pairs(sums[i], x[i][q], row);
                }
            }
            for i in 0..M {
                _mm512_mask_storeu_ps(job.c.ptr.add(i * job.c.row_stride + j), mask, sums[i]);
            }
        }
    }
}

/// B with contiguous columns. Each element of C is one chain of additions, and the processor waits for each: `G` times 16 columns
/// side by side are as many chains for each of the `M` rows.
///
/// # Safety
/// As [`rows_of_b`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn columns_of_b<S: PairSource, const M: usize, const G: usize>(job: &Few<S>, cols: usize) {
    let together = cols - cols % (G * LANES);
    // SAFETY: these columns are the block's.
    unsafe {
        for j in (0..together).step_by(G * LANES) {
            columns::<S, M, G>(job, j, LANES);
        }
        for j in (together..cols).step_by(LANES) {
            columns::<S, M, 1>(job, j, (cols - j).min(LANES));
        }
    }
}

/// `G` groups of columns from `j` on, the last of which has `width`.
///
/// # Safety
/// As [`rows_of_b`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn columns<S: PairSource, const M: usize, const G: usize>(job: &Few<S>, j: usize, width: usize) {
    let mut sums = [[_mm512_setzero_ps(); M]; G];
    let mask = lanes(width);
    let whole = if width == LANES { job.k - job.k % STEP } else { 0 };
    // SAFETY: these columns of C and B exist, and loads stop at step k.
    unsafe {
        let c = |i: usize, g: usize| job.c.ptr.add(i * job.c.row_stride + j + g * LANES);
        if job.accumulate {
            for g in 0..G {
                for i in 0..M {
                    sums[g][i] = _mm512_maskz_loadu_ps(mask, c(i, g));
                }
            }
        }
        for p in (0..whole).step_by(STEP) {
            for g in 0..G {
                turned_step::<S, M, G>(job, j + g * LANES, p, (LANES, STEP), &mut sums[g]);
            }
        }
        for p in (whole..job.k).step_by(STEP) {
            for g in 0..G {
                turned_step::<S, M, G>(job, j + g * LANES, p, (width, job.k - p), &mut sums[g]);
            }
        }
        for g in 0..G {
            for i in 0..M {
                _mm512_mask_storeu_ps(c(i, g), mask, sums[g][i]);
            }
        }
    }
}

/// Adds up to [`STEP`] steps of k, `left` being there from `p` on, to the sums of `width` columns: their numbers are turned in
/// registers. Inlined, so that where both are the most that there can be, no load has a mask.
///
/// # Safety
/// As [`rows_of_b`].
#[inline(always)]
unsafe fn turned_step<S: PairSource, const M: usize, const G: usize>(
    job: &Few<S>,
    j: usize,
    p: usize,
    (width, left): (usize, usize),
    sums: &mut [__m512; M],
) {
    // SAFETY: so many columns of B and steps of k exist, and the caller has the instruction sets.
    unsafe {
        let mut block = [_mm512_setzero_ps(); LANES];
        for i in 0..width {
            let from = job.b.ptr.add((j + i) * job.b.col_stride + p);
            block[i] = _mm512_castsi512_ps(S::load(from, left));
        }
        // The columns behind these, one behind the other: so many streams are more than the processor fetches ahead by itself.
        let ahead = job.b.ptr.wrapping_add((j + G * LANES) * job.b.col_stride + p * LANES);
        for line in 0..size_of::<S>() * STEP * LANES / LINE {
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast::<i8>().wrapping_add(line * LINE));
        }
        let block = transpose_16(block);
        for q in 0..left.div_ceil(2).min(LANES) {
            for i in 0..M {
                sums[i] = add_pairs(sums[i], job.pair(i, p / 2 + q), _mm512_castps_si512(block[q]));
            }
        }
    }
}
