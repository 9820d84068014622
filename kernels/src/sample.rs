//! The next token of each row of logits. See `sample.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::{Float, Launch};

module!("sample");

/// `SAMPLE_THREADS` of the source.
const THREADS: u32 = 512;

/// The most tokens that there may be: sums of their weights stay below 2⁶³.
pub const MAX_TOKENS: u32 = 1 << 22;

/// What [`Sample::flags`] says of a row that has a token.
pub const FINE: u32 = 0;
/// The row holds a NaN; its token is the position of the first.
pub const HAS_NAN: u32 = 1;
/// No logit of the row is above -∞.
pub const ALL_EXCLUDED: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SampleArgs {
    tokens: u64,
    flags: u64,
    logits: u64,
    weights: u64,
    advance: u64,
    seed: u64,
    stream: u64,
    draw: u64,
    temperature: f64,
    top_p: f64,
    least: u64,
    n: u32,
    top_k: u32,
    is_greedy: u32,
    id_bits: u32,
}

float_entries! {
    SAMPLE: SampleArgs = "sample_row";
}

/// Weights are integers: the largest is this.
pub const LARGEST_WEIGHT: u64 = 1 << 40;

/// Gapless logits (rows, n) and how a token is drawn from each row.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The dtype of the logits.
    pub dtype: Float,
    /// The tokens, one u32 per row.
    pub tokens: u64,
    /// What is to be said of each row, one u32.
    pub flags: u64,
    /// The logits.
    pub logits: u64,
    /// Room for 8 bytes per logit; 0 if greedy.
    pub weights: u64,
    /// How many rows.
    pub rows: u32,
    /// V, at most [`MAX_TOKENS`].
    pub n: u32,
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the largest; 0: all.
    pub top_k: u32,
    /// Only the shortest run of the largest that holds this share, in (0, 1].
    pub top_p: f64,
    /// Only what weighs at least this, of [`LARGEST_WEIGHT`].
    pub least: u64,
    /// The seed of the random numbers.
    pub seed: u64,
    /// Row r draws from stream `stream` + r.
    pub stream: u64,
    /// The number of the draw within its stream.
    pub draw: u64,
    /// The address of one u64 that is added to it, for launches that are recorded; 0: none.
    pub advance: u64,
}

/// The launch.
pub fn sample(s: &Sample) -> Launch {
    let bits = 32 - s.n.saturating_sub(1).leading_zeros();
    let params = SampleArgs {
        tokens: s.tokens,
        flags: s.flags,
        logits: s.logits,
        weights: s.weights,
        advance: s.advance,
        seed: s.seed,
        stream: s.stream,
        draw: s.draw,
        temperature: s.temperature,
        top_p: s.top_p,
        least: s.least,
        n: s.n,
        top_k: s.top_k,
        is_greedy: u32::from(s.temperature == 0.0),
        id_bits: bits.next_multiple_of(2),
    };
    SAMPLE[s.dtype as usize].launch([s.rows, 1, 1], THREADS, &params)
}
