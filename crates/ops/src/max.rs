//! y = max x or min x along one axis, and where it stands.
//!
//! Derivative: g to the first element that equals y, 0 to all others (ties do not share it). Shapes: `(…, N, …)` →
//! `(…)` without the axis, or with size 1 in its place. Numerics: exact; the first NaN wins, as in PyTorch. An axis of
//! size 0 has no largest element: an error.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_kernels::reduce as kernel;
use warpsmith_tensor::cpu::{dispatch, for_rows_zip};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::axis::{Around, require_axis};
use crate::elementwise::{apply_over, require_floats};
use crate::maximum::Winner;
use crate::reshape::Reshape;
use crate::scatter_add::ScatterAdd;

/// The largest or smallest element along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Max {
    /// Which of two elements wins.
    pub winner: Winner,
    /// The axis.
    pub axis: usize,
    /// Whether the axis stays, with size 1.
    pub keep: bool,
}

impl Op for Max {
    fn name(&self) -> &'static str {
        match self.winner {
            Winner::Larger => "max",
            Winner::Smaller => "min",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let shape = reduced(self.name(), x, self.axis, self.keep)?;
        Ok(vec![Meta::new(shape, x[0].dtype), Meta::new(x[0].shape.without(self.axis, true), DType::I64)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        reference_search(self.winner, &x[0], self.axis, |at, value, place| {
            y[0].data[at] = value;
            y[1].data[at] = place as f64;
        });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (values, places) = search(self.winner, &x[0], self.axis, y[0].shape, y[1].shape)?;
        Ok(vec![values, places])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut values = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let places =
            search_on_device(self.name(), self.winner, &x[0], self.axis, y[1].shape, Some(&mut values))?;
        Ok(vec![values, places])
    }

    fn saves(&self) -> Saves {
        Saves::outputs(&[1])
    }

    /// The places.
    fn hidden_outputs(&self) -> usize {
        1
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (x, places) = (back.meta(0), back.output(1)?);
        let grad = apply_over(Reshape { to: *places.shape() }, vec![back.take_grad(0)?])?;
        let zeros = Tensor::zeros(x.shape, x.dtype, &grad.device())?;
        Ok(vec![Some(apply_over(ScatterAdd { axis: self.axis }, vec![zeros, places, grad])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "R*(s+8)", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[0].shape.without(self.axis, true).numel())]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

/// The shape of one element per block of the axis; an error if there is none.
pub(crate) fn reduced(op: &'static str, x: &[Meta], axis: usize, keep: bool) -> Result<Shape> {
    require_floats(op, x)?;
    require_axis(op, &x[0], axis)?;
    let shape = x[0].shape.without(axis, keep);
    if x[0].dims()[axis] == 0 && shape.numel() > 0 {
        return Err(Error::shape(op, &[x[0].shape], format!("axis {axis} has no elements")));
    }
    Ok(shape)
}

/// Calls `found(which output element, value, place along the axis)`, in f64.
pub(crate) fn reference_search(
    winner: Winner,
    x: &Array,
    axis: usize,
    mut found: impl FnMut(usize, f64, usize),
) {
    let Around { outer, size, inner } = Around::new(&x.shape, axis);
    for o in 0..outer {
        for j in 0..inner {
            let element = |i: usize| x.data[(o * size + i) * inner + j];
            let mut best = 0;
            for i in 1..size {
                let better = match winner {
                    Winner::Larger => element(i) > element(best),
                    Winner::Smaller => element(i) < element(best),
                };
                if !element(best).is_nan() && (better || element(i).is_nan()) {
                    best = i;
                }
            }
            if size > 0 {
                found(o * inner + j, element(best), best);
            }
        }
    }
}

/// The places in their shape, and the values if they are wanted, on a GPU.
pub(crate) fn search_on_device(
    op: &'static str,
    winner: Winner,
    x: &Tensor,
    axis: usize,
    places: Shape,
    values: Option<&mut Tensor>,
) -> Result<Tensor> {
    let (x, Around { outer, size, inner }) = (x.contiguous()?, Around::new(x.shape(), axis));
    if inner == 1 {
        i32::try_from(size)
            .map_err(|_| Error::value(op, format!("an axis of {size} is beyond the kernel's 2³¹")))?;
    }
    let mut places = Tensor::empty(places, DType::I64, &x.device())?;
    let call = kernel::Extreme {
        dtype: x.dtype().float_on_device(op)?,
        smallest: winner == Winner::Smaller,
        y: values.map_or(Ok(0), Tensor::device_address_mut)?,
        places: places.device_address_mut()?,
        x: x.device_address()?,
        outer: outer as u64,
        size: size as u64,
        inner: inner as u64,
    };
    x.device().launch(&kernel::extreme(&call))?;
    Ok(places)
}

/// The values and their places, in the two shapes.
pub(crate) fn search(
    winner: Winner,
    x: &Tensor,
    axis: usize,
    values: Shape,
    places: Shape,
) -> Result<(Tensor, Tensor)> {
    match winner {
        Winner::Larger => search_by(
            x,
            axis,
            values,
            places,
            #[inline(always)]
            |a, b| a > b,
        ),
        Winner::Smaller => search_by(
            x,
            axis,
            values,
            places,
            #[inline(always)]
            |a, b| a < b,
        ),
    }
}

fn search_by(
    x: &Tensor,
    axis: usize,
    values: Shape,
    places: Shape,
    better: impl Fn(f32, f32) -> bool + Copy + Sync,
) -> Result<(Tensor, Tensor)> {
    let Around { size, inner, .. } = Around::new(x.shape(), axis);
    let x = x.contiguous()?;
    let mut values = Tensor::empty(values, DType::F32, &x.device())?;
    let mut places = Tensor::empty(places, DType::I64, &x.device())?;
    let from = x.data::<f32>()?;
    let outputs = ((values.data_mut::<f32>()?, inner), (places.data_mut::<i64>()?, inner));
    for_rows_zip(outputs.0, outputs.1, size, |first, values, places| {
        dispatch(
            #[inline(always)]
            || {
                let rows = values.chunks_mut(inner).zip(places.chunks_mut(inner));
                for (r, (values, places)) in rows.enumerate() {
                    let block = &from[(first + r) * size * inner..][..size * inner];
                    if inner == 1 {
                        (values[0], places[0]) = best_of(block, better);
                    } else {
                        best_columns(block, values, places, better);
                    }
                }
            },
        );
    });
    Ok((values, places))
}

/// The best of a row and its place: first which value, then where, since each alone is a loop without branches.
#[inline(always)]
fn best_of(row: &[f32], better: impl Fn(f32, f32) -> bool) -> (f32, i64) {
    const LANES: usize = 32;
    let mut lanes = [row[0]; LANES];
    for chunk in row.chunks(LANES) {
        for i in 0..chunk.len() {
            lanes[i] = if better(lanes[i], chunk[i]) || lanes[i].is_nan() { lanes[i] } else { chunk[i] };
        }
    }
    let mut best = row[0];
    for lane in lanes {
        best = if better(best, lane) || best.is_nan() { best } else { lane };
    }
    // The sign of a zero is that of the first one, whichever lane it was in.
    let mut place = 0;
    while place + 1 < row.len() && row[place] != best && !(best.is_nan() && row[place].is_nan()) {
        place += 1;
    }
    (row[place], place as i64)
}

/// The best of each column of a block of rows, row after row.
#[inline(always)]
fn best_columns(block: &[f32], values: &mut [f32], places: &mut [i64], better: impl Fn(f32, f32) -> bool) {
    let width = values.len();
    values.copy_from_slice(&block[..width]);
    places.fill(0);
    for (i, row) in block.chunks_exact(width).enumerate().skip(1) {
        for ((value, place), &x) in values.iter_mut().zip(places.iter_mut()).zip(row) {
            let wins = !value.is_nan() && (better(x, *value) || x.is_nan());
            *value = if wins { x } else { *value };
            *place = if wins { i as i64 } else { *place };
        }
    }
}

methods! {
    /// The largest element along `axis` (negative: from the end), which goes away, or stays with size 1 if `keep`.
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    fn max(&self, axis: isize, keep: bool) -> Result<Tensor> {
        let axis = self.shape().axis("max", axis)?;
        apply_single(Max { winner: Winner::Larger, axis, keep }, &[self])
    }

    /// The smallest element along `axis` (negative: from the end), which goes away, or stays with size 1 if `keep`.
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    fn min(&self, axis: isize, keep: bool) -> Result<Tensor> {
        let axis = self.shape().axis("min", axis)?;
        apply_single(Max { winner: Winner::Smaller, axis, keep }, &[self])
    }
}

/// Axes, and shapes that have them.
pub(crate) const CASES: [(usize, &[usize]); 6] =
    [(2, &[3, 5, 70]), (0, &[40, 33]), (1, &[4, 3, 5]), (0, &[1]), (1, &[0, 3]), (0, &[7])];

fn samples(winner: Winner) -> Vec<Sample> {
    let sample = |((axis, dims), keep): ((usize, &[usize]), bool)| {
        Sample::new(Max { winner, axis, keep }, [Input::any(dims)])
    };
    CASES.into_iter().zip([false, true].into_iter().cycle()).map(sample).collect()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec { name: "max", summary: "the largest along an axis", samples: || samples(Winner::Larger) },
        Spec { name: "min", summary: "the smallest along an axis", samples: || samples(Winner::Smaller) },
    ]
}
