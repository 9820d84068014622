//! What all launches of the process did, for a host that counts where it cannot take times.

use std::sync::Mutex;

use super::state::lock;
use crate::Counts;

/// Launches, and the sum of their counts.
static TALLY: Mutex<Option<(u64, Counts)>> = Mutex::new(None);

/// Adds a launch.
pub(crate) fn add(counts: &Counts) {
    let mut tally = lock(&TALLY);
    let (launches, total) = tally.get_or_insert_default();
    *launches += 1;
    *total += *counts;
}

/// The sums since the last call, in the order of `Counts` in `warpsmith-emulator-loader`, which reads them.
pub(crate) fn take() -> [u64; 12] {
    let (launches, c) = lock(&TALLY).take().unwrap_or_default();
    [
        launches,
        c.instructions,
        c.memory,
        c.global_read_bytes,
        c.global_write_bytes,
        c.global_read_sectors,
        c.global_write_sectors,
        c.shared_read_bytes,
        c.shared_write_bytes,
        c.shared_bank_conflicts,
        c.matrix_flops,
        c.barriers,
    ]
}
