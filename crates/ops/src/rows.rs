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

/// Σ f(xᵢ) in an order that depends on the length alone: 32 running sums, then a fixed tree. Call inside `dispatch`.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    tree(lanes, |a, b| a + b)
}

/// Σ xᵢ·yᵢ in the same order as [`sum_of`]. Call inside `dispatch`.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = x.chunks_exact(LANES).zip(y.chunks_exact(LANES));
    let done = x.len() / LANES * LANES;
    for (x, y) in chunks {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = x.mul_add(y, *lane);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(&x[done..]).zip(&y[done..]) {
        *lane = x.mul_add(y, *lane);
    }
    tree(lanes, |a, b| a + b)
}

/// The largest element; NaN if any element is NaN; -∞ of nothing. Call inside `dispatch`.
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    // `if` rather than f32::max, which drops NaN: a comparison with NaN is false, so NaN stays once it is in.
    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if a > b || a.is_nan() { a } else { b }
    }
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    tree(lanes, larger)
}

#[inline(always)]
fn tree(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
