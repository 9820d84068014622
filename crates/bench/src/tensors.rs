//! Fresh random inputs, and tensors written over where they lie.

use warpsmith_autograd::{Meta, Op};
use warpsmith_kernels::{Operand, copy, dims};
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use crate::Result;

/// So many random numbers are drawn, a prime; longer tensors repeat them, and no two of their rows are alike.
const DRAWN: usize = 262_139;

/// Normally distributed numbers. Never zeros or small integers: those cost a processor less power, and run faster.
pub fn normal(dims: &[usize], dtype: DType, rng: &Rng, device: &Device) -> Result<Tensor> {
    filled(dims, |n| rng.normal(n), dtype, device)
}

/// Normally distributed numbers in f32 around `mean`.
pub fn scaled_normal(
    dims: &[usize],
    mean: f32,
    deviation: f32,
    rng: &Rng,
    device: &Device,
) -> Result<Tensor> {
    let draw = |n| rng.normal(n).into_iter().map(|x| mean + deviation * x).collect();
    filled(dims, draw, DType::F32, device)
}

/// Numbers between the two.
pub fn between(
    dims: &[usize],
    low: f32,
    high: f32,
    dtype: DType,
    rng: &Rng,
    device: &Device,
) -> Result<Tensor> {
    filled(dims, |n| rng.uniform(n).into_iter().map(|u| low + (high - low) * u).collect(), dtype, device)
}

/// `n` whole numbers below `limit`, as i64.
pub fn whole_numbers(n: usize, limit: usize, rng: &Rng, device: &Device) -> Result<Tensor> {
    let below = |u: f32| ((f64::from(u) * limit as f64) as i64).min(limit as i64 - 1);
    let values: Vec<i64> = rng.uniform(n).into_iter().map(below).collect();
    Ok(Tensor::from_vec(values, &[n], device)?)
}

fn filled(dims: &[usize], draw: impl Fn(usize) -> Vec<f32>, dtype: DType, device: &Device) -> Result<Tensor> {
    let n: usize = dims.iter().product();
    let drawn = draw(n.min(DRAWN));
    let values: Vec<f32> = drawn.iter().copied().cycle().take(n).collect();
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// All outputs of a forward op, the hidden ones too: what its backward op wants to be given.
pub fn saved(op: &dyn Op, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let metas: Vec<Meta> = inputs.iter().map(Meta::from).collect();
    let promised = op.shape(&metas)?;
    if inputs.iter().any(|x| !x.device().is_cpu()) {
        return Ok(op.cuda(inputs.to_vec(), &promised)?);
    }
    let wide = |x: &Tensor| if x.dtype().is_half() { x.to_dtype(DType::F32) } else { Ok(x.clone()) };
    let inputs = inputs.iter().map(wide).collect::<warpsmith_tensor::Result<Vec<_>>>()?;
    let wide = op.shape(&inputs.iter().map(Meta::from).collect::<Vec<_>>())?;
    let outputs = op.cpu(inputs, &wide)?;
    Ok(outputs
        .iter()
        .zip(&promised)
        .map(|(y, meta)| y.to_dtype(meta.dtype))
        .collect::<warpsmith_tensor::Result<_>>()?)
}

/// Copies `from` into the memory of `to`, so that whoever knows the address (a recorded graph) reads the new values.
pub fn overwrite(to: &mut Tensor, from: &Tensor) -> Result<()> {
    let device = to.device();
    if device.is_cpu() {
        *to = from.copy()?;
        return Ok(());
    }
    let dtype = to.dtype().on_device("bench")?;
    let from = from.to_device(&device)?;
    let sizes = dims(from.dims());
    let y = Operand::contiguous(to.device_address_mut()?, sizes);
    let x = Operand::contiguous(from.device_address()?, sizes);
    Ok(device.launch(&copy::copy(&copy::Copy { dtype, dims: sizes, y, x }))?)
}

/// A tensor of NaN, or of the smallest whole number: what an output holds that nobody wrote.
pub fn poison(meta: &Meta, device: &Device) -> Result<Tensor> {
    let value = if meta.dtype.is_float() { f64::NAN } else { -1.0 };
    Ok(Tensor::full(meta.shape, value, meta.dtype, device)?)
}

/// The part of a tensor that a region names; all of it if the region is empty.
pub fn part(x: &Tensor, region: &[std::ops::Range<usize>]) -> Result<Tensor> {
    let mut layout = *x.layout();
    for (axis, range) in region.iter().enumerate() {
        layout = layout.slice(axis, range.start, range.len(), 1)?;
    }
    Ok(x.view(layout)?)
}
