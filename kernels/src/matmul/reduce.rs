//! The second pass where K is split.

use super::Matmul;
use super::args::MatmulArgs;
use crate::Launch;
use crate::entry::{blocks, float_entries, module};

module!("matmul_reduce");

float_entries! {
    REDUCE: MatmulArgs = "matmul_reduce";
}

/// Two columns of a row for each thread.
pub(super) fn launch(p: &Matmul, args: &MatmulArgs) -> Launch {
    /// `THREADS` of the source.
    const THREADS: u32 = 256;
    let batches: u64 = p.batch.iter().map(|&b| u64::from(b)).product();
    let pairs = batches * u64::from(p.m) * u64::from(p.n.div_ceil(2));
    REDUCE[p.dtype as usize].launch([blocks(pairs.div_ceil(THREADS.into())), 1, 1], THREADS, args)
}
