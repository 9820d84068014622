//! Sizes of a tensor's axes, kept inline: no allocation per view, and passed to kernels by value.

use std::fmt;

use crate::{Error, Result};

/// The most axes that a tensor can have.
pub const MAX_RANK: usize = 8;

/// Up to [`MAX_RANK`] numbers, one per axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dims {
    values: [usize; MAX_RANK],
    rank: u8,
}

impl Dims {
    /// From a slice of at most [`MAX_RANK`] numbers.
    pub fn new(values: &[usize]) -> Result<Self> {
        if values.len() > MAX_RANK {
            return Err(Error::new(
                crate::Kind::Shape,
                "shape",
                format!("{} axes, but a tensor has at most {MAX_RANK}", values.len()),
            ));
        }
        let mut dims = Self { values: [0; MAX_RANK], rank: values.len() as u8 };
        dims.values[..values.len()].copy_from_slice(values);
        Ok(dims)
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[usize] {
        &self.values[..self.rank as usize]
    }

    /// The numbers, to change them.
    pub fn as_mut_slice(&mut self) -> &mut [usize] {
        &mut self.values[..self.rank as usize]
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

/// The size of each axis, outermost first. Its product fits in `isize`, whatever it came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape(Dims);

impl Shape {
    /// A shape of at most [`MAX_RANK`] axes; an error if their product, zeros left out, passes `isize::MAX / 8`
    /// (elements of 8 bytes must be addressable).
    pub fn new(dims: &[usize]) -> Result<Self> {
        let count = dims.iter().filter(|&&d| d != 0).try_fold(1usize, |n, &d| n.checked_mul(d));
        match count {
            Some(n) if n <= isize::MAX as usize / 8 => Ok(Self(Dims::new(dims)?)),
            _ => Err(Error::new(
                crate::Kind::Shape,
                "shape",
                format!("{dims:?} has more elements than a computer can address"),
            )),
        }
    }

    /// The shape of a single number: no axes, one element.
    pub fn scalar() -> Self {
        Self(Dims { values: [0; MAX_RANK], rank: 0 })
    }

    /// The sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.0.as_slice()
    }

    /// How many axes.
    pub fn rank(&self) -> usize {
        self.dims().len()
    }

    /// How many elements: the product of the sizes.
    pub fn numel(&self) -> usize {
        self.dims().iter().product()
    }

    /// The size of the innermost axis; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// How many rows there are if the innermost axis is a row: the product of all sizes but the last.
    pub fn rows(&self) -> usize {
        self.dims().split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The axis that `axis` means, where negative numbers count from the end.
    pub fn axis(&self, op: &'static str, axis: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        let resolved = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&resolved) {
            return Ok(resolved as usize);
        }
        Err(Error::shape(op, &[*self], format!("axis {axis} of a tensor with {rank} axes")))
    }

    /// The shape with the size of one axis replaced.
    pub fn with_dim(&self, axis: usize, size: usize) -> Result<Self> {
        let mut dims = self.0;
        dims.as_mut_slice()[axis] = size;
        Self::new(dims.as_slice())
    }

    /// The shape without `axis`, or with its size set to 1 if `keep`.
    pub fn without(&self, axis: usize, keep: bool) -> Self {
        let mut dims: Vec<usize> = self.dims().to_vec();
        if keep {
            dims[axis] = 1;
        } else {
            dims.remove(axis);
        }
        // A part of a valid shape is valid: a product can only shrink (zeros are left out of the check).
        Self(Dims::new(&dims).unwrap_or(self.0))
    }

    /// The shape that both broadcast to, by NumPy's rule: aligned at the innermost axis, a size of 1 stretches.
    pub fn broadcast(op: &'static str, a: &Self, b: &Self) -> Result<Self> {
        let rank = a.rank().max(b.rank());
        let mut dims = [0; MAX_RANK];
        for (i, dim) in dims[..rank].iter_mut().enumerate() {
            let size = |s: &Self| (i + s.rank()).checked_sub(rank).map_or(1, |j| s.dims()[j]);
            *dim = match (size(a), size(b)) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                (x, y) => {
                    let message = format!("sizes {x} and {y} do not broadcast (axis {i} of {rank})");
                    return Err(Error::shape(op, &[*a, *b], message)
                        .hint("sizes must be equal, or one of them 1, counted from the last axis"));
                }
            };
        }
        Self::new(&dims[..rank])
    }
}

/// What says the shape of a new tensor: a [`Shape`], or the sizes themselves, as in `&[2, 3]`.
pub trait ToShape {
    /// The shape.
    ///
    /// # Errors
    /// As [`Shape::new`].
    fn to_shape(&self) -> Result<Shape>;
}

impl ToShape for Shape {
    fn to_shape(&self) -> Result<Shape> {
        Ok(*self)
    }
}

impl ToShape for [usize] {
    fn to_shape(&self) -> Result<Shape> {
        Shape::new(self)
    }
}

impl<const RANK: usize> ToShape for [usize; RANK] {
    fn to_shape(&self) -> Result<Shape> {
        Shape::new(self)
    }
}

impl<T: ToShape + ?Sized> ToShape for &T {
    fn to_shape(&self) -> Result<Shape> {
        (*self).to_shape()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.dims().iter().map(usize::to_string).collect();
        // One axis is written as Python writes a tuple of one, so that it is not taken for a number.
        write!(f, "({}{})", list.join(", "), if list.len() == 1 { "," } else { "" })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn broadcasting_follows_numpy() {
        let both = |a: &[usize], b: &[usize]| Shape::broadcast("add", &shape(a), &shape(b));
        assert_eq!(both(&[3, 1, 5], &[4, 1]).unwrap(), shape(&[3, 4, 5]));
        assert_eq!(both(&[], &[2]).unwrap(), shape(&[2]));
        assert_eq!(both(&[0, 3], &[1, 3]).unwrap(), shape(&[0, 3]));
        let error = both(&[2, 3], &[2, 4]).unwrap_err().to_string();
        assert!(error.contains("sizes 3 and 4 do not broadcast"), "{error}");
    }

    #[test]
    fn sizes_that_no_memory_can_hold_are_an_error() {
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[1 << 31, 1 << 31, 0]).is_err());
        assert!(Shape::new(&[1; 9]).is_err());
    }

    #[test]
    fn negative_axes_count_from_the_end() {
        assert_eq!(shape(&[2, 3]).axis("sum", -1).unwrap(), 1);
        assert!(shape(&[2, 3]).axis("sum", 2).is_err());
        assert!(Shape::scalar().axis("sum", 0).is_err());
    }
}
