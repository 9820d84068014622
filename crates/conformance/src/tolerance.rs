//! When an answer counts as right.
//!
//! Finite numbers: |err| ≤ u·|ref| + roundings·2⁻²⁴·scale + underflow, where u is the unit roundoff of the output's
//! dtype, and `roundings` and `scale` are what the op claims. Underflow is the smallest positive number of the dtype,
//! and, for each rounding, that of f32 times what may follow: a number that falls below the normal ones loses up to so
//! much, and may be multiplied by the largest input afterwards, or by powers of it up to 2⁶⁴.
//!
//! NaN passes where the oracle says NaN and nowhere else; it must be there. ±∞ must be that ∞. Where the exact value
//! lies beyond the dtype, ∞ or the largest number of the right sign is right. Where the exact value is representable
//! (or the terms are larger than their sum), an op may still overflow on the way in f32, but only where its own
//! `scale` says that it has terms beyond half of f32's range: an honest bound is infinite there.

use warpsmith_autograd::{Array, Meta};
use warpsmith_tensor::{DType, Tensor};

use crate::{Expected, range};

const U: f64 = 1.0 / 16_777_216.0;

/// Compares output number `which` with what is expected, and gives the largest error in units of what is allowed.
/// `x` are the inputs, for the message.
///
/// # Errors
/// A text that shows the first wrong element.
pub fn compare(
    got: &Tensor,
    meta: &Meta,
    expected: &Expected,
    which: usize,
    x: &[Array],
) -> Result<f64, String> {
    let values = got.to_f64_vec().map_err(|e| e.to_string())?;
    let reference = &expected.outputs[which];
    let scale = expected.scales.get(which).ok_or_else(|| format!("no scale for output {which}"))?;
    if scale.data.len() != values.len() || reference.data.len() != values.len() {
        return Err(format!("output {which}: {} values, {} scales", values.len(), scale.data.len()));
    }
    let share = |i: usize| share(values[i], reference.data[i], scale.data[i], meta.dtype, expected);
    let (mut count, mut first, mut worst) = (0, None, 0f64);
    for i in 0..values.len() {
        let share = share(i);
        worst = worst.max(share.unwrap_or(f64::INFINITY));
        if share.is_none() {
            count += 1;
            first = first.or(Some(i));
        }
    }
    let Some(i) = first else { return Ok(worst) };
    let around = i.saturating_sub(2)..(i + 3).min(values.len());
    let inputs: Vec<String> =
        x.iter()
            .map(|a| {
                if a.data.len() == values.len() { format!("{:e}", a.data[i]) } else { format!("{}", a.shape) }
            })
            .collect();
    Err(format!(
        "output {which} {}: {count} of {} wrong, first {:?}: got {:e}, expected {:e}, off by {:e}, allowed {:e} \
         (scale {:e}, roundings {}); around it got {:?}, expected {:?}; inputs there {}",
        meta.shape,
        values.len(),
        index(i, meta.dims()),
        values[i],
        reference.data[i],
        (values[i] - reference.data[i]).abs(),
        bound(reference.data[i], scale.data[i], meta.dtype, expected),
        scale.data[i],
        expected.roundings,
        &values[around.clone()],
        &reference.data[around],
        inputs.join(", "),
    ))
}

fn bound(reference: f64, scale: f64, dtype: DType, expected: &Expected) -> f64 {
    let inside = expected.roundings * U * if scale.is_nan() { 0.0 } else { scale };
    let largest = expected.largest_input;
    let follows = largest.powi(4).min(64f64.exp2()).max(largest).max(1.0);
    let lost = expected.roundings * range(DType::F32).1 * follows;
    // The f32 result is rounded once more to a 16-bit dtype, error and all.
    dtype.unit_roundoff() * reference.abs() + (inside + U * reference.abs()) + lost + range(dtype).1
}

/// The error in units of what is allowed, 0 where no error is measured (∞ for ∞, whole numbers); `None` if it is wrong.
fn share(got: f64, reference: f64, scale: f64, dtype: DType, expected: &Expected) -> Option<f64> {
    let exact = |right: bool| right.then_some(0.0);
    if !dtype.is_float() {
        return exact(got == reference);
    }
    if reference.is_nan() || reference.is_infinite() {
        return exact(got == reference || (got.is_nan() && reference.is_nan()));
    }
    let (largest, _) = range(dtype);
    let bound = bound(reference, scale, dtype, expected);
    let cancels = scale > 1.000_001 * reference.abs();
    let overflows_inside = cancels && scale >= range(DType::F32).0 / 2.0;
    if !got.is_finite() && overflows_inside {
        return Some(0.0);
    }
    if reference.abs() + bound > largest && got.abs() >= largest && got.signum() == reference.signum() {
        return Some(0.0);
    }
    let error = (got - reference).abs();
    (error <= bound).then(|| if bound.is_finite() { error / bound } else { 0.0 })
}

/// The place of the `i`th element, row-major.
fn index(i: usize, dims: &[usize]) -> Vec<usize> {
    let mut left = i;
    let mut place: Vec<usize> = dims
        .iter()
        .rev()
        .map(|&d| {
            let at = left % d.max(1);
            left /= d.max(1);
            at
        })
        .collect();
    place.reverse();
    place
}
