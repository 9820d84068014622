//! y = mask ? p : q, and y = mask ? value : q. See `select.cu`.

use bytemuck::{Pod, Zeroable};

use crate::Launch;
use crate::dtype::Dtype;
use crate::entry::{entries, module};
use crate::space::{Dims, Operand, Space, Space3, Space4, THREADS};

module!("select");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SelectArgs {
    y: u64,
    mask: u64,
    p: u64,
    q: u64,
    space: Space4,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FillArgs {
    y: u64,
    mask: u64,
    q: u64,
    value: u64,
    space: Space3,
}

entries! {
    WHERE: SelectArgs = "where_fwd_b8" | "where_fwd_b16" | "where_fwd_b32" | "where_fwd_b64";
    MASKED_FILL: FillArgs =
        "masked_fill_fwd_b8" | "masked_fill_fwd_b16" | "masked_fill_fwd_b32" | "masked_fill_fwd_b64";
}

/// y = p where the mask is true, else q.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// The dtype of y, p and q.
    pub dtype: Dtype,
    /// The shape of y.
    pub dims: Dims,
    /// The output.
    pub y: Operand,
    /// One byte per place, true if not 0.
    pub mask: Operand,
    /// Taken where the mask is true.
    pub p: Operand,
    /// Taken where it is false.
    pub q: Operand,
}

/// The launch of a choice between two tensors.
pub fn where_(c: &Where) -> Launch {
    let space = Space::new(c.dims, [&c.y, &c.mask, &c.p, &c.q]);
    let [y, mask, p, q] = [&c.y, &c.mask, &c.p, &c.q].map(|o| o.pointer);
    let params = SelectArgs { y, mask, p, q, space: space.into() };
    WHERE[c.dtype.by_size()].launch(space.grid(16 / c.dtype.size()), THREADS, &params)
}

/// y = value where the mask is true, else q.
#[derive(Clone, Copy, Debug)]
pub struct MaskedFill {
    /// The dtype of y, q and the value.
    pub dtype: Dtype,
    /// The shape of y.
    pub dims: Dims,
    /// The output.
    pub y: Operand,
    /// One byte per place, true if not 0.
    pub mask: Operand,
    /// The bits of the value, in the low bytes.
    pub value: u64,
    /// Taken where the mask is false.
    pub q: Operand,
}

/// The launch of a masked fill.
pub fn masked_fill(c: &MaskedFill) -> Launch {
    let space = Space::new(c.dims, [&c.y, &c.mask, &c.q]);
    let [y, mask, q] = [&c.y, &c.mask, &c.q].map(|o| o.pointer);
    let params = FillArgs { y, mask, q, value: c.value, space: space.into() };
    MASKED_FILL[c.dtype.by_size()].launch(space.grid(16 / c.dtype.size()), THREADS, &params)
}
