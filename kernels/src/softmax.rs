//! Softmax and its logarithm along the last axis, with their gradients. See `softmax.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::rows::geometry;
use crate::{Float, Launch};

module!("softmax");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct SoftmaxArgs {
    y: u64,
    x: u64,
    rows: u64,
    n: u32,
    unused: u32,
}

impl SoftmaxArgs {
    pub(crate) fn new(s: &Softmax) -> Self {
        Self { y: s.y, x: s.x, rows: s.rows, n: s.n, unused: 0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SoftmaxBackwardArgs {
    dx: u64,
    g: u64,
    y: u64,
    rows: u64,
    n: u32,
    unused: u32,
}

float_entries! {
    SOFTMAX: SoftmaxArgs = "softmax_fwd";
    LOG_SOFTMAX: SoftmaxArgs = "log_softmax_fwd";
    SOFTMAX_BACKWARD: SoftmaxBackwardArgs = "softmax_bwd";
    LOG_SOFTMAX_BACKWARD: SoftmaxBackwardArgs = "log_softmax_bwd";
}

/// Softmax or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// e^(x - m)/Σ e^(x - m).
    Plain,
    /// (x - m) - ln Σ e^(x - m).
    Log,
}

/// y of x, both gapless (rows, n).
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// Which of the two.
    pub form: Form,
    /// The dtype of x and y.
    pub dtype: Float,
    /// The output; may be x.
    pub y: u64,
    /// The input.
    pub x: u64,
    /// How many rows.
    pub rows: u64,
    /// Elements of a row.
    pub n: u32,
}

/// The launch of the forward pass.
pub fn forward(s: &Softmax) -> Launch {
    let table = if s.form == Form::Log { &LOG_SOFTMAX } else { &SOFTMAX };
    let (grid, block) = geometry(s.rows, s.n.into());
    table[s.dtype as usize].launch_in(grid, block, &SoftmaxArgs::new(s))
}

/// dx from g and y, all gapless (rows, n).
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxBackward {
    /// Which of the two.
    pub form: Form,
    /// The dtype of all three.
    pub dtype: Float,
    /// The output; may be g.
    pub dx: u64,
    /// The gradient of y.
    pub g: u64,
    /// What the forward pass gave.
    pub y: u64,
    /// How many rows.
    pub rows: u64,
    /// Elements of a row.
    pub n: u32,
}

/// The launch of the backward pass.
pub fn backward(s: &SoftmaxBackward) -> Launch {
    let table = if s.form == Form::Log { &LOG_SOFTMAX_BACKWARD } else { &SOFTMAX_BACKWARD };
    let params = SoftmaxBackwardArgs { dx: s.dx, g: s.g, y: s.y, rows: s.rows, n: s.n, unused: 0 };
    let (grid, block) = geometry(s.rows, s.n.into());
    table[s.dtype as usize].launch_in(grid, block, &params)
}
