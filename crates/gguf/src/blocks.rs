//! What the bytes of a block mean. The order of the low and high halves, and of the 6-bit scales, is ggml's.
//!
//! Source: the structs `block_q*` of ggml's `ggml-common.h`, and the layout notes of the package `gguf`.

use half::{bf16, f16};

use crate::{Kind, Result};

/// 32 weights as whole numbers: weight i is (`stored[i]` - offset)·`scales[i / 16]`, and `least` more in kinds that have a
/// minimum. The offset is [`Kind::offset`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// The numbers, without a sign.
    pub stored: [u8; 32],
    /// Of the first 16 weights and of the others.
    pub scales: [f32; 2],
    /// The minimum; zero in kinds that have none.
    pub least: f32,
}

impl Unit {
    /// |scale·whole| + |minimum| of each weight: what is rounded of it may be larger than the weight. `offset` is
    /// [`Kind::offset`].
    pub fn sizes(&self, offset: i32) -> [f64; 32] {
        std::array::from_fn(|j| {
            let whole = f64::from(i32::from(self.stored[j]) - offset);
            (whole * f64::from(self.scales[j / 16])).abs() + f64::from(self.least.abs())
        })
    }
}

impl Kind {
    /// [`Unit::sizes`] of all weights of whole blocks; of floats their absolute values.
    ///
    /// # Errors
    /// If the bytes are no whole blocks.
    pub fn sizes(self, bytes: &[u8]) -> Result<Vec<f64>> {
        let Some(offset) = self.offset() else {
            let mut numbers = vec![0.0; bytes.len() / self.block_bytes()];
            self.dequantise(bytes, &mut numbers)?;
            return Ok(numbers.into_iter().map(|number| f64::from(number.abs())).collect());
        };
        self.whole_blocks(bytes, bytes.len() / self.block_bytes() * self.block_len())?;
        let units = bytes
            .chunks_exact(self.block_bytes())
            .flat_map(|block| (0..self.block_len() / 32).map(move |i| self.unit(block, i)));
        Ok(units.flat_map(|unit| unit.sizes(offset)).collect())
    }

    /// Where a block of whole numbers has its f16 scales and minima; nothing else in it can be NaN or infinite.
    pub const fn scale_places(self) -> &'static [usize] {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => &[],
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => &[0],
            Self::Q4_1 | Self::Q5_1 | Self::Q4K => &[0, 2],
            Self::Q6K => &[208],
        }
    }

    /// What is stored for a weight of zero, in kinds whose weights are whole numbers with a scale.
    pub const fn offset(self) -> Option<i32> {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => None,
            Self::Q4_1 | Self::Q5_1 | Self::Q4K => Some(0),
            Self::Q4_0 => Some(8),
            Self::Q5_0 => Some(16),
            Self::Q6K => Some(32),
            // A byte with a sign, its highest bit turned round.
            Self::Q8_0 => Some(128),
        }
    }

    /// Whether weights have a minimum beside their scale.
    pub const fn has_least(self) -> bool {
        matches!(self, Self::Q4_1 | Self::Q5_1 | Self::Q4K)
    }

    /// Whether each 16 weights of a unit have a scale of their own.
    pub const fn has_half_scales(self) -> bool {
        matches!(self, Self::Q6K)
    }

    /// The 32 weights number `i` of a block, in kinds of whole numbers; of others nothing but zeros.
    ///
    /// # Panics
    /// If the block is shorter than [`Kind::block_bytes`], or `i` is beyond it.
    #[inline]
    pub fn unit(self, block: &[u8], i: usize) -> Unit {
        let scale = || half_at(block, 0);
        let same = |stored, scale, least| Unit { stored, scales: [scale; 2], least };
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => same([0; 32], 0.0, 0.0),
            Self::Q4_0 => same(four_bits(&block[2..18], None), scale(), 0.0),
            Self::Q4_1 => same(four_bits(&block[4..20], None), scale(), half_at(block, 2)),
            Self::Q5_0 => same(four_bits(&block[6..22], Some(&block[2..6])), scale(), 0.0),
            Self::Q5_1 => same(four_bits(&block[8..24], Some(&block[4..8])), scale(), half_at(block, 2)),
            Self::Q8_0 => same(std::array::from_fn(|j| block[2 + j] ^ 0x80), scale(), 0.0),
            Self::Q4K => q4_k(block, i),
            Self::Q6K => q6_k(block, i),
        }
    }
}

/// Reads one block: its bytes, and as many places as it has numbers.
pub(crate) fn read(kind: Kind, bytes: &[u8], out: &mut [f32]) {
    match (kind, kind.offset()) {
        (_, Some(offset)) => {
            for (i, out) in out.chunks_exact_mut(32).enumerate() {
                let Unit { stored, scales, least } = kind.unit(bytes, i);
                for (j, out) in out.iter_mut().enumerate() {
                    *out = (i32::from(stored[j]) - offset) as f32 * scales[j / 16];
                    if kind.has_least() {
                        *out += least;
                    }
                }
            }
        }
        (Kind::F16, None) => out[0] = half_at(bytes, 0),
        (Kind::Bf16, None) => out[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        (_, None) => out[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// 32 numbers: the low halves of 16 bytes, then the high ones, with a fifth bit each from `fifth` if there is one.
#[inline]
fn four_bits(nibbles: &[u8], fifth: Option<&[u8]>) -> [u8; 32] {
    std::array::from_fn(|i| {
        let low = nibbles[i % 16] >> (4 * (i / 16)) & 15;
        let high = fifth.map_or(0, |bits| bits[i / 8] >> (i % 8) & 1);
        low | high << 4
    })
}

/// (scale, minimum) number `i` of eight, of 6 bits each, in 12 bytes.
fn six_bits(packed: &[u8], i: usize) -> (u8, u8) {
    match i {
        0..4 => (packed[i] & 63, packed[i + 4] & 63),
        _ => (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4),
    }
}

#[inline]
fn q4_k(block: &[u8], i: usize) -> Unit {
    let (scale, least) = six_bits(&block[4..16], i);
    // Two units share 32 bytes, one in the low halves and one in the high.
    let (bytes, shift) = (&block[16 + i / 2 * 32..][..32], i % 2 * 4);
    Unit {
        stored: std::array::from_fn(|j| bytes[j] >> shift & 15),
        scales: [half_at(block, 0) * f32::from(scale); 2],
        least: -(half_at(block, 2) * f32::from(least)),
    }
}

#[inline]
fn q6_k(block: &[u8], i: usize) -> Unit {
    // In each half of the block four units take the low halves of 64 bytes, then the high ones; two bits more come from 32
    // bytes, a pair for each unit.
    let (part, row) = (i / 4, i % 4);
    let low = &block[part * 64 + row % 2 * 32..][..32];
    let high = &block[128 + part * 32..][..32];
    let scale = |half: usize| half_at(block, 208) * f32::from(block[192 + 2 * i + half] as i8);
    Unit {
        stored: std::array::from_fn(|j| low[j] >> (row / 2 * 4) & 15 | (high[j] >> (2 * row) & 3) << 4),
        scales: [scale(0), scale(1)],
        least: 0.0,
    }
}
