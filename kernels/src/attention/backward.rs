//! The gradients of 16-bit attention.

use super::args::AttentionArgs;
use super::{Attention, Shape, THREADS, by_dtype, grid};
use crate::entry::{half_entries, half_modules};
use crate::{Entry, Launch};

half_modules!("attention_backward");

half_entries! {
    KV_D64: AttentionArgs = "attention_bwd_kv_d64";
    KV_D128: AttentionArgs = "attention_bwd_kv_d128";
    KV_D256: AttentionArgs = "attention_bwd_kv_d256";
    Q_D64: AttentionArgs = "attention_bwd_q_d64";
    Q_D128: AttentionArgs = "attention_bwd_q_d128";
    Q_D256: AttentionArgs = "attention_bwd_q_d256";
}

/// The launches of dk and dv, and of dq.
pub(super) fn launches(a: &Attention, shape: Shape, args: &AttentionArgs) -> [Launch; 2] {
    /// `OWN` and `TILE` of the source.
    type Tiles = (&'static [Entry], u32, u32);
    // And the blocks per tile of keys.
    let (kv, q, parts): (Tiles, Tiles, u64) = match shape {
        Shape::D64 => ((&KV_D64, 64, 64), (&Q_D64, 128, 32), 1),
        Shape::D128 => ((&KV_D128, 64, 32), (&Q_D128, 128, 16), 1),
        Shape::D256 => ((&KV_D256, 64, 16), (&Q_D256, 64, 16), 2),
    };
    let launch = |(table, own, tile): Tiles, rows: u32, each: u64| {
        let mut launch = by_dtype(table, a.dtype).launch(grid(rows, own, each), THREADS, args);
        launch.shared_bytes = (2 * own + 4 * tile) * shape.width() * 2;
        launch
    };
    let batch = u64::from(a.batch);
    let kv_blocks = batch * u64::from(a.kv_heads) * parts;
    [launch(kv, a.keys, kv_blocks), launch(q, a.queries, batch * u64::from(a.heads))]
}
