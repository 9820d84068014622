//! Copies of A and B as bf16 pairs: the order in which `vdpbf16ps` and the matrix tiles of AMX take them.
//!
//! A packed panel of B holds, for each pair of k, `width` columns of two values. Packed A has its rows side by side in k.

use std::arch::x86_64::*;

use half::bf16;

use super::avx512::LANES;
use super::engine::Lhs;
use super::pack;
use super::pairs::PairSource;
use super::transpose::transpose_16;
use super::view::View;

/// Packs (rows, k) of A, k zero-padded to a multiple of `step`.
///
/// # Safety
/// As [`super::engine::Engine::pack_a`], and AVX-512 F, BW and BF16.
pub(super) unsafe fn pack_a<S: PairSource>(
    a: View<S>,
    (rows, k): (usize, usize),
    step: usize,
    out: *mut bf16,
) -> Lhs<bf16> {
    // SAFETY: the caller's promise.
    unsafe {
        if a.col_stride == 1 {
            pack_rows_of_a(a, (rows, k), step, out)
        } else if a.row_stride == 1 {
            pack_columns_of_a(a, (rows, k), step, out)
        } else {
            pack::pack_a(a, (rows, k), step, out, S::to_bf16)
        }
    }
}

/// Packs a panel of B: (k, cols) into `width` columns, k zero-padded to a multiple of `step`.
///
/// # Safety
/// As [`super::engine::Engine::pack_b`], and AVX-512 F, BW and BF16.
pub(super) unsafe fn pack_b<S: PairSource>(
    b: View<S>,
    (k, cols): (usize, usize),
    width: usize,
    step: usize,
    out: *mut bf16,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if b.col_stride == 1 {
            pack_rows(b, k, cols, width, out);
        } else if b.row_stride == 1 {
            pack_columns(b, k, cols, width, out);
        } else {
            pack::pack_b(b, (k, cols), width, 2, out, S::to_bf16);
        }
        let (done, padded) = (k.next_multiple_of(2), k.next_multiple_of(step));
        out.add(done * width).write_bytes(0, (padded - done) * width);
    }
}

/// From one packed row of A to the next: one cache line more than whole ones, since rows a power of two apart would share
/// few sets of the first-level cache.
fn row_of_a(k: usize) -> usize {
    k.next_multiple_of(2 * LANES) + 2 * LANES
}

/// Packs rows of A that are contiguous, whole cache lines apart.
///
/// # Safety
/// As [`pack_a`] with `a.col_stride == 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_rows_of_a<S: PairSource>(
    a: View<S>,
    (rows, k): (usize, usize),
    step: usize,
    out: *mut bf16,
) -> Lhs<bf16> {
    let row = row_of_a(k);
    for i in 0..rows {
        for p in (0..k).step_by(32) {
            // SAFETY: the load is masked to the k values, and fills the rest of its cache line with zeros.
            unsafe {
                let values = S::load(a.ptr.add(i * a.row_stride + p), k - p);
                _mm512_store_si512(out.add(i * row + p).cast(), values);
            }
        }
    }
    Lhs::strided(out, row, step)
}

/// Packs columns of A that are contiguous: 16 rows of 16 pairs, turned as 32-bit values.
///
/// # Safety
/// As [`pack_a`] with `a.row_stride == 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_columns_of_a<S: PairSource>(
    a: View<S>,
    (rows, k): (usize, usize),
    step: usize,
    out: *mut bf16,
) -> Lhs<bf16> {
    let row = row_of_a(k);
    for i in (0..rows).step_by(LANES) {
        for p in (0..k).step_by(2 * LANES) {
            let mut block = [_mm512_setzero_ps(); 16];
            // SAFETY: loads are masked to rows that exist, of columns that exist; rows of `out` are whole cache lines.
            unsafe {
                for q in 0..(k - p).div_ceil(2).min(LANES) {
                    let from = a.ptr.add((p + 2 * q) * a.col_stride + i);
                    let first = S::load_low(from, rows - i);
                    let second = if p + 2 * q + 1 < k {
                        S::load_low(from.add(a.col_stride), rows - i)
                    } else {
                        _mm512_setzero_si512()
                    };
                    let pairs = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
                    block[q] = _mm512_castsi512_ps(pairs);
                }
                let block = transpose_16(block);
                for r in 0..(rows - i).min(LANES) {
                    _mm512_store_ps(out.add((i + r) * row + p).cast(), block[r]);
                }
            }
        }
    }
    Lhs::strided(out, row, step)
}

/// Packs a panel whose rows are contiguous: two rows woven into pairs.
///
/// # Safety
/// As [`pack_b`] with `b.col_stride == 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_rows<S: PairSource>(b: View<S>, k: usize, cols: usize, width: usize, out: *mut bf16) {
    for p in (0..k).step_by(2) {
        for j in (0..width).step_by(LANES) {
            let n = cols.saturating_sub(j);
            // SAFETY: loads are masked to columns that exist, and the second row is read only if there is one.
            unsafe {
                let from = b.ptr.wrapping_add(p * b.row_stride + j);
                let first = S::load_low(from, n);
                let second = if p + 1 < k {
                    S::load_low(from.wrapping_add(b.row_stride), n)
                } else {
                    _mm512_setzero_si512()
                };
                let pairs = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
                _mm512_store_si512(out.add(p * width + j * 2).cast(), pairs);
            }
        }
    }
}

/// Packs a panel whose columns are contiguous: 16 columns of 16 pairs, turned as 32-bit values.
///
/// # Safety
/// As [`pack_b`] with `b.row_stride == 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_columns<S: PairSource>(b: View<S>, k: usize, cols: usize, width: usize, out: *mut bf16) {
    for j in (0..width).step_by(LANES) {
        for p in (0..k).step_by(2 * LANES) {
            let mut block = [_mm512_setzero_ps(); 16];
            // SAFETY: absent columns are not read and absent steps are masked off; the panel has k steps, rounded up to pairs.
            unsafe {
                for i in 0..cols.saturating_sub(j).min(LANES) {
                    let from = b.ptr.wrapping_add((j + i) * b.col_stride + p);
                    block[i] = _mm512_castsi512_ps(S::load(from, k - p));
                }
                let block = transpose_16(block);
                for i in 0..(k - p).div_ceil(2).min(LANES) {
                    _mm512_store_ps(out.add((p + 2 * i) * width + j * 2).cast(), block[i]);
                }
            }
        }
    }
}
