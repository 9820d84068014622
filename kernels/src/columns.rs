//! Sums along an axis that is not the last. See `columns.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::rows::{COLUMN_THREADS, Chunks, ColumnsArgs, tiles};
use crate::{Float, Launch};

module!("columns");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TotalArgs {
    y: [u64; 2],
    x: u64,
    inner: u64,
    outer: u64,
    chunks: u32,
    sums: u32,
    scale: f32,
    unused: u32,
}

float_entries! {
    COLUMNS: ColumnsArgs = "sum_columns";
    PARTIAL: ColumnsArgs = "sum_columns_partial";
    TOTAL: TotalArgs = "sum_columns_total";
}

/// y (outer, inner) = scale·Σⱼ x (outer, size, inner), both gapless.
#[derive(Clone, Copy, Debug)]
pub struct SumColumns {
    /// The dtype of x and, but for [`sum_to_f32`], y.
    pub dtype: Float,
    /// The output.
    pub y: u64,
    /// The input.
    pub x: u64,
    /// Room for [`workspace`] bytes; 0 if that is 0.
    pub workspace: u64,
    /// The product of the sizes before the axis.
    pub outer: u64,
    /// The size of the axis.
    pub size: u64,
    /// The product of the sizes after the axis.
    pub inner: u64,
    /// What the sums are multiplied by.
    pub scale: f32,
}

/// Bytes that a sum of columns needs for the sums of its chunks; 0 if there is one chunk.
pub fn workspace(outer: u64, size: u64, inner: u64) -> u64 {
    match Chunks::of(size).count {
        1 => 0,
        count => outer * u64::from(count) * inner * 4,
    }
}

/// The launches of a sum of columns, in order.
pub fn sum(s: &SumColumns) -> Vec<Launch> {
    launches(s, s.dtype)
}

/// Bytes that [`sum_to_f32`] needs.
pub fn workspace_to_f32(outer: u64, size: u64, inner: u64) -> u64 {
    workspace(outer, size, inner).max(outer * inner * 4)
}

/// The same with y in f32, whatever x is.
pub fn sum_to_f32(s: &SumColumns) -> Vec<Launch> {
    launches(s, Float::F32)
}

fn launches(s: &SumColumns, out: Float) -> Vec<Launch> {
    let chunks = Chunks::of(s.size);
    let is_direct = chunks.count == 1 && s.dtype == out;
    let params = ColumnsArgs {
        y: if is_direct { s.y } else { s.workspace },
        x: [s.x, 0],
        statistics: [0; 2],
        size: s.size,
        inner: s.inner,
        chunk: chunks.rows,
        tiles: tiles(s.inner),
        scale: s.scale,
    };
    let grid = [blocks(s.outer * u64::from(tiles(s.inner))), chunks.count, 1];
    let table = if is_direct { &COLUMNS } else { &PARTIAL };
    let first = table[s.dtype as usize].launch(grid, COLUMN_THREADS, &params);
    if is_direct {
        return vec![first];
    }
    vec![first, total(out, &[s.y], s.workspace, [s.outer, chunks.count.into(), s.inner], s.scale)]
}

/// Adds up f32 (outer, chunks, sums, inner) into one output (outer, inner) per sum, at most two.
pub(crate) fn total(dtype: Float, y: &[u64], x: u64, shape: [u64; 3], scale: f32) -> Launch {
    let [outer, chunks, inner] = shape;
    let both = [y.first().copied().unwrap_or(0), y.get(1).copied().unwrap_or(0)];
    let sums = y.len() as u32;
    let params = TotalArgs { y: both, x, inner, outer, chunks: chunks as u32, sums, scale, unused: 0 };
    let grid = [blocks(outer * inner.div_ceil(32)), sums, 1];
    TOTAL[dtype as usize].launch(grid, COLUMN_THREADS, &params)
}
