//! The ladder of C = A·B in bf16. See `ladder/matmul/`.

use bytemuck::{Pod, Zeroable};

use super::{Count, Rung, claim, no_room, rung};
use crate::matmul::{Matmul, Matrix, matmul};
use crate::{Entry, Float, Launch};

/// C (M, N) = A (M, K)·B (K, N) in bf16, all gapless.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The output.
    pub c: u64,
    /// The left operand.
    pub a: u64,
    /// The right operand.
    pub b: u64,
    /// Rows of A and C.
    pub m: u32,
    /// Columns of B and C.
    pub n: u32,
    /// Columns of A, rows of B.
    pub k: u32,
}

/// `ProductArgs` of `ladder/matmul/args.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ProductArgs {
    c: u64,
    a: u64,
    b: u64,
    m: u32,
    n: u32,
    k: u32,
    unused: u32,
}

rung!(FIRST: ProductArgs = "ladder/matmul/01_naive" { NAIVE = "ladder_matmul_naive_bf16" });
rung!(SECOND: ProductArgs = "ladder/matmul/02_coalesced" { COALESCED = "ladder_matmul_coalesced_bf16" });
rung!(THIRD: ProductArgs = "ladder/matmul/03_shared_tile" { SHARED_TILE = "ladder_matmul_shared_tile_bf16" });
rung!(FOURTH: ProductArgs = "ladder/matmul/04_register_tile" { REGISTER_TILE = "ladder_matmul_register_tile_bf16" });
rung!(FIFTH: ProductArgs = "ladder/matmul/05_vectorised" { VECTORISED = "ladder_matmul_vectorised_bf16" });
rung!(SIXTH: ProductArgs = "ladder/matmul/06_tensor_cores" { TENSOR_CORES = "ladder_matmul_tensor_cores_bf16" });
rung!(SEVENTH: ProductArgs = "ladder/matmul/07_swizzled_pipeline" { SWIZZLED_PIPELINE = "ladder_matmul_swizzled_pipeline_bf16" });

pub(super) const ENTRIES: &[&Entry] =
    &[&NAIVE, &COALESCED, &SHARED_TILE, &REGISTER_TILE, &VECTORISED, &TENSOR_CORES, &SWIZZLED_PIPELINE];

/// From naive to shipping. The claims are for one tile of 128 x 128 with K = 32, where the way in and out of the loop is long;
/// for the larger K of practice they are the loop's, and larger.
pub static RUNGS: [Rung<Product>; 8] = [
    Rung {
        name: "naive",
        claims: &[],
        room: no_room,
        launches: |p| Ok(vec![launch(&NAIVE, p, tiles(p.m, 32, p.n, 8), [32, 8, 1])]),
    },
    Rung {
        name: "coalesced",
        claims: &[claim(Count::SectorsRead, 11.0), claim(Count::SectorsWritten, 16.0)],
        room: no_room,
        launches: |p| Ok(vec![launch(&COALESCED, p, tiles(p.n, 32, p.m, 8), [32, 8, 1])]),
    },
    Rung {
        name: "shared tile",
        claims: &[claim(Count::BytesRead, 32.0)],
        room: no_room,
        launches: |p| Ok(vec![launch(&SHARED_TILE, p, tiles(p.n, 32, p.m, 32), [32, 32, 1])]),
    },
    Rung {
        name: "register tile",
        claims: &[
            claim(Count::BytesRead, 4.0),
            claim(Count::SharedBytes, 7.0),
            claim(Count::Instructions, 2.0),
        ],
        room: no_room,
        launches: |p| Ok(vec![launch(&REGISTER_TILE, p, tiles(p.n, 128, p.m, 128), [256, 1, 1])]),
    },
    Rung {
        name: "vectorised, two buffers",
        claims: &[claim(Count::MemoryInstructions, 3.5), claim(Count::Barriers, 2.0)],
        room: no_room,
        launches: |p| Ok(vec![launch(&VECTORISED, whole_runs(p)?, tiles(p.n, 128, p.m, 128), [256, 1, 1])]),
    },
    Rung {
        name: "tensor cores",
        claims: &[claim(Count::Instructions, 3.5)],
        room: no_room,
        launches: |p| Ok(vec![launch(&TENSOR_CORES, whole_runs(p)?, tiles(p.n, 128, p.m, 128), [256, 1, 1])]),
    },
    Rung {
        name: "swizzled pipeline",
        claims: &[claim(Count::BankConflicts, f64::INFINITY)],
        room: no_room,
        launches: |p| {
            let mut launch = launch(&SWIZZLED_PIPELINE, p, tiles(p.n, 128, p.m, 128), [256, 1, 1]);
            // STAGES·(BM + BN)·BK·2 of the source.
            launch.shared_bytes = 3 * (128 + 128) * 32 * 2;
            Ok(vec![launch])
        },
    },
    Rung {
        name: "shipping: whole sectors",
        claims: &[claim(Count::SectorsWritten, 2.0)],
        room: no_room,
        launches: |p| matmul(&shipping(p), 0).map_err(|_| "gapless rows"),
    },
];

/// Tiles in x and y.
fn tiles(x: u32, wide: u32, y: u32, high: u32) -> [u32; 3] {
    [x.div_ceil(wide), y.div_ceil(high), 1]
}

fn launch(entry: &'static Entry, p: &Product, grid: [u32; 3], block: [u32; 3]) -> Launch {
    let Product { c, a, b, m, n, k } = *p;
    entry.launch_in(grid, block, &ProductArgs { c, a, b, m, n, k, unused: 0 })
}

fn whole_runs(p: &Product) -> Result<&Product, &'static str> {
    let aligned = (p.k | p.n).is_multiple_of(8) && (p.a | p.b | p.c).is_multiple_of(16);
    aligned.then_some(p).ok_or("this rung moves 16 bytes at a time: K and N have to be multiples of 8")
}

fn shipping(p: &Product) -> Matmul {
    let matrix = |pointer, row: u32| Matrix { pointer, row: row.into(), col: 1, batch: [0; 3] };
    Matmul::plain(Float::Bf16, [p.m, p.n, p.k], matrix(p.a, p.k), matrix(p.b, p.n), p.c)
}
