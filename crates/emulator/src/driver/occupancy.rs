//! Occupancy: how many blocks of a kernel a multiprocessor of compute capability 8.0 holds at once.
//!
//! A warp takes registers in units of 256, from the quarter of the multiprocessor that it runs on; a block takes shared
//! memory in units of 128 bytes with 1 KiB that the system keeps (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").

use std::sync::atomic::Ordering;

use super::abi::Out;
use super::code::Code;
use super::device::{
    BLOCK_THREADS, MULTIPROCESSOR_BLOCKS, MULTIPROCESSOR_THREADS, MULTIPROCESSORS, REGISTERS,
    SHARED_MULTIPROCESSOR_BYTES, SHARED_OPT_IN_BYTES, SHARED_RESERVED_BYTES,
};
use super::failure::Outcome;
use super::function::Function;
use super::state::driver;

const WARP: u32 = 32;
/// Quarters of a multiprocessor, among which the warps are dealt out.
const QUARTERS: u32 = 4;
const REGISTERS_UNIT: u32 = 256;
const SHARED_UNIT: u64 = 128;

/// A C function that says how much dynamic shared memory a block of so many threads takes.
pub(crate) type SharedOfBlock = Option<unsafe extern "C" fn(i32) -> usize>;

/// Blocks of `threads` threads and `dynamic` bytes of dynamic shared memory that fit one multiprocessor.
fn blocks(function: &Function, threads: u32, dynamic: u64) -> u32 {
    if threads == 0 || threads > function.max_threads() {
        return 0;
    }
    let allowed = u64::from(function.dynamic_bytes.load(Ordering::Relaxed));
    let fixed = u64::from(function.entry().shared_bytes);
    if dynamic > allowed || dynamic + fixed > u64::from(SHARED_OPT_IN_BYTES) {
        return 0;
    }
    let warps = threads.div_ceil(WARP);
    let by_threads = MULTIPROCESSOR_THREADS / (warps * WARP);
    let of_warp = (function.registers() * WARP).next_multiple_of(REGISTERS_UNIT);
    if of_warp * warps.next_multiple_of(QUARTERS) > REGISTERS {
        return 0;
    }
    let by_registers = REGISTERS / of_warp / QUARTERS * QUARTERS / warps;
    let shared = (fixed + dynamic + u64::from(SHARED_RESERVED_BYTES)).next_multiple_of(SHARED_UNIT);
    let by_shared = (u64::from(SHARED_MULTIPROCESSOR_BYTES) / shared) as u32;
    by_threads.min(by_registers).min(by_shared).min(MULTIPROCESSOR_BLOCKS)
}

fn checked_threads(threads: i32) -> Outcome<u32> {
    let checked = u32::try_from(threads).ok().filter(|threads| (1..=BLOCK_THREADS).contains(threads));
    checked.ok_or_else(|| {
        Code::INVALID_VALUE.says(format!("a block has 1 to {BLOCK_THREADS} threads, not {threads}"))
    })
}

/// `cuOccupancyMaxActiveBlocksPerMultiprocessor`.
pub(crate) fn max_blocks(count: Out<i32>, function: usize, threads: i32, dynamic: usize) -> Outcome {
    let function = driver().function(function)?;
    count.set(blocks(&function, checked_threads(threads)?, dynamic as u64) as i32, "the count")
}

/// `cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags`; the flags only concern caching.
pub(crate) fn max_blocks_with_flags(
    count: Out<i32>,
    function: usize,
    threads: i32,
    dynamic: usize,
    flags: u32,
) -> Outcome {
    checked_flags(flags)?;
    max_blocks(count, function, threads, dynamic)
}

fn checked_flags(flags: u32) -> Outcome {
    if flags > 1 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of an occupancy")));
    }
    Ok(())
}

/// `cuOccupancyMaxPotentialBlockSize`: the block with the most threads at once, and the grid that fills the device.
pub(crate) fn best_block(
    grid: Out<i32>,
    block: Out<i32>,
    function: usize,
    shared_of_block: SharedOfBlock,
    dynamic: usize,
    limit: i32,
) -> Outcome {
    let function = driver().function(function)?;
    let most = match u32::try_from(limit) {
        Ok(limit) if limit > 0 => limit.min(function.max_threads()),
        _ => function.max_threads(),
    };
    let (mut best, mut best_blocks) = (0, 0);
    for threads in (1..=most.div_ceil(WARP)).rev().map(|warps| (warps * WARP).min(most)) {
        let dynamic = match shared_of_block {
            // SAFETY: the caller vouches that its function may be called with any size of a block.
            Some(shared_of_block) => unsafe { shared_of_block(threads as i32) },
            None => dynamic,
        };
        let fitting = blocks(&function, threads, dynamic as u64);
        if fitting * threads > best_blocks * best {
            (best, best_blocks) = (threads, fitting);
        }
    }
    if best == 0 {
        let name = &function.entry().name;
        let sentence = format!("no block of {name} fits a multiprocessor with that much shared memory");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    grid.set((best_blocks * MULTIPROCESSORS) as i32, "the size of the grid")?;
    block.set(best as i32, "the size of the block")
}

/// `cuOccupancyMaxPotentialBlockSizeWithFlags`.
pub(crate) fn best_block_with_flags(
    grid: Out<i32>,
    block: Out<i32>,
    function: usize,
    shared_of_block: SharedOfBlock,
    dynamic: usize,
    limit: i32,
    flags: u32,
) -> Outcome {
    checked_flags(flags)?;
    best_block(grid, block, function, shared_of_block, dynamic, limit)
}

/// `cuOccupancyAvailableDynamicSMemPerBlock`.
pub(crate) fn available_shared(bytes: Out<usize>, function: usize, wanted: i32, threads: i32) -> Outcome {
    let function = driver().function(function)?;
    let threads = checked_threads(threads)?;
    let wanted = u32::try_from(wanted).ok().filter(|&wanted| wanted > 0);
    let wanted = wanted.ok_or_else(|| Code::INVALID_VALUE.says("at least one block must be asked for"))?;
    let fixed = function.entry().shared_bytes + SHARED_RESERVED_BYTES;
    let share = SHARED_MULTIPROCESSOR_BYTES / wanted / SHARED_UNIT as u32 * SHARED_UNIT as u32;
    if share < fixed || blocks(&function, threads, 0) < wanted {
        let name = &function.entry().name;
        let sentence = format!("{wanted} blocks of {threads} threads of {name} do not fit a multiprocessor");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    let opt_in = SHARED_OPT_IN_BYTES - function.entry().shared_bytes;
    bytes.set((share - fixed).min(opt_in) as usize, "the bytes")
}
