//! Which numbers go into a call: the value classes, each rounded to the dtype that the op will see.

use warpsmith_autograd::{Array, Input, Values};
use warpsmith_tensor::{DType, Error, Result, Rng, Seed, Shape, with_dtype};

/// What kind of numbers an input that may hold any numbers holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Uniform in (-1, 1).
    Uniform,
    /// Uniform in (-16, 16): the tails of exponentials.
    Moderate,
    /// 1000 and a little: differences cancel.
    LargeMean,
    /// Magnitudes over many binades.
    WideExponents,
    /// Below the smallest normal number of the dtype.
    Subnormal,
    /// From an eighth to a quarter of the largest number of the dtype: squares and sums overflow.
    NearOverflow,
    /// Small whole numbers: equal elements, exact sums.
    Ties,
    /// Zeros of both signs, and ±1.
    SignedZeros,
    /// One element is NaN.
    Nan,
    /// One element is +∞.
    Infinity,
    /// One element is -∞, and so is the whole last row: what a mask leaves.
    Masked,
}

impl Class {
    /// All classes, the ordinary one first.
    pub const ALL: [Self; 11] = [
        Self::Uniform,
        Self::Moderate,
        Self::LargeMean,
        Self::WideExponents,
        Self::Subnormal,
        Self::NearOverflow,
        Self::Ties,
        Self::SignedZeros,
        Self::Nan,
        Self::Infinity,
        Self::Masked,
    ];
}

/// The largest finite number and the smallest positive one of a float dtype.
pub fn range(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F32 => (f32::MAX as f64, 2f64.powi(-149)),
        DType::BF16 => (warpsmith_tensor::bf16::MAX.to_f64(), 2f64.powi(-133)),
        DType::F16 => (65504.0, 2f64.powi(-24)),
        _ => (f64::MAX, f64::from_bits(1)),
    }
}

/// `value` as the dtype holds it.
pub fn rounded(value: f64, dtype: DType) -> f64 {
    use warpsmith_tensor::Element;
    with_dtype!(dtype, T => <T as Element>::from_f64(value).to_f64())
}

/// Along which axis all elements are equal, so that a stride of 0 can hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// No two elements need be equal.
    Nowhere,
    /// Along the first axis.
    First,
    /// Along the last axis.
    Last,
    /// Along every axis: one number.
    Everywhere,
}

impl Repeat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nowhere, Self::First, Self::Last, Self::Everywhere];
}

/// Numbers for one input. `salt` tells the inputs of one call apart, so that no two are equal.
pub fn fill(input: &Input, dtype: DType, class: Class, repeat: Repeat, salt: u64) -> Result<Array> {
    let shape = Shape::new(&input.dims)?;
    let rng = Rng::new(Seed(0x5EED ^ (salt << 32) ^ class as u64));
    let n = shape.numel();
    let unit: Vec<f64> = rng.uniform(n).into_iter().map(f64::from).collect();
    let signs: Vec<f64> = rng.uniform(n).into_iter().map(|u| if u < 0.5 { -1.0 } else { 1.0 }).collect();
    let data: Vec<f64> = match &input.values {
        Values::Any => any(class, dtype, &unit, &signs, shape.last().max(1), salt as usize),
        Values::Between(low, high) => unit
            .iter()
            .map(|u| rounded_inside(low + (high - low) * (0.001 + 0.998 * u), dtype, *low, *high))
            .collect(),
        Values::Index(limit) => unit.iter().map(|u| (u * *limit as f64).floor()).collect(),
        Values::Mask => signs.iter().map(|s| f64::from(u8::from(*s > 0.0))).collect(),
        Values::Integers(values) => values.iter().map(|&v| v as f64).collect(),
        Values::Bytes(bytes) => bytes.iter().copied().map(f64::from).collect(),
        Values::Exactly(values) => values.clone(),
    };
    if data.len() != n {
        let message = format!("the sample gives {} numbers for an input of {shape}", data.len());
        return Err(Error::internal("sample", message));
    }
    let mut array = Array { shape, data: data.into_iter().map(|v| rounded(v, dtype)).collect() };
    if !matches!(input.values, Values::Integers(_) | Values::Bytes(_) | Values::Exactly(_)) {
        make_constant(&mut array, repeat);
    }
    Ok(array)
}

/// A float that rounding does not carry out of its domain.
fn rounded_inside(value: f64, dtype: DType, low: f64, high: f64) -> f64 {
    let near = rounded(value, dtype);
    if (low..=high).contains(&near) { near } else { (low + high) / 2.0 }
}

fn any(class: Class, dtype: DType, unit: &[f64], signs: &[f64], row: usize, salt: usize) -> Vec<f64> {
    let n = unit.len();
    let (largest, smallest) = range(dtype);
    let each = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
        unit.iter().zip(signs).map(|(&u, &sign)| f(u, sign)).collect()
    };
    // The range of f16 ends at 2^16, and its normal numbers begin at 2^-14.
    let exponents = if dtype == DType::F16 { 12.0 } else { 30.0 };
    let subnormals = if dtype == DType::BF16 { 127.0 } else { 1023.0 };
    let mut values = match class {
        Class::Moderate => each(&|u, sign| 16.0 * sign * u),
        Class::LargeMean => each(&|u, _| 1000.0 + u),
        Class::WideExponents => each(&|u, sign| sign * (exponents * (2.0 * u - 1.0)).exp2()),
        Class::Subnormal => each(&|u, sign| sign * (1.0 + (subnormals * u).floor()) * smallest),
        Class::NearOverflow => each(&|u, sign| sign * largest / 4.0 * (0.5 + 0.5 * u)),
        Class::Ties => each(&|u, sign| sign * (4.0 * u).floor()),
        Class::SignedZeros => each(&|u, sign| if u < 0.7 { sign * 0.0 } else { sign }),
        _ => each(&|u, sign| sign * u),
    };
    if n > 0 {
        // Not the same element in every input, so that each meets ordinary numbers in the others.
        let special = (n / 3 + 7 * salt) % n;
        match class {
            Class::Nan => values[special] = f64::NAN,
            Class::Infinity => values[special] = f64::INFINITY,
            Class::Masked => {
                values[special] = f64::NEG_INFINITY;
                values[n - row.min(n)..].fill(f64::NEG_INFINITY);
            }
            _ => {}
        }
    }
    values
}

/// Copies the first element along the axis, or everywhere, over the others.
fn make_constant(array: &mut Array, repeat: Repeat) {
    let n = array.data.len();
    let period = match repeat {
        _ if n == 0 => return,
        Repeat::Nowhere => return,
        Repeat::Everywhere => 1,
        Repeat::Last => array.last(),
        Repeat::First => n / array.dims().first().copied().unwrap_or(1),
    };
    for i in 0..n {
        let from = if repeat == Repeat::Last { i / period * period } else { i % period };
        array.data[i] = array.data[from];
    }
}
