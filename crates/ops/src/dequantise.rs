//! y = the numbers that quantised blocks of a GGUF file stand for.
//!
//! Derivative: none; bytes have no gradient. Shapes: `(…, R)` of u8 → `(…, K)` of f32; R bytes are whole blocks of K numbers.
//! Numerics: those of [`Kind::dequantise`]: a product and a sum in f32, on every device.

use warpsmith_autograd::{
    Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, Values, apply_single,
};
use warpsmith_gguf::Kind;
use warpsmith_kernels::dequantise::{self as kernel, dequantise};
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{DType, Error, Result, Rng, Seed, Tensor, f16};

/// Blocks to numbers.
#[derive(Clone, Copy, Debug)]
pub struct Dequantise {
    /// What the blocks are.
    pub kind: Kind,
}

/// How many numbers a row of these bytes has.
///
/// # Errors
/// If they are no bytes, or a row is no whole blocks.
pub(crate) fn width(op: &'static str, kind: Kind, bytes: &Meta) -> Result<usize> {
    if bytes.dtype != DType::U8 {
        return Err(Error::dtype(op, format!("blocks are bytes, u8, not {}", bytes.dtype)));
    }
    let row = bytes.shape.last();
    match row.is_multiple_of(kind.block_bytes()) && bytes.shape.rank() > 0 {
        true => Ok(row / kind.block_bytes() * kind.block_len()),
        false => {
            let message =
                format!("rows of {row} bytes; a block of {} has {}", kind.name(), kind.block_bytes());
            Err(Error::shape(op, &[bytes.shape], message))
        }
    }
}

/// The oracle's bytes.
pub(crate) fn bytes(array: &Array) -> Vec<u8> {
    array.data.iter().map(|&byte| byte as u8).collect()
}

/// Blocks on a GPU as kernels take them: without gaps, from a multiple of 16 bytes on. Only a part of a tensor is copied.
pub(crate) fn aligned(blocks: &Tensor) -> Result<Tensor> {
    let blocks = blocks.contiguous()?;
    if blocks.device_address()?.is_multiple_of(16) { Ok(blocks) } else { blocks.copy() }
}

/// The oracle's weights.
pub(crate) fn numbers(kind: Kind, array: &Array) -> Result<Vec<f64>> {
    let bytes = bytes(array);
    let mut out = vec![0.0f32; bytes.len() / kind.block_bytes() * kind.block_len()];
    kind.dequantise(&bytes, &mut out).map_err(|e| Error::internal("dequantise", e.to_string()))?;
    Ok(out.into_iter().map(f64::from).collect())
}

/// Rows of `k` weights: random bytes, which mean something in every kind, but for the f16 scales, which are ordinary.
pub(crate) fn random_blocks(kind: Kind, rows: &[usize], k: usize) -> Input {
    let blocks = rows.iter().product::<usize>() * k / kind.block_len();
    let rng = Rng::new(Seed(u64::from(kind.number())));
    let random: Vec<f32> = rng.uniform(blocks * kind.block_bytes());
    let ordinary: Vec<f32> = rng.normal(blocks * 2);
    let mut bytes: Vec<u8> = random.into_iter().map(|u| (u * 256.0) as u8).collect();
    for (i, block) in bytes.chunks_mut(kind.block_bytes()).enumerate() {
        let [first, second] = [ordinary[2 * i], ordinary[2 * i + 1]];
        match kind {
            Kind::F32 => block.copy_from_slice(&first.to_le_bytes()),
            Kind::Bf16 => block.copy_from_slice(&first.to_le_bytes()[2..]),
            Kind::F16 => block.copy_from_slice(&f16::from_f32(first).to_le_bytes()),
            _ => {
                for (&at, scale) in kind.scale_places().iter().zip([first, second]) {
                    block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
            }
        }
    }
    let row = k / kind.block_len() * kind.block_bytes();
    Input::new(&[rows, &[row]].concat(), Values::Bytes(bytes))
}

impl Op for Dequantise {
    fn name(&self) -> &'static str {
        "dequantise"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let k = width(self.name(), self.kind, &x[0])?;
        Ok(vec![Meta::new(x[0].shape.with_dim(x[0].shape.rank() - 1, k)?, DType::F32)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data = numbers(self.kind, &x[0])?;
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let from = x[0].contiguous()?;
        let (bytes, row, k) = (from.data::<u8>()?, from.shape().last(), y[0].shape.last());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &from.device())?;
        for_rows(out.data_mut::<f32>()?, k, 4, |first, block| {
            let bytes = &bytes[first * row..][..block.len() / k * row];
            let done = self.kind.dequantise(bytes, block);
            debug_assert!(done.is_ok(), "`shape` has checked the sizes");
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (device, mut out) = (x[0].device(), Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?);
        if out.numel() > 0 {
            let blocks = aligned(&x[0])?;
            let (y, x, count) = (out.device_address_mut()?, blocks.device_address()?, out.numel() as u64);
            device.launch(&dequantise(&kernel::Dequantise { kind: self.kind, y, x, count }))?;
        }
        Ok(vec![out])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::ByDefinitionNot
    }

    fn cost(&self) -> Cost {
        Cost::new("M*R", "M*K*4", "2*M*K")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let row = x[0].shape.last();
        let k = row / self.kind.block_bytes() * self.kind.block_len();
        vec![("M", x[0].shape.rows()), ("R", row), ("K", k)]
    }

    /// The oracle reads blocks by the same formula.
    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

methods! {
    /// The numbers (…, K) that blocks, as bytes (…, R), stand for.
    ///
    /// # Errors
    /// If these are no bytes, or a row is no whole blocks.
    fn dequantise(&self, kind: Kind) -> Result<Tensor> {
        apply_single(Dequantise { kind }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "dequantise",
        summary: "the numbers that quantised blocks of a GGUF file stand for",
        samples: || {
            let sample = |kind: Kind, rows: &[usize], k| {
                Sample::new(Dequantise { kind }, [random_blocks(kind, rows, k)])
            };
            let mut samples = vec![sample(Kind::Q4_0, &[2, 3], 64)];
            samples.extend(Kind::ALL.map(|kind| sample(kind, &[3], 2 * kind.block_len())));
            samples.push(sample(Kind::Q8_0, &[0], 32));
            samples
        },
    }]
}
