//! Places along an axis, given as a tensor: checked once, then plain numbers.

use warpsmith_autograd::{Array, Meta};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

/// An error unless `index` holds whole numbers.
pub(crate) fn require_index(op: &'static str, index: &Meta) -> Result<()> {
    if index.dtype.is_index() {
        return Ok(());
    }
    Err(Error::dtype(op, format!("an index is i64, u32 or u8, not {}", index.dtype))
        .operands([(index.shape, index.dtype)])
        .hint("convert with to_dtype"))
}

/// An error unless `a` and `b` have the same rank and the same sizes off `axis`.
pub(crate) fn require_alike_off(op: &'static str, axis: usize, a: &Shape, b: &Shape) -> Result<()> {
    let off = |s: &Shape| s.with_dim(axis, 0).ok();
    if a.rank() == b.rank() && off(a) == off(b) {
        return Ok(());
    }
    Err(Error::shape(op, &[*a, *b], format!("the two differ off axis {axis}")))
}

/// The elements of an index tensor, row-major, all below `size`.
pub(crate) fn places(op: &'static str, index: &Tensor, size: usize) -> Result<Vec<usize>> {
    let check = |(at, place): (usize, i64)| checked(op, place, at, size);
    match index.dtype() {
        DType::U32 => index.to_vec::<u32>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        DType::U8 => index.to_vec::<u8>()?.into_iter().map(i64::from).enumerate().map(check).collect(),
        _ => index.to_vec::<i64>()?.into_iter().enumerate().map(check).collect(),
    }
}

/// As [`places`], from the oracle's array.
pub(crate) fn array_places(op: &'static str, index: &Array, size: usize) -> Result<Vec<usize>> {
    index.data.iter().enumerate().map(|(at, &place)| checked(op, place as i64, at, size)).collect()
}

fn checked(op: &'static str, place: i64, at: usize, size: usize) -> Result<usize> {
    usize::try_from(place).ok().filter(|&place| place < size).ok_or_else(|| {
        Error::index(op, format!("index {place} at position {at}, but the axis has size {size}"))
            .hint("indices count from 0; negative ones do not count from the end")
    })
}
