//! What ops over one axis share: the loop over rows, and sums whose order is fixed.

use std::ops::Range;

use warpsmith_autograd::Meta;
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{Device, Result, Tensor};

/// How many partial sums run side by side: the lanes of two AVX-512 registers.
const LANES: usize = 32;

/// A new tensor, row by row: `row(where it lies, itself)`, which runs inside `dispatch` and must be
/// `#[inline(always)]`. `cost`: see [`for_rows`].
pub(crate) fn make_rows(
    y: &Meta,
    cost: usize,
    row: impl Fn(Range<usize>, &mut [f32]) + Sync,
) -> Result<Vec<Tensor>> {
    let (mut out, n) = (Tensor::empty(y.shape, y.dtype, &Device::Cpu)?, y.shape.last());
    for_rows(out.data_mut::<f32>()?, n, cost, |first, block| {
        dispatch(
            #[inline(always)]
            || {
                for (i, y) in block.chunks_mut(n).enumerate() {
                    row((first + i) * n..(first + i + 1) * n, y);
                }
            },
        );
    });
    Ok(vec![out])
}

/// The largest element; NaN if any element is NaN; -∞ of nothing.
pub(crate) fn max_of_f64(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b })
}

/// All pairs (xᵢ, yᵢ) taken into one value, in an order that depends on the length alone: pair i goes to running value i mod 32,
/// and a fixed tree joins those. `y` must not be shorter than `x`. Call inside `dispatch`, with closures that are
/// `#[inline(always)]`.
#[inline(always)]
fn fold(
    x: &[f32],
    y: &[f32],
    start: f32,
    step: impl Fn(f32, f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let ((x, rest_x), (y, rest_y)) = (x.as_chunks::<LANES>(), y[..x.len()].as_chunks::<LANES>());
    for chunk in 0..x.len() {
        let (x, y) = (&x[chunk], &y[chunk]);
        for i in 0..LANES {
            lanes[i] = step(lanes[i], x[i], y[i]);
        }
    }
    for i in 0..rest_x.len() {
        lanes[i] = step(lanes[i], rest_x[i], rest_y[i]);
    }
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for i in 0..width {
            low[i] = join(low[i], high[i]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ f(xᵢ), by [`fold`].
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_of_pairs(
        x,
        x,
        #[inline(always)]
        |x, _| f(x),
    )
}

/// Σ f(xᵢ, yᵢ), by [`fold`].
#[inline(always)]
pub(crate) fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    fold(
        x,
        y,
        0.0,
        #[inline(always)]
        |sum, x, y| sum + f(x, y),
        plus,
    )
}

/// Σ xᵢ·yᵢ, by [`fold`].
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    fold(
        x,
        y,
        0.0,
        #[inline(always)]
        |sum, x, y| x.mul_add(y, sum),
        plus,
    )
}

/// The largest element; NaN if any element is NaN; -∞ of nothing. By [`fold`].
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    // `if` rather than f32::max, which drops NaN: a comparison with NaN is false, so NaN stays once it is in.
    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if a > b || a.is_nan() { a } else { b }
    }
    fold(
        x,
        x,
        f32::NEG_INFINITY,
        #[inline(always)]
        |max, x, _| larger(max, x),
        larger,
    )
}

#[inline(always)]
fn plus(a: f32, b: f32) -> f32 {
    a + b
}
