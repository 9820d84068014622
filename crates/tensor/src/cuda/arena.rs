//! The device's memory: few big segments of the driver's, cut up and handed out again, so that a step in steady state
//! asks the driver for nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::blocks::{ALIGNMENT, Blocks, SHARED};
use super::driver::{self, Outcome};

const MIB: u64 = 1 << 20;

/// What the arena of a device holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceUsage {
    /// In tensors now.
    pub live: u64,
    /// The most that was ever in tensors at once, since the last reset.
    pub peak: u64,
    /// Taken from the driver.
    pub reserved: u64,
    /// How often the driver was asked: it stands still in steady state.
    pub requests: u64,
    /// Of what is live, bf16 copies of weights.
    pub copies: u64,
}

/// Hands out addresses. The context must be current in the calling thread.
pub(super) struct Arena {
    books: Mutex<Books>,
    /// Whether every block is an allocation of its own, so that checking tools see each one's bounds.
    is_separate: bool,
    /// Whether what is handed out is painted.
    is_painted: bool,
}

#[derive(Default)]
struct Books {
    blocks: Blocks,
    usage: DeviceUsage,
    pool: u32,
    last_pool: u32,
}

impl Arena {
    /// An arena that holds nothing. With `WARPSMITH_ARENA=off` each block is an allocation of the driver's; with `unpainted` a
    /// block holds what it held before, in debug builds too.
    pub fn new() -> Self {
        let how = std::env::var_os("WARPSMITH_ARENA");
        let is_separate = how.as_ref().is_some_and(|how| how == "off");
        // A checking tool that watches each block sees for itself what nobody wrote.
        let is_painted = cfg!(debug_assertions) && !is_separate && how.is_none_or(|how| how != "unpainted");
        Self { books: Mutex::default(), is_separate, is_painted }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of at least `bytes` bytes with any contents; 0 for none.
    pub fn take(&self, bytes: u64) -> Outcome<u64> {
        if bytes == 0 {
            return Ok(0);
        }
        let books = &mut *self.books();
        let whole = bytes.next_multiple_of(ALIGNMENT);
        let (address, size) = match books.blocks.take(whole, books.pool) {
            Some(address) => (address, whole),
            None => {
                // Room behind a block of its own would hide an access past its end.
                let size = if self.is_separate { bytes } else { whole };
                books.grow(size, self.is_separate)?;
                (books.blocks.take(size, books.pool).unwrap_or(0), size)
            }
        };
        books.usage.live += size;
        books.usage.peak = books.usage.peak.max(books.usage.live);
        Ok(address)
    }

    /// Takes a block back. Work that is queued on it may still run: whatever uses it next is queued behind.
    pub fn give(&self, address: u64) {
        let books = &mut *self.books();
        if let Some(size) = books.blocks.give(address) {
            books.usage.live -= size;
            if self.is_separate {
                books.release_idle();
            }
        }
    }

    /// Whether who takes memory is to paint it, so that it shows what nobody has written.
    pub fn is_painted(&self) -> bool {
        self.is_painted
    }

    /// What the arena holds.
    pub fn usage(&self) -> DeviceUsage {
        self.books().usage
    }

    /// Starts measuring the peak anew from what is live now.
    pub fn reset_peak(&self) {
        let books = &mut *self.books();
        books.usage.peak = books.usage.live;
    }

    /// Gives segments of which nothing is in use back to the driver.
    pub fn trim(&self) {
        self.books().release_idle();
    }

    /// From now on memory is taken for a graph; pins what is live. Returns the graph's pool and its pins.
    pub fn begin_pool(&self) -> (u32, Vec<u64>) {
        let books = &mut *self.books();
        books.last_pool += 1;
        books.pool = books.last_pool;
        (books.pool, books.blocks.pin_all())
    }

    /// From now on memory is taken for everybody.
    pub fn end_pool(&self) {
        self.books().pool = SHARED;
    }

    /// Frees what a graph had kept.
    pub fn dissolve(&self, pool: u32, pins: &[u64]) {
        let books = &mut *self.books();
        books.blocks.unpin(pins);
        books.blocks.dissolve(pool);
        if self.is_separate {
            books.release_idle();
        }
    }
}

impl Books {
    /// Asks the driver for a segment: as much again as there is, within bounds; if that cannot be had, no more than
    /// needed; if that cannot be had either, the same once more after giving back what lies idle.
    fn grow(&mut self, size: u64, exact: bool) -> Outcome<()> {
        let needed = if exact { size } else { size.next_multiple_of(2 * MIB) };
        let wished = if exact { size } else { needed.max(self.usage.reserved.clamp(32 * MIB, 1024 * MIB)) };
        for bytes in [wished, needed] {
            match self.add(bytes) {
                Err(failure) if failure.is_out_of_memory() => {}
                done => return done,
            }
        }
        self.release_idle();
        self.add(needed)
    }

    fn add(&mut self, bytes: u64) -> Outcome<()> {
        self.usage.requests += 1;
        let base = driver::allocate(bytes)?;
        self.blocks.add_segment(base, bytes);
        self.usage.reserved += bytes;
        Ok(())
    }

    fn release_idle(&mut self) {
        for (base, bytes) in self.blocks.remove_idle_segments() {
            // After a fault the driver refuses; the memory goes with the context then.
            let _ = driver::free(base);
            self.usage.reserved -= bytes;
        }
    }
}
