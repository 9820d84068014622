//! What an instruction set must provide for the blocked loops to run on it.

use std::ops::Range;

use super::scratch::Scratch;
use super::view::{Out, View};

/// One register tile of work: C (mr, nv * lanes) (+)= A (mr, k) B (k, nv * lanes).
///
/// `k` counts steps of [`Engine::K_STEP`]; `a_step`, `b_step` are the distances of one step.
pub(super) struct Tile<P> {
    pub(super) k: usize,
    pub(super) a: *const P,
    pub(super) a_row: usize,
    pub(super) a_step: usize,
    pub(super) b: *const P,
    pub(super) b_step: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    /// Columns of the last vector that exist, 1..=lanes.
    pub(super) tail: usize,
    /// Continue from the sums stored in C; otherwise start from zero.
    pub(super) resume: bool,
}

/// Rows in a panel of packed A.
pub(super) const PANEL: usize = 16;

/// A left operand as the tile reads it: row i begins at `i / PANEL * panel + i % PANEL * row`.
#[derive(Clone, Copy)]
pub(super) struct Lhs<P> {
    pub(super) ptr: *const P,
    pub(super) row: usize,
    pub(super) panel: usize,
    pub(super) step: usize,
}

impl<P> Lhs<P> {
    /// Rows a fixed distance apart.
    pub(super) fn strided(ptr: *const P, row: usize, step: usize) -> Self {
        Self { ptr, row, panel: row * PANEL, step }
    }

    /// Where row `i` begins, as an offset.
    pub(super) fn offset(&self, i: usize) -> usize {
        i / PANEL * self.panel + i % PANEL * self.row
    }
}

/// A right operand that needs no packing: vectors of neighbouring columns, `step` elements from one k to the next.
#[derive(Clone, Copy)]
pub(super) struct Rhs<P> {
    pub(super) ptr: *const P,
    pub(super) step: usize,
}

/// Register tiles and packing for one pair of (element type, instruction set).
///
/// A packed panel of B holds, for each step of k, `nv * LANES` columns of `K_STEP` values each. Packed A is row-major or
/// step-major, whichever side of the source is contiguous: the tile broadcasts single values and takes any strides.
pub(super) trait Engine: Send + Sync + 'static {
    /// Element of the operands in memory.
    type Source: Copy + Send + Sync;
    /// Element the tile multiplies.
    type Packed: bytemuck::Pod;
    /// f32 sums in a vector.
    const LANES: usize;
    /// Most rows in a tile.
    const MR: usize;
    /// Most vectors in a tile row.
    const NV: usize;
    /// Products summed by one multiply-add: 1, 2 for bf16 pairs, or 32 for matrix tiles.
    const K_STEP: usize;
    /// Longest k block, in steps: a panel of B passes through the first-level cache once per tile.
    const KC: usize = 512;
    /// Tiles of rows read in place are cut to multiples of this.
    const ROW_UNIT: usize = 1;
    /// Whether products of few rows may be streamed with AVX-512F.
    const STREAMS: bool = false;

    /// A as it lies, if the tile can read it there for a sum of `k` terms.
    fn direct_a(a: View<Self::Source>, k: usize) -> Option<Lhs<Self::Packed>>;

    /// B as it lies, if the tile can read whole vectors of it there.
    fn direct_b(b: View<Self::Source>) -> Option<Rhs<Self::Packed>>;

    /// Packs (rows, k) of A, k zero-padded to whole steps. `out` holds `rows * padded k` values, and may be padded further
    /// by [`a_space`].
    ///
    /// # Safety
    /// The block must lie in A and `out` must have the space.
    unsafe fn pack_a(
        a: View<Self::Source>,
        rows: usize,
        k: usize,
        out: *mut Self::Packed,
    ) -> Lhs<Self::Packed>;

    /// Packs one panel: (k, cols) of B into `nv * LANES` columns, the missing ones and missing k zero.
    ///
    /// # Safety
    /// The block must lie in B and `out` must hold `k.next_multiple_of(K_STEP) * nv * LANES` values.
    unsafe fn pack_b(b: View<Self::Source>, k: usize, cols: usize, nv: usize, out: *mut Self::Packed);

    /// Computes (rows, cols) of C at once if they are so few that packing would cost more than the product.
    ///
    /// Returns false, and does nothing, if this engine has no better way than tiles.
    ///
    /// # Safety
    /// As [`Self::tile`], for the whole block, with k > 0.
    unsafe fn few_rows(
        _a: View<Self::Source>,
        _b: View<Self::Source>,
        _c: Out<f32>,
        _block: (Range<usize>, usize, Range<usize>),
        _accumulate: bool,
        _scratch: &mut Scratch,
    ) -> bool {
        false
    }

    /// Runs one tile of `mr` rows and `nv` vectors.
    ///
    /// # Safety
    /// The CPU must have the instruction set, `mr` and `nv` must be in 1..=MR and 1..=NV, and everything the tile names
    /// must be readable (C: writable, and nobody else's).
    unsafe fn tile(mr: usize, nv: usize, tile: &Tile<Self::Packed>);
}

/// Elements of packed A for a block.
pub(super) fn a_space(rows: usize, k: usize) -> usize {
    // Either side may be padded to a whole number of cache lines and one line more: 31 and 32 values of bf16.
    (rows + 32) * (k + 64)
}
