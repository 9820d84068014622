//! Products with weights that are read as f32, on AVX-512. Of one row of A: weights become numbers in registers, where they are
//! multiplied at once. Of several: rows of W become numbers in the second-level cache, and tiles of 3 by 4 rows read them there.

use std::arch::x86_64::*;

use super::super::avx512::LANES;
use super::super::view::{Out, View};
use super::units::{Bf16, F16, F32, Units};
use super::{Blocks, Part, STREAMS, UNIT, portable};
use warpsmith_gguf::Kind;

/// Rows of A in a tile.
const MR: usize = 3;

/// Calls a function that is written for one kind of floats; others are left to `$other`.
macro_rules! by_kind {
    ($kind:expr, $function:ident, $arguments:tt, $other:expr) => {
        match $kind {
            Kind::F32 => $function::<F32> $arguments,
            Kind::F16 => $function::<F16> $arguments,
            Kind::Bf16 => $function::<Bf16> $arguments,
            _ => $other,
        }
    };
}

/// The first row of A times all rows of W, which must be floats.
///
/// # Safety
/// AVX-512F; A must have k contiguous numbers, C from `out` on a column for each row of W, which nobody else sees.
pub(super) unsafe fn one_row(a: View<f32>, w: Blocks<'_>, out: Out<f32>) {
    // SAFETY: the caller's promise.
    unsafe { by_kind!(w.kind, one_row_of, (a.ptr, w, out.row(0, 0..w.n)), ()) }
}

/// The numbers of all rows.
///
/// # Safety
/// AVX-512F, and `out` must have a place for each.
pub(super) unsafe fn dequantise(w: Blocks<'_>, out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { by_kind!(w.kind, dequantise_of, (w, out), portable::dequantise(w, out)) }
}

/// # Safety
/// As [`one_row`].
#[target_feature(enable = "avx512f")]
unsafe fn one_row_of<U: Units>(x: *const f32, w: Blocks<'_>, y: &mut [f32]) {
    let width = Blocks::row_bytes(w.kind, w.k);
    let (some, left) = y.as_chunks_mut::<STREAMS>();
    let (together, alone) = w.bytes.split_at(some.len() * STREAMS * width);
    // SAFETY: rows of k / 32 units, and k numbers at x.
    unsafe {
        for (y, rows) in some.iter_mut().zip(together.chunks_exact(STREAMS * width)) {
            *y = dots::<U, STREAMS>(x, rows.as_ptr(), width, w.k);
        }
        for (y, row) in left.iter_mut().zip(alone.chunks_exact(width)) {
            [*y] = dots::<U, 1>(x, row.as_ptr(), width, w.k);
        }
    }
}

/// x times N rows of W, `width` bytes each; the N rows behind them are fetched meanwhile.
///
/// # Safety
/// AVX-512F; x must have k numbers, and the rows of W as many.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn dots<U: Units, const N: usize>(x: *const f32, rows: *const u8, width: usize, k: usize) -> [f32; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    let bytes = width / (k / UNIT);
    for u in 0..k / UNIT {
        // SAFETY: the caller's promise. What lies behind the weights is not read.
        unsafe {
            let values = [_mm512_loadu_ps(x.add(u * UNIT)), _mm512_loadu_ps(x.add(u * UNIT + LANES))];
            for n in 0..N {
                let row = rows.add(n * width);
                for line in (u * bytes..(u + 1) * bytes).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(N * width + line).cast());
                }
                let weights = U::unit(row, u);
                sums[n][0] = _mm512_fmadd_ps(weights[0], values[0], sums[n][0]);
                sums[n][1] = _mm512_fmadd_ps(weights[1], values[1], sums[n][1]);
            }
        }
    }
    let mut y = [0.0; N];
    for n in 0..N {
        y[n] = halves(sums[n]);
    }
    y
}

/// # Safety
/// As [`dequantise`].
#[target_feature(enable = "avx512f")]
unsafe fn dequantise_of<U: Units>(w: Blocks<'_>, out: *mut f32) {
    let width = Blocks::row_bytes(w.kind, w.k);
    for (n, row) in w.bytes.chunks_exact(width).enumerate() {
        for u in 0..w.k / UNIT {
            // SAFETY: a row has k / 32 units, and `out` 32 places for each.
            unsafe {
                let [first, second] = U::unit(row.as_ptr(), u);
                let to = out.add(n * w.k + u * UNIT);
                _mm512_storeu_ps(to, first);
                _mm512_storeu_ps(to.add(LANES), second);
            }
        }
    }
}

/// All `m` rows of A times some rows of W.
///
/// # Safety
/// AVX-512F; A must have `m` rows of k contiguous numbers, C as many rows and, from `out` on, a column for each row of W,
/// which nobody else sees.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn rows(a: View<f32>, m: usize, w: Part, out: Out<f32>) {
    let mut i = 0;
    while i < m {
        // SAFETY: so many rows of A and of C are there.
        unsafe {
            let (x, out) = (a.at(i, 0), out.at(i, 0));
            i += match m - i {
                MR.. => tiles::<MR>(x, w, out),
                2.. => tiles::<2>(x, w, out),
                _ => tiles::<1>(x, w, out),
            };
        }
    }
}

/// M rows of A times all rows of W; M.
///
/// # Safety
/// As [`rows`].
#[target_feature(enable = "avx512f")]
unsafe fn tiles<const M: usize>(a: View<f32>, w: Part, out: Out<f32>) -> usize {
    let whole = w.rows / STREAMS * STREAMS;
    // SAFETY: the tiles lie in A, W and C.
    unsafe {
        for n in (0..whole).step_by(STREAMS) {
            tile::<M, STREAMS>(a, w.numbers.add(n * w.k), w.k, out.at(0, n));
        }
        for n in whole..w.rows {
            tile::<M, 1>(a, w.numbers.add(n * w.k), w.k, out.at(0, n));
        }
    }
    M
}

/// M rows of A times N rows of W.
///
/// # Safety
/// As [`rows`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile<const M: usize, const N: usize>(a: View<f32>, w: *const f32, k: usize, c: Out<f32>) {
    let mut sums = [[[_mm512_setzero_ps(); 2]; N]; M];
    for at in (0..k).step_by(UNIT) {
        for half in 0..2 {
            let at = at + half * LANES;
            let mut weights = [_mm512_setzero_ps(); N];
            // SAFETY: numbers at..at + 16 of N rows of W and M rows of A.
            unsafe {
                for j in 0..N {
                    weights[j] = _mm512_loadu_ps(w.add(j * k + at));
                }
                for i in 0..M {
                    let x = _mm512_loadu_ps(a.ptr.add(i * a.row_stride + at));
                    for j in 0..N {
                        sums[i][j][half] = _mm512_fmadd_ps(weights[j], x, sums[i][j][half]);
                    }
                }
            }
        }
    }
    for i in 0..M {
        for j in 0..N {
            // SAFETY: element (i, j) of the tile.
            unsafe { *c.ptr.add(i * c.row_stride + j) = halves(sums[i][j]) };
        }
    }
}

/// The sum of 32 numbers, added by halves.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves([first, second]: [__m512; 2]) -> f32 {
    let sixteen = _mm512_add_ps(first, second);
    let upper = _mm512_castsi512_ps(_mm512_shuffle_i64x2::<0b11_10_11_10>(
        _mm512_castps_si512(sixteen),
        _mm512_castps_si512(sixteen),
    ));
    let eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_castps512_ps256(upper));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
