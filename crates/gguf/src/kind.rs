//! The kinds of tensors: how many numbers make a block, and how many bytes it has.

use crate::{Error, Result, blocks};

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// 32 numbers of 4 bits and a scale.
    Q4_0,
    /// 32 numbers of 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 numbers of 5 bits and a scale.
    Q5_0,
    /// 32 numbers of 5 bits, a scale and a minimum.
    Q5_1,
    /// 32 numbers of 8 bits and a scale.
    Q8_0,
    /// 256 numbers of 4 bits; each 32 have a scale and a minimum of 6 bits.
    Q4K,
    /// 256 numbers of 6 bits; each 16 have a scale of 8 bits.
    Q6K,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q6K,
    ];

    /// The number that stands for the kind in a file.
    pub const fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q6K => 14,
            Self::Bf16 => 30,
        }
    }

    /// The kind of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name, as llama.cpp writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// How many numbers a block has.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// How many bytes a block has.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The numbers of these bytes.
    ///
    /// # Errors
    /// If the bytes are no whole blocks, or `out` has not as many places as they have numbers.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) -> Result<()> {
        self.whole_blocks(bytes, out.len())?;
        let blocks = bytes.chunks_exact(self.block_bytes()).zip(out.chunks_exact_mut(self.block_len()));
        blocks.for_each(|(bytes, out)| blocks::read(self, bytes, out));
        Ok(())
    }

    /// An error unless these bytes are whole blocks of so many numbers.
    pub(crate) fn whole_blocks(self, bytes: &[u8], numbers: usize) -> Result<()> {
        let count = bytes.len() / self.block_bytes();
        match bytes.len().is_multiple_of(self.block_bytes()) && numbers == count * self.block_len() {
            true => Ok(()),
            false => {
                let what = format!("{} bytes for {numbers} numbers", bytes.len());
                Err(Error::Blocks { kind: self.name(), what })
            }
        }
    }
}
