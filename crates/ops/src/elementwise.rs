//! What all elementwise ops share: shapes, the oracle's loops, the SIMD loops, and the gradient of a broadcast.

use warpsmith_autograd::{Array, Meta, Op, apply_owned, apply_single};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::{Device, Error, Result, Shape, Tensor};

use crate::sum::Sum;
use crate::zip::{self, Formula1, Formula2, Formula3, Operand};

/// One float input, an output of the same shape and dtype.
pub(crate) fn unary_shape(op: &'static str, x: &[Meta]) -> Result<Vec<Meta>> {
    require_floats(op, x)?;
    Ok(vec![x[0]])
}

/// Float inputs of one dtype that broadcast to one shape.
pub(crate) fn binary_shape(op: &'static str, x: &[Meta]) -> Result<Vec<Meta>> {
    require_floats(op, x)?;
    let shape = broadcast_shape(op, x)?;
    Ok(vec![Meta::new(shape, x[0].dtype)])
}

/// The shape that all inputs broadcast to.
pub(crate) fn broadcast_shape(op: &'static str, x: &[Meta]) -> Result<Shape> {
    x.iter().try_fold(Shape::scalar(), |shape, m| Shape::broadcast(op, &shape, &m.shape))
}

/// The symbols of a binary op's cost: the second input's elements, and those of the result.
pub(crate) fn binary_symbols(op: &'static str, x: &[Meta]) -> Vec<(&'static str, usize)> {
    let result = broadcast_shape(op, x).map_or(0, |shape| shape.numel());
    vec![("M", x[1].shape.numel()), ("R", result)]
}

/// Pairs of shapes that the samples of binary ops take.
pub(crate) const BROADCASTS: [(&[usize], &[usize]); 6] = [
    (&[3, 5, 7], &[3, 5, 7]),
    (&[4, 1, 33], &[3, 1]),
    (&[35], &[2, 35]),
    (&[2, 3], &[]),
    (&[1], &[1]),
    (&[0, 3], &[1, 3]),
];

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

/// y = f(a, b, c) with broadcasting, in f64.
pub(crate) fn ternary_reference(x: &[Array], y: &mut [Array], f: impl Fn(f64, f64, f64) -> f64) {
    let shape = y[0].shape;
    for (i, y) in y[0].data.iter_mut().enumerate() {
        let [a, b, c] = [0, 1, 2].map(|k| x[k].data[broadcast_index(i, &shape, &x[k].shape)]);
        *y = f(a, b, c);
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

/// y = f(x) in f32, written over `x` if nobody else holds it. `cost`: see [`warpsmith_tensor::cpu::for_rows`].
pub(crate) fn unary_cpu(x: Vec<Tensor>, cost: usize, f: impl Fn(f32) -> f32 + Sync) -> Result<Vec<Tensor>> {
    let run = |y: &mut [f32]| {
        dispatch(
            #[inline(always)]
            || {
                for y in y.iter_mut() {
                    *y = f(*y);
                }
            },
        );
    };
    map(x, cost, &run)
}

/// y = f(a, b) in f32 with broadcasting and any strides, written over an input that nobody else holds.
pub(crate) fn binary_cpu(
    x: Vec<Tensor>,
    y: &Meta,
    cost: usize,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Vec<Tensor>> {
    let run = |y: &mut [f32], b: &[f32]| {
        dispatch(
            #[inline(always)]
            || {
                for (y, b) in y.iter_mut().zip(b) {
                    *y = f(*y, *b);
                }
            },
        );
    };
    zip(x, y, cost, &run)
}

/// y = f(a, b, c) in f32 with broadcasting and any strides.
pub(crate) fn ternary_cpu(
    x: &[Tensor],
    y: &Meta,
    cost: usize,
    f: impl Fn(f32, f32, f32) -> f32 + Sync,
) -> Result<Vec<Tensor>> {
    let run = |y: &mut [f32], b: &[f32], c: &[f32]| {
        dispatch(
            #[inline(always)]
            || {
                for (y, (b, c)) in y.iter_mut().zip(b.iter().zip(c)) {
                    *y = f(*y, *b, *c);
                }
            },
        );
    };
    zip3(x, y, cost, &run)
}

fn map(mut x: Vec<Tensor>, cost: usize, f: Formula1) -> Result<Vec<Tensor>> {
    let mut x = x.swap_remove(0);
    if x.is_unique() {
        zip::map_f32(x.data_mut::<f32>()?, &None, cost, f);
        return Ok(vec![x]);
    }
    let mut y = Tensor::empty(*x.shape(), x.dtype(), &x.device())?;
    zip::map_f32(y.data_mut::<f32>()?, &Some(Operand::new::<f32>(&x, x.shape())?), cost, f);
    Ok(vec![y])
}

fn zip(mut x: Vec<Tensor>, y: &Meta, cost: usize, f: Formula2) -> Result<Vec<Tensor>> {
    let given = x.iter_mut().position(|t| *t.shape() == y.shape && t.is_unique());
    let mut out = match given {
        // A scalar takes the input's place in the list, and is not read.
        Some(i) => std::mem::replace(&mut x[i], Tensor::scalar(0f32, &Device::Cpu)?),
        None => Tensor::empty(y.shape, y.dtype, &x[0].device())?,
    };
    let operand = |i: usize| match given {
        Some(own) if own == i => Ok(None),
        _ => Operand::new::<f32>(&x[i], &y.shape).map(Some),
    };
    zip::zip_f32(out.data_mut::<f32>()?, &operand(0)?, &operand(1)?, cost, f);
    Ok(vec![out])
}

fn zip3(x: &[Tensor], y: &Meta, cost: usize, f: Formula3) -> Result<Vec<Tensor>> {
    let mut out = Tensor::empty(y.shape, y.dtype, &x[0].device())?;
    let operand = |i: usize| Operand::new::<f32>(&x[i], &y.shape);
    zip::zip3_f32(out.data_mut::<f32>()?, [operand(0)?, operand(1)?, operand(2)?], cost, f);
    Ok(vec![out])
}

/// Runs an op of one output, giving its inputs away to be written over.
pub(crate) fn apply_over(op: impl Op, inputs: Vec<Tensor>) -> Result<Tensor> {
    let name = op.name();
    apply_owned(op, inputs)?.pop().ok_or_else(|| Error::internal(name, "no output"))
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
    let summed = apply_single(Sum { axes, keep: false, is_wide: false }, &[&grad])?;
    // Sizes of 1 that stretched were summed away with the rest: put them back.
    let layout = summed.layout().reshape(shape)?;
    layout.map_or_else(|| Err(Error::internal("sum_to", "a sum is contiguous")), |layout| summed.view(layout))
}
