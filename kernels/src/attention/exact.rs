//! Attention in f32.

use super::args::AttentionArgs;
use super::{Shape, THREADS, grid};
use crate::Launch;
use crate::entry::{entries, module};

module!("attention_f32");

entries! {
    D64: AttentionArgs = "attention_fwd_d64_f32" | "attention_bwd_kv_d64_f32" | "attention_bwd_q_d64_f32";
    D128: AttentionArgs = "attention_fwd_d128_f32" | "attention_bwd_kv_d128_f32" | "attention_bwd_q_d128_f32";
    D256: AttentionArgs = "attention_fwd_d256_f32" | "attention_bwd_kv_d256_f32" | "attention_bwd_q_d256_f32";
}

/// Which of the tables' entries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    /// out and lse.
    Forward,
    /// dk and dv.
    Keys,
    /// dq.
    Queries,
}

/// A pass over `rows` queries or keys of so many heads in all.
pub(super) fn launch(pass: Pass, shape: Shape, rows: u32, heads: u64, args: &AttentionArgs) -> Launch {
    /// `ROWS` and `TILE` of the source.
    const ROWS: u32 = 16;
    const TILE: u32 = 32;
    let table = match shape {
        Shape::D64 => &D64,
        Shape::D128 => &D128,
        Shape::D256 => &D256,
    };
    let mut launch = table[pass as usize].launch(grid(rows, ROWS, heads), THREADS, args);
    launch.shared_bytes = (2 * ROWS + 2 * TILE) * (shape.width() + 1) * 4;
    launch
}
