//! Where each element of a tensor lies in its storage: pure functions over shape, strides and offset.

use crate::{Dims, Error, MAX_RANK, Result, Shape};

/// Element (i₀, i₁, …) lies at `offset + Σ iₐ · strides[a]`, counted in elements.
///
/// Strides are never negative; a stride of 0 repeats one element along an axis (a broadcast).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Shape,
    strides: Dims,
    offset: usize,
}

impl Layout {
    /// Row-major and gapless, from element 0.
    pub fn contiguous(shape: Shape) -> Self {
        Self { shape, strides: row_major(&shape), offset: 0 }
    }

    /// Any strides and offset; an error if an element would lie at or beyond `len`.
    pub fn new(shape: Shape, strides: &[usize], offset: usize, len: usize) -> Result<Self> {
        if strides.len() != shape.rank() {
            let message = format!("{} strides for {} axes", strides.len(), shape.rank());
            return Err(Error::shape("layout", &[shape], message));
        }
        let layout = Self { shape, strides: Dims::new(strides)?, offset };
        match layout.end() {
            Some(end) if end <= len => Ok(layout),
            _ => {
                Err(Error::shape("layout", &[shape], format!("reaches beyond the {len} elements of storage")))
            }
        }
    }

    /// One past the last element that the layout can reach; `None` if that number overflows.
    fn end(&self) -> Option<usize> {
        if self.shape.numel() == 0 {
            return Some(0);
        }
        let last = self.shape.dims().iter().zip(self.strides()).try_fold(self.offset, |at, (&d, &s)| {
            (d - 1).checked_mul(s).and_then(|step| at.checked_add(step))
        })?;
        last.checked_add(1)
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements between neighbours along each axis.
    pub fn strides(&self) -> &[usize] {
        self.strides.as_slice()
    }

    /// Where the first element lies.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the elements lie row-major without gaps (axes of size 1 may have any stride).
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&dim, &stride) in self.shape.dims().iter().zip(self.strides()).rev() {
            if dim == 0 {
                return true;
            }
            if dim != 1 && stride != expected {
                return false;
            }
            expected *= dim;
        }
        true
    }

    fn require_axis(&self, op: &'static str, axis: usize) -> Result<()> {
        let rank = self.shape.rank();
        if axis < rank {
            return Ok(());
        }
        Err(Error::shape(op, &[self.shape], format!("axis {axis} of a tensor with {rank} axes")))
    }

    /// Exchanges two axes.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        self.require_axis("transpose", a.max(b))?;
        let mut order: Vec<usize> = (0..self.shape.rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// Axis `i` of the result is axis `order[i]` of this one.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        let mut seen = [false; MAX_RANK];
        let valid = order.len() == self.shape.rank()
            && order.iter().all(|&a| a < order.len() && !std::mem::replace(&mut seen[a], true));
        if !valid {
            return Err(Error::shape(
                "permute",
                &[self.shape],
                format!("{order:?} does not name each axis once"),
            ));
        }
        let dims: Vec<usize> = order.iter().map(|&a| self.shape.dims()[a]).collect();
        let strides: Vec<usize> = order.iter().map(|&a| self.strides()[a]).collect();
        Ok(Self { shape: Shape::new(&dims)?, strides: Dims::new(&strides)?, offset: self.offset })
    }

    /// Elements `start`, `start + step`, … (`len` of them) along `axis`.
    pub fn slice(&self, axis: usize, start: usize, len: usize, step: usize) -> Result<Self> {
        self.require_axis("slice", axis)?;
        let size = self.shape.dims()[axis];
        let last = len.checked_sub(1).map_or(Some(start), |n| n.checked_mul(step)?.checked_add(start));
        let inside = step > 0 && last.is_some_and(|last| if len == 0 { last <= size } else { last < size });
        if !inside {
            let message =
                format!("{len} elements from {start} in steps of {step} leave axis {axis} of size {size}");
            return Err(Error::shape("slice", &[self.shape], message));
        }
        let mut strides = self.strides;
        let stride = &mut strides.as_mut_slice()[axis];
        let offset = self.offset + start * *stride;
        if len > 1 {
            // A step that is never taken may be larger than any stride.
            *stride *= step;
        }
        Ok(Self { shape: self.shape.with_dim(axis, len)?, strides, offset })
    }

    /// Stretches axes of size 1, and adds axes in front, to reach `shape`.
    pub fn broadcast_to(&self, shape: &Shape) -> Result<Self> {
        let added = shape.rank().checked_sub(self.shape.rank());
        let error = || {
            Error::shape("broadcast", &[self.shape, *shape], "the first does not stretch to the second")
                .hint("counted from the last axis, each size must be equal or 1")
        };
        let added = added.ok_or_else(error)?;
        let mut strides = [0; MAX_RANK];
        for (axis, (&dim, &stride)) in self.shape.dims().iter().zip(self.strides()).enumerate() {
            match (dim, shape.dims()[added + axis]) {
                (from, to) if from == to => strides[added + axis] = stride,
                (1, _) => {}
                _ => return Err(error()),
            }
        }
        Ok(Self { shape: *shape, strides: Dims::new(&strides[..shape.rank()])?, offset: self.offset })
    }

    /// The same elements in the same order under another shape, if strides can express it without a copy.
    pub fn reshape(&self, shape: &Shape) -> Result<Option<Self>> {
        if shape.numel() != self.shape.numel() {
            let message = format!("{} elements cannot become {}", self.shape.numel(), shape.numel());
            return Err(Error::shape("reshape", &[self.shape, *shape], message));
        }
        if self.shape.numel() == 0 {
            return Ok(Some(Self { shape: *shape, strides: row_major(shape), offset: self.offset }));
        }
        Ok(self.reshape_strides(shape).map(|strides| Self { shape: *shape, strides, offset: self.offset }))
    }

    /// Matches runs of axes with equal products; each run of old axes must itself be gapless.
    fn reshape_strides(&self, shape: &Shape) -> Option<Dims> {
        let old: Vec<(usize, usize)> = self
            .shape
            .dims()
            .iter()
            .copied()
            .zip(self.strides().iter().copied())
            .filter(|a| a.0 != 1)
            .collect();
        let new = shape.dims();
        let mut strides = row_major(shape);
        let (mut i, mut j) = (old.len(), new.len());
        while i > 0 {
            let (mut old_size, mut new_size) = (old[i - 1].0, 1);
            let (run_end, inner) = (i, old[i - 1].1);
            i -= 1;
            // Grow both runs, innermost first, until they hold the same number of elements.
            let new_end = j;
            while new_size != old_size || j == new_end {
                if new_size < old_size || j == new_end {
                    j = j.checked_sub(1)?;
                    new_size *= new[j];
                } else {
                    i = i.checked_sub(1)?;
                    old_size *= old[i].0;
                }
            }
            let gapless = (i + 1..run_end).all(|a| old[a - 1].1 == old[a].1 * old[a].0);
            if !gapless {
                return None;
            }
            let mut stride = inner;
            for axis in (j..new_end).rev() {
                strides.as_mut_slice()[axis] = stride;
                stride *= new[axis];
            }
        }
        Some(strides)
    }

    /// The storage position of every element, in row-major order.
    pub fn positions(&self) -> Positions {
        Positions { layout: *self, index: [0; MAX_RANK], at: self.offset, left: self.shape.numel() }
    }
}

/// Row-major strides; axes of size 0 count as 1 so that strides stay meaningful.
fn row_major(shape: &Shape) -> Dims {
    let mut strides = shape_dims(shape);
    let mut step = 1;
    for (stride, &dim) in strides.as_mut_slice().iter_mut().zip(shape.dims()).rev() {
        *stride = step;
        step *= dim.max(1);
    }
    strides
}

fn shape_dims(shape: &Shape) -> Dims {
    // A shape holds at most MAX_RANK axes, so this cannot fail; the scalar stands in for the impossible case.
    Dims::new(shape.dims()).unwrap_or_else(|_| shape_dims(&Shape::scalar()))
}

/// The iterator of [`Layout::positions`].
pub struct Positions {
    layout: Layout,
    index: [usize; MAX_RANK],
    at: usize,
    left: usize,
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.at;
        let (dims, strides) = (self.layout.shape.dims(), self.layout.strides());
        for axis in (0..dims.len()).rev() {
            self.index[axis] += 1;
            self.at += strides[axis];
            if self.index[axis] < dims[axis] {
                break;
            }
            self.at -= strides[axis] * dims[axis];
            self.index[axis] = 0;
        }
        Some(here)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Positions {}
