//! Copies between layouts of one dtype: contiguous, permute, cat, slices, slice-assign. See `copy.cu`.

use bytemuck::{Pod, Zeroable};

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

/// The size of an element that is copied as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementSize {
    /// 8 bits: u8 and bool.
    B8,
    /// 16 bits: f16 and bf16.
    B16,
    /// 32 bits: f32 and u32.
    B32,
    /// 64 bits: i64 and f64.
    B64,
}

/// y = x at every place of `dims`; neither operand need be gapless, but y must not overlap itself or x.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// Bytes per element.
    pub size: ElementSize,
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
    let entry: &'static Entry = &COPY[c.size as usize];
    let params = CopyArgs { y: c.y.pointer, x: c.x.pointer, space: space.into() };
    entry.launch(space.grid(16 >> c.size as usize), THREADS, &params)
}
