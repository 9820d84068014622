//! The kernels' parameter: `AttentionArgs` of `tile/attention.cuh`.

use bytemuck::{Pod, Zeroable};

use super::{Attention, Gradients, Mask};

const CAUSAL: u32 = 1;
const TRAILING: u32 = 4;
const ALIGNED: u32 = 2;

/// An array (B, T, H, D): element (b, t, h, d) lies b·batch + t·time + h·head + d elements after the pointer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Heads {
    /// Its first element.
    pub pointer: u64,
    /// Elements from one batch row to the next.
    pub batch: i64,
    /// Elements from one time to the next.
    pub time: i64,
    /// Elements from one head to the next.
    pub head: i64,
}

impl Heads {
    /// Whether every run of D starts at a multiple of 16 bytes.
    fn is_aligned(&self, elements: i64) -> bool {
        self.pointer.is_multiple_of(16) && (self.batch | self.time | self.head) % elements == 0
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct AttentionArgs {
    q: Heads,
    k: Heads,
    v: Heads,
    out: Heads,
    dout: Heads,
    dq: Heads,
    dk: Heads,
    dv: Heads,
    lse: u64,
    delta: u64,
    lengths: u64,
    seed: u64,
    stream: u64,
    advance: u64,
    batch: u32,
    queries: u32,
    keys: u32,
    heads: u32,
    group: u32,
    width: u32,
    offset: i32,
    window: u32,
    scale: f32,
    drop: f32,
    keep: f32,
    flags: u32,
}

impl AttentionArgs {
    pub fn new(a: &Attention, gradients: Option<&Gradients>) -> Self {
        let none = Gradients {
            dout: Heads::default(),
            dq: Heads::default(),
            dk: Heads::default(),
            dv: Heads::default(),
            delta: 0,
        };
        let g = gradients.unwrap_or(&none);
        let per_access = 16 / a.dtype.size() as i64;
        let arrays = [a.q, a.k, a.v, a.out, g.dout, g.dq, g.dk, g.dv];
        let aligned = arrays.iter().all(|x| x.is_aligned(per_access));
        let mask = match a.mask {
            Mask::Full => 0,
            Mask::Causal | Mask::Window(_) => CAUSAL,
            Mask::Trailing(_) => TRAILING,
        };
        let drop = a.dropout.map_or(0.0, |d| d.p);
        Self {
            q: a.q,
            k: a.k,
            v: a.v,
            out: a.out,
            dout: g.dout,
            dq: g.dq,
            dk: g.dk,
            dv: g.dv,
            lse: a.lse,
            delta: g.delta,
            lengths: a.lengths,
            seed: a.dropout.map_or(0, |d| d.seed),
            stream: a.dropout.map_or(0, |d| d.stream),
            advance: a.dropout.map_or(0, |d| d.advance),
            batch: a.batch,
            queries: a.queries,
            keys: a.keys,
            heads: a.heads,
            group: a.heads / a.kv_heads.max(1),
            width: a.width,
            offset: a.keys as i32 - a.queries as i32,
            // More than there are keys is no limit, and must not overflow the kernel's sums.
            window: match a.mask {
                Mask::Window(keys) | Mask::Trailing(keys) => keys.min(a.keys.max(1)),
                Mask::Full | Mask::Causal => 0,
            },
            scale: a.scale,
            drop,
            keep: 1.0 / (1.0 - drop),
            flags: mask | if aligned { ALIGNED } else { 0 },
        }
    }
}
