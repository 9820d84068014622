//! Σ dout·out of every row.

use super::args::AttentionArgs;
use super::{Attention, THREADS};
use crate::Launch;
use crate::entry::{blocks, float_entries, module};

module!("attention_delta");

float_entries! {
    DELTA: AttentionArgs = "attention_delta";
}

/// One warp for each row.
pub(super) fn launch(a: &Attention, args: &AttentionArgs) -> Launch {
    let rows = u64::from(a.batch) * u64::from(a.heads) * u64::from(a.queries);
    DELTA[a.dtype as usize].launch([blocks(rows.div_ceil(u64::from(THREADS / 32))), 1, 1], THREADS, args)
}
