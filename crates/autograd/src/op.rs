//! The contract of an op: all that the engine, the tests, the docs and a learner need to know of it.

use std::fmt;
use std::sync::Arc;

use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::Cost;

/// Shape and dtype: what is known of a tensor before it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The sizes of the axes.
    pub shape: Shape,
    /// The type of the elements.
    pub dtype: DType,
}

impl Meta {
    /// Shape and dtype together.
    pub fn new(shape: Shape, dtype: DType) -> Self {
        Self { shape, dtype }
    }

    /// The sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }
}

impl From<&Tensor> for Meta {
    fn from(tensor: &Tensor) -> Self {
        Self::new(*tensor.shape(), tensor.dtype())
    }
}

/// The oracle's tensor: row-major numbers in f64 (integers and truth values too), nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The sizes of the axes.
    pub shape: Shape,
    /// The numbers, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// An array of zeros.
    pub fn zeros(shape: Shape) -> Self {
        Self { shape, data: vec![0.0; shape.numel()] }
    }

    /// The sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The size of the innermost axis; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.shape.last()
    }
}

/// How an op stands to gradients. There is no fourth way: a gradient is never dropped in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differentiability {
    /// It has a [`Op::vjp`].
    Differentiable,
    /// Its result is constant almost everywhere (a comparison, an argmax, a rounding), so it carries no gradient.
    ByDefinitionNot,
    /// Asking for a gradient through it is an error that names it (a backward kernel, an optimiser's update).
    Refused,
}

impl Differentiability {
    /// One word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Differentiable => "yes",
            Self::ByDefinitionNot => "constant",
            Self::Refused => "refused",
        }
    }
}

/// Which inputs and outputs (by number) the backward pass of an op reads; all others are freed at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Saves {
    /// Inputs to keep.
    pub inputs: &'static [usize],
    /// Outputs to keep.
    pub outputs: &'static [usize],
}

impl Saves {
    /// Nothing: the gradient depends on shapes alone.
    pub const NOTHING: Self = Self { inputs: &[], outputs: &[] };

    /// These inputs and no output.
    pub const fn inputs(inputs: &'static [usize]) -> Self {
        Self { inputs, outputs: &[] }
    }

    /// These outputs and no input.
    pub const fn outputs(outputs: &'static [usize]) -> Self {
        Self { inputs: &[], outputs }
    }
}

/// One operation on tensors.
///
/// The required parts, in the order in which each op's file has them: the equation in the module doc, the struct
/// with the op's attributes, then these methods.
pub trait Op: fmt::Debug + Send + Sync + 'static {
    /// The op's name, as its file: `rms_norm`.
    fn name(&self) -> &'static str;

    /// The outputs that these inputs give, or the error that says why they do not fit. Pure: reads no data.
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>>;

    /// The oracle: plain loops in f64. `y` comes in the right shapes, filled with zeros.
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()>;

    /// The fast path on the host. Inputs come by value: one whose storage nobody else holds may be written over.
    /// `y` is what [`Op::shape`] promised; the result must keep the promise.
    ///
    /// Float inputs are f32 unless [`Op::takes_half`]: the engine widens 16-bit floats before and rounds after.
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>>;

    /// The CUDA path: chooses an entry of the kernel table and fills its launch. Floats are f32, bf16 or f16, as they
    /// come; inputs may be views, and one whose storage nobody else holds may be written over.
    fn cuda(&self, _x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let error = Error::new(warpsmith_tensor::Kind::Device, self.name(), "has no CUDA kernel yet");
        Err(error.hint("move its inputs to the CPU with to_device, or use --device cpu"))
    }

    /// Whether there is a CUDA kernel: whether [`Op::cuda`] is more than an error.
    fn has_kernel(&self) -> bool {
        true
    }

    /// Whether [`Op::cpu`] takes bf16 and f16 inputs as they are (moves of data do; arithmetic does not).
    fn takes_half(&self) -> bool {
        false
    }

    /// How the op stands to gradients.
    fn differentiability(&self) -> Differentiability {
        Differentiability::Differentiable
    }

    /// What the backward pass reads.
    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    /// How many of the last outputs are there for the backward pass alone (a log-sum-exp, a pre-activation):
    /// [`crate::apply`] does not return them and no gradient flows into them.
    fn hidden_outputs(&self) -> usize {
        0
    }

    /// The vector-Jacobian product: from the gradient of each output, the gradient of each input (`None` for an
    /// input that wants none: see [`Backward::needs`]).
    fn vjp(&self, _back: Backward) -> Result<Vec<Option<Tensor>>> {
        Err(Error::new(warpsmith_tensor::Kind::Gradient, self.name(), "has no gradient"))
    }

    /// Bytes read, bytes written and arithmetic, as formulas over [`Op::symbols`].
    fn cost(&self) -> Cost;

    /// The values of the letters in [`Op::cost`], for these inputs. `s` (bytes per element of the first input) and
    /// `N` (elements of the first input) are there without being named, and may be named if they are others.
    fn symbols(&self, _x: &[Meta]) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// What rounding errors are measured against, per output element: |y| for elementwise ops, Σ|aᵢ·bᵢ| for sums of
    /// products. With [`Op::roundings`] it bounds the error: |err| ≤ u_out·|y| + roundings·2⁻²⁴·scale.
    fn scale(&self, _x: &[Array], y: &[Array]) -> Vec<Array> {
        y.iter().map(|a| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() }).collect()
    }

    /// How many roundings in f32 one output element sees, at most.
    fn roundings(&self, _x: &[Meta]) -> f64 {
        4.0
    }

    /// As [`Op::roundings`], on the path of [`Op::cuda`], where that sums otherwise or rounds on the way.
    fn device_roundings(&self, x: &[Meta]) -> f64 {
        self.roundings(x)
    }
}

/// A shared op is an op: one that stands in the registry can be applied as it is.
impl Op for Arc<dyn Op> {
    fn name(&self) -> &'static str {
        self.as_ref().name()
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.as_ref().shape(x)
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.as_ref().reference(x, y)
    }
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.as_ref().cpu(x, y)
    }
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.as_ref().cuda(x, y)
    }
    fn has_kernel(&self) -> bool {
        self.as_ref().has_kernel()
    }
    fn takes_half(&self) -> bool {
        self.as_ref().takes_half()
    }
    fn differentiability(&self) -> Differentiability {
        self.as_ref().differentiability()
    }
    fn saves(&self) -> Saves {
        self.as_ref().saves()
    }
    fn hidden_outputs(&self) -> usize {
        self.as_ref().hidden_outputs()
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        self.as_ref().vjp(back)
    }
    fn cost(&self) -> Cost {
        self.as_ref().cost()
    }
    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.as_ref().symbols(x)
    }
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        self.as_ref().scale(x, y)
    }
    fn roundings(&self, x: &[Meta]) -> f64 {
        self.as_ref().roundings(x)
    }
    fn device_roundings(&self, x: &[Meta]) -> f64 {
        self.as_ref().device_roundings(x)
    }
}

/// What a backward pass has at hand: the gradients of the outputs, what was saved, and which gradients are wanted.
///
/// Owned, so that a gradient nobody else holds can be written over: see [`Backward::take_grad`].
pub struct Backward {
    pub(crate) op: &'static str,
    pub(crate) inputs: Vec<Option<Tensor>>,
    pub(crate) outputs: Vec<Option<Tensor>>,
    pub(crate) input_metas: Vec<Meta>,
    pub(crate) output_metas: Vec<Meta>,
    pub(crate) grads: Vec<Option<Tensor>>,
    pub(crate) needs: Vec<bool>,
    pub(crate) device: warpsmith_tensor::Device,
}

impl Backward {
    /// Input `i`, which [`Op::saves`] must name.
    pub fn input(&self, i: usize) -> Result<Tensor> {
        self.inputs[i].clone().ok_or_else(|| Error::internal(self.op, format!("input {i} was not saved")))
    }

    /// Removes the saved input `i`: the caller may then write over it if nobody else holds it.
    pub fn take_input(&mut self, i: usize) -> Result<Tensor> {
        self.inputs[i].take().ok_or_else(|| Error::internal(self.op, format!("input {i} was not saved")))
    }

    /// Output `i`, which [`Op::saves`] must name.
    pub fn output(&self, i: usize) -> Result<Tensor> {
        self.outputs[i].clone().ok_or_else(|| Error::internal(self.op, format!("output {i} was not saved")))
    }

    /// Removes the saved output `i`: the caller may then write over it if nobody else holds it.
    pub fn take_output(&mut self, i: usize) -> Result<Tensor> {
        self.outputs[i].take().ok_or_else(|| Error::internal(self.op, format!("output {i} was not saved")))
    }

    /// The gradient of output `i`; zeros if nothing used that output.
    pub fn grad(&self, i: usize) -> Result<Tensor> {
        match &self.grads[i] {
            Some(grad) => Ok(grad.clone()),
            None => {
                let meta = self.output_metas[i];
                Tensor::zeros(meta.shape, meta.dtype, &self.device)
            }
        }
    }

    /// As [`Backward::grad`], but gives the gradient away, so that it can be written over if nobody else holds it.
    pub fn take_grad(&mut self, i: usize) -> Result<Tensor> {
        match self.grads[i].take() {
            Some(grad) => Ok(grad),
            None => self.grad(i),
        }
    }

    /// Whether anybody wants the gradient of input `i`.
    pub fn needs(&self, i: usize) -> bool {
        self.needs[i]
    }

    /// How many inputs the op had.
    pub fn input_count(&self) -> usize {
        self.input_metas.len()
    }

    /// Shape and dtype of input `i`, saved or not.
    pub fn meta(&self, i: usize) -> Meta {
        self.input_metas[i]
    }

    /// The gradient of input `i` if it is wanted: runs `make` only then.
    pub fn want(&self, i: usize, make: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
        if self.needs(i) { make().map(Some) } else { Ok(None) }
    }
}
