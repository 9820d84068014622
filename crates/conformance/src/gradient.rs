//! Whether kernels compute the formula of their gradient: the vjp in a narrow dtype on a device against the vjp in f64
//! at the same numbers.

use warpsmith_autograd::{Array, Input, Sample, Values};
use warpsmith_tensor::{DType, Device, Result, Rng, Seed, Shape};

use crate::check::{Answer, text};
use crate::sweep::{Item, Place};
use crate::tape::gradients;
use crate::{Class, Repeat, Tally, Worst, arrays, metas, rounded};

/// Numbers on a grid in random order, none twice and none near zero: a maximum has one place, |x| has one slope.
///
/// # Errors
/// As [`arrays`].
pub fn smooth(sample: &Sample, dtypes: &[DType]) -> Result<Vec<Array>> {
    let mut x = arrays(sample, dtypes, Class::Uniform, Repeat::Nowhere)?;
    for (i, ((array, input), &dtype)) in x.iter_mut().zip(&sample.inputs).zip(dtypes).enumerate() {
        let Some((low, high)) = interval(input) else { continue };
        let n = array.data.len();
        let keys = Rng::restore(Seed(17), i as u64).uniform(n);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        // Another place in the cells of each input's grid: two inputs have no number in common either.
        let shift = 0.3 + 0.13 * (i % 5) as f64;
        for (cell, &at) in order.iter().enumerate() {
            array.data[at] =
                rounded(low + (high - low) * (cell as f64 + shift) / n as f64, dtype).clamp(low, high);
        }
    }
    Ok(x)
}

/// Between which numbers an input lies; `None` if the sample fixes them or they are no reals.
fn interval(input: &Input) -> Option<(f64, f64)> {
    match input.values {
        Values::Any => Some((-1.0, 1.0)),
        Values::Between(low, high) => Some((low, high)),
        _ => None,
    }
}

/// The largest magnitude; NaN if there is one.
fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |a, b| if b.is_nan() || b.abs() > a { b.abs() } else { a })
}

/// How far the f64 gradient of each input moves when all inputs and the gradient coming in move by one rounding of
/// `dtype`: the best of four signs for each number.
fn sensitivity(
    sample: &Sample,
    x: &[Array],
    weights: &[Array],
    dtype: DType,
    exact: &[Option<Vec<f64>>],
) -> Result<Vec<f64>> {
    let oracle: Vec<DType> = sample.inputs.iter().map(|i| i.dtype(DType::F64)).collect();
    let mut moved = vec![0f64; x.len()];
    for probe in 0..4 {
        let rng = Rng::new(Seed(probe));
        let shake = |a: &Array| {
            let signs = rng.uniform(a.data.len());
            let data = a.data.iter().zip(signs).map(|(v, s)| {
                v * (1.0 + if s < 0.5 { -dtype.unit_roundoff() } else { dtype.unit_roundoff() })
            });
            Array { shape: a.shape, data: data.collect() }
        };
        let shaken = x.iter().zip(&sample.inputs).map(|(a, input)| match interval(input) {
            Some((low, high)) => {
                let mut a = shake(a);
                if matches!(input.values, Values::Between(..)) {
                    a.data.iter_mut().for_each(|v| *v = v.clamp(low, high));
                }
                a
            }
            None => a.clone(),
        });
        let shaken: Vec<Array> = shaken.collect();
        let weights: Vec<Array> = weights.iter().map(shake).collect();
        let other = gradients(sample, &shaken, &oracle, &weights, &Device::Cpu)?;
        for (moved, (a, b)) in moved.iter_mut().zip(exact.iter().zip(&other)) {
            if let (Some(a), Some(b)) = (a, b) {
                *moved = moved.max(norm(a.iter().zip(b).map(|(a, b)| a - b)));
            }
        }
    }
    Ok(moved)
}

/// The error of a gradient over what is allowed, which is per input, in the maximum norm:
///
/// 8·(moved + u·‖g‖) + n·2⁻²⁴·‖g‖, with `moved` what one rounding of each number that goes in does to the exact
/// gradient, u the unit roundoff of the dtype and n the elements of the largest tensor, or the roundings that the op itself
/// declares if those are more (a product that rounds its operands to bf16 on purpose).
///
/// Eight, since between the inputs and a gradient lie a saved output, the gradient coming in, the intermediate tensors
/// of a composed vjp and the result, each rounded once to the dtype; n·2⁻²⁴, since a kernel sums no more than n terms in
/// f32. Element for element the backward kernels are held to their own bounds by the forward sweep.
///
/// # Errors
/// Those of the op and of its vjp.
pub fn share(sample: &Sample, float: DType, kinds: &[DType], device: &Device) -> Result<f64> {
    let x = smooth(sample, kinds)?;
    let metas = metas(sample, kinds)?;
    let outputs = sample.op.shape(&metas)?;
    let rng = Rng::new(Seed(99));
    let weight = |shape: Shape| {
        let numbers = rng.uniform(shape.numel()).into_iter();
        Array { shape, data: numbers.map(|u| rounded(2.0 * u as f64 - 1.0, float)).collect() }
    };
    let weights: Vec<Array> = outputs.iter().map(|m| weight(m.shape)).collect();
    let oracle: Vec<DType> = sample.inputs.iter().map(|i| i.dtype(DType::F64)).collect();
    let exact = gradients(sample, &x, &oracle, &weights, &Device::Cpu)?;
    let got = gradients(sample, &x, kinds, &weights, device)?;
    let moved = sensitivity(sample, &x, &weights, float, &exact)?;
    let largest = x.iter().chain(&weights).map(|a| a.data.len()).max().unwrap_or(0) as f64;
    let n = largest.max(sample.op.roundings(&metas));
    let mut worst = 0f64;
    for ((exact, got), moved) in exact.iter().zip(&got).zip(moved) {
        let (Some(exact), Some(got)) = (exact, got) else { continue };
        let size = norm(exact.iter().copied());
        let allowed = 8.0 * (moved + float.unit_roundoff() * size) + n * 2f64.powi(-24) * size;
        let error = norm(exact.iter().zip(got).map(|(a, b)| a - b));
        let share = if error == 0.0 { 0.0 } else { error / allowed };
        worst = if share.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(share) };
    }
    Ok(worst)
}

/// Compares the gradient of the sample.
pub(crate) fn ask(item: &Item, place: &Place, kinds: &[DType], tally: &mut Tally) -> Answer {
    let share = share(&item.sample, item.float, kinds, place.device).map_err(text)?;
    tally.cases += 1;
    tally.worst.add(Worst { share, place: format!("sample {} {}", item.number, item.float) });
    // Not `share > 1`: NaN is no right answer either.
    if share.is_nan() || share > 1.0 {
        let message = format!("the gradient is off by {share:.2} of the allowed error");
        tally.failures.push(item.failure(Some(Class::Uniform), Vec::new(), message));
    }
    Ok(())
}
