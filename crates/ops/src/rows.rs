//! What ops over one axis share: the loop over rows, and sums whose order is fixed.

use std::ops::Range;

use warpsmith_autograd::Meta;
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{Device, Layout, Result, Shape, Tensor};

/// How many partial sums run side by side: the lanes of two AVX-512 registers.
const LANES: usize = 32;

/// All rows of (…, C) as one matrix (M, C) where they lie, if none has gaps or lies over another.
pub(crate) fn matrix_in_place(t: &Tensor) -> Result<Option<Layout>> {
    let shape = Shape::new(&[t.shape().rows(), t.shape().last()])?;
    Ok(t.layout().reshape(&shape)?.filter(|l| l.strides()[1] == 1 && l.strides()[0] >= shape.last()))
}

/// All rows of a tensor as one matrix (M, C), each without gaps.
pub(crate) fn rows_of(t: &Tensor) -> Result<Tensor> {
    match matrix_in_place(t)? {
        Some(rows) => t.view(rows),
        None => t.copy()?.view(Layout::contiguous(Shape::new(&[t.shape().rows(), t.shape().last()])?)),
    }
}

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

/// The i-th numbers of all rows `x`, for each i, taken into `S` values, in an order that depends on the length alone: i goes to
/// running values i mod 32, and a fixed tree joins those. No row may be shorter than the first. Call inside `dispatch`, with
/// closures that are `#[inline(always)]`.
#[inline(always)]
fn fold<const ROWS: usize, const S: usize>(
    x: [&[f32]; ROWS],
    start: f32,
    step: impl Fn([f32; S], [f32; ROWS]) -> [f32; S],
    join: impl Fn(f32, f32) -> f32,
) -> [f32; S] {
    let n = x[0].len();
    let mut lanes = [[start; LANES]; S];
    let mut chunks: [&[[f32; LANES]]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        chunks[row] = &x[row][..n].as_chunks::<LANES>().0[..n / LANES];
    }
    for chunk in 0..n / LANES {
        for i in 0..LANES {
            let mut now = [0.0; ROWS];
            for row in 0..ROWS {
                now[row] = chunks[row][chunk][i];
            }
            take(&mut lanes, i, &now, &step);
        }
    }
    let whole = n / LANES * LANES;
    for i in 0..n - whole {
        let mut now = [0.0; ROWS];
        for row in 0..ROWS {
            now[row] = x[row][whole + i];
        }
        take(&mut lanes, i, &now, &step);
    }
    let mut values = [start; S];
    for s in 0..S {
        let mut width = LANES / 2;
        while width > 0 {
            let (low, high) = lanes[s].split_at_mut(width);
            for i in 0..width {
                low[i] = join(low[i], high[i]);
            }
            width /= 2;
        }
        values[s] = lanes[s][0];
    }
    values
}

/// One step of lane `i`.
#[inline(always)]
fn take<const ROWS: usize, const S: usize>(
    lanes: &mut [[f32; LANES]; S],
    i: usize,
    now: &[f32; ROWS],
    step: &impl Fn([f32; S], [f32; ROWS]) -> [f32; S],
) {
    let mut values = [0.0; S];
    for s in 0..S {
        values[s] = lanes[s][i];
    }
    let values = step(values, *now);
    for s in 0..S {
        lanes[s][i] = values[s];
    }
}

/// Σ f(xᵢ), by [`fold`].
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    fold(
        [x],
        0.0,
        #[inline(always)]
        |[sum], [x]| [sum + f(x)],
        plus,
    )[0]
}

/// The sums of the `S` numbers that f makes of the i-th numbers of all rows, by [`fold`].
#[inline(always)]
pub(crate) fn sums_of<const ROWS: usize, const S: usize>(
    x: [&[f32]; ROWS],
    f: impl Fn([f32; ROWS]) -> [f32; S],
) -> [f32; S] {
    fold(
        x,
        0.0,
        #[inline(always)]
        |mut sums, x| {
            let terms = f(x);
            for s in 0..S {
                sums[s] += terms[s];
            }
            sums
        },
        plus,
    )
}

/// Σ xᵢ·yᵢ, by [`fold`].
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    fold(
        [x, y],
        0.0,
        #[inline(always)]
        |[sum], [x, y]| [x.mul_add(y, sum)],
        plus,
    )[0]
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
        [x],
        f32::NEG_INFINITY,
        #[inline(always)]
        |[max], [x]| [larger(max, x)],
        larger,
    )[0]
}

#[inline(always)]
fn plus(a: f32, b: f32) -> f32 {
    a + b
}
