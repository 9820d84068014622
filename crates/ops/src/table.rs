//! What there is to know of each op, as text: the rows of the op table in the docs and on the command line.

use warpsmith_autograd::{Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_tensor::{DType, Shape};

/// One op. Formulas are over the letters that the op's own page explains; `s` is the bytes per element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRow {
    /// The op's name, as its file.
    pub name: String,
    /// What it computes.
    pub summary: String,
    /// The float dtypes that it takes.
    pub dtypes: String,
    /// The devices that it runs on.
    pub devices: String,
    /// `yes`, `constant` (no gradient by definition) or `refused` (asking for one is an error).
    pub gradient: String,
    /// Bytes read.
    pub read: String,
    /// Bytes written.
    pub written: String,
    /// Floating-point operations.
    pub flops: String,
    /// How its gradient is computed: the name of a kernel of its own and what that reads, writes and computes;
    /// `composed` of other ops; or nothing.
    pub backward: String,
}

/// A row per op, in the order of the registry.
pub fn op_table() -> Vec<OpRow> {
    let specs = crate::registry();
    specs.iter().filter_map(|spec| row(spec, &specs)).collect()
}

fn row(spec: &Spec, specs: &[Spec]) -> Option<OpRow> {
    let samples = (spec.samples)();
    let op = &samples.first()?.op;
    let cost = op.cost();
    Some(OpRow {
        name: spec.name.into(),
        summary: spec.summary.into(),
        dtypes: float_dtypes(&samples),
        devices: if op.has_kernel() { "cpu cuda" } else { "cpu" }.into(),
        gradient: op.differentiability().name().into(),
        read: cost.read.to_string(),
        written: cost.written.to_string(),
        flops: cost.flops.to_string(),
        backward: backward(spec.name, op.differentiability(), specs),
    })
}

fn float_dtypes(samples: &[Sample]) -> String {
    let taken = |dtype: &DType| samples.iter().any(|sample| takes(sample, *dtype));
    let floats = DType::ALL.into_iter().filter(|dtype| dtype.is_float());
    floats.filter(taken).map(DType::name).collect::<Vec<_>>().join(" ")
}

/// Whether the op accepts `float` where the sample has reals.
fn takes(sample: &Sample, float: DType) -> bool {
    let meta = |input: &Input| Some(Meta::new(Shape::new(&input.dims).ok()?, input.dtype(float)));
    let metas: Option<Vec<Meta>> = sample.inputs.iter().map(meta).collect();
    metas.is_some_and(|metas| sample.op.shape(&metas).is_ok())
}

fn backward(name: &str, gradient: Differentiability, specs: &[Spec]) -> String {
    if gradient != Differentiability::Differentiable {
        return String::new();
    }
    let kernel = specs.iter().find(|spec| spec.name.strip_suffix("_backward") == Some(name));
    let sample = kernel.and_then(|spec| (spec.samples)().into_iter().next());
    sample.map_or("composed".into(), |sample| {
        let cost = sample.op.cost();
        format!("{}: reads {}, writes {}, flops {}", sample.op.name(), cost.read, cost.written, cost.flops)
    })
}
