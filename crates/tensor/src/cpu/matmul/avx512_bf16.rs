//! The bf16 engine for AVX512-BF16: two products and two sums per lane and instruction, f32 sums.
//!
//! `vdpbf16ps` adds the product of the second value of a pair first, then that of the first, each sum rounded to nearest
//! even; subnormal inputs and results count as zero. An odd K is padded with a zero, which adds +0 to the sum.

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;

use super::amx;
use super::avx512::{LANES, first_sums, store_sums};
use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pairs::PairSource;
use super::scratch::Scratch;
use super::view::{Out, View};
use super::{gemv, gemv_bf16, pack_pairs};

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
    available() && !amx::present()
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
        unsafe { pack_pairs::pack_a(a, (rows, k), Self::K_STEP, out) }
    }

    unsafe fn pack_b(b: View<S>, k: usize, cols: usize, nv: usize, out: *mut bf16) {
        // SAFETY: the caller's promise, which includes the instruction set.
        unsafe { pack_pairs::pack_b(b, (k, cols), nv * LANES, Self::K_STEP, out) }
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
    // SAFETY: the tile's operands are readable for k pairs and its C under the mask.
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
