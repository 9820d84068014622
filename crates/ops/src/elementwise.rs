//! What all elementwise ops share: shapes, the oracle's loops, the SIMD loops, and the gradient of a broadcast.

use warpsmith_autograd::{Array, Meta};
use warpsmith_tensor::cpu::{dispatch, for_rows, strided};
use warpsmith_tensor::{Error, Result, Shape, Tensor};

use crate::sum::Sum;

/// One float input, an output of the same shape and dtype.
pub(crate) fn unary_shape(op: &'static str, x: &[Meta]) -> Result<Vec<Meta>> {
    require_floats(op, x)?;
    Ok(vec![x[0]])
}

/// Float inputs of one dtype that broadcast to one shape.
pub(crate) fn binary_shape(op: &'static str, x: &[Meta]) -> Result<Vec<Meta>> {
    require_floats(op, x)?;
    let shape = Shape::broadcast(op, &x[0].shape, &x[1].shape)?;
    Ok(vec![Meta::new(shape, x[0].dtype)])
}

/// An error unless all inputs hold floats of one dtype.
pub(crate) fn require_floats(op: &'static str, x: &[Meta]) -> Result<()> {
    let operands = || x.iter().map(|m| (m.shape, m.dtype));
    if let Some(odd) = x.iter().find(|m| !m.dtype.is_float()) {
        let message = format!("takes floats, not {}", odd.dtype);
        return Err(Error::dtype(op, message).operands(operands()).hint("convert with to_dtype"));
    }
    if x.iter().any(|m| m.dtype != x[0].dtype) {
        return Err(Error::dtype(op, "the inputs differ in dtype")
            .operands(operands())
            .hint("convert with to_dtype"));
    }
    Ok(())
}

/// y = f(x), element by element, in f64.
pub(crate) fn unary_reference(x: &[Array], y: &mut [Array], f: impl Fn(f64) -> f64) {
    y[0].data.iter_mut().zip(&x[0].data).for_each(|(y, &x)| *y = f(x));
}

/// y = f(a, b) with broadcasting, in f64.
pub(crate) fn binary_reference(x: &[Array], y: &mut [Array], f: impl Fn(f64, f64) -> f64) {
    let shape = y[0].shape;
    for (i, y) in y[0].data.iter_mut().enumerate() {
        *y = f(
            x[0].data[broadcast_index(i, &shape, &x[0].shape)],
            x[1].data[broadcast_index(i, &shape, &x[1].shape)],
        );
    }
}

/// Which element of an array of shape `from` stands at row-major position `i` of its broadcast to `to`.
pub(crate) fn broadcast_index(i: usize, to: &Shape, from: &Shape) -> usize {
    let (mut left, mut index, mut stride) = (i, 0, 1);
    for axis in (0..to.rank()).rev() {
        let position = left % to.dims()[axis];
        left /= to.dims()[axis];
        if let Some(own) = (axis + from.rank()).checked_sub(to.rank()) {
            if from.dims()[own] != 1 {
                index += position * stride;
            }
            stride *= from.dims()[own];
        }
    }
    index
}

/// y = f(x) in f32, written over `x` if nobody else holds it. `cost`: see [`for_rows`].
pub(crate) fn unary_cpu(
    mut x: Vec<Tensor>,
    cost: usize,
    f: impl Fn(f32) -> f32 + Sync,
) -> Result<Vec<Tensor>> {
    let mut x = x.swap_remove(0);
    if x.is_unique() {
        for_rows(x.data_mut::<f32>()?, 1, cost, |_, block| {
            dispatch(
                #[inline(always)]
                || block.iter_mut().for_each(|v| *v = f(*v)),
            );
        });
        return Ok(vec![x]);
    }
    let x = x.contiguous()?;
    let from = x.data::<f32>()?;
    let mut y = Tensor::empty(*x.shape(), x.dtype(), &x.device())?;
    for_rows(y.data_mut::<f32>()?, 1, cost, |at, block| {
        let from = &from[at..at + block.len()];
        dispatch(
            #[inline(always)]
            || block.iter_mut().zip(from).for_each(|(y, x)| *y = f(*x)),
        );
    });
    Ok(vec![y])
}

/// y = f(a, b) in f32 with broadcasting and any strides, written row by row of the output's last axis.
pub(crate) fn binary_cpu(
    x: &[Tensor],
    y: &Meta,
    cost: usize,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Vec<Tensor>> {
    let mut out = Tensor::empty(y.shape, y.dtype, &x[0].device())?;
    let whole = x.iter().all(|t| *t.shape() == y.shape && t.is_contiguous());
    if whole {
        let (a, b) = (x[0].data::<f32>()?, x[1].data::<f32>()?);
        for_rows(out.data_mut::<f32>()?, 1, cost, |at, y| {
            let (a, b) = (&a[at..at + y.len()], &b[at..at + y.len()]);
            dispatch(
                #[inline(always)]
                || y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b)),
            );
        });
        return Ok(vec![out]);
    }
    let layouts = [x[0].layout().broadcast_to(&y.shape)?, x[1].layout().broadcast_to(&y.shape)?];
    let (a, b) = (x[0].storage_data::<f32>()?, x[1].storage_data::<f32>()?);
    let stride = |i: usize| layouts[i].strides().last().copied().unwrap_or(0);
    let (step_a, step_b) = (stride(0), stride(1));
    let row = y.shape.last();
    for_rows(out.data_mut::<f32>()?, row, cost, |first, block| {
        dispatch(
            #[inline(always)]
            || {
                for (r, y) in block.chunks_mut(row).enumerate() {
                    let a = &a[strided::row_start(&layouts[0], first + r)..];
                    let b = &b[strided::row_start(&layouts[1], first + r)..];
                    match (step_a, step_b) {
                        (1, 1) => y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b)),
                        (1, 0) => y.iter_mut().zip(a).for_each(|(y, a)| *y = f(*a, b[0])),
                        (0, 1) => y.iter_mut().zip(b).for_each(|(y, b)| *y = f(a[0], *b)),
                        _ => y.iter_mut().enumerate().for_each(|(j, y)| *y = f(a[j * step_a], b[j * step_b])),
                    }
                }
            },
        );
    });
    Ok(vec![out])
}

/// The gradient of a broadcast: sums `grad` over the axes along which `shape` was stretched.
pub(crate) fn sum_to(grad: Tensor, shape: &Shape) -> Result<Tensor> {
    if grad.shape() == shape {
        return Ok(grad);
    }
    let added = grad.rank() - shape.rank();
    let stretched =
        |axis: &usize| *axis < added || (shape.dims()[axis - added] == 1 && grad.dims()[*axis] != 1);
    let axes: Vec<usize> = (0..grad.rank()).filter(stretched).collect();
    let summed = warpsmith_autograd::apply_single(Sum { axes, keep: false }, &[&grad])?;
    // Sizes of 1 that stretched were summed away with the rest: put them back.
    let layout = summed.layout().reshape(shape)?;
    layout.map_or_else(|| Err(Error::internal("sum_to", "a sum is contiguous")), |layout| summed.view(layout))
}
