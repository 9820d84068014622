//! Copies and sums over strided layouts: whole inner runs at a time where the layout has them.

use half::{bf16, f16};

use super::{dispatch, for_rows};
use crate::{DType, Element, Error, Layout, Result, Tensor, with_dtype};

/// Copies `from`, whatever its layout, into the row-major `out`. Shapes and dtypes must be equal.
pub fn copy(from: &Tensor, out: &mut Tensor) -> Result<()> {
    if from.shape() != out.shape() || from.dtype() != out.dtype() {
        return Err(Error::internal("copy", "operands differ"));
    }
    let layout = *from.layout();
    with_dtype!(from.dtype(), T => gather(from.storage_data::<T>()?, &layout, out.data_mut::<T>()?));
    Ok(())
}

/// Writes the elements that `layout` names in `storage` into `out`, row-major.
pub fn gather<R: Copy + Send + Sync>(storage: &[R], layout: &Layout, out: &mut [R]) {
    if out.is_empty() {
        return;
    }
    if layout.is_contiguous() {
        let data = &storage[layout.offset()..layout.offset() + out.len()];
        return for_rows(out, 1, 1, |at, block| block.copy_from_slice(&data[at..at + block.len()]));
    }
    let row = layout.shape().last();
    let stride = layout.strides().last().copied().unwrap_or(1);
    for_rows(out, row, 1, |first, block| {
        for (i, to) in block.chunks_mut(row).enumerate() {
            let start = row_start(layout, first + i);
            if stride == 1 {
                to.copy_from_slice(&storage[start..start + row]);
            } else {
                for (j, value) in to.iter_mut().enumerate() {
                    *value = storage[start + j * stride];
                }
            }
        }
    });
}

/// Where row number `row` (all axes but the last, row-major) starts.
pub fn row_start(layout: &Layout, row: usize) -> usize {
    let rank = layout.shape().rank();
    let (mut at, mut left) = (layout.offset(), row);
    for axis in (0..rank.saturating_sub(1)).rev() {
        let size = layout.shape().dims()[axis];
        at += (left % size) * layout.strides()[axis];
        left /= size;
    }
    at
}

/// `out += from`, for floats; shapes and dtypes must be equal.
pub fn accumulate(out: &mut Tensor, from: &Tensor) -> Result<()> {
    let from = from.contiguous()?;
    match out.dtype() {
        DType::F32 => {
            let x = from.data::<f32>()?;
            for_rows(out.data_mut::<f32>()?, 1, 1, |at, y| {
                let x = &x[at..at + y.len()];
                dispatch(
                    #[inline(always)]
                    || {
                        for (y, x) in y.iter_mut().zip(x) {
                            *y += x;
                        }
                    },
                );
            });
        }
        DType::F64 => {
            out.data_mut::<f64>()?.iter_mut().zip(from.data::<f64>()?).for_each(|(y, x)| *y += x);
        }
        DType::BF16 => add_half::<bf16>(out, &from)?,
        DType::F16 => add_half::<f16>(out, &from)?,
        other => return Err(Error::dtype("accumulate", format!("{other} tensors have no gradient"))),
    }
    Ok(())
}

/// Adds in f32 and rounds once.
fn add_half<T: Element<Repr = T>>(out: &mut Tensor, from: &Tensor) -> Result<()> {
    let x = from.data::<T>()?;
    for_rows(out.data_mut::<T>()?, 1, 4, |at, y| {
        for (y, x) in y.iter_mut().zip(&x[at..]) {
            *y = T::from_f64((y.to_f64() as f32 + x.to_f64() as f32) as f64);
        }
    });
    Ok(())
}
