//! Causal self attention, forward and backward.

use warpsmith::ops::attention::{Attention as Attend, AttentionBackward, Mask as Seen};
use warpsmith_kernels::Float;
use warpsmith_kernels::attention::{self, Attention, Gradients, Heads, Mask};

use super::super::case::{Call, Draw, Given};
use crate::cli::Failure;

type Made = Result<Call, Failure>;

const CAUSAL: Attend = Attend { scale: None, mask: Seen::Causal, dropout: None };

/// Where a gapless (B, T, H, D) lies.
fn heads(sizes: [usize; 4], pointer: u64) -> Heads {
    let [_, times, heads, width] = sizes.map(|size| size as i64);
    Heads { pointer, batch: times * heads * width, time: heads * width, head: width }
}

fn sizes(d: &Draw<'_>) -> [usize; 4] {
    [d.sizes[0], d.sizes[1], d.sizes[2], d.sizes[3]]
}

fn describe(sizes: [usize; 4], dtype: Float, [q, k, v, out]: [u64; 4], lse: u64) -> Attention {
    let [batch, times, count, width] = sizes.map(|size| size as u32);
    let at = |pointer| heads(sizes, pointer);
    Attention {
        dtype,
        batch,
        queries: times,
        keys: times,
        heads: count,
        kv_heads: count,
        width,
        q: at(q),
        k: at(k),
        v: at(v),
        out: at(out),
        lse,
        lengths: 0,
        scale: 1.0 / (width as f32).sqrt(),
        mask: Mask::Causal,
        dropout: None,
    }
}

fn three(d: &Draw<'_>) -> Result<Vec<Given>, Failure> {
    (0..3).map(|_| d.numbers(d.sizes, -1.0, 1.0)).collect()
}

/// Probabilities (and their gradients) of 16-bit attention are rounded before they meet the other factor.
fn with_rounded_probabilities(call: Call, float: Float) -> Call {
    Call { inner_roundings: if float == Float::F32 { 0.0 } else { 1.0 }, ..call }
}

fn too_wide() -> String {
    format!("heads are at most {} wide", attention::WIDEST)
}

pub fn forward(d: &Draw<'_>) -> Made {
    let (sizes, dtype) = (sizes(d), d.float);
    let call = Call::new(CAUSAL, three(d)?, move |at| {
        let call = describe(sizes, dtype, [at.x[0], at.x[1], at.x[2], at.y[0]], at.y[1]);
        Ok(vec![attention::forward(&call).ok_or_else(too_wide)?])
    });
    Ok(with_rounded_probabilities(call, dtype))
}

pub fn backward(d: &Draw<'_>) -> Made {
    let (sizes, dtype) = (sizes(d), d.float);
    let mut inputs = three(d)?;
    let made = d.outputs(&CAUSAL, &inputs.iter().collect::<Vec<_>>())?;
    inputs.insert(0, d.numbers(d.sizes, -1.0, 1.0)?);
    inputs.extend(made);
    let call = Call::new(AttentionBackward(CAUSAL), inputs, move |at| {
        let call = describe(sizes, dtype, [at.x[1], at.x[2], at.x[3], at.x[4]], at.x[5]);
        let [dout, dq, dk, dv] = [at.x[0], at.y[0], at.y[1], at.y[2]].map(|pointer| heads(sizes, pointer));
        let gradients = Gradients { dout, dq, dk, dv, delta: at.room };
        Ok(attention::backward(&call, &gradients).ok_or_else(too_wide)?.into())
    });
    let rows = sizes[0] * sizes[1] * sizes[2];
    Ok(with_rounded_probabilities(call, dtype).with_room(4 * rows as u64))
}
