//! The gradients of a·σ(a)·b; the forward pass is [`crate::binary::Binary::Swiglu`]. See `swiglu.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::{Float, Launch};

module!("swiglu");

/// `SWIGLU_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SwigluArgs {
    da: u64,
    db: u64,
    g: u64,
    a: u64,
    b: u64,
    elements: u64,
    is_aligned: u32,
    unused: u32,
}

float_entries! {
    SWIGLU: SwigluArgs = "swiglu_bwd";
}

/// da and db from g, a and b, all gapless and of one shape.
#[derive(Clone, Copy, Debug)]
pub struct SwigluBackward {
    /// The dtype of all five.
    pub dtype: Float,
    /// The gradient of a; may be g or a.
    pub da: u64,
    /// The gradient of b; may be b.
    pub db: u64,
    /// The gradient of the output.
    pub g: u64,
    /// The gate.
    pub a: u64,
    /// What it multiplies.
    pub b: u64,
    /// Elements of each.
    pub elements: u64,
}

/// The launch of the backward pass.
pub fn backward(s: &SwigluBackward) -> Launch {
    let SwigluBackward { dtype, da, db, g, a, b, elements } = *s;
    let is_aligned = (da | db | g | a | b).is_multiple_of(16);
    let per_thread = if is_aligned { 16 / dtype.size() as u64 } else { 1 };
    let params = SwigluArgs { da, db, g, a, b, elements, is_aligned: u32::from(is_aligned), unused: 0 };
    let grid = [blocks(elements.div_ceil(u64::from(THREADS) * per_thread)), 1, 1];
    SWIGLU[dtype as usize].launch(grid, THREADS, &params)
}
