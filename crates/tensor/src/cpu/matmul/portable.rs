//! The f32 engine for any processor: multiply, then add, each rounded. LLVM vectorises what it can.

use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pack;
use super::view::View;

/// f32 with separate multiplication and addition.
pub(super) struct Portable;

const LANES: usize = 8;

impl Engine for Portable {
    type Source = f32;
    type Packed = f32;
    const LANES: usize = LANES;
    const MR: usize = 4;
    const NV: usize = 1;
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

    unsafe fn tile(mr: usize, _nv: usize, t: &Tile<f32>) {
        // SAFETY: the caller's promise; `mr` rows of the tile exist.
        unsafe {
            match mr {
                1 => tile::<1>(t),
                2 => tile::<2>(t),
                3 => tile::<3>(t),
                _ => tile::<4>(t),
            }
        }
    }
}

/// # Safety
/// As [`Engine::tile`], with `MR` rows.
unsafe fn tile<const MR: usize>(t: &Tile<f32>) {
    let mut sums = [[0.0f32; LANES]; MR];
    // SAFETY: the tile's operands are readable for k steps and its C for MR rows of `tail` columns.
    unsafe {
        if t.resume {
            for i in 0..MR {
                for j in 0..t.tail {
                    sums[i][j] = *t.c.add(i * t.c_row + j);
                }
            }
        }
        for p in 0..t.k {
            let b = &*t.b.add(p * t.b_step).cast::<[f32; LANES]>();
            for i in 0..MR {
                let x = *t.a.add(i * t.a_row + p * t.a_step);
                for j in 0..LANES {
                    sums[i][j] += x * b[j];
                }
            }
        }
        for i in 0..MR {
            for j in 0..t.tail {
                *t.c.add(i * t.c_row + j) = sums[i][j];
            }
        }
    }
}
