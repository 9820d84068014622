//! The f32 engine for AVX-512: tiles of up to 8 rows by 3 vectors, 24 sums in flight for 2 multiply-adds a cycle of
//! latency 4, with 3 vectors of B and one broadcast value of A beside them in the 32 registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::engine::{Engine, Lhs, PANEL, Rhs, Tile};
use super::scratch::Scratch;
use super::transpose::transpose_16;
use super::view::{Out, View};
use super::{gemv, pack};

/// f32 with 512-bit fused multiply-add.
pub(super) struct Avx512;

/// Steps of k by which a panel of B is fetched ahead.
const AHEAD: usize = 12;

/// Steps of k in a turn of the tile's loop.
const UNROLL: usize = 4;

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
    const STREAMS: bool = true;

    fn direct_a(a: View<f32>, _k: usize) -> Option<Lhs<f32>> {
        Some(Lhs::strided(a.ptr, a.row_stride, a.col_stride))
    }

    fn direct_b(b: View<f32>) -> Option<Rhs<f32>> {
        (b.col_stride == 1).then_some(Rhs { ptr: b.ptr, step: b.row_stride })
    }

    unsafe fn pack_a(a: View<f32>, rows: usize, k: usize, out: *mut f32) -> Lhs<f32> {
        if a.row_stride != 1 && a.col_stride != 1 {
            // SAFETY: the caller's promise.
            return unsafe { pack::pack_a(a, (rows, k), 1, out, |x| x) };
        }
        // Contiguous columns are read a few whole columns at a time: short runs of many would miss the TLB.
        let few = if a.row_stride == 1 { PANEL } else { k };
        for p in (0..k).step_by(few) {
            for first in (0..rows).step_by(PANEL) {
                let (depth, height) = (few.min(k - p), (rows - first).min(PANEL));
                // SAFETY: a panel of A is a panel of B transposed; each has its place in `out`.
                unsafe {
                    let to = out.add(first * k + p * PANEL);
                    Self::pack_b(a.at(first, p).t(), depth, height, PANEL / LANES, to);
                }
            }
        }
        Lhs { ptr: out, row: 1, panel: PANEL * k, step: PANEL }
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

    unsafe fn few_rows(
        a: View<f32>,
        b: View<f32>,
        c: Out<f32>,
        block: (Range<usize>, usize, Range<usize>),
        accumulate: bool,
        _scratch: &mut Scratch,
    ) -> bool {
        // SAFETY: the caller's promise.
        block.0.len() <= gemv::MAX_ROWS && unsafe { gemv::few_rows(a, b, c, block, accumulate) }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<f32>) {
        // SAFETY: the caller's promise; the table holds every height and width an engine may be asked for.
        unsafe { TILES[mr - 1][nv - 1](t) }
    }
}

/// The lowest `n` of 16 lanes.
#[inline]
pub(super) fn lanes(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}

/// # Safety
/// As [`Engine::tile`], with `MR` rows and `NV` vectors.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile<f32>) {
    // SAFETY: the tile's operands are readable for k steps and its C under the mask.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); NV]; MR];
        first_sums(t, &mut sums);
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k / UNROLL {
            steps::<MR, NV, UNROLL>(&mut sums, t, a, b);
            a = a.add(UNROLL * t.a_step);
            b = b.add(UNROLL * t.b_step);
        }
        for _ in 0..t.k % UNROLL {
            steps::<MR, NV, 1>(&mut sums, t, a, b);
            a = a.add(t.a_step);
            b = b.add(t.b_step);
        }
        store_sums(t, &sums);
    }
}

/// Vector `v` of row `i` of a tile's C, `last` being the row's last: its offset, and which of its lanes exist.
#[inline(always)]
fn vector<P>(t: &Tile<P>, i: usize, v: usize, last: usize) -> (usize, __mmask16) {
    (i * t.c_row + v * LANES, if v == last { lanes(t.tail) } else { !0 })
}

/// Reads the sums that a tile goes on from; leaves them as they are if it starts anew.
///
/// # Safety
/// C must be readable under the tile's mask.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn first_sums<P, const MR: usize, const NV: usize>(
    t: &Tile<P>,
    sums: &mut [[__m512; NV]; MR],
) {
    if t.resume {
        for i in 0..MR {
            for v in 0..NV {
                let (at, mask) = vector(t, i, v, NV - 1);
                // SAFETY: the caller's promise.
                sums[i][v] = unsafe { _mm512_maskz_loadu_ps(mask, t.c.add(at)) };
            }
        }
    }
}

/// Writes a tile's sums to its C.
///
/// # Safety
/// C must be writable under the tile's mask, and nobody else's.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store_sums<P, const MR: usize, const NV: usize>(t: &Tile<P>, sums: &[[__m512; NV]; MR]) {
    for i in 0..MR {
        for v in 0..NV {
            let (at, mask) = vector(t, i, v, NV - 1);
            // SAFETY: the caller's promise.
            unsafe { _mm512_mask_storeu_ps(t.c.add(at), mask, sums[i][v]) };
        }
    }
}

/// `U` steps of k from `a` and `b` on.
///
/// # Safety
/// As [`tile`], and so many steps must be left.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn steps<const MR: usize, const NV: usize, const U: usize>(
    sums: &mut [[__m512; NV]; MR],
    t: &Tile<f32>,
    a: *const f32,
    b: *const f32,
) {
    for u in 0..U {
        let mut row = [_mm512_setzero_ps(); NV];
        // SAFETY: the caller's promise; a prefetch may name any address.
        unsafe {
            for v in 0..NV {
                let from = b.add(u * t.b_step + v * LANES);
                row[v] = _mm512_loadu_ps(from);
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD * t.b_step).cast());
            }
            for i in 0..MR {
                let x = _mm512_set1_ps(*a.add(i * t.a_row + u * t.a_step));
                for v in 0..NV {
                    sums[i][v] = _mm512_fmadd_ps(x, row[v], sums[i][v]);
                }
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
unsafe fn load_16(from: *const f32, stride: usize, lines: usize, len: usize) -> [__m512; 16] {
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
