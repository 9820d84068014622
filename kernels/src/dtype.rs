//! Every element type that a kernel may meet, and how many bytes it has.

/// The dtype of a tensor on the device. f64 is the oracle's and stays on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit unsigned integer.
    U8,
    /// Truth value, one byte.
    Bool,
}

impl Dtype {
    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 | Self::Bool => 1,
        }
    }

    /// The place of an entry in tables by element size: 8, 16, 32, 64 bits.
    pub(crate) const fn by_size(self) -> usize {
        self.size().trailing_zeros() as usize
    }
}
