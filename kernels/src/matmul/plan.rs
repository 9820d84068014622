//! Which tiles, and whether K is split: by shapes alone, so that results do not depend on the GPU.

use super::Matmul;
use crate::Float;
use crate::entry::blocks;

/// The part of C that one block computes. It does not change a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// 64 x 64: little to do, or no 16-bit operands.
    Small,
    /// 128 x 128: two blocks share a multiprocessor, and one multiplies while the other stores.
    Large,
    /// 128 x 256: the least traffic for a product, if there is enough of it.
    Wide,
}

impl Tile {
    /// All, the smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Wide];

    /// Rows of C: `BM` of the source.
    pub fn rows(self) -> u32 {
        if self == Self::Small { 64 } else { 128 }
    }

    /// Columns of C: `BN` of the source.
    pub fn cols(self) -> u32 {
        [64, 128, 256][self as usize]
    }

    /// `THREADS` of the source.
    pub fn threads(self) -> u32 {
        if self == Self::Wide { 256 } else { 128 }
    }

    /// STAGES·(BM + BN)·BK·2 of the source.
    pub fn shared_bytes(self) -> u32 {
        let stages = if self == Self::Wide { 4 } else { 3 };
        stages * (self.rows() + self.cols()) * 32 * 2
    }

    /// Blocks for one product of this many rows and columns.
    fn count(self, p: &Matmul) -> u64 {
        u64::from(p.m.div_ceil(self.rows())) * u64::from(p.n.div_ceil(self.cols()))
    }

    /// Clocks of one multiprocessor for 16 of K, and for a block's way in and out as far as no other block works meanwhile.
    ///
    /// Of 16 of K the slowest of three, on an H100: `mma` at 0.65 of the rate that its tensor cores can have, shared memory
    /// at 128 bytes a clock, and what comes from L2 at 39. Where a tile is large it is the first.
    fn clocks(self) -> (u64, u64) {
        [(105, 500), (210, 1000), (394, 3000)][self as usize]
    }
}

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What one block computes.
    pub tile: Tile,
    /// Into how many parts K is cut.
    pub splits: u32,
    /// The length of a part, a multiple of 32; the last may be shorter.
    pub k_per_split: u32,
    tiles: u64,
    partials: u64,
}

/// Multiprocessors of a large GPU.
const PROCESSORS: u64 = 132;

impl Plan {
    /// The plan that takes the least time by the clocks of its tiles and its waves.
    ///
    /// K is split where A lies transposed, with rows along M: so do weight gradients, small products over many tokens,
    /// none of whose rows is a token. Elsewhere a row alone must have the bits of the same row among others.
    pub fn of(p: &Matmul) -> Self {
        /// Less than this of K is not worth a pass over the partial sums.
        const SHORTEST: u32 = 512;
        /// Parts of K are no help when every multiprocessor has several blocks.
        const ENOUGH: u64 = 4 * PROCESSORS;
        let most = if p.a.row == 1 && p.a.col != 1 { (p.k / SHORTEST).max(1) } else { 1 };
        let is_large = p.dtype != Float::F32 && p.m > 64 && p.n > 64;
        let tiles = if is_large { &Tile::ALL[..] } else { &Tile::ALL[..1] };
        let plans = tiles.iter().flat_map(|&tile| {
            let whole = Self::new(p, tile, 1);
            let parts = u32::try_from(ENOUGH / whole.tiles.max(1)).unwrap_or(u32::MAX).clamp(1, most);
            (1..=parts).map(move |splits| Self::new(p, tile, splits))
        });
        // Of equals the first: small tiles, few parts.
        plans.min_by_key(Self::clocks).unwrap_or_else(|| Self::new(p, Tile::Small, 1))
    }

    /// With these tiles, or the largest below that there are (f32 has small ones only, and where A and B both lie
    /// transposed none is wide), and K in at most so many parts.
    pub fn new(p: &Matmul, tile: Tile, splits: u32) -> Self {
        let tile = match tile {
            _ if p.dtype == Float::F32 => Tile::Small,
            Tile::Wide if p.transposed() == Ok([true; 2]) => Tile::Large,
            tile => tile,
        };
        let batches: u64 = p.batch.iter().map(|&b| u64::from(b)).product();
        let k_per_split = p.k.div_ceil(32).div_ceil(splits.max(1)).max(1) * 32;
        Self {
            tile,
            splits: p.k.div_ceil(k_per_split).max(1),
            k_per_split,
            tiles: tile.count(p) * batches,
            partials: batches * u64::from(p.m) * u64::from(p.n),
        }
    }

    /// Bytes of device memory for the partial sums; 0 if K is not split.
    pub fn workspace_bytes(&self) -> u64 {
        if self.splits > 1 { u64::from(self.splits) * self.partials * 4 } else { 0 }
    }

    /// How many blocks the busiest multiprocessor of a large GPU gets.
    pub fn waves(&self) -> u64 {
        (self.tiles * u64::from(self.splits)).div_ceil(PROCESSORS)
    }

    /// About how long the product takes, to compare plans by: the busiest multiprocessor's blocks, and the way of partial
    /// sums to memory and back.
    fn clocks(&self) -> u64 {
        /// Of the whole GPU's memory, per clock.
        const BYTES: u64 = 1700;
        let (step, ends) = self.tile.clocks();
        self.waves() * (u64::from(self.k_per_split / 16) * step + ends) + 2 * self.workspace_bytes() / BYTES
    }

    /// Blocks of the product's launch.
    pub(super) fn blocks(&self) -> u32 {
        blocks(self.tiles.saturating_mul(self.splits.into()))
    }
}
