//! Host memory for tensors: blocks kept by size and handed out again, so that a training step in steady state
//! asks the operating system for nothing and touches no fresh page.
//!
//! A block is a whole number of 64-byte lines: every tensor starts on a cache line and on an AVX-512 boundary.
//! Recycled blocks hold whatever they held before (in debug builds: bytes of 0xFF, which read as NaN), so an op
//! that forgets to write an element is seen. All of it is safe Rust: memory is zeroed once, when fresh.

mod block;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

pub(crate) use block::Block;

use crate::{Error, Kind, Result, injection};

/// One cache line.
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub struct Line([u8; 64]);

/// Bytes per [`Line`].
pub const LINE: usize = size_of::<Line>();

/// Blocks above this size go back to the system when freed while more than [`KEEP`] bytes already wait.
const KEEP: u64 = 4 << 30;

struct Pool {
    free: Mutex<HashMap<usize, Vec<Block>>>,
    live: AtomicU64,
    peak: AtomicU64,
    waiting: AtomicU64,
    fresh: AtomicU64,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        free: Mutex::new(HashMap::new()),
        live: AtomicU64::new(0),
        peak: AtomicU64::new(0),
        waiting: AtomicU64::new(0),
        fresh: AtomicU64::new(0),
    })
}

/// What the arena holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In tensors now.
    pub live: u64,
    /// The most that was ever in tensors at once, since the last [`reset_peak`].
    pub peak: u64,
    /// Kept for reuse.
    pub waiting: u64,
    /// Blocks (not bytes) ever asked of the system: it stands still in steady state.
    pub fresh_blocks: u64,
}

/// What the arena holds now.
pub fn usage() -> Usage {
    let pool = pool();
    Usage {
        live: pool.live.load(Ordering::Relaxed),
        peak: pool.peak.load(Ordering::Relaxed),
        waiting: pool.waiting.load(Ordering::Relaxed),
        fresh_blocks: pool.fresh.load(Ordering::Relaxed),
    }
}

/// Starts measuring the peak anew from what is live now.
pub fn reset_peak() {
    let pool = pool();
    pool.peak.store(pool.live.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Gives all waiting blocks back to the system.
pub fn trim() {
    let pool = pool();
    pool.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    pool.waiting.store(0, Ordering::Relaxed);
}

/// Sizes are rounded up to a sixteenth of the next power of two: at most 12.5 % is wasted, and nearby sizes share blocks.
fn size_class(lines: usize) -> usize {
    let step = (lines.next_power_of_two() / 16).max(1);
    lines.div_ceil(step) * step
}

/// A block of at least `bytes` bytes; zeroed if `zeroed`, else with any contents.
pub(crate) fn take(bytes: usize, zeroed: bool) -> Result<Block> {
    let lines = size_class(bytes.div_ceil(LINE));
    let pool = pool();
    let size = (lines * LINE) as u64;
    // Nothing can always be had.
    if lines > 0 && injection::fails_now() {
        return Err(out_of_memory(lines));
    }
    let recycled =
        pool.free.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&lines).and_then(Vec::pop);
    let block = match recycled {
        Some(mut block) => {
            pool.waiting.fetch_sub(size, Ordering::Relaxed);
            if zeroed {
                block.fill(Line([0; 64]));
            } else if cfg!(debug_assertions) {
                block.fill(Line([0xff; 64]));
            }
            block
        }
        None => fresh(lines, zeroed)?,
    };
    let live = pool.live.fetch_add(size, Ordering::Relaxed) + size;
    pool.peak.fetch_max(live, Ordering::Relaxed);
    Ok(block)
}

fn fresh(lines: usize, zeroed: bool) -> Result<Block> {
    let mut block = Block::fresh(lines).ok_or_else(|| out_of_memory(lines))?;
    pool().fresh.fetch_add(1, Ordering::Relaxed);
    if cfg!(debug_assertions) && !zeroed {
        block.fill(Line([0xff; 64]));
    }
    Ok(block)
}

fn out_of_memory(lines: usize) -> Error {
    Error::new(Kind::Memory, "allocate", format!("{} MiB could not be had", (lines * LINE).div_ceil(1 << 20)))
        .hint("use a smaller batch_size, block_size or model")
}

/// Takes a block back.
pub(crate) fn give(block: Block) {
    let pool = pool();
    let size = (block.len() * LINE) as u64;
    pool.live.fetch_sub(size, Ordering::Relaxed);
    if block.is_empty() || pool.waiting.load(Ordering::Relaxed) + size > KEEP {
        return;
    }
    pool.waiting.fetch_add(size, Ordering::Relaxed);
    pool.free.lock().unwrap_or_else(PoisonError::into_inner).entry(block.len()).or_default().push(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_little_and_hold_what_was_asked() {
        for lines in 1..5000 {
            let class = size_class(lines);
            assert!(class >= lines && class as f64 <= (lines as f64 * 1.126).max(lines as f64 + 1.0));
            assert_eq!(size_class(class), class);
        }
        assert_eq!(size_class(0), 0);
    }

    #[test]
    fn a_request_beyond_memory_is_an_error() {
        let error = take(1 << 60, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Memory);
    }
}
