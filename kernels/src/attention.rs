//! Attention, forward and backward. See `attention_forward.cu`, `attention_backward.cu`, `attention_f32.cu`.

pub(crate) mod args;
pub(crate) mod backward;
pub(crate) mod delta;
pub(crate) mod exact;
#[cfg(test)]
mod tests;

use crate::entry::{blocks, half_entries, half_modules};
use crate::{Entry, Float, Launch};
use args::AttentionArgs;
pub use args::Heads;

half_modules!("attention_forward");

half_entries! {
    D64: AttentionArgs = "attention_fwd_d64";
    D128: AttentionArgs = "attention_fwd_d128";
    D256: AttentionArgs = "attention_fwd_d256";
}

/// The widest head.
pub const WIDEST: u32 = 256;

/// Which keys a query sees, besides those that do not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    #[default]
    Full,
    /// Query i sees keys j ≤ i + Tk - Tq.
    Causal,
    /// As [`Mask::Causal`], and of those the last so many; not 0.
    Window(u32),
    /// The last so many of the keys that there are: for one query, in `decode` alone; not 0.
    Trailing(u32),
}

/// Dropout of probabilities: number ((b·H + h)·Tq + i)·Tk + j of the stream decides about that of (b, h, i, j).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The share that becomes 0, in [0, 1).
    pub p: f32,
    /// The seed.
    pub seed: u64,
    /// The stream.
    pub stream: u64,
    /// The address of one u64, for launches that are recorded: the stream is so many times 2³² later. 0: none.
    pub advance: u64,
}

/// Attention of q, out (B, Tq, H, D) with k, v (B, Tk, Hkv, D); lse (B, H, Tq) in f32, gapless.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// The dtype of all but lse.
    pub dtype: Float,
    /// B.
    pub batch: u32,
    /// Tq.
    pub queries: u32,
    /// Tk.
    pub keys: u32,
    /// H, a multiple of Hkv.
    pub heads: u32,
    /// Hkv.
    pub kv_heads: u32,
    /// D, at most [`WIDEST`].
    pub width: u32,
    /// The queries.
    pub q: Heads,
    /// The keys.
    pub k: Heads,
    /// The values.
    pub v: Heads,
    /// The output.
    pub out: Heads,
    /// The logarithm of each row's softmax denominator.
    pub lse: u64,
    /// (B,) i64: how many keys each batch row has; 0 for all.
    pub lengths: u64,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Dropout of probabilities.
    pub dropout: Option<Dropout>,
}

impl Attention {
    fn is_trailing(&self) -> bool {
        matches!(self.mask, Mask::Trailing(_))
    }
}

/// The gradients of [`Attention`], whose `out` and `lse` are now inputs.
#[derive(Clone, Copy, Debug)]
pub struct Gradients {
    /// The gradient of out.
    pub dout: Heads,
    /// Where that of q goes.
    pub dq: Heads,
    /// Where that of k goes.
    pub dk: Heads,
    /// Where that of v goes.
    pub dv: Heads,
    /// Workspace: (B, H, Tq) f32.
    pub delta: u64,
}

/// The launch of the forward pass.
///
/// A head wider than [`WIDEST`] and [`Mask::Trailing`] have no kernel here; then this is `None`.
pub fn forward(a: &Attention) -> Option<Launch> {
    let args = AttentionArgs::new(a, None);
    let shape = Shape::of(a).filter(|_| !a.is_trailing())?;
    let rows = u64::from(a.batch) * u64::from(a.heads);
    if a.dtype == Float::F32 {
        return Some(exact::launch(exact::Pass::Forward, shape, a.queries, rows, &args));
    }
    // `BM` and `BN` of the source.
    let (table, queries, keys): (&'static [Entry], u32, u32) = match shape {
        Shape::D64 => (&D64, 128, 64),
        Shape::D128 => (&D128, 128, 48),
        Shape::D256 => (&D256, 64, 16),
    };
    let mut launch = by_dtype(table, a.dtype).launch(grid(a.queries, queries, rows), THREADS, &args);
    launch.shared_bytes = (queries + 4 * keys) * shape.width() * 2;
    Some(launch)
}

/// The launches of the backward pass, in order: delta, dk and dv, dq.
///
/// A head wider than [`WIDEST`] and [`Mask::Trailing`] have no kernel; then this is `None`.
pub fn backward(a: &Attention, gradients: &Gradients) -> Option<[Launch; 3]> {
    let args = AttentionArgs::new(a, Some(gradients));
    let shape = Shape::of(a).filter(|_| !a.is_trailing())?;
    let heads = |heads: u32| u64::from(a.batch) * u64::from(heads);
    let [kv, q] = match a.dtype {
        Float::F32 => [
            exact::launch(exact::Pass::Keys, shape, a.keys, heads(a.kv_heads), &args),
            exact::launch(exact::Pass::Queries, shape, a.queries, heads(a.heads), &args),
        ],
        _ => backward::launches(a, shape, &args),
    };
    Some([delta::launch(a, &args), kv, q])
}

/// `THREADS` of the sources.
pub(crate) const THREADS: u32 = 128;

/// A block for each `rows` of so many, times `each`.
pub(crate) fn grid(count: u32, rows: u32, each: u64) -> [u32; 3] {
    [blocks(u64::from(count.div_ceil(rows)).saturating_mul(each)), 1, 1]
}

/// The width that a kernel is built for: narrower heads are filled up with zeros in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    D64,
    D128,
    D256,
}

impl Shape {
    pub(crate) fn of(a: &Attention) -> Option<Self> {
        match a.width {
            0..=64 => Some(Self::D64),
            65..=128 => Some(Self::D128),
            129..=WIDEST => Some(Self::D256),
            _ => None,
        }
    }

    fn width(self) -> u32 {
        match self {
            Self::D64 => 64,
            Self::D128 => 128,
            Self::D256 => 256,
        }
    }
}

/// The entry of a table of two.
fn by_dtype(table: &'static [Entry], dtype: Float) -> &'static Entry {
    &table[usize::from(dtype == Float::Bf16)]
}
