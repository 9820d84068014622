//! Which tiles, and whether K is split: by shapes alone, so that results do not depend on the GPU.

use super::Matmul;
use crate::Float;

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows and columns of a tile of C. The tile does not change a bit.
    pub tile: u32,
    /// Into how many parts K is cut.
    pub splits: u32,
    /// The length of a part, a multiple of 32; the last may be shorter.
    pub k_per_split: u32,
    tiles: u64,
    partials: u64,
}

impl Plan {
    /// K is split where A lies transposed, with rows along M: so do weight gradients, small products over many tokens,
    /// none of whose rows is a token. Elsewhere a row alone must have the bits of the same row among others.
    pub fn of(p: &Matmul) -> Self {
        /// About two blocks for each multiprocessor of a large GPU.
        const BLOCKS: u64 = 264;
        /// Less than this of K is not worth a pass over the partial sums.
        const SHORTEST: u32 = 512;
        let batches: u64 = p.batch.iter().map(|&b| u64::from(b)).product();
        let tiles = |tile: u32| u64::from(p.m.div_ceil(tile)) * u64::from(p.n.div_ceil(tile)) * batches;
        let is_large = p.dtype != Float::F32 && p.m > 64 && p.n > 64;
        let most = if p.a.row == 1 && p.a.col != 1 { u64::from(p.k / SHORTEST).max(1) } else { 1 };
        let wanted = |tile| (BLOCKS / tiles(tile).max(1)).clamp(1, most);
        let tile = if is_large && tiles(128) * wanted(128) >= BLOCKS / 4 { 128 } else { 64 };
        Self::new(p, tile, wanted(tile) as u32)
    }

    /// With tiles of 64 or 128 rows and columns (f32 has 64 only) and K in at most so many parts.
    pub fn new(p: &Matmul, tile: u32, splits: u32) -> Self {
        let tile = if tile == 128 && p.dtype != Float::F32 { 128 } else { 64 };
        let batches: u64 = p.batch.iter().map(|&b| u64::from(b)).product();
        let k_per_split = p.k.div_ceil(32).div_ceil(splits.max(1)).max(1) * 32;
        Self {
            tile,
            splits: p.k.div_ceil(k_per_split).max(1),
            k_per_split,
            tiles: u64::from(p.m.div_ceil(tile)) * u64::from(p.n.div_ceil(tile)) * batches,
            partials: batches * u64::from(p.m) * u64::from(p.n),
        }
    }

    /// Bytes of device memory for the partial sums; 0 if K is not split.
    pub fn workspace_bytes(&self) -> u64 {
        if self.splits > 1 { u64::from(self.splits) * self.partials * 4 } else { 0 }
    }

    /// Blocks of the product's launch.
    pub(super) fn blocks(&self) -> u32 {
        (self.tiles * u64::from(self.splits)) as u32
    }
}
