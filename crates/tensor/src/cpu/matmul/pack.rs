//! Copies of blocks of A and B in the order in which the register tile reads them; any source type, any instruction set.

use super::engine::Lhs;
use super::view::View;

/// Packs (rows, k) of A through `convert`, k zero-padded to a multiple of `k_step`.
///
/// Rows stay rows unless columns of A are contiguous and single k steps are wanted: then columns stay columns.
///
/// # Safety
/// The block must lie in A; `out` must hold [`super::engine::a_space`] values.
#[inline(always)]
pub(super) unsafe fn pack_a<S: Copy, P: Copy + Default>(
    a: View<S>,
    (rows, k): (usize, usize),
    k_step: usize,
    out: *mut P,
    convert: impl Fn(S) -> P,
) -> Lhs<P> {
    // SAFETY: indices stay in the block and in the space that the caller promises.
    unsafe {
        if a.row_stride == 1 && a.col_stride != 1 && k_step == 1 {
            let step = rows.next_multiple_of(16);
            for p in 0..k {
                for i in 0..rows {
                    *out.add(p * step + i) = convert(*a.ptr.add(p * a.col_stride + i));
                }
            }
            return Lhs::strided(out, 1, step);
        }
        let row = k.next_multiple_of(k_step.max(16));
        for i in 0..rows {
            let (from, to) = (a.ptr.add(i * a.row_stride), out.add(i * row));
            if a.col_stride == 1 {
                for p in 0..k {
                    *to.add(p) = convert(*from.add(p));
                }
            } else {
                for p in 0..k {
                    *to.add(p) = convert(*from.add(p * a.col_stride));
                }
            }
            for p in k..k.next_multiple_of(k_step) {
                *to.add(p) = P::default();
            }
        }
        Lhs::strided(out, row, k_step)
    }
}

/// Packs one panel of B through `convert`: (k, cols) into `width` columns, in groups of `k_step` values of one column.
///
/// # Safety
/// The block must lie in B; `out` must hold `k.next_multiple_of(k_step) * width` values; `cols <= width`.
#[inline(always)]
pub(super) unsafe fn pack_b<S: Copy, P: Copy + Default>(
    b: View<S>,
    (k, cols): (usize, usize),
    width: usize,
    k_step: usize,
    out: *mut P,
    convert: impl Fn(S) -> P,
) {
    for p in 0..k.next_multiple_of(k_step) {
        // SAFETY: p < k and j < cols are in the block; the rest of the panel is padding.
        unsafe {
            let to = out.add(p / k_step * k_step * width + p % k_step);
            let from = b.ptr.wrapping_add(p * b.row_stride);
            let filled = if p < k { cols } else { 0 };
            if b.col_stride == 1 && k_step == 1 {
                for j in 0..filled {
                    *to.add(j) = convert(*from.add(j));
                }
            } else {
                for j in 0..filled {
                    *to.add(j * k_step) = convert(*from.add(j * b.col_stride));
                }
            }
            for j in filled..width {
                *to.add(j * k_step) = P::default();
            }
        }
    }
}
