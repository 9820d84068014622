//! One call of a sample: its inputs as numbers, the oracle's answer, and what bounds the error.

use std::sync::Arc;

use warpsmith_autograd::{Array, Backward, Cost, Differentiability, Meta, Op, Sample, Saves};
use warpsmith_tensor::{DType, Kind, Result, Shape, Tensor};

use crate::values::{Class, Repeat, fill};

/// The dtypes that the inputs have when the floats of the call are `float`; `None` if the op does not take those.
///
/// # Errors
/// What [`Op::shape`] says if it refuses the sample for anything but its dtypes.
pub fn dtypes(sample: &Sample, float: DType) -> Result<Option<Vec<DType>>> {
    let dtypes: Vec<DType> = sample.inputs.iter().map(|input| input.dtype(float)).collect();
    match sample.op.shape(&metas(sample, &dtypes)?) {
        Ok(_) => Ok(Some(dtypes)),
        Err(error) if error.kind() == Kind::DType => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shapes and dtypes of a sample's inputs.
///
/// # Errors
/// If a shape has too many axes or elements.
pub fn metas(sample: &Sample, dtypes: &[DType]) -> Result<Vec<Meta>> {
    let inputs = sample.inputs.iter().zip(dtypes);
    inputs.map(|(input, &dtype)| Ok(Meta::new(Shape::new(&input.dims)?, dtype))).collect()
}

/// The numbers of every input.
///
/// # Errors
/// If a shape has too many axes or elements, or is given more or fewer numbers than it has elements.
pub fn arrays(sample: &Sample, dtypes: &[DType], class: Class, repeat: Repeat) -> Result<Vec<Array>> {
    let numbered = sample.inputs.iter().zip(dtypes).enumerate();
    numbered.map(|(i, (input, &dtype))| fill(input, dtype, class, repeat, i as u64)).collect()
}

/// What the oracle says, in f64, and how far from it an answer may lie.
pub struct Expected {
    /// The exact outputs.
    pub outputs: Vec<Array>,
    /// What rounding errors are measured against: [`Op::scale`].
    pub scales: Vec<Array>,
    /// How many roundings an element sees: [`Op::roundings`].
    pub roundings: f64,
    /// The largest finite input: what an underflow inside the op may be multiplied with.
    pub largest_input: f64,
}

impl Expected {
    /// What the oracle says of `op` on the inputs `x`.
    ///
    /// # Errors
    /// Whatever [`Op::shape`] and [`Op::reference`] refuse.
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
