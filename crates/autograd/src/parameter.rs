//! A parameter: a named cell that holds a tensor, shared by the model that reads it and the optimiser that writes it.

use std::sync::{Arc, PoisonError, RwLock};

use warpsmith_tensor::{Device, Error, Result, Shape, Tensor};

use crate::tape::{Node, leaf};

/// A named, trainable tensor. Clones are handles on the same cell, which is how weights are tied.
#[derive(Clone, Debug)]
pub struct Parameter(Arc<Cell>);

struct Cell {
    name: String,
    leaf_id: u64,
    value: RwLock<Tensor>,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl Parameter {
    /// A parameter of this name and first value.
    ///
    /// # Errors
    /// If the tensor does not hold floats.
    pub fn new(name: impl Into<String>, value: &Tensor) -> Result<Self> {
        let value = leaf(value)?;
        let leaf_id = Node::of(&value).map_or(0, |(node, _)| node.id);
        Ok(Self(Arc::new(Cell { name: name.into(), leaf_id, value: RwLock::new(value) })))
    }

    /// The dotted name, as it stands in weight files.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The value now, traced: what is computed from it has a gradient with respect to it.
    pub fn get(&self) -> Tensor {
        self.0.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        *self.get().shape()
    }

    /// Whether both are handles on one cell.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// If shape or dtype differ.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        let mut cell = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if value.shape() != cell.shape() || value.dtype() != cell.dtype() {
            return Err(Error::shape("set", &[], format!("parameter {}", self.name()))
                .operands([(*cell.shape(), cell.dtype()), (*value.shape(), value.dtype())]));
        }
        let (trace, output) = match cell.trace() {
            Some((trace, output)) => (trace.clone(), output),
            None => return Err(Error::internal("set", "a parameter without a leaf")),
        };
        *cell = value.detach().with_trace(trace, output);
        Ok(())
    }

    /// Gives the value away, untraced, leaving an empty tensor until [`Taken::put`]: so that an update can
    /// write over it in place. Nobody may read the parameter in between.
    pub fn take(&self) -> Result<Taken> {
        let mut cell = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        let (trace, output) = match cell.trace() {
            Some((trace, output)) => (trace.clone(), output),
            None => return Err(Error::internal("take", "a parameter without a leaf")),
        };
        let empty = Tensor::zeros(Shape::new(&[0])?, cell.dtype(), &Device::Cpu)?.with_trace(trace, output);
        let value = std::mem::replace(&mut *cell, empty);
        Ok(Taken { parameter: self.clone(), shape: *value.shape(), value: Some(value.untraced()) })
    }

    pub(crate) fn leaf_id(&self) -> u64 {
        self.0.leaf_id
    }
}

/// The value of a parameter while it is being updated; goes back when dropped, whatever happens.
pub struct Taken {
    parameter: Parameter,
    shape: Shape,
    value: Option<Tensor>,
}

impl Taken {
    /// A second handle on the value: while it lives, an update makes a copy.
    pub fn share(&self) -> Option<Tensor> {
        self.value.clone()
    }

    /// The value, to be given to an op by value.
    pub fn take(&mut self) -> Result<Tensor> {
        self.value.take().ok_or_else(|| Error::internal("take", "the value was taken twice"))
    }

    /// Puts a value (the updated one) back.
    pub fn put(mut self, value: Tensor) -> Result<()> {
        if *value.shape() != self.shape {
            return Err(Error::internal("put", "an update changed the shape"));
        }
        self.value = Some(value);
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        let mut cell = self.parameter.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((trace, output)) = cell.trace().map(|(t, o)| (t.clone(), o)) {
            *cell = value.with_trace(trace, output);
        }
    }
}
