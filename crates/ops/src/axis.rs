//! A tensor seen from one axis: `(outer, size, inner)`, with the axes before it and those after it taken together.

use warpsmith_autograd::Meta;
use warpsmith_tensor::{Result, Shape};

/// What lies outside, along and inside one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// The product of the sizes before the axis.
    pub outer: usize,
    /// The size of the axis.
    pub size: usize,
    /// The product of the sizes after the axis.
    pub inner: usize,
}

impl Around {
    /// The three numbers for `axis`, which must exist.
    pub fn new(shape: &Shape, axis: usize) -> Self {
        let dims = shape.dims();
        Self {
            outer: dims[..axis].iter().product(),
            size: dims[axis],
            inner: dims[axis + 1..].iter().product(),
        }
    }

    /// How many elements stand in one block of the axis.
    pub fn block(&self) -> usize {
        self.size * self.inner
    }
}

/// An error unless `axis` exists.
pub(crate) fn require_axis(op: &'static str, x: &Meta, axis: usize) -> Result<()> {
    x.shape.axis(op, isize::try_from(axis).unwrap_or(isize::MAX)).map(|_| ())
}
