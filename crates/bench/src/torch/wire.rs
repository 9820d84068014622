//! Tensors on their way to another process and back: row-major, little-endian.

use serde_json::{Value, json};
use warpsmith_autograd::Meta;
use warpsmith_tensor::{DType, Device, Element, Shape, Tensor, bf16, f16};

use crate::{Error, Result};

/// What is told of tensors in the line before them.
pub(super) fn announced(tensors: &[Tensor]) -> Vec<Value> {
    let one = |x: &Tensor| json!({"dims": x.dims(), "dtype": x.dtype().name(), "bytes": x.numel() * x.dtype().size()});
    tensors.iter().map(one).collect()
}

/// The elements of a tensor, row-major and little-endian.
pub(super) fn bytes_of(x: &Tensor) -> Result<Vec<u8>> {
    fn each<T: Element, const N: usize>(x: &Tensor, bytes: fn(T) -> [u8; N]) -> Result<Vec<u8>> {
        Ok(x.to_vec::<T>()?.into_iter().flat_map(bytes).collect())
    }
    match x.dtype() {
        DType::F32 => each(x, f32::to_le_bytes),
        DType::F16 => each(x, f16::to_le_bytes),
        DType::BF16 => each(x, bf16::to_le_bytes),
        DType::I64 => each(x, i64::to_le_bytes),
        other => Err(Error::Unsupported(format!("PyTorch is sent no {other}"))),
    }
}

/// A tensor of the host from its bytes.
pub(super) fn tensor_of(meta: &Meta, bytes: &[u8]) -> Result<Tensor> {
    fn each<T: Element, const N: usize>(
        bytes: &[u8],
        value: fn([u8; N]) -> T,
        shape: Shape,
    ) -> Result<Tensor> {
        let value = |chunk: &[u8]| value(std::array::from_fn(|i| chunk[i]));
        Ok(Tensor::from_vec(bytes.chunks_exact(N).map(value).collect(), shape.dims(), &Device::Cpu)?)
    }
    if bytes.len() != meta.shape.numel() * meta.dtype.size() {
        let expected = meta.shape.numel() * meta.dtype.size();
        return Err(Error::Failed(format!("PyTorch gave {} bytes, expected {expected}", bytes.len())));
    }
    match meta.dtype {
        DType::F32 => each(bytes, f32::from_le_bytes, meta.shape),
        DType::F16 => each(bytes, f16::from_le_bytes, meta.shape),
        DType::BF16 => each(bytes, bf16::from_le_bytes, meta.shape),
        DType::I64 => each(bytes, i64::from_le_bytes, meta.shape),
        other => Err(Error::Unsupported(format!("PyTorch gives no {other}"))),
    }
}
