//! Products with weights that are whole numbers with scales: A [rounded](super::rounded) to 15 bits, 8 products (4 where half a
//! block has a scale of its own) added up as whole numbers, exactly, and these sums in f32.
//!
//! An element of C has 16 chains of f32 sums, and 16 more. Group after group of four blocks, the whole sum s goes to chain s
//! with its scales; to the second chain s go the minimum of the weights times the values, or the second halves of blocks. At
//! the end the second chains are added to the first, and the 16 by halves.

use std::sync::{Mutex, PoisonError};

use warpsmith_gguf::{Kind, Unit};

use super::rounded::{Group, SUMS, Stored, TOGETHER, round};
use super::{Blocks, UNIT, for_rows_of};
use crate::cpu::matmul::fused;
use crate::cpu::matmul::view::{MatRef, Out};
use crate::cpu::pool::for_rows;

#[cfg(target_arch = "x86_64")]
use super::vnni;

/// Rows of A, rounded.
pub(super) struct Rounded {
    groups: Vec<Group>,
    per_row: usize,
    /// Rows that cannot be: they hold NaN, infinity or very large or small values.
    pub(super) left: Vec<usize>,
}

impl Rounded {
    /// Rounds A for weights of this kind; None if they are no whole numbers.
    pub(super) fn new(a: &MatRef<'_, f32>, kind: Kind) -> Option<Self> {
        let (m, k) = a.shape();
        let stored = Stored { offset: kind.offset()?, in_halves: kind.has_half_scales() };
        let per_row = (k / UNIT).div_ceil(TOGETHER);
        let (mut groups, left) = (vec![Group::ZERO; m * per_row], Mutex::new(Vec::new()));
        for_rows(&mut groups, per_row, TOGETHER * UNIT, |first, groups| {
            for (i, groups) in (first..).zip(groups.chunks_exact_mut(per_row)) {
                // SAFETY: row i of A has k neighbouring values.
                let row = unsafe { std::slice::from_raw_parts(a.view().at(i, 0).ptr, k) };
                if !rounded(row, stored, groups) {
                    left.lock().unwrap_or_else(PoisonError::into_inner).push(i);
                }
            }
        });
        let left = left.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(Self { groups, per_row, left })
    }

    /// The groups of each row.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[Group]> {
        self.groups.chunks_exact(self.per_row)
    }

    /// The groups of row `i`.
    pub(super) fn row(&self, i: usize) -> &[Group] {
        &self.groups[i * self.per_row..][..self.per_row]
    }

    /// C = A Wᵀ, in all columns of `out`; what comes of rows that are [`Rounded::left`] means nothing.
    ///
    /// # Safety
    /// C must lie at `out`, and nobody else may see it; the rows of W must be as long as those of A.
    pub(super) unsafe fn product(&self, w: Blocks<'_>, out: Out<f32>) {
        for_rows_of(&w, self.rows().len(), &|range| {
            let first = range.start;
            // SAFETY: these columns of C are this task's alone; the instruction set was found.
            unsafe {
                let (w, out) = (w.rows(range), out.at(0, first));
                #[cfg(target_arch = "x86_64")]
                if vnni::available() {
                    return vnni::product(self, w, out);
                }
                self.product_anywhere(w, out);
            }
        });
    }

    /// [`Rounded::product`] on any processor.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn product_anywhere(&self, w: Blocks<'_>, out: Out<f32>) {
        let kind = w.kind;
        let mut units = Vec::with_capacity(w.k / UNIT);
        for (n, row) in w.bytes.chunks_exact(Blocks::row_bytes(kind, w.k)).enumerate() {
            units.clear();
            for block in row.chunks_exact(kind.block_bytes()) {
                units.extend((0..kind.block_len() / UNIT).map(|i| kind.unit(block, i)));
            }
            for (i, x) in self.rows().enumerate() {
                let sum = if fused() { dot::<true>(kind, x, &units) } else { dot::<false>(kind, x, &units) };
                // SAFETY: element (i, n) of C.
                unsafe { *out.at(i, n).ptr = sum };
            }
        }
    }
}

/// Rounds a row, by the quickest way that there is here.
fn rounded(row: &[f32], stored: Stored, groups: &mut [Group]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if vnni::available() {
        // SAFETY: the instructions were found.
        return unsafe { vnni::round(row, stored, groups) };
    }
    round(row, stored, groups)
}

/// The weights of an absent block.
const NONE: Unit = Unit { stored: [0; 32], scales: [0.0; 2], least: 0.0 };

/// A row of A times a row of W.
fn dot<const FUSED: bool>(kind: Kind, x: &[Group], units: &[Unit]) -> f32 {
    let add = |sum: &mut f32, a: f32, b: f32| *sum = if FUSED { a.mul_add(b, *sum) } else { *sum + a * b };
    let mut sums = [[0.0f32; SUMS]; 2];
    for (x, units) in x.iter().zip(units.chunks(TOGETHER)) {
        for s in 0..SUMS {
            let unit = units.get(s / 4).unwrap_or(&NONE);
            let mut whole = [x.begin[0][s], x.begin[1][s]];
            for half in 0..2 {
                for j in 0..4 {
                    let q = 128 * i32::from(x.coarse[half][4 * s + j]) + i32::from(x.fine[half][4 * s + j]);
                    whole[half] += i32::from(unit.stored[16 * half + s % 4 * 4 + j]) * q;
                }
            }
            if kind.has_half_scales() {
                add(&mut sums[0][s], whole[0] as f32, unit.scales[0] * x.scale[s]);
                add(&mut sums[1][s], whole[1] as f32, unit.scales[1] * x.scale[s]);
            } else {
                add(&mut sums[0][s], (whole[0] + whole[1]) as f32, unit.scales[0] * x.scale[s]);
            }
            if kind.has_least() {
                add(&mut sums[1][s], unit.least, x.total[s]);
            }
        }
    }
    let [mut sums, second] = sums;
    sums.iter_mut().zip(second).for_each(|(sum, second)| *sum += second);
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}
