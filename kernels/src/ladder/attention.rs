//! The ladders of attention and of its gradient, in bf16 with heads of at most 64. See `ladder/attention/`.

use bytemuck::{Pod, Zeroable};

use super::{Count, Rung, claim, no_room, rung};
use crate::attention::{Attention, Gradients, Heads, Mask, backward, forward};
use crate::entry::blocks;
use crate::{Entry, Float, Launch};

/// Attention of (B, T, H, D) with itself in bf16, all arrays gapless.
#[derive(Clone, Copy, Debug)]
pub struct SelfAttention {
    /// The output.
    pub out: u64,
    /// The queries.
    pub q: u64,
    /// The keys.
    pub k: u64,
    /// The values.
    pub v: u64,
    /// Room for what a rung keeps between kernels: [`Rung::room`] bytes.
    pub room: u64,
    /// B.
    pub batch: u32,
    /// T.
    pub time: u32,
    /// H, of queries, keys and values.
    pub heads: u32,
    /// D.
    pub width: u32,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Whether query i sees keys j ≤ i alone.
    pub causal: bool,
}

/// `SelfAttentionArgs` of `ladder/attention/args.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SelfAttentionArgs {
    out: u64,
    q: u64,
    k: u64,
    v: u64,
    room: u64,
    batch: u32,
    time: u32,
    heads: u32,
    width: u32,
    scale: f32,
    causal: u32,
}

rung!(FIRST: SelfAttentionArgs = "ladder/attention/01_three_kernels" {
    SCORES = "ladder_attention_scores_bf16",
    PROBABILITIES = "ladder_attention_probabilities_bf16",
    VALUES = "ladder_attention_values_bf16"
});
rung!(SECOND: SelfAttentionArgs = "ladder/attention/02_fused" { FUSED = "ladder_attention_fused_bf16" });
rung!(THIRD: SelfAttentionArgs = "ladder/attention/03_tiled" { TILED = "ladder_attention_tiled_bf16" });
rung!(FOURTH: SelfAttentionArgs = "ladder/attention/04_tensor_cores" {
    TENSOR_CORES = "ladder_attention_tensor_cores_bf16"
});

rung!(BACKWARD: SelfAttentionGradientArgs = "ladder/attention/05_backward_three_kernels" {
    BACKWARD_SCORES = "ladder_attention_bwd_scores_bf16",
    BACKWARD_QUERIES = "ladder_attention_bwd_queries_bf16",
    BACKWARD_KEYS = "ladder_attention_bwd_keys_bf16"
});

pub(super) const ENTRIES: &[&Entry] = &[
    &SCORES,
    &PROBABILITIES,
    &VALUES,
    &FUSED,
    &TILED,
    &TENSOR_CORES,
    &BACKWARD_SCORES,
    &BACKWARD_QUERIES,
    &BACKWARD_KEYS,
];

/// The gradients of [`SelfAttention`], whose `out` is now an input.
#[derive(Clone, Copy, Debug)]
pub struct SelfAttentionGradient {
    /// The arguments of the forward pass.
    pub forward: SelfAttention,
    /// The logarithm of each row's softmax denominator, (B, H, T) f32, gapless.
    pub lse: u64,
    /// The gradient of the output.
    pub dout: u64,
    /// Where that of the queries goes.
    pub dq: u64,
    /// Where that of the keys goes.
    pub dk: u64,
    /// Where that of the values goes.
    pub dv: u64,
}

/// `SelfAttentionGradientArgs` of `ladder/attention/args.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SelfAttentionGradientArgs {
    dq: u64,
    dk: u64,
    dv: u64,
    dout: u64,
    q: u64,
    k: u64,
    v: u64,
    out: u64,
    lse: u64,
    room: u64,
    batch: u32,
    time: u32,
    heads: u32,
    width: u32,
    scale: f32,
    causal: u32,
}

/// From naive to shipping. The claims are for a causal head of 128 tokens and width 64.
pub static RUNGS: [Rung<SelfAttention>; 5] = [
    Rung { name: "three kernels", claims: &[], room: scores, launches: three_kernels },
    Rung {
        name: "fused",
        claims: &[claim(Count::BytesWritten, 8.0), claim(Count::BytesRead, 2.0)],
        room: no_room,
        launches: |a| {
            Ok(vec![launch(
                &FUSED,
                narrow(a)?,
                [a.time.div_ceil(4), a.batch.saturating_mul(a.heads), 1],
                [32, 4, 1],
            )])
        },
    },
    Rung {
        name: "tiled",
        claims: &[claim(Count::BytesRead, 32.0), claim(Count::Instructions, 2.0)],
        room: no_room,
        launches: |a| Ok(vec![launch(&TILED, narrow(a)?, tiles(a), [128, 1, 1])]),
    },
    Rung {
        name: "tensor cores",
        claims: &[claim(Count::Instructions, 6.0), claim(Count::SharedBytes, 8.0)],
        room: no_room,
        launches: |a| {
            let mut launch = launch(&TENSOR_CORES, narrow(a)?, tiles(a), [128, 1, 1]);
            // The queries, and two tiles of keys and of values: 64 x 64 each.
            launch.shared_bytes = 5 * 64 * 64 * 2;
            Ok(vec![launch])
        },
    },
    Rung {
        name: "shipping",
        claims: &[],
        room: log_sums,
        launches: |a| Ok(vec![forward(&shipping(a, a.room)).ok_or(WIDE)?]),
    },
];

/// The gradient: naive, and shipping. The claims are for a causal head of 128 tokens and width 64.
pub static BACKWARD_RUNGS: [Rung<SelfAttentionGradient>; 2] = [
    Rung {
        name: "three kernels",
        claims: &[],
        room: |g| 2 * scores(&g.forward),
        launches: |g| Ok(backward_three_kernels(g)),
    },
    Rung {
        name: "shipping",
        claims: &[
            claim(Count::BytesWritten, 3.0),
            claim(Count::BytesRead, 32.0),
            claim(Count::Instructions, 8.0),
        ],
        room: |g| log_sums(&g.forward),
        launches: |g| Ok(backward(&shipping(&g.forward, g.lse), &gradients(g)).ok_or(WIDE)?.to_vec()),
    },
];

const WIDE: &str = "heads are at most 256 wide";
const NARROW: &str = "this ladder's heads are at most 64 wide";

fn narrow(a: &SelfAttention) -> Result<&SelfAttention, &'static str> {
    (a.width <= 64).then_some(a).ok_or(NARROW)
}

/// Blocks of 64 queries.
fn tiles(a: &SelfAttention) -> [u32; 3] {
    [a.time.div_ceil(64), a.batch * a.heads, 1]
}

/// Bytes of a number for each query and head.
fn log_sums(a: &SelfAttention) -> u64 {
    4 * u64::from(a.batch) * u64::from(a.heads) * u64::from(a.time)
}

/// Bytes of a number for each query, key and head.
fn scores(a: &SelfAttention) -> u64 {
    log_sums(a) * u64::from(a.time)
}

fn three_kernels(a: &SelfAttention) -> Result<Vec<Launch>, &'static str> {
    let (rows, heads) = (a.time.div_ceil(8), a.batch.saturating_mul(a.heads));
    let all = u64::from(heads) * u64::from(a.time);
    Ok(vec![
        launch(&SCORES, a, [a.time.div_ceil(32), rows, heads], [32, 8, 1]),
        launch(&PROBABILITIES, a, [blocks(all.div_ceil(8)), 1, 1], [32, 8, 1]),
        launch(&VALUES, a, [a.width.div_ceil(32), rows, heads], [32, 8, 1]),
    ])
}

fn launch(entry: &'static Entry, a: &SelfAttention, grid: [u32; 3], block: [u32; 3]) -> Launch {
    let SelfAttention { out, q, k, v, room, batch, time, heads, width, scale, causal } = *a;
    let causal = u32::from(causal);
    let args = SelfAttentionArgs { out, q, k, v, room, batch, time, heads, width, scale, causal };
    entry.launch_in(grid, block, &args)
}

fn backward_three_kernels(g: &SelfAttentionGradient) -> Vec<Launch> {
    let SelfAttentionGradient { forward, lse, dout, dq, dk, dv } = *g;
    let SelfAttention { out, q, k, v, room, batch, time, heads, width, scale, causal } = forward;
    let causal = u32::from(causal);
    let args = SelfAttentionGradientArgs {
        dq,
        dk,
        dv,
        dout,
        q,
        k,
        v,
        out,
        lse,
        room,
        batch,
        time,
        heads,
        width,
        scale,
        causal,
    };
    let (rows, all) = (time.div_ceil(8), batch * heads);
    [(&BACKWARD_SCORES, time), (&BACKWARD_QUERIES, width), (&BACKWARD_KEYS, width)]
        .map(|(entry, columns)| entry.launch_in([columns.div_ceil(32), rows, all], [32, 8, 1], &args))
        .into()
}

fn gapless(a: &SelfAttention, pointer: u64) -> Heads {
    let (time, head) = (i64::from(a.heads) * i64::from(a.width), i64::from(a.width));
    Heads { pointer, batch: time * i64::from(a.time), time, head }
}

fn gradients(g: &SelfAttentionGradient) -> Gradients {
    let [dout, dq, dk, dv] = [g.dout, g.dq, g.dk, g.dv].map(|pointer| gapless(&g.forward, pointer));
    Gradients { dout, dq, dk, dv, delta: g.forward.room }
}

fn shipping(a: &SelfAttention, lse: u64) -> Attention {
    Attention {
        dtype: Float::Bf16,
        batch: a.batch,
        queries: a.time,
        keys: a.time,
        heads: a.heads,
        kv_heads: a.heads,
        width: a.width,
        q: gapless(a, a.q),
        k: gapless(a, a.k),
        v: gapless(a, a.v),
        out: gapless(a, a.out),
        lse,
        lengths: 0,
        scale: a.scale,
        mask: if a.causal { Mask::Causal } else { Mask::Full },
        dropout: None,
    }
}
