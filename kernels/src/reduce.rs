//! Sums along the last axis, and the largest or smallest element along any axis. See `reduce.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::rows::geometry;
use crate::{Float, Launch};

module!("reduce");

/// Elements of one sum: `SUM_CHUNK` of the source.
const CHUNK: u64 = 32_768;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumArgs {
    y: u64,
    x: u64,
    rows: u64,
    n: u64,
    chunks: u32,
    scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ExtremeArgs {
    y: u64,
    places: u64,
    x: u64,
    outer: u64,
    size: u64,
    inner: u64,
    smaller: u32,
    unused: u32,
}

float_entries! {
    SUM: SumArgs = "sum_rows";
    PARTIAL: SumArgs = "sum_rows_partial";
    TOTAL: SumArgs = "sum_rows_total";
    EXTREME_OF_ROWS: ExtremeArgs = "extreme_rows";
    EXTREME_OF_COLUMNS: ExtremeArgs = "extreme_columns";
}

/// y (rows) = scale·Σ x (rows, n), both gapless.
#[derive(Clone, Copy, Debug)]
pub struct SumRows {
    /// The dtype of x and y.
    pub dtype: Float,
    /// The output.
    pub y: u64,
    /// The input.
    pub x: u64,
    /// Room for [`workspace`] bytes; 0 if that is 0.
    pub workspace: u64,
    /// How many rows.
    pub rows: u64,
    /// Elements of a row.
    pub n: u64,
    /// What the sums are multiplied by.
    pub scale: f32,
}

fn chunks(n: u64) -> u64 {
    n.div_ceil(CHUNK).max(1)
}

/// Bytes that a sum of rows needs for the sums of its chunks, of both steps; 0 if rows are short.
pub fn workspace(rows: u64, n: u64) -> u64 {
    match chunks(n) {
        1 => 0,
        count => rows * (count + if chunks(count) == 1 { 0 } else { chunks(count) }) * 4,
    }
}

/// The launches of a sum of rows, in order: one, or two, or three beyond 2³⁰ elements.
pub fn sum(s: &SumRows) -> Vec<Launch> {
    let dtype = s.dtype as usize;
    let step = |table: &'static [crate::Entry; 3], dtype: usize, y, x, n, scale| {
        let params = SumArgs { y, x, rows: s.rows, n, chunks: blocks(chunks(n)), scale };
        let (grid, block) = geometry(s.rows * chunks(n), n.min(CHUNK));
        table[dtype].launch_in(grid, block, &params)
    };
    let count = chunks(s.n);
    if count == 1 {
        return vec![step(&SUM, dtype, s.y, s.x, s.n, s.scale)];
    }
    let mut launches = vec![step(&PARTIAL, dtype, s.workspace, s.x, s.n, 1.0)];
    if chunks(count) == 1 {
        launches.push(step(&TOTAL, dtype, s.y, s.workspace, count, s.scale));
        return launches;
    }
    let second = s.workspace + s.rows * count * 4;
    launches.push(step(&PARTIAL, Float::F32 as usize, second, s.workspace, count, 1.0));
    launches.push(step(&TOTAL, dtype, s.y, second, chunks(count), s.scale));
    launches
}

/// The largest or smallest element along the axis of gapless (outer, size, inner), and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Extreme {
    /// The dtype of x and y.
    pub dtype: Float,
    /// Whether the smallest is wanted.
    pub smallest: bool,
    /// The elements (outer, inner); 0 if they are not wanted.
    pub y: u64,
    /// Their places along the axis, i64 (outer, inner); 0 if they are not wanted.
    pub places: u64,
    /// The input.
    pub x: u64,
    /// The product of the sizes before the axis.
    pub outer: u64,
    /// The size of the axis, at least 1.
    pub size: u64,
    /// The product of the sizes after the axis.
    pub inner: u64,
}

/// The launch of a search.
pub fn extreme(e: &Extreme) -> Launch {
    let Extreme { y, places, x, outer, size, inner, .. } = *e;
    let params = ExtremeArgs { y, places, x, outer, size, inner, smaller: u32::from(e.smallest), unused: 0 };
    if inner == 1 {
        let (grid, block) = geometry(outer, size);
        return EXTREME_OF_ROWS[e.dtype as usize].launch_in(grid, block, &params);
    }
    let grid = blocks((outer * inner).div_ceil(128));
    EXTREME_OF_COLUMNS[e.dtype as usize].launch([grid, 1, 1], 128, &params)
}
