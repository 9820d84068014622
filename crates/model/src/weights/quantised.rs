//! A matrix that stays in the form in which a file has it.

use warpsmith_gguf::Kind;
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::cpu::matmul::Blocks;
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor, with_dtype};

/// Rows of K weights in quantised blocks or in floats of 16 bits, (N, K): they are multiplied as they are and never trained.
#[derive(Clone, Debug)]
pub struct Quantised {
    kind: Kind,
    /// u8 (N, R): R bytes are a row.
    bytes: Tensor,
}

impl Quantised {
    /// Rows of whole blocks, as u8 (N, R).
    ///
    /// # Errors
    /// If the bytes are no rows of blocks that [`Blocks::fits`].
    pub fn new(kind: Kind, bytes: Tensor) -> Result<Self> {
        let row = bytes.dims().get(1).copied().unwrap_or(0);
        let fits = row.is_multiple_of(kind.block_bytes())
            && Blocks::fits(kind, row / kind.block_bytes() * kind.block_len());
        match bytes.rank() == 2 && fits {
            true => Ok(Self { kind, bytes }),
            false => {
                let message = format!("rows of {row} bytes are no blocks of {}", kind.name());
                Err(Error::shape("quantised", &[*bytes.shape()], message))
            }
        }
    }

    /// The rows of a tensor (N, K) on the host, on `device`; none unless it holds bf16 or f16 and [`Blocks::fits`].
    pub(crate) fn of_floats(rows: &Tensor, device: &Device) -> Result<Option<Self>> {
        let kind = match rows.dtype() {
            DType::BF16 => Kind::Bf16,
            DType::F16 => Kind::F16,
            _ => return Ok(None),
        };
        let [n, k] = [rows.dims()[0], rows.dims()[1]];
        if !Blocks::fits(kind, k) {
            return Ok(None);
        }
        let rows = rows.contiguous()?;
        let bytes: &[u8] = with_dtype!(rows.dtype(), T => bytemuck::cast_slice(rows.data::<T>()?));
        let shape = Shape::new(&[n, Blocks::row_bytes(kind, k)])?;
        let mut held = Tensor::empty(shape, DType::U8, &Device::Cpu)?;
        super::fill::<u8>(&mut held, bytes)?;
        Self::new(kind, held.to_device(device)?).map(Some)
    }

    /// How the weights are stored.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// (N, K)
    pub fn shape(&self) -> (usize, usize) {
        let [n, row] = [self.bytes.dims()[0], self.bytes.dims()[1]];
        (n, row / self.kind.block_bytes() * self.kind.block_len())
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.numel()
    }

    /// x (…, K) → x·Wᵀ (…, N); weights of bf16 meet x in this precision.
    pub fn product(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        x.quantised_matmul(&self.bytes, self.kind, precision)
    }

    /// The same as products take it: bf16 on a GPU, if that is the precision.
    pub fn product_rounded(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        x.quantised_matmul_rounded(&self.bytes, self.kind, precision)
    }

    /// The rows of these ids (…) → (…, K)
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        self.bytes.embedding(ids)?.dequantise(self.kind)
    }

    /// All numbers, f32 (N, K).
    pub fn numbers(&self) -> Result<Tensor> {
        self.bytes.dequantise(self.kind)
    }

    /// Rows `first` to `first + count` as numbers, (count, K).
    pub fn slice(&self, first: usize, count: usize) -> Result<Tensor> {
        self.bytes.slice(0, first, count, 1)?.dequantise(self.kind)
    }

    /// Whether both are the same blocks.
    pub(crate) fn is_same(&self, other: &Self) -> Result<bool> {
        Ok(self.kind == other.kind && self.bytes.to_vec::<u8>()? == other.bytes.to_vec::<u8>()?)
    }
}
