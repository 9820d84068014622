//! Elements by number: index_select (and embedding), index_copy, gather, scatter_add. See `index.cu`.

use bytemuck::{Pod, Zeroable};

use crate::dtype::Dtype;
use crate::entry::{blocks, float_entries, module};
use crate::{Float, Launch};

module!("index");

/// `INDEX_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SelectArgs {
    y: u64,
    x: u64,
    index: u64,
    bad: u64,
    outer: u64,
    places: u64,
    size: u64,
    inner: u64,
    kind: u32,
    unused: u32,
}

float_entries! {
    SCATTER_ADD: SelectArgs = "scatter_add_fwd";
    @also
    INDEX_SELECT: SelectArgs = "index_select_fwd_b8"
        | "index_select_fwd_b16"
        | "index_select_fwd_b32"
        | "index_select_fwd_b64"
        | "index_select_fwd_b128";
    INDEX_COPY: SelectArgs = "index_copy_fwd_b8"
        | "index_copy_fwd_b16"
        | "index_copy_fwd_b32"
        | "index_copy_fwd_b64"
        | "index_copy_fwd_b128";
    CHECK: SelectArgs = "index_check_u64";
    GATHER: SelectArgs = "gather_fwd_b8" | "gather_fwd_b16" | "gather_fwd_b32" | "gather_fwd_b64";
}

/// The dtype of indices: `IndexKind` of `tile/index.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// 64-bit signed integers.
    I64,
    /// 32-bit unsigned integers.
    U32,
    /// 8-bit unsigned integers.
    U8,
}

/// Places along one axis of a gapless tensor seen as (outer, size, inner).
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The indices, gapless.
    pub index: u64,
    /// Their dtype.
    pub kind: IndexKind,
    /// One u64 that holds its largest value: receives the lowest position of an index that is out of range. 0: none.
    pub bad: u64,
    /// The product of the sizes before the axis.
    pub outer: u64,
    /// How many indices along the axis.
    pub places: u64,
    /// The size of the axis that they index.
    pub size: u64,
    /// The product of the sizes after the axis.
    pub inner: u64,
}

impl Places {
    fn args(&self, y: u64, x: u64, inner: u64) -> SelectArgs {
        let Self { index, kind, bad, outer, places, size, .. } = *self;
        SelectArgs { y, x, index, bad, outer, places, size, inner, kind: kind as u32, unused: 0 }
    }
}

fn grid(threads: u64) -> [u32; 3] {
    [blocks(threads.div_ceil(u64::from(THREADS))), 1, 1]
}

/// The launch that writes to `bad`, as [`Places::bad`] says, the lowest position of an index that is not below `size`, for
/// kernels that take them as they are.
pub fn check(index: u64, kind: IndexKind, count: u64, size: u64, bad: u64) -> Launch {
    let p = Places { index, kind, bad, outer: 1, places: count, size, inner: 1 };
    CHECK[0].launch(grid(count), THREADS, &p.args(0, 0, 1))
}

/// The launch of y (outer, places, inner) = x (outer, size, inner) at `index` (places). A table (V, C) of an embedding
/// has outer 1 and inner C.
pub fn index_select(dtype: Dtype, y: u64, x: u64, p: &Places) -> Launch {
    let (which, inner) = pieces(dtype, y | x, p);
    INDEX_SELECT[which].launch(grid(p.outer * p.places * inner), THREADS, &p.args(y, x, inner))
}

/// The launch of y (outer, size, inner) at `index` (places) = v (outer, places, inner), where the last of equal indices
/// stays.
pub fn index_copy(dtype: Dtype, y: u64, v: u64, p: &Places) -> Launch {
    let (which, inner) = pieces(dtype, y | v, p);
    INDEX_COPY[which].launch(grid(p.outer * inner), THREADS, &p.args(y, v, inner))
}

/// Which kernel moves rows, and how many pieces each has: as large ones, of up to 16 bytes, as rows and `addresses` allow.
fn pieces(dtype: Dtype, addresses: u64, p: &Places) -> (usize, u64) {
    let row = p.inner * dtype.size() as u64;
    let which = (row | addresses | 16).trailing_zeros();
    (which as usize, row >> which)
}

/// The launch of y (outer, places, inner) = x (outer, size, inner) at `index` (outer, places, inner).
pub fn gather(dtype: Dtype, y: u64, x: u64, p: &Places) -> Launch {
    let threads = p.outer * p.places * p.inner;
    GATHER[dtype.by_size()].launch(grid(threads), THREADS, &p.args(y, x, p.inner))
}

/// The launch of y (outer, size, inner) at `index` (outer, places, inner) += v (outer, places, inner), in the order of
/// the places.
pub fn scatter_add(dtype: Float, y: u64, v: u64, p: &Places) -> Launch {
    SCATTER_ADD[dtype as usize].launch(grid(p.outer * p.inner), THREADS, &p.args(y, v, p.inner))
}
