//! Products of one to four rows, as in decoding: limited by reading B once, so B is streamed and never packed. Operands are
//! f32, or bf16 that is widened on the way.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::avx512::{LANES, lanes};
use super::transpose::transpose_16;
use super::view::{Out, View};

/// Most rows handled here.
pub(super) const MAX_ROWS: usize = 4;
/// Columns whose sums stay in the first-level cache while B streams by.
const WIDTH: usize = 2048;
/// Rows of B in flight: so many sequential streams, and so many multiply-adds for each load and store of a sum.
const DEPTH: usize = 8;

/// An operand that is streamed as f32.
pub(super) trait Streamed: Copy {
    /// `n` (at most 16) neighbouring values; the other lanes are zero.
    ///
    /// # Safety
    /// They must be readable, and the CPU must have AVX-512F.
    unsafe fn load(from: *const Self, n: usize) -> __m512;

    /// One value.
    fn value(self) -> f32;
}

impl Streamed for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const Self, n: usize) -> __m512 {
        // SAFETY: the mask keeps the load to values that exist.
        unsafe { _mm512_maskz_loadu_ps(lanes(n), from) }
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

impl Streamed for bf16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const Self, n: usize) -> __m512 {
        // SAFETY: 16 values, or `n` copied to where there are 16.
        let values = unsafe {
            if n >= LANES {
                _mm256_loadu_si256(from.cast())
            } else {
                let mut some = [bf16::ZERO; LANES];
                std::ptr::copy_nonoverlapping(from, some.as_mut_ptr(), n);
                _mm256_loadu_si256(some.as_ptr().cast())
            }
        };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(values)))
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

/// C (rows, cols) from `rows.len()` rows of A. Says whether the layout of B allows it; if not, nothing is done.
///
/// # Safety
/// As [`super::block::Product::run`], at most [`MAX_ROWS`] rows, and AVX-512F.
pub(super) unsafe fn few_rows<S: Streamed>(
    a: View<S>,
    b: View<S>,
    c: Out<f32>,
    (rows, k, cols): (Range<usize>, usize, Range<usize>),
    accumulate: bool,
) -> bool {
    // SAFETY: the caller's block lies in the matrices.
    unsafe {
        let job = Few {
            a: a.at(rows.start, 0),
            b: b.at(0, cols.start),
            c: c.at(rows.start, cols.start),
            k,
            accumulate,
        };
        match (b.col_stride, b.row_stride) {
            (1, _) => by_height(
                rows.len(),
                [rows_of_b::<S, 1>, rows_of_b::<S, 2>, rows_of_b::<S, 3>, rows_of_b::<S, 4>],
                &job,
                cols.len(),
            ),
            (_, 1) => {
                by_height(
                    rows.len(),
                    [columns_of_b::<S, 1>, columns_of_b::<S, 2>, columns_of_b::<S, 3>, columns_of_b::<S, 4>],
                    &job,
                    cols.len(),
                );
            }
            _ => return false,
        }
    }
    true
}

/// The block, moved to the origin.
struct Few<S> {
    a: View<S>,
    b: View<S>,
    c: Out<f32>,
    k: usize,
    accumulate: bool,
}

/// # Safety
/// As the functions in `heights`.
unsafe fn by_height<S>(
    rows: usize,
    heights: [unsafe fn(&Few<S>, usize); MAX_ROWS],
    job: &Few<S>,
    cols: usize,
) {
    // SAFETY: the function for this height; the caller's promise.
    unsafe { heights[rows - 1](job, cols) }
}

/// B with contiguous rows: eight rows at a time pass by the sums of up to `WIDTH` columns.
///
/// # Safety
/// The block must lie in the matrices and have `M` rows.
#[target_feature(enable = "avx512f")]
unsafe fn rows_of_b<S: Streamed, const M: usize>(job: &Few<S>, cols: usize) {
    for first in (0..cols).step_by(WIDTH) {
        let columns = first..(first + WIDTH).min(cols);
        let mut p = 0;
        while p < job.k {
            let resume = p > 0 || job.accumulate;
            // SAFETY: p + depth <= k; columns are the block's.
            unsafe {
                if job.k - p >= DEPTH {
                    few_steps::<S, M, DEPTH>(job, columns.clone(), p, resume);
                    p += DEPTH;
                } else {
                    few_steps::<S, M, 1>(job, columns.clone(), p, resume);
                    p += 1;
                }
            }
        }
    }
}

/// Adds `D` steps of k, from `p` on, to the sums of some columns.
///
/// # Safety
/// As [`rows_of_b`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn few_steps<S: Streamed, const M: usize, const D: usize>(
    job: &Few<S>,
    columns: Range<usize>,
    p: usize,
    resume: bool,
) {
    let mut x = [[0.0f32; D]; M];
    // SAFETY: rows 0..M and steps p..p + D of A, the same steps of B, and the columns of C under the mask.
    unsafe {
        for i in 0..M {
            for q in 0..D {
                x[i][q] = (*job.a.ptr.add(i * job.a.row_stride + (p + q) * job.a.col_stride)).value();
            }
        }
        for j in columns.clone().step_by(LANES) {
            let mask = lanes(columns.end - j);
            let mut sums = [_mm512_setzero_ps(); M];
            if resume {
                for i in 0..M {
                    sums[i] = _mm512_maskz_loadu_ps(mask, job.c.ptr.add(i * job.c.row_stride + j));
                }
            }
            for q in 0..D {
                let row = S::load(job.b.ptr.add((p + q) * job.b.row_stride + j), columns.end - j);
                for i in 0..M {
                    sums[i] = _mm512_fmadd_ps(_mm512_set1_ps(x[i][q]), row, sums[i]);
                }
            }
            for i in 0..M {
                _mm512_mask_storeu_ps(job.c.ptr.add(i * job.c.row_stride + j), mask, sums[i]);
            }
        }
    }
}

/// B with contiguous columns: 16 columns are 16 streams, turned in registers 16 steps at a time so that each vector holds
/// one step of all 16 columns and every sum keeps its order.
///
/// # Safety
/// As [`rows_of_b`].
#[target_feature(enable = "avx512f")]
unsafe fn columns_of_b<S: Streamed, const M: usize>(job: &Few<S>, cols: usize) {
    for j in (0..cols).step_by(LANES) {
        let width = (cols - j).min(LANES);
        let mask = lanes(width);
        let mut sums = [_mm512_setzero_ps(); M];
        // SAFETY: `width` columns of C exist; steps p..p + steps of those columns of B and of M rows of A.
        unsafe {
            if job.accumulate {
                for i in 0..M {
                    sums[i] = _mm512_maskz_loadu_ps(mask, job.c.ptr.add(i * job.c.row_stride + j));
                }
            }
            let column = job.b.ptr.add(j * job.b.col_stride);
            let whole = job.k / LANES * LANES;
            for p in (0..whole).step_by(LANES) {
                let block = transpose_16(load_16::<S>(column.add(p), job.b.col_stride, width, LANES));
                for q in 0..LANES {
                    add_step(job, p + q, block[q], &mut sums);
                }
            }
            if whole < job.k {
                let block =
                    transpose_16(load_16::<S>(column.add(whole), job.b.col_stride, width, job.k - whole));
                for q in 0..job.k - whole {
                    add_step(job, whole + q, block[q], &mut sums);
                }
            }
            for i in 0..M {
                _mm512_mask_storeu_ps(job.c.ptr.add(i * job.c.row_stride + j), mask, sums[i]);
            }
        }
    }
}

/// `lines` lines (at most 16) of `len` values (at most 16), `stride` apart; the rest is zero. The 16 lines behind them, which come
/// next, are fetched meanwhile: the processor follows fewer streams than 16, and none past the end of a page.
///
/// # Safety
/// Those values must be readable. What lies behind them is not read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_16<S: Streamed>(from: *const S, stride: usize, lines: usize, len: usize) -> [__m512; 16] {
    let mut block = [_mm512_setzero_ps(); 16];
    // SAFETY: only existing lines are read, and `len` values of each.
    unsafe {
        if lines >= LANES && len >= LANES {
            for i in 0..LANES {
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add((LANES + i) * stride).cast());
                block[i] = S::load(from.add(i * stride), LANES);
            }
        } else {
            for i in 0..lines {
                block[i] = S::load(from.add(i * stride), len);
            }
        }
    }
    block
}

/// One step of k for 16 columns and M rows.
///
/// # Safety
/// `p < k`, and A has M rows.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add_step<S: Streamed, const M: usize>(job: &Few<S>, p: usize, row: __m512, sums: &mut [__m512; M]) {
    for i in 0..M {
        // SAFETY: the caller's promise.
        let x = unsafe { (*job.a.ptr.add(i * job.a.row_stride + p * job.a.col_stride)).value() };
        sums[i] = _mm512_fmadd_ps(_mm512_set1_ps(x), row, sums[i]);
    }
}
