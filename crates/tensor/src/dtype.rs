//! Element types: their names, sizes, and the Rust types that stand for them.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};

/// The type of a tensor's elements.
///
/// `F64` is the oracle's type: on the CPU an op given f64 runs its plain reference loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 64-bit float: the oracle's type.
    F64,
    /// 32-bit float: the default.
    F32,
    /// bfloat16: 8 exponent bits, 7 of mantissa.
    BF16,
    /// IEEE half: 5 exponent bits, 10 of mantissa.
    F16,
    /// 64-bit signed integer: targets and indices.
    I64,
    /// 32-bit unsigned integer: token ids.
    U32,
    /// 8-bit unsigned integer.
    U8,
    /// Truth values, one byte each, 0 or 1: masks.
    Bool,
}

impl DType {
    /// Every dtype, in the order of the enum.
    pub const ALL: [Self; 8] =
        [Self::F64, Self::F32, Self::BF16, Self::F16, Self::I64, Self::U32, Self::U8, Self::Bool];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::BF16 | Self::F16 => 2,
            Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether the dtype holds real numbers, and so can carry a gradient.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::BF16 | Self::F16)
    }

    /// Whether the dtype is one of the two 16-bit floats.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::BF16 | Self::F16)
    }

    /// Whether the dtype can index: i64, u32 or u8.
    pub const fn is_index(self) -> bool {
        matches!(self, Self::I64 | Self::U32 | Self::U8)
    }

    /// The unit roundoff u = 2⁻ᵖ of a float dtype (half the gap between 1 and the next number); 0 for integers.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F64 => f64::EPSILON / 2.0,
            Self::F32 => f32::EPSILON as f64 / 2.0,
            Self::BF16 => 1.0 / 256.0,
            Self::F16 => 1.0 / 2048.0,
            _ => 0.0,
        }
    }

    /// The short name: `f32`, `bf16`, `i64` …
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::BF16 => "bf16",
            Self::F16 => "f16",
            Self::I64 => "i64",
            Self::U32 => "u32",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can hold. Sealed: one implementation per [`DType`].
pub trait Element: Copy + Send + Sync + 'static + sealed::Sealed + fmt::Debug + PartialEq {
    /// The dtype it stands for.
    const DTYPE: DType;
    /// How it lies in memory; differs from `Self` only for `bool`, which lies as a byte.
    type Repr: Pod + Send + Sync;
    /// To memory.
    fn to_repr(self) -> Self::Repr;
    /// From memory; any byte but 0 reads as `true`.
    fn from_repr(repr: Self::Repr) -> Self;
    /// To f64: exact for all but i64 beyond 2⁵³.
    fn to_f64(self) -> f64;
    /// From f64, rounded to nearest even (integers: truncated, saturating).
    fn from_f64(value: f64) -> Self;
}

macro_rules! element {
    ($type:ty, $dtype:ident, $to:expr, $from:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
            type Repr = $type;
            #[inline(always)]
            fn to_repr(self) -> $type {
                self
            }
            #[inline(always)]
            fn from_repr(repr: $type) -> $type {
                repr
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> $type {
                $from(value)
            }
        }
    };
}

element!(f64, F64, |x| x, |v| v);
element!(f32, F32, |x| x as f64, |v| v as f32);
element!(bf16, BF16, bf16::to_f64, |v| bf16::from_f32(to_odd(v)));
element!(f16, F16, f16::to_f64, |v| f16::from_f32(to_odd(v)));
element!(i64, I64, |x| x as f64, |v| v as i64);
element!(u32, U32, |x| x as f64, |v| v as u32);
element!(u8, U8, |x| x as f64, |v| v as u8);

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;
    type Repr = u8;
    #[inline(always)]
    fn to_repr(self) -> u8 {
        self as u8
    }
    #[inline(always)]
    fn from_repr(repr: u8) -> bool {
        repr != 0
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as u8 as f64
    }
    #[inline(always)]
    fn from_f64(value: f64) -> bool {
        value != 0.0
    }
}

/// To f32 with the sticky bit kept (round to odd), so that rounding on to 16 bits is one correct rounding and not two.
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let exact = nearest as f64 == value || value.is_nan();
    if exact {
        return nearest;
    }
    // Toward zero, then set the last bit: the value is not representable, so it lies strictly between two floats.
    let toward_zero =
        if (nearest as f64).abs() > value.abs() { nearest.to_bits() - 1 } else { nearest.to_bits() };
    f32::from_bits(toward_zero | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bf16_and_every_midpoint_rounds_to_nearest_even() {
        for bits in 0..0x7f80u16 {
            let (low, high) = (bf16::from_bits(bits).to_f64(), bf16::from_bits(bits + 1).to_f64());
            assert_eq!(bf16::from_f64(low).to_bits(), bits);
            if !high.is_finite() {
                continue;
            }
            let middle = (low + high) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(<bf16 as Element>::from_f64(middle).to_bits(), even, "{middle}");
            let tiny = (high - low) * 1e-12;
            assert_eq!(<bf16 as Element>::from_f64(middle - tiny).to_bits(), bits);
            assert_eq!(<bf16 as Element>::from_f64(middle + tiny).to_bits(), bits + 1);
            assert_eq!(<bf16 as Element>::from_f64(-middle - tiny).to_bits(), (bits + 1) | 0x8000);
        }
    }

    #[test]
    fn names_are_unique_and_sizes_match_the_rust_types() {
        let names: std::collections::HashSet<_> = DType::ALL.iter().map(|d| d.name()).collect();
        assert_eq!(names.len(), DType::ALL.len());
        assert_eq!(DType::BF16.size(), size_of::<bf16>());
        assert_eq!(DType::I64.size(), size_of::<i64>());
    }
}
