//! How rows are divided among blocks, and sums of columns into chunks: functions of the shape alone.

use bytemuck::{Pod, Zeroable};

use crate::entry::blocks;

/// Grid and block of a kernel in which a group of threads owns a row of `n`: a warp per row, eight to a block, or a block
/// per row. See `tile/row.cuh`.
pub(crate) fn geometry(rows: u64, n: u64) -> ([u32; 3], [u32; 3]) {
    let block = match n {
        0..=512 => [32, 8, 1],
        513..=2048 => [128, 1, 1],
        _ => [512, 1, 1],
    };
    ([blocks(rows.div_ceil(u64::from(block[1]))), 1, 1], block)
}

/// Threads per block of the kernels of `tile/columns.cuh`.
pub(crate) const COLUMN_THREADS: u32 = 256;

/// `ColumnsArgs` of `tile/columns.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct ColumnsArgs {
    pub y: u64,
    pub x: [u64; 2],
    pub statistics: [u64; 2],
    pub size: u64,
    pub inner: u64,
    pub chunk: u64,
    pub tiles: u32,
    pub scale: f32,
}

/// How the rows of a sum of columns are cut: chunks of at least 64, at most 128 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Rows per chunk.
    pub rows: u64,
    /// How many chunks; 1 if there are no rows.
    pub count: u32,
}

impl Chunks {
    pub fn of(size: u64) -> Self {
        let rows = size.div_ceil(128).next_multiple_of(8).max(64);
        Self { rows, count: size.div_ceil(rows).max(1) as u32 }
    }
}

/// Columns per block of those kernels.
pub(crate) fn tiles(inner: u64) -> u32 {
    blocks(inner.div_ceil(128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_and_are_never_many() {
        for size in [0, 1, 63, 64, 65, 8192, 8193, 65_536, 1_000_003] {
            let Chunks { rows, count } = Chunks::of(size);
            assert!(count <= 128 && rows * u64::from(count) >= size, "{size}");
            assert!(rows * u64::from(count - 1) < size.max(1), "{size}");
        }
    }

    #[test]
    fn every_row_has_a_group() {
        assert_eq!(geometry(9, 512), ([2, 1, 1], [32, 8, 1]));
        assert_eq!(geometry(9, 513), ([9, 1, 1], [128, 1, 1]));
        assert_eq!(geometry(0, 4096), ([0, 1, 1], [512, 1, 1]));
    }
}
