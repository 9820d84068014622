//! The f32 engine for AVX-512: tiles of up to 8 rows by 3 vectors, 24 sums in flight for 2 multiply-adds a cycle of
//! latency 4, with 3 vectors of B and one broadcast value of A beside them in the 32 registers.

use std::arch::x86_64::*;

use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pack;
use super::transpose::transpose_16;
use super::view::View;

/// f32 with 512-bit fused multiply-add.
pub(super) struct Avx512;

/// f32 values in a register.
pub(super) const LANES: usize = 16;

type TileFn = unsafe fn(&Tile<f32>);

/// The tiles of one height.
macro_rules! heights {
    ($($mr:literal)*) => { [$([tile::<$mr, 1> as TileFn, tile::<$mr, 2> as TileFn, tile::<$mr, 3> as TileFn]),*] };
}

static TILES: [[TileFn; Avx512::NV]; Avx512::MR] = heights!(1 2 3 4 5 6 7 8);

impl Engine for Avx512 {
    type Source = f32;
    type Packed = f32;
    const LANES: usize = LANES;
    const MR: usize = 8;
    const NV: usize = 3;
    const K_STEP: usize = 1;

    fn direct_a(a: View<f32>, _k: usize) -> Option<Lhs<f32>> {
        Some(Lhs { ptr: a.ptr, row: a.row_stride, step: a.col_stride })
    }

    fn direct_b(b: View<f32>) -> Option<Rhs<f32>> {
        (b.col_stride == 1).then_some(Rhs { ptr: b.ptr, step: b.row_stride })
    }

    unsafe fn pack_a(a: View<f32>, rows: usize, k: usize, out: *mut f32) -> Lhs<f32> {
        // SAFETY: the caller's promise.
        unsafe { pack::pack_a(a, (rows, k), 1, out, |x| x) }
    }

    unsafe fn pack_b(b: View<f32>, k: usize, cols: usize, nv: usize, out: *mut f32) {
        // SAFETY: the caller's promise, which includes AVX-512.
        unsafe {
            if b.col_stride == 1 {
                pack_rows(b, k, cols, nv * LANES, out);
            } else if b.row_stride == 1 {
                pack_columns(b, k, cols, nv * LANES, out);
            } else {
                pack::pack_b(b, (k, cols), nv * LANES, 1, out, |x| x);
            }
        }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<f32>) {
        // SAFETY: the caller's promise; the table holds every height and width an engine may be asked for.
        unsafe { TILES[mr - 1][nv - 1](t) }
    }
}

/// The lowest `n` of 16 lanes.
pub(super) fn lanes(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}

/// # Safety
/// As [`Engine::tile`], with `MR` rows and `NV` vectors.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile<f32>) {
    let mut sums = [[_mm512_setzero_ps(); NV]; MR];
    let mask = |v: usize| if v + 1 == NV { lanes(t.tail) } else { !0 };
    // SAFETY: the tile's operands are readable for k steps and its C under the mask.
    unsafe {
        if t.resume {
            for i in 0..MR {
                for v in 0..NV {
                    sums[i][v] = _mm512_maskz_loadu_ps(mask(v), t.c.add(i * t.c_row + v * LANES));
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut column = [_mm512_setzero_ps(); NV];
            for v in 0..NV {
                column[v] = _mm512_loadu_ps(b.add(v * LANES));
            }
            for i in 0..MR {
                let x = _mm512_set1_ps(*a.add(i * t.a_row));
                for v in 0..NV {
                    sums[i][v] = _mm512_fmadd_ps(x, column[v], sums[i][v]);
                }
            }
            a = a.add(t.a_step);
            b = b.add(t.b_step);
        }
        for i in 0..MR {
            for v in 0..NV {
                _mm512_mask_storeu_ps(t.c.add(i * t.c_row + v * LANES), mask(v), sums[i][v]);
            }
        }
    }
}

/// Packs a panel whose rows are contiguous.
///
/// # Safety
/// As [`Engine::pack_b`] with `b.col_stride == 1`.
#[target_feature(enable = "avx512f")]
unsafe fn pack_rows(b: View<f32>, k: usize, cols: usize, width: usize, out: *mut f32) {
    for p in 0..k {
        for j in (0..width).step_by(LANES) {
            // SAFETY: the mask keeps the load to columns that exist; the panel has `width` columns.
            unsafe {
                let from = b.ptr.wrapping_add(p * b.row_stride + j);
                let row = _mm512_maskz_loadu_ps(lanes(cols.saturating_sub(j)), from);
                _mm512_store_ps(out.add(p * width + j), row);
            }
        }
    }
}

/// Packs a panel whose columns are contiguous, 16 columns by 16 steps at a time.
///
/// # Safety
/// As [`Engine::pack_b`] with `b.row_stride == 1`.
#[target_feature(enable = "avx512f")]
unsafe fn pack_columns(b: View<f32>, k: usize, cols: usize, width: usize, out: *mut f32) {
    for j in (0..width).step_by(LANES) {
        for p in (0..k).step_by(LANES) {
            let steps = (k - p).min(LANES);
            // SAFETY: absent columns and steps are masked off; the panel has k rows of `width` columns.
            unsafe {
                let from = b.ptr.wrapping_add(j * b.col_stride + p);
                let block = load_16(from, b.col_stride, cols.saturating_sub(j), steps);
                let block = transpose_16(block);
                for i in 0..steps {
                    _mm512_store_ps(out.add((p + i) * width + j), block[i]);
                }
            }
        }
    }
}

/// Loads `lines` lines (at most 16) of `len` values, `stride` apart; the rest is zero.
///
/// # Safety
/// Those values must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load_16(from: *const f32, stride: usize, lines: usize, len: usize) -> [__m512; 16] {
    let mut block = [_mm512_setzero_ps(); 16];
    // SAFETY: only existing lines are read, under the mask.
    unsafe {
        if lines >= LANES && len >= LANES {
            for i in 0..16 {
                block[i] = _mm512_loadu_ps(from.add(i * stride));
            }
        } else {
            for i in 0..lines.min(LANES) {
                block[i] = _mm512_maskz_loadu_ps(lanes(len), from.add(i * stride));
            }
        }
    }
    block
}
