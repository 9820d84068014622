//! One entry of the registry of ops: what the sweeps, the op table and the benchmarks are derived from.

use std::sync::Arc;

use warpsmith_tensor::DType;

use crate::{Differentiability, Op};

/// One op in the registry.
#[derive(Clone, Copy)]
pub struct Spec {
    /// The op's name, as [`Op::name`].
    pub name: &'static str,
    /// One line: what it computes.
    pub summary: &'static str,
    /// Calls on which every sweep runs; the first stands for the op in tables.
    pub samples: fn() -> Vec<Sample>,
}

impl Spec {
    /// How the op stands to gradients.
    pub fn differentiability(&self) -> Option<Differentiability> {
        (self.samples)().first().map(|s| s.op.differentiability())
    }
}

/// One call: an op with its attributes, and what inputs it takes.
#[derive(Clone)]
pub struct Sample {
    /// The op.
    pub op: Arc<dyn Op>,
    /// Its inputs.
    pub inputs: Vec<Input>,
}

impl Sample {
    /// A call of `op`.
    pub fn new(op: impl Op, inputs: impl IntoIterator<Item = Input>) -> Self {
        Self { op: Arc::new(op), inputs: inputs.into_iter().collect() }
    }
}

/// One input of a sample.
#[derive(Clone, Debug)]
pub struct Input {
    /// The sizes of the axes.
    pub dims: Vec<usize>,
    /// What numbers it may hold.
    pub values: Values,
    /// Whether its reals are f32 where the other floats of the call have 16 bits: a statistic, a number of a step.
    pub is_wide: bool,
}

/// What numbers an input may hold.
#[derive(Clone, Debug)]
pub enum Values {
    /// Any real numbers: every value class of the sweep, special values included.
    Any,
    /// Real numbers between the two, for ops with a domain (a logarithm, a probability). Gradients are checked here.
    Between(f64, f64),
    /// Whole numbers from 0 to below this: ids and indices, as i64.
    Index(usize),
    /// Truth values.
    Mask,
    /// Exactly these whole numbers, as i64.
    Integers(Vec<i64>),
    /// Exactly these bytes (quantised blocks), as u8.
    Bytes(Vec<u8>),
    /// Exactly these real numbers (a saved statistic that must fit the other inputs).
    Exactly(Vec<f64>),
}

impl Input {
    /// These numbers in this shape, in the dtype of the call.
    pub fn new(dims: &[usize], values: Values) -> Self {
        Self { dims: dims.to_vec(), values, is_wide: false }
    }

    /// The same, in f32 beside 16-bit floats.
    pub fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }

    /// The dtype in which it lies if the floats of the call are of `float`.
    pub fn dtype(&self, float: DType) -> DType {
        match self.values {
            Values::Any | Values::Between(..) | Values::Exactly(_) => {
                if self.is_wide && float.is_half() {
                    DType::F32
                } else {
                    float
                }
            }
            Values::Index(_) | Values::Integers(_) => DType::I64,
            Values::Mask => DType::Bool,
            Values::Bytes(_) => DType::U8,
        }
    }

    /// Any real numbers in this shape.
    pub fn any(dims: &[usize]) -> Self {
        Self::new(dims, Values::Any)
    }

    /// Real numbers between the two.
    pub fn between(dims: &[usize], low: f64, high: f64) -> Self {
        Self::new(dims, Values::Between(low, high))
    }

    /// Ids below `limit`.
    pub fn index(dims: &[usize], limit: usize) -> Self {
        Self::new(dims, Values::Index(limit))
    }

    /// Truth values.
    pub fn mask(dims: &[usize]) -> Self {
        Self::new(dims, Values::Mask)
    }

    /// Exactly these whole numbers.
    pub fn integers(dims: &[usize], values: Vec<i64>) -> Self {
        Self::new(dims, Values::Integers(values))
    }
}
