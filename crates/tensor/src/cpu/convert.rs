//! From any dtype and layout to any dtype, rounded to nearest even.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{dispatch, for_rows};
use crate::{DType, Element, Error, Result, Tensor};

/// Calls `$body` with the type alias `$T` bound to the Rust type of a dtype.
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::BF16 => {
                type $T = $crate::bf16;
                $body
            }
            $crate::DType::F16 => {
                type $T = $crate::f16;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}

/// The elements of `tensor` as f64, in row-major order.
pub fn to_f64(tensor: &Tensor) -> Result<Vec<f64>> {
    with_dtype!(tensor.dtype(), T => {
        let storage = tensor.storage_data::<T>()?;
        Ok(tensor.layout().positions().map(|at| T::from_repr(storage[at]).to_f64()).collect())
    })
}

/// Writes `values` into `out`, rounded to its dtype.
pub fn from_f64(values: &[f64], out: &mut Tensor) -> Result<()> {
    with_dtype!(out.dtype(), T => {
        for (to, &from) in out.data_mut::<T>()?.iter_mut().zip(values) {
            // By the trait's name: the method that f16 and bf16 have of their own drops low bits before it rounds.
            *to = <T as Element>::from_f64(from).to_repr();
        }
    });
    Ok(())
}

/// Writes `from` into `out`, rounded to the dtype of `out`. Shapes must be equal.
pub fn convert(from: &Tensor, out: &mut Tensor) -> Result<()> {
    if from.shape() != out.shape() {
        return Err(Error::internal("convert", "shapes differ"));
    }
    let from = from.contiguous()?;
    match (from.dtype(), out.dtype()) {
        (DType::F32, DType::BF16) => {
            let x = from.data::<f32>()?;
            for_rows(out.data_mut::<bf16>()?, 1, 1, |at, y| round_to_bf16(&x[at..at + y.len()], y));
        }
        (DType::BF16, DType::F32) => {
            let x = from.data::<bf16>()?;
            for_rows(out.data_mut::<f32>()?, 1, 1, |at, y| widen_bf16(&x[at..at + y.len()], y));
        }
        (DType::F32, DType::F16) => {
            let x = from.data::<f32>()?;
            for_rows(out.data_mut::<f16>()?, 1, 1, |at, y| y.convert_from_f32_slice(&x[at..at + y.len()]));
        }
        (DType::F16, DType::F32) => {
            let x = from.data::<f16>()?;
            for_rows(out.data_mut::<f32>()?, 1, 1, |at, y| x[at..at + y.len()].convert_to_f32_slice(y));
        }
        (DType::I64, DType::U32 | DType::U8) | (DType::U32, DType::U8) => narrow(&from, out)?,
        // Everything else goes through f64, which holds every value of the other dtypes (i64 up to 2⁵³) exactly.
        _ => from_f64(&to_f64(&from)?, out)?,
    }
    Ok(())
}

/// Integers to a narrower integer: an error, not a wrap, if one does not fit.
fn narrow(from: &Tensor, out: &mut Tensor) -> Result<()> {
    let limit = if out.dtype() == DType::U32 { u32::MAX as f64 } else { u8::MAX as f64 };
    let values = to_f64(from)?;
    match values.iter().find(|v| !(0.0..=limit).contains(*v)) {
        Some(value) => Err(Error::value("to_dtype", format!("{value} does not fit in {}", out.dtype()))),
        None => from_f64(&values, out),
    }
}

/// f32 to bf16, to nearest even; a NaN stays a NaN.
pub fn round_to_bf16(x: &[f32], y: &mut [bf16]) {
    let y: &mut [u16] = bytemuck::cast_slice_mut(y);
    dispatch(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                let bits = x.to_bits();
                let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
                let quiet = bits | 0x0040_0000;
                *y = ((if x.is_nan() { quiet } else { rounded }) >> 16) as u16;
            }
        },
    );
}

/// bf16 to f32, exactly.
pub fn widen_bf16(x: &[bf16], y: &mut [f32]) {
    let x: &[u16] = bytemuck::cast_slice(x);
    dispatch(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f32::from_bits((x as u32) << 16);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Shape};

    #[test]
    fn fast_conversions_agree_with_the_crate_half_on_every_bf16_and_its_neighbours() {
        let mut inputs = Vec::new();
        for bits in 0..=u16::MAX {
            let base = (bits as u32) << 16;
            inputs.extend([0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| f32::from_bits(base | low)));
        }
        let mut fast = vec![bf16::ZERO; inputs.len()];
        round_to_bf16(&inputs, &mut fast);
        for (x, y) in inputs.iter().zip(&fast) {
            let expected = bf16::from_f32(*x);
            assert!(y.to_bits() == expected.to_bits() || (x.is_nan() && y.is_nan()), "{x} {y}");
        }
        let mut wide = vec![0f32; fast.len()];
        widen_bf16(&fast, &mut wide);
        assert!(fast.iter().zip(&wide).all(|(a, b)| a.to_f32().to_bits() == b.to_bits()));
    }

    #[test]
    fn integers_that_do_not_fit_are_refused() {
        let x = Tensor::from_slice(&[3i64, -1], &[2], &Device::Cpu).unwrap();
        assert!(x.to_dtype(DType::U32).unwrap_err().to_string().contains("-1 does not fit in u32"));
        let y = Tensor::from_slice(&[3i64, 255], &[2], &Device::Cpu).unwrap();
        assert_eq!(y.to_dtype(DType::U8).unwrap().to_vec::<u8>().unwrap(), [3, 255]);
    }

    #[test]
    fn every_pair_of_dtypes_carries_small_integers() {
        let shape = Shape::new(&[2]).unwrap();
        for from in DType::ALL {
            for to in DType::ALL {
                let x = Tensor::from_f64(&[0.0, 1.0], shape, from, &Device::Cpu).unwrap();
                assert_eq!(x.to_dtype(to).unwrap().to_f64_vec().unwrap(), [0.0, 1.0], "{from} to {to}");
            }
        }
    }
}
