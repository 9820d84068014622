//! Copies between layouts of one dtype: contiguous, permute, cat, slices, slice-assign. See `copy.cu`.

use bytemuck::{Pod, Zeroable};

use crate::dtype::Dtype;
use crate::entry::{entries, module};
use crate::space::{Dims, Operand, Space, Space2, THREADS};
use crate::{Entry, Launch};

module!("copy");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyArgs {
    y: u64,
    x: u64,
    space: Space2,
}

entries! {
    COPY: CopyArgs = "copy_fwd_b8" | "copy_fwd_b16" | "copy_fwd_b32" | "copy_fwd_b64";
}

/// y = x at every place of `dims`; neither operand need be gapless, but y must not overlap itself or x.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// The dtype of both.
    pub dtype: Dtype,
    /// The shape of both.
    pub dims: Dims,
    /// To where.
    pub y: Operand,
    /// From where; stride 0 repeats.
    pub x: Operand,
}

/// The launch of a copy.
pub fn copy(c: &Copy) -> Launch {
    let space = Space::new(c.dims, [&c.y, &c.x]);
    let entry: &'static Entry = &COPY[c.dtype.by_size()];
    let params = CopyArgs { y: c.y.pointer, x: c.x.pointer, space: space.into() };
    entry.launch(space.grid(16 / c.dtype.size()), THREADS, &params)
}
