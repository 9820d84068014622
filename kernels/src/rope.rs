//! Turns heads by their positions. See `rope.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::index::IndexKind;
use crate::{Float, Launch};

module!("rope");

/// `ROPE_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RopeArgs {
    y: u64,
    x: u64,
    table: u64,
    positions: u64,
    bad: u64,
    limit: u64,
    pairs: u64,
    kind: u32,
    tokens: u32,
    heads: u32,
    half: u32,
    is_adjacent: u32,
    sign: f32,
}

float_entries! {
    ROPE: RopeArgs = "rope_fwd";
}

/// y of x, both gapless (B, T, H, D); the backward pass is the inverse on the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// The dtype of x and y.
    pub dtype: Float,
    /// The output; may be x.
    pub y: u64,
    /// The input.
    pub x: u64,
    /// f32 (positions, 2, D/2): of each position the cosines of the pairs' angles, then the sines. See [`table`].
    pub table: u64,
    /// How many positions the table has.
    pub limit: u64,
    /// Where each token stands; tokens 0, 1, 2, … stand at these positions of the table if `None`.
    pub positions: Option<Positions>,
    /// B.
    pub batch: u64,
    /// T.
    pub tokens: u32,
    /// H.
    pub heads: u32,
    /// D, even.
    pub width: u32,
    /// Whether pairs are (2i, 2i + 1) and not (i, i + D/2).
    pub adjacent: bool,
    /// Whether to turn back.
    pub inverse: bool,
}

/// An index that says where tokens stand.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Its address: T whole numbers.
    pub index: u64,
    /// How they are read.
    pub kind: IndexKind,
    /// Where the lowest place of a position that is not below the limit is written, as in
    /// [`Places`](crate::index::Places); 0 if nobody asks.
    pub bad: u64,
}

/// The launch of the turn.
pub fn rope(r: &Rope) -> Launch {
    let half = r.width / 2;
    let pairs = r.batch * u64::from(r.tokens) * u64::from(r.heads) * u64::from(half);
    let params = RopeArgs {
        y: r.y,
        x: r.x,
        table: r.table,
        positions: r.positions.map_or(0, |p| p.index),
        bad: r.positions.map_or(0, |p| p.bad),
        limit: r.limit,
        pairs,
        kind: r.positions.map_or(0, |p| p.kind as u32),
        tokens: r.tokens,
        heads: r.heads,
        half,
        is_adjacent: u32::from(r.adjacent),
        sign: if r.inverse { -1.0 } else { 1.0 },
    };
    ROPE[r.dtype as usize].launch([blocks(pairs.div_ceil(u64::from(THREADS))), 1, 1], THREADS, &params)
}

/// The table for these positions: angles position·θ^(-2i/D), their cosines and sines in f64, rounded once.
pub fn table(positions: usize, width: usize, theta: f64) -> Vec<f32> {
    let half = width / 2;
    let mut table = vec![0f32; positions * half * 2];
    for (position, row) in table.chunks_mut(half.max(1) * 2).enumerate() {
        for i in 0..half {
            let (sin, cos) = (position as f64 * theta.powf(-2.0 * i as f64 / width as f64)).sin_cos();
            (row[i], row[half + i]) = (cos as f32, sin as f32);
        }
    }
    table
}
