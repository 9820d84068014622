//! Cross-entropy of logits and targets, its gradient, and both in one pass. See `cross_entropy.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::index::IndexKind;
use crate::rows::geometry;
use crate::{Float, Launch};

module!("cross_entropy");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CrossEntropyArgs {
    logits: u64,
    gradient: u64,
    targets: u64,
    loss: u64,
    max: u64,
    log_sum: u64,
    weight: u64,
    g: u64,
    bad: u64,
    ignore_index: i64,
    rows: u64,
    stride: u64,
    n: u32,
    kind: u32,
    peak: f32,
    rest: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TotalArgs {
    y: u64,
    loss: u64,
    weight: u64,
    rows: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct WeightArgs {
    weight: u64,
    targets: u64,
    ignore_index: i64,
    rows: u64,
    kind: u32,
    is_mean: u32,
}

float_entries! {
    FORWARD: CrossEntropyArgs = "cross_entropy_fwd";
    FUSED: CrossEntropyArgs = "cross_entropy_fused";
    BACKWARD: CrossEntropyArgs = "cross_entropy_bwd";
    TOTAL: TotalArgs = "cross_entropy_total";
    @also
    WEIGHT: WeightArgs = "cross_entropy_weight_f32";
}

/// The targets of a batch, and which of them count.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// The targets (rows), gapless.
    pub pointer: u64,
    /// Their dtype.
    pub kind: IndexKind,
    /// Targets of this value count for nothing.
    pub ignore_index: i64,
    /// How many rows.
    pub rows: u64,
}

/// The launch that writes what each row's loss is multiplied by, one f32: 1 over the number of targets that count if
/// the mean is wanted and any does, else 1.
pub fn weight(targets: &Targets, is_mean: bool, weight: u64) -> Launch {
    let params = WeightArgs {
        weight,
        targets: targets.pointer,
        ignore_index: targets.ignore_index,
        rows: targets.rows,
        kind: targets.kind as u32,
        is_mean: u32::from(is_mean),
    };
    WEIGHT[0].launch([1, 1, 1], 512, &params)
}

/// Gapless logits (rows, n), their targets, and what is kept of each row.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// The dtype of logits and gradient.
    pub dtype: Float,
    /// The logits.
    pub logits: u64,
    /// The gradient of the logits; may be the logits. Not used by the forward pass.
    pub gradient: u64,
    /// What should have been predicted.
    pub targets: Targets,
    /// The loss of each row, f32, not weighted. Not used by the backward pass.
    pub loss: u64,
    /// The largest logit of each row, f32.
    pub max: u64,
    /// ln Σ e^(x - max) of each row, f32.
    pub log_sum: u64,
    /// One f32, from [`weight`]. Not used by the forward pass.
    pub weight: u64,
    /// The gradient of the total, one element, or one f32 for [`fused`]; 0 for 1. Not used by the forward pass.
    pub g: u64,
    /// One u64 that holds its largest value: receives the lowest position of a target that is out of range. 0: none.
    pub bad: u64,
    /// Classes.
    pub n: u32,
    /// α in [0, 1]: how much of each target is spread evenly over all classes.
    pub label_smoothing: f64,
}

impl CrossEntropy {
    fn launch(&self, table: &'static [crate::Entry; 3], stride: u64) -> Launch {
        let params = CrossEntropyArgs {
            logits: self.logits,
            gradient: self.gradient,
            targets: self.targets.pointer,
            loss: self.loss,
            max: self.max,
            log_sum: self.log_sum,
            weight: self.weight,
            g: self.g,
            bad: self.bad,
            ignore_index: self.targets.ignore_index,
            rows: self.targets.rows,
            stride,
            n: self.n,
            kind: self.targets.kind as u32,
            peak: (1.0 - self.label_smoothing) as f32,
            rest: (self.label_smoothing / f64::from(self.n)) as f32,
        };
        let (grid, block) = geometry(self.targets.rows, self.n.into());
        table[self.dtype as usize].launch_in(grid, block, &params)
    }
}

/// The launch of the forward pass: loss, max and ln Σ of each row.
pub fn forward(c: &CrossEntropy) -> Launch {
    c.launch(&FORWARD, c.n.into())
}

/// The launch of the backward pass, from max and ln Σ.
pub fn backward(c: &CrossEntropy) -> Launch {
    c.launch(&BACKWARD, c.n.into())
}

/// The launch of both passes in one, for a training step whose weight is known before: see [`weight`].
pub fn fused(c: &CrossEntropy) -> Launch {
    fused_of_rows(c, c.n.into())
}

/// The same of logits and gradient whose rows begin `stride` elements apart.
pub fn fused_of_rows(c: &CrossEntropy, stride: u64) -> Launch {
    c.launch(&FUSED, stride)
}

/// The launch that adds the losses of the rows up and multiplies by the weight: y is one element of this dtype.
pub fn total(dtype: Float, y: u64, loss: u64, weight: u64, rows: u64) -> Launch {
    TOTAL[dtype as usize].launch([1, 1, 1], 512, &TotalArgs { y, loss, weight, rows })
}
