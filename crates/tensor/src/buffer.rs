//! The storage of a tensor on the host: a typed view over a recycled, cache-line-aligned block.

use crate::arena::{self, Block};
use crate::{DType, Element, Result};

/// `len` elements of one dtype in host memory, aligned to 64 bytes; goes back to the arena when dropped.
pub struct CpuBuffer {
    block: Block,
    dtype: DType,
    len: usize,
}

impl CpuBuffer {
    /// A buffer whose contents are whatever the memory held before.
    pub fn recycled(dtype: DType, len: usize) -> Result<Self> {
        Ok(Self { block: arena::take(len * dtype.size(), false)?, dtype, len })
    }

    /// A buffer of zeros.
    pub fn zeros(dtype: DType, len: usize) -> Result<Self> {
        Ok(Self { block: arena::take(len * dtype.size(), true)?, dtype, len })
    }

    /// The dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes of the elements.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.block)[..self.len * self.dtype.size()]
    }

    /// All bytes of the elements, to write them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.block)[..self.len * self.dtype.size()]
    }

    /// The elements, if `T` is their type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T::Repr]> {
        (T::DTYPE == self.dtype).then(|| &bytemuck::cast_slice(&self.block)[..self.len])
    }

    /// The elements to write, if `T` is their type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T::Repr]> {
        (T::DTYPE == self.dtype).then(|| &mut bytemuck::cast_slice_mut(&mut self.block)[..self.len])
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        arena::give(std::mem::take(&mut self.block));
    }
}
