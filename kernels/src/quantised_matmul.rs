//! Y = X·Wᵀ with W in quantised blocks. See `quantised_matmul.cu`.

use bytemuck::{Pod, Zeroable};
use warpsmith_gguf::Kind;

use crate::Launch;
use crate::entry::{blocks, entries, module};

module!("quantised_matmul");

/// `THREADS` and `BM` = `BN` of the source.
const THREADS: u32 = 128;
const TILE: u32 = 64;
/// Columns of a block where X has one row, and where it has a few.
const COLUMNS: [u32; 2] = [16, 32];
/// Rows that a block takes where they are few.
const ROWS: u32 = 8;
/// The most rows that are few. The bits are those of tiles; up to here a tile would compute more rows that are not there than
/// W read once for each eight rows costs.
pub const FEW: u32 = 32;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct QuantisedMatmulArgs {
    y: u64,
    x: u64,
    w: u64,
    m: u32,
    n: u32,
    units: u32,
    unused: u32,
}

// In the order of `Kind::ALL`.
entries! {
    ROW: QuantisedMatmulArgs = "quantised_matmul_row_f32"
        | "quantised_matmul_row_f16"
        | "quantised_matmul_row_bf16"
        | "quantised_matmul_row_q4_0"
        | "quantised_matmul_row_q4_1"
        | "quantised_matmul_row_q5_0"
        | "quantised_matmul_row_q5_1"
        | "quantised_matmul_row_q8_0"
        | "quantised_matmul_row_q4_k"
        | "quantised_matmul_row_q6_k";
    FEW_ROWS: QuantisedMatmulArgs = "quantised_matmul_rows_f32"
        | "quantised_matmul_rows_f16"
        | "quantised_matmul_rows_bf16"
        | "quantised_matmul_rows_q4_0"
        | "quantised_matmul_rows_q4_1"
        | "quantised_matmul_rows_q5_0"
        | "quantised_matmul_rows_q5_1"
        | "quantised_matmul_rows_q8_0"
        | "quantised_matmul_rows_q4_k"
        | "quantised_matmul_rows_q6_k";
    TILES: QuantisedMatmulArgs = "quantised_matmul_tiles_f32"
        | "quantised_matmul_tiles_f16"
        | "quantised_matmul_tiles_bf16"
        | "quantised_matmul_tiles_q4_0"
        | "quantised_matmul_tiles_q4_1"
        | "quantised_matmul_tiles_q5_0"
        | "quantised_matmul_tiles_q5_1"
        | "quantised_matmul_tiles_q8_0"
        | "quantised_matmul_tiles_q4_k"
        | "quantised_matmul_tiles_q6_k";
}

/// A product with weights in blocks, of f32. All operands are gapless; W and Y start at multiples of 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct QuantisedMatmul {
    /// What the blocks are.
    pub kind: Kind,
    /// Y (M, N).
    pub y: u64,
    /// X (M, K).
    pub x: u64,
    /// Rows of blocks, N of them.
    pub w: u64,
    /// Rows of X.
    pub m: u32,
    /// Rows of W.
    pub n: u32,
    /// A multiple of 32 and of the length of a block, and not 0.
    pub k: u32,
}

/// The launch of Y = X·Wᵀ. A row has the same bits whatever M is.
pub fn quantised_matmul(p: &QuantisedMatmul) -> Launch {
    let args = QuantisedMatmulArgs { y: p.y, x: p.x, w: p.w, m: p.m, n: p.n, units: p.k / 32, unused: 0 };
    let (table, grid) = match p.m {
        0 | 1 => (&ROW, [p.n.div_ceil(COLUMNS[0]), p.m, 1]),
        2..=FEW => (&FEW_ROWS, [p.n.div_ceil(COLUMNS[1]), p.m.div_ceil(ROWS), 1]),
        _ => (&TILES, [blocks(u64::from(p.m.div_ceil(TILE)) * u64::from(p.n.div_ceil(TILE))), 1, 1]),
    };
    table[p.kind as usize].launch(grid, THREADS, &args)
}

/// Roundings of f32 that an element sees at most: those of its longest chain, and the sum of the eight.
pub fn roundings(k: usize) -> usize {
    k.div_ceil(256) * 32 + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_rows_choose_the_entry_and_the_grid() {
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
            let of = |m, n| {
                let p = QuantisedMatmul { kind, y: 0, x: 0, w: 0, m, n, k: 512 };
                let launch = quantised_matmul(&p);
                (launch.entry.name.to_owned(), launch.grid)
            };
            let name = kind.name().to_lowercase();
            assert_eq!(of(1, 33), (format!("quantised_matmul_row_{name}"), [3, 1, 1]));
            assert_eq!(of(2, 33), (format!("quantised_matmul_rows_{name}"), [2, 1, 1]));
            assert_eq!(of(32, 32), (format!("quantised_matmul_rows_{name}"), [1, 4, 1]));
            assert_eq!(of(33, 65), (format!("quantised_matmul_tiles_{name}"), [2, 1, 1]));
            assert!([of(0, 5), of(5, 0), of(100, 0)].iter().all(|(_, grid)| grid.contains(&0)));
        }
    }
}
