//! The bf16 engine for AVX512-BF16: two products and two sums per lane and instruction, f32 sums.
//!
//! `vdpbf16ps` adds the product of the second value of a pair first, then that of the first, each sum rounded to nearest
//! even; subnormal inputs and results count as zero. An odd K is padded with a zero, which adds +0 to the sum.

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;

use super::avx512::{LANES, lanes};
use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pairs::PairSource;
use super::scratch::Scratch;
use super::transpose::transpose_16;
use super::view::{Out, View};
use super::{gemv, gemv_bf16, pack};

/// Products of bf16 pairs from a source of bf16 or f32.
pub(super) struct Avx512Bf16<S>(PhantomData<S>);

/// Whether this processor can run the engine.
pub(super) fn available() -> bool {
    let avx512 =
        std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bw");
    avx512 && std::arch::is_x86_feature_detected!("avx512bf16")
}

/// Whether the engine is also faster than widening to f32.
///
/// On processors with matrix tiles (AMX) it is not: there `vdpbf16ps` was measured at a quarter of the rate of an f32
/// multiply-add, so at half its useful work, and on those without at the same rate, so at twice.
pub(super) fn fast() -> bool {
    /// AMX-BF16 in the flags of leaf 7 (Intel SDM, CPUID, EDX).
    const AMX_BF16: u32 = 1 << 22;
    available() && __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & AMX_BF16 == 0
}

type TileFn = unsafe fn(&Tile<bf16>);

const NV: usize = 3;
const MR: usize = 8;
/// Pairs of k in a turn of the tile's loop.
const UNROLL: usize = 4;
/// Steps of k by which a panel of B is fetched ahead.
const AHEAD: usize = 12;

/// The tiles of one height.
macro_rules! heights {
    ($($mr:literal)*) => { [$([tile::<$mr, 1> as TileFn, tile::<$mr, 2> as TileFn, tile::<$mr, 3> as TileFn]),*] };
}

static TILES: [[TileFn; NV]; MR] = heights!(1 2 3 4 5 6 7 8);

impl<S: PairSource> Engine for Avx512Bf16<S> {
    type Source = S;
    type Packed = bf16;
    const LANES: usize = LANES;
    const MR: usize = MR;
    const NV: usize = NV;
    const K_STEP: usize = 2;

    fn direct_a(a: View<S>, k: usize) -> Option<Lhs<bf16>> {
        (S::IS_BF16 && a.col_stride == 1 && k.is_multiple_of(2)).then_some(Lhs::strided(
            a.ptr.cast(),
            a.row_stride,
            2,
        ))
    }

    fn direct_b(_b: View<S>) -> Option<Rhs<bf16>> {
        None
    }

    unsafe fn pack_a(a: View<S>, rows: usize, k: usize, out: *mut bf16) -> Lhs<bf16> {
        // SAFETY: the caller's promise.
        unsafe {
            if a.col_stride == 1 {
                pack_rows_of_a(a, rows, k, out)
            } else {
                pack::pack_a(a, (rows, k), 2, out, S::to_bf16)
            }
        }
    }

    unsafe fn pack_b(b: View<S>, k: usize, cols: usize, nv: usize, out: *mut bf16) {
        // SAFETY: the caller's promise, which includes the instruction set.
        unsafe {
            if b.col_stride == 1 {
                pack_rows(b, k, cols, nv * LANES, out);
            } else if b.row_stride == 1 {
                pack_columns(b, k, cols, nv * LANES, out);
            } else {
                pack::pack_b(b, (k, cols), nv * LANES, 2, out, S::to_bf16);
            }
        }
    }

    unsafe fn few_rows(
        a: View<S>,
        b: View<S>,
        c: Out<f32>,
        block: (Range<usize>, usize, Range<usize>),
        accumulate: bool,
        scratch: &mut Scratch,
    ) -> bool {
        // SAFETY: the caller's promise.
        block.0.len() <= gemv::MAX_ROWS && unsafe { gemv_bf16::few_rows(a, b, c, block, accumulate, scratch) }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<bf16>) {
        // SAFETY: the caller's promise; the table holds every height and width an engine may be asked for.
        unsafe { TILES[mr - 1][nv - 1](t) }
    }
}

/// # Safety
/// As [`Engine::tile`], with `MR` rows and `NV` vectors.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile<bf16>) {
    let mut sums = [[_mm512_setzero_ps(); NV]; MR];
    let mask = |v: usize| if v + 1 == NV { lanes(t.tail) } else { !0 };
    // SAFETY: the tile's operands are readable for k pairs and its C under the mask; a prefetch may name any address.
    unsafe {
        if t.resume {
            for i in 0..MR {
                for v in 0..NV {
                    sums[i][v] = _mm512_maskz_loadu_ps(mask(v), t.c.add(i * t.c_row + v * LANES));
                }
            }
        }
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
        for i in 0..MR {
            for v in 0..NV {
                _mm512_mask_storeu_ps(t.c.add(i * t.c_row + v * LANES), mask(v), sums[i][v]);
            }
        }
    }
}

/// `U` pairs of k from `a` and `b` on.
///
/// # Safety
/// As [`tile`], and so many pairs must be left.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn steps<const MR: usize, const NV: usize, const U: usize>(
    sums: &mut [[__m512; NV]; MR],
    t: &Tile<bf16>,
    a: *const bf16,
    b: *const bf16,
) {
    for u in 0..U {
        let mut row = [_mm512_setzero_si512(); NV];
        // SAFETY: the caller's promise; a prefetch may name any address.
        unsafe {
            for v in 0..NV {
                let from = b.add(u * t.b_step + v * LANES * 2);
                row[v] = _mm512_loadu_si512(from.cast());
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD * t.b_step).cast());
            }
            for i in 0..MR {
                let pair = a.add(i * t.a_row + u * t.a_step).cast::<i32>().read_unaligned();
                for v in 0..NV {
                    sums[i][v] =
                        _mm512_dpbf16_ps(sums[i][v], as_bf16(_mm512_set1_epi32(pair)), as_bf16(row[v]));
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn as_bf16(x: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without invalid values.
    unsafe { std::mem::transmute(x) }
}

/// Packs rows of A that are contiguous, whole cache lines apart.
///
/// # Safety
/// As [`Engine::pack_a`] with `a.col_stride == 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_rows_of_a<S: PairSource>(a: View<S>, rows: usize, k: usize, out: *mut bf16) -> Lhs<bf16> {
    let row = k.next_multiple_of(32);
    for i in 0..rows {
        for p in (0..k).step_by(32) {
            // SAFETY: the load is masked to the k values; the row of `out` is long enough for k rounded up to pairs.
            unsafe {
                let n = (k - p).min(32);
                let values = S::load(a.ptr.add(i * a.row_stride + p), n);
                let mask = ((1u64 << n.next_multiple_of(2)) - 1) as __mmask32;
                _mm512_mask_storeu_epi16(out.add(i * row + p).cast(), mask, values);
            }
        }
    }
    Lhs::strided(out, row, 2)
}

/// Packs a panel whose rows are contiguous: two rows woven into pairs.
///
/// # Safety
/// As [`Engine::pack_b`] with `b.col_stride == 1`.
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
/// As [`Engine::pack_b`] with `b.row_stride == 1`.
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
