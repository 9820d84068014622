//! One kernel to run: the op whose formula it has, inputs drawn for it, and the launches that compute it.

use std::sync::Arc;

use half::{bf16, f16};
use warpsmith::autograd::{Array, Meta, Op};
use warpsmith::tensor::{DType, Rng, Seed, Shape};
use warpsmith_kernels::{Float, Launch};

use crate::cli::Failure;

/// A family of kernels that computes one op.
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// The letters of its sizes, in order.
    pub letters: &'static [&'static str],
    /// Sizes that run in no time.
    pub default: &'static [usize],
    /// The dtypes that it is built for, the usual one first.
    pub dtypes: &'static [Float],
    /// Draws the inputs of a call.
    pub make: fn(&Draw<'_>) -> Result<Call, Failure>,
}

/// From where everything lies to what is launched; an error is a sentence.
type Launches = Box<dyn Fn(&Addresses) -> Result<Vec<Launch>, String>>;

/// One call.
pub struct Call {
    /// The op: its f64 loops are what the kernel is held to.
    pub op: Arc<dyn Op>,
    /// The inputs in the op's order.
    pub inputs: Vec<Given>,
    /// The launches, once it is known where everything lies.
    pub launches: Launches,
    /// Bytes of memory that the launches need besides.
    pub room: u64,
    /// Whether outputs are zeros before.
    pub adds_to_outputs: bool,
    /// Roundings to the dtype on the way to a result, besides the last: each costs u·scale.
    pub inner_roundings: f64,
}

/// An input: the numbers, as its dtype holds them.
pub struct Given {
    /// The numbers.
    pub array: Array,
    /// The dtype on the device.
    pub dtype: DType,
}

impl Given {
    /// Shape and dtype.
    pub fn meta(&self) -> Meta {
        Meta::new(self.array.shape, self.dtype)
    }
}

/// Where a call's memory lies.
pub struct Addresses {
    /// Of each input.
    pub x: Vec<u64>,
    /// Of each output, the hidden ones too.
    pub y: Vec<u64>,
    /// Of the room besides.
    pub room: u64,
}

impl Call {
    /// A call that needs no room and whose outputs nobody has written.
    pub fn new(
        op: impl Op,
        inputs: Vec<Given>,
        launches: impl Fn(&Addresses) -> Result<Vec<Launch>, String> + 'static,
    ) -> Self {
        let launches = Box::new(launches);
        Self { op: Arc::new(op), inputs, launches, room: 0, adds_to_outputs: false, inner_roundings: 0.0 }
    }

    /// With room for so many bytes.
    pub fn with_room(self, room: u64) -> Self {
        Self { room, ..self }
    }

    /// Shapes and dtypes of the inputs.
    pub fn metas(&self) -> Vec<Meta> {
        self.inputs.iter().map(Given::meta).collect()
    }

    /// What the f64 loops give for these inputs, and what errors are measured against.
    pub fn expected(&self) -> Result<(Vec<Array>, Vec<Array>), Failure> {
        let arrays: Vec<Array> = self.inputs.iter().map(|given| given.array.clone()).collect();
        let y = reference(&*self.op, &arrays, &self.metas())?;
        let scale = self.op.scale(&arrays, &y);
        Ok((y, scale))
    }
}

/// The outputs of an op by its f64 loops.
pub fn reference(op: &dyn Op, x: &[Array], metas: &[Meta]) -> Result<Vec<Array>, Failure> {
    let mut y: Vec<Array> = op.shape(metas)?.iter().map(|meta| Array::zeros(meta.shape)).collect();
    op.reference(x, &mut y)?;
    Ok(y)
}

/// What a call is drawn from.
pub struct Draw<'d> {
    /// The sizes, as many as the case has letters.
    pub sizes: &'d [usize],
    /// The dtype.
    pub float: Float,
    rng: Rng,
}

impl<'d> Draw<'d> {
    /// Numbers of a seed.
    pub fn new(sizes: &'d [usize], float: Float, seed: u64) -> Self {
        Self { sizes, float, rng: Rng::new(Seed(seed)) }
    }

    /// The dtype as tensors name it.
    pub fn dtype(&self) -> DType {
        match self.float {
            Float::F32 => DType::F32,
            Float::F16 => DType::F16,
            Float::Bf16 => DType::BF16,
        }
    }

    /// Numbers between the two, of the call's dtype.
    pub fn numbers(&self, dims: &[usize], low: f64, high: f64) -> Result<Given, Failure> {
        let shape = Shape::new(dims)?;
        let drawn = self.rng.uniform(shape.numel());
        let data = drawn.into_iter().map(|u| low + (high - low) * f64::from(u)).collect();
        self.given(Array { shape, data })
    }

    /// Whole numbers below a limit.
    pub fn index(&self, dims: &[usize], limit: usize) -> Result<Given, Failure> {
        let shape = Shape::new(dims)?;
        let drawn = self.rng.uniform(shape.numel());
        let data = drawn.into_iter().map(|u| (f64::from(u) * limit as f64).floor()).collect();
        Ok(Given { array: Array { shape, data }, dtype: DType::I64 })
    }

    /// These numbers, rounded to the call's dtype.
    pub fn given(&self, array: Array) -> Result<Given, Failure> {
        Ok(rounded(array, self.dtype()))
    }

    /// What another op gives for these inputs, rounded to what it promises: what its gradient starts from.
    pub fn outputs(&self, op: &dyn Op, inputs: &[&Given]) -> Result<Vec<Given>, Failure> {
        let arrays: Vec<Array> = inputs.iter().map(|given| given.array.clone()).collect();
        let metas: Vec<Meta> = inputs.iter().map(|given| given.meta()).collect();
        let dtypes = op.shape(&metas)?.into_iter().map(|meta| meta.dtype);
        Ok(reference(op, &arrays, &metas)?
            .into_iter()
            .zip(dtypes)
            .map(|(y, dtype)| rounded(y, dtype))
            .collect())
    }
}

/// The numbers as a dtype holds them.
fn rounded(mut array: Array, dtype: DType) -> Given {
    array.data.iter_mut().for_each(|value| *value = round(*value, dtype));
    Given { array, dtype }
}

/// The number of a dtype that is nearest.
pub fn round(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => f16::from_f64(value).to_f64(),
        DType::BF16 => bf16::from_f64(value).to_f64(),
        _ => value,
    }
}
