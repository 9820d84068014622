//! One call of a sample: its inputs as numbers, the oracle's answer, and what bounds the error.

use std::sync::Arc;

use warpsmith_autograd::{Array, Backward, Cost, Differentiability, Meta, Op, Sample, Saves, Spec, Values};
use warpsmith_ops::registry;
use warpsmith_tensor::{DType, Kind, Result, Tensor};

use crate::values::{Class, Repeat, dtype_of, fill};

/// The registry, or the part of it that `WARPSMITH_SWEEP` names.
pub fn specs() -> Vec<Spec> {
    let part = std::env::var("WARPSMITH_SWEEP").unwrap_or_default();
    registry().into_iter().filter(|spec| spec.name.contains(&part)).collect()
}

/// The dtypes that the inputs have when the floats of the call are `float`: all alike, or, for an op that takes its
/// statistics in f32 whatever its activations are, f32 where the sample restricts the values. `None` if neither.
pub fn dtypes(sample: &Sample, float: DType) -> Result<Option<Vec<DType>>> {
    let alike: Vec<DType> = sample.inputs.iter().map(|input| dtype_of(input, float)).collect();
    let statistics = sample.inputs.iter().map(|input| match input.values {
        Values::Between(..) | Values::Exactly(_) => DType::F32,
        _ => dtype_of(input, float),
    });
    let mut candidates = vec![alike];
    if float.is_half() {
        candidates.push(statistics.collect());
    }
    let mut refusal = None;
    for dtypes in candidates {
        match sample.op.shape(&metas(sample, &dtypes)) {
            Ok(_) => return Ok(Some(dtypes)),
            Err(error) => refusal = Some(error),
        }
    }
    // An op may be for f32 alone, but it says so as a matter of dtypes.
    match refusal {
        Some(error) if error.kind() != Kind::DType => Err(error),
        _ => Ok(None),
    }
}

/// Shapes and dtypes of a sample's inputs.
pub fn metas(sample: &Sample, dtypes: &[DType]) -> Vec<Meta> {
    let shape = |dims: &[usize]| warpsmith_tensor::Shape::new(dims).expect("a sample has a valid shape");
    sample.inputs.iter().zip(dtypes).map(|(input, &dtype)| Meta::new(shape(&input.dims), dtype)).collect()
}

/// The numbers of every input.
pub fn arrays(sample: &Sample, dtypes: &[DType], class: Class, repeat: Repeat) -> Vec<Array> {
    let numbered = sample.inputs.iter().zip(dtypes).enumerate();
    numbered.map(|(i, (input, &dtype))| fill(input, dtype, class, repeat, i as u64)).collect()
}

/// What the oracle says, in f64, and how far from it an answer may lie.
pub struct Expected {
    pub outputs: Vec<Array>,
    pub scales: Vec<Array>,
    pub roundings: f64,
    /// The largest finite input: what an underflow inside the op may be multiplied with.
    pub largest_input: f64,
}

impl Expected {
    pub fn of(op: &dyn Op, x: &[Array], metas: &[Meta]) -> Result<Self> {
        let mut outputs: Vec<Array> = op.shape(metas)?.iter().map(|m| Array::zeros(m.shape)).collect();
        op.reference(x, &mut outputs)?;
        let scales = op.scale(x, &outputs);
        let sizes = x.iter().flat_map(|a| &a.data).map(|v| v.abs()).filter(|v| v.is_finite());
        let largest_input = sizes.fold(0.0, f64::max);
        Ok(Self { outputs, scales, roundings: op.roundings(metas), largest_input })
    }
}

/// An op whose hidden outputs are visible, so that they are compared too.
#[derive(Clone, Debug)]
pub struct Revealed(pub Arc<dyn Op>);

impl Op for Revealed {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.0.shape(x)
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.0.reference(x, y)
    }
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.0.cpu(x, y)
    }
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.0.cuda(x, y)
    }
    fn takes_half(&self) -> bool {
        self.0.takes_half()
    }
    fn differentiability(&self) -> Differentiability {
        self.0.differentiability()
    }
    fn saves(&self) -> Saves {
        self.0.saves()
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        self.0.vjp(back)
    }
    fn cost(&self) -> Cost {
        self.0.cost()
    }
    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.0.symbols(x)
    }
}
