//! The blocked loops around the register tile, after Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication" (2008), section 4: a block of B stays in the second-level cache while rows of A pass by it.
//!
//! Every element of C is one chain of multiply-adds over k = 0..K: blocks of k continue from the sums in C, and no sum is
//! ever split. So the cuts below, and who runs them, cannot change a bit of the result.

use std::ops::Range;

use super::engine::{Engine, Lhs, PANEL, Rhs, Tile, a_space};
use super::epilogue::Last;
use super::scratch::Scratch;
use super::view::{Out, View};

/// Widest block of B: 512 x NC f32 values fill about half of a 2 MiB second-level cache.
const NC: usize = 512;
/// Rows of B packed at a time, a multiple of every `K_STEP`.
const ROWS_AT_ONCE: usize = 32;
/// Rows of A packed at a time.
const MC: usize = 192;

/// One product, without the lifetimes and shapes of its operands.
pub(super) struct Product<'a, E: Engine> {
    pub(super) a: View<E::Source>,
    pub(super) b: View<E::Source>,
    pub(super) c: Out<f32>,
    pub(super) k: usize,
    pub(super) last: Last<'a>,
}

/// Cuts `0..len` into the fewest pieces of at most `max`, all nearly equal and, but for the last, multiples of `unit`.
pub(super) fn pieces(len: usize, max: usize, unit: usize) -> Pieces {
    let units = len.div_ceil(unit);
    let count = units.div_ceil((max / unit).max(1)).max(1);
    Pieces { at: 0, len, unit, size: units / count * unit, longer: units % count }
}

/// See [`pieces`]. One division for all pieces: there is an iterator for every few tiles.
#[derive(Clone)]
pub(super) struct Pieces {
    at: usize,
    len: usize,
    unit: usize,
    size: usize,
    /// So many of the pieces left are one unit longer.
    longer: usize,
}

impl Iterator for Pieces {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.at >= self.len {
            return None;
        }
        let mut size = self.size;
        if self.longer > 0 {
            self.longer -= 1;
            size += self.unit;
        }
        let piece = self.at..(self.at + size).min(self.len);
        self.at = piece.end;
        Some(piece)
    }
}

/// A k block of B: packed panels, and the matrix itself where whole vectors can be read from it.
struct RightBlock<P> {
    packed: *const P,
    direct: Option<Rhs<P>>,
    depth: usize,
}

impl<E: Engine> Product<'_, E> {
    /// Computes C for `rows` x `cols`.
    ///
    /// # Safety
    /// The block must lie in C, (rows, k) in A and (k, cols) in B; nobody else may use that block of C meanwhile; the CPU
    /// must have the engine's instruction set.
    pub(super) unsafe fn run(&self, rows: Range<usize>, cols: Range<usize>, scratch: &mut Scratch) {
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        // SAFETY: the first element of the caller's block, which lies in all three matrices; with k = 0 neither A nor B has an
        // element, and `at` of an empty matrix is then not asked for.
        unsafe {
            if self.k == 0 {
                return self.run_empty(rows, cols);
            }
            let block = (rows.clone(), self.k, cols.clone());
            if E::few_rows(self.a, self.b, self.c, block, self.last.accumulate, scratch) {
                rows.for_each(|i| self.last.apply(self.c, i, cols.clone()));
                return;
            }
            for jc in pieces(cols.len(), NC, E::LANES) {
                let jc = cols.start + jc.start..cols.start + jc.end;
                self.run_columns(rows.clone(), jc, scratch);
            }
        }
    }

    /// C for K = 0: an empty sum.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn run_empty(&self, rows: Range<usize>, cols: Range<usize>) {
        for i in rows {
            // SAFETY: the caller owns these rows.
            unsafe {
                if !self.last.accumulate {
                    self.c.row(i, cols.clone()).fill(0.0);
                }
                self.last.apply(self.c, i, cols.clone());
            }
        }
    }

    /// C for a block of columns narrow enough for the cache.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn run_columns(&self, rows: Range<usize>, cols: Range<usize>, scratch: &mut Scratch) {
        let width = cols.len().next_multiple_of(E::LANES);
        let depth = self.k.min(E::KC * E::K_STEP).next_multiple_of(E::K_STEP);
        let direct_a = E::direct_a(self.a, self.k).filter(|_| !self.pack_a_anyway(cols.len()));
        let a_len = if direct_a.is_some() { 0 } else { a_space(rows.len().min(MC), depth) };
        let (packed_a, packed_b) = scratch.buffers::<E::Packed>(a_len, width * depth);
        for pc in pieces(self.k, E::KC * E::K_STEP, E::K_STEP) {
            // SAFETY: the blocks lie in the matrices by the caller's word, and the buffers hold one block each.
            unsafe {
                let right = self.right_block(pc.clone(), cols.clone(), rows.len(), packed_b);
                if let Some(lhs) = direct_a {
                    let lhs = Lhs {
                        ptr: lhs.ptr.add(rows.start * lhs.row + pc.start / E::K_STEP * lhs.step),
                        ..lhs
                    };
                    self.run_rows(rows.clone(), cols.clone(), &pc, lhs, &right);
                } else {
                    for ic in pieces(rows.len(), MC, PANEL) {
                        let ic = rows.start + ic.start..rows.start + ic.end;
                        let lhs = E::pack_a(self.a.at(ic.start, pc.start), ic.len(), pc.len(), packed_a);
                        let steps = pc.len().div_ceil(E::K_STEP);
                        debug_assert!(lhs.offset(ic.len() - 1) + steps * E::K_STEP.max(lhs.step) <= a_len);
                        self.run_rows(ic, cols.clone(), &pc, lhs, &right);
                    }
                }
            }
        }
    }

    /// Whether a copy of A pays although the tile could read it where it lies.
    ///
    /// A value of A is used once per panel of B. Steps a cache line or more apart use one line per value, and rows a
    /// multiple of the page apart fall into the same sets of the first-level cache.
    fn pack_a_anyway(&self, cols: usize) -> bool {
        let bytes = size_of::<E::Source>();
        let (row, step) = (self.a.row_stride * bytes, self.a.col_stride * bytes);
        (step >= 64 && cols >= 48) || (row != 0 && row % 4096 == 0 && cols >= 256)
    }

    /// Packs the panels of B that cannot or should not be read in place.
    ///
    /// # Safety
    /// (pc, cols) must lie in B, and `out` must hold that block, padded.
    unsafe fn right_block(
        &self,
        pc: Range<usize>,
        cols: Range<usize>,
        rows: usize,
        out: *mut E::Packed,
    ) -> RightBlock<E::Packed> {
        let depth = pc.len().next_multiple_of(E::K_STEP);
        // A panel is read once per row tile: with few of them, or with short rows that stay in cache anyway, packing costs
        // more than it saves.
        let short = self.b.row_stride * size_of::<E::Source>() <= 512;
        let in_place = if rows <= 8 * E::MR || short { E::direct_b(self.b) } else { None };
        // SAFETY: (pc.start, cols.start) is an element of B, and each panel has its place in `out`.
        unsafe {
            let b = self.b.at(pc.start, cols.start);
            let panels = pieces(cols.len().div_ceil(E::LANES), E::NV, 1);
            // Contiguous rows are read a few whole rows at a time: short runs of many rows would miss the TLB.
            let few = if b.col_stride == 1 { ROWS_AT_ONCE } else { pc.len() };
            for (p, panel) in
                (0..pc.len()).step_by(few).flat_map(|p| panels.clone().map(move |panel| (p, panel)))
            {
                let (first, end) = (panel.start * E::LANES, panel.end * E::LANES);
                if in_place.is_some() && end <= cols.len() {
                    continue;
                }
                let width = end.min(cols.len()) - first;
                let to = out.add(first * depth + p * panel.len() * E::LANES);
                E::pack_b(b.at(p, first), few.min(pc.len() - p), width, panel.len(), to);
            }
            let direct =
                in_place.map(|rhs| Rhs { ptr: rhs.ptr.add(pc.start * rhs.step + cols.start), ..rhs });
            RightBlock { packed: out, direct, depth }
        }
    }

    /// All tiles of `rows` x `cols` for one k block.
    ///
    /// # Safety
    /// `lhs` begins at (rows.start, pc.start) of A, `right` at (pc.start, cols.start) of B.
    unsafe fn run_rows(
        &self,
        rows: Range<usize>,
        cols: Range<usize>,
        pc: &Range<usize>,
        lhs: Lhs<E::Packed>,
        right: &RightBlock<E::Packed>,
    ) {
        let resume = pc.start > 0 || self.last.accumulate;
        let finished = pc.end == self.k && !self.last.is_none();
        // Tiles of packed rows must not straddle panels; rows read in place are cut as evenly as can be.
        let unit = if lhs.panel == lhs.row * PANEL { E::ROW_UNIT } else { E::MR };
        let panels = pieces(cols.len().div_ceil(E::LANES), E::NV, 1);
        for ir in pieces(rows.len(), E::MR, unit) {
            for panel in panels.clone() {
                let (first, end) = (panel.start * E::LANES, panel.end * E::LANES);
                // SAFETY: tile and panel lie in the caller's blocks; a panel is read in place only if it is whole.
                unsafe {
                    let (b, b_step) = match right.direct {
                        Some(rhs) if end <= cols.len() => (rhs.ptr.add(first), rhs.step),
                        _ => (right.packed.add(first * right.depth), panel.len() * E::LANES * E::K_STEP),
                    };
                    let c = self.c.at(rows.start + ir.start, cols.start + first);
                    let tile = Tile {
                        k: right.depth / E::K_STEP,
                        a: lhs.ptr.add(lhs.offset(ir.start)),
                        a_row: lhs.row,
                        a_step: lhs.step,
                        b,
                        b_step,
                        c: c.ptr,
                        c_row: c.row_stride,
                        tail: E::LANES - (end - end.min(cols.len())),
                        resume,
                    };
                    E::tile(ir.len(), panel.len(), &tile);
                }
            }
            if finished {
                for i in rows.start + ir.start..rows.start + ir.end {
                    // SAFETY: the row piece is this task's.
                    unsafe { self.last.apply(self.c, i, cols.clone()) };
                }
            }
        }
    }
}
