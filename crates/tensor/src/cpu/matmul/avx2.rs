//! The f32 engine for AVX2 with FMA: tiles of up to 6 rows by 2 vectors, 12 sums in the 16 registers.

use std::arch::x86_64::*;

use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pack;
use super::view::View;

/// f32 with 256-bit fused multiply-add.
pub(super) struct Avx2;

/// Whether this processor can run the engine.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

const LANES: usize = 8;

type TileFn = unsafe fn(&Tile<f32>);

/// The tiles of one height.
macro_rules! heights {
    ($($mr:literal)*) => { [$([tile::<$mr, 1> as TileFn, tile::<$mr, 2> as TileFn]),*] };
}

static TILES: [[TileFn; Avx2::NV]; Avx2::MR] = heights!(1 2 3 4 5 6);

impl Engine for Avx2 {
    type Source = f32;
    type Packed = f32;
    const LANES: usize = LANES;
    const MR: usize = 6;
    const NV: usize = 2;
    const K_STEP: usize = 1;

    fn direct_a(a: View<f32>, _k: usize) -> Option<Lhs<f32>> {
        Some(Lhs::strided(a.ptr, a.row_stride, a.col_stride))
    }

    fn direct_b(b: View<f32>) -> Option<Rhs<f32>> {
        (b.col_stride == 1).then_some(Rhs { ptr: b.ptr, step: b.row_stride })
    }

    unsafe fn pack_a(a: View<f32>, rows: usize, k: usize, out: *mut f32) -> Lhs<f32> {
        // SAFETY: the caller's promise.
        unsafe { pack::pack_a(a, (rows, k), 1, out, |x| x) }
    }

    unsafe fn pack_b(b: View<f32>, k: usize, cols: usize, nv: usize, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { pack::pack_b(b, (k, cols), nv * LANES, 1, out, |x| x) }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<f32>) {
        // SAFETY: the caller's promise; the table holds every height and width an engine may be asked for.
        unsafe { TILES[mr - 1][nv - 1](t) }
    }
}

/// All bits set in the lowest `n` of 8 lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lanes(n: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lane)
}

/// # Safety
/// As [`Engine::tile`], with `MR` rows and `NV` vectors.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile<f32>) {
    let mut sums = [[_mm256_setzero_ps(); NV]; MR];
    let mask = |v: usize| lanes(if v + 1 == NV { t.tail } else { LANES });
    // SAFETY: the tile's operands are readable for k steps and its C under the mask.
    unsafe {
        if t.resume {
            for i in 0..MR {
                for v in 0..NV {
                    sums[i][v] = _mm256_maskload_ps(t.c.add(i * t.c_row + v * LANES), mask(v));
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut row = [_mm256_setzero_ps(); NV];
            for v in 0..NV {
                row[v] = _mm256_loadu_ps(b.add(v * LANES));
            }
            for i in 0..MR {
                let x = _mm256_broadcast_ss(&*a.add(i * t.a_row));
                for v in 0..NV {
                    sums[i][v] = _mm256_fmadd_ps(x, row[v], sums[i][v]);
                }
            }
            a = a.add(t.a_step);
            b = b.add(t.b_step);
        }
        for i in 0..MR {
            for v in 0..NV {
                _mm256_maskstore_ps(t.c.add(i * t.c_row + v * LANES), mask(v), sums[i][v]);
            }
        }
    }
}
