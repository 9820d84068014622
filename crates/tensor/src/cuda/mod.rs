//! The CUDA device: the only module of the project that names `cudarc`.
//!
//! From the bottom up: `driver` (the driver's calls), `probe` (is it there?), `gpu` (what is there), `blocks` and
//! `arena` (memory), `modules` (PTX), `context` (all that one process holds on one GPU), `stream`, `graph`, `event`.
//!
//! Everything a device does goes through one stream, in order. So memory that was given back may be handed out at
//! once, and no event is needed between ops.
//!
//! Switches: `WARPSMITH_TRACE=1` prints launches. `WARPSMITH_LAUNCH_BLOCKING=1` waits for each launch, so that a fault
//! names its kernel. `WARPSMITH_ARENA=off` makes each block an allocation of its own, for memory-checking tools.

mod arena;
mod blocks;
mod buffer;
mod constants;
mod context;
mod driver;
mod event;
mod gpu;
mod graph;
mod modules;
mod probe;
mod reports;
mod rounded;
mod stream;
mod uploads;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use arena::DeviceUsage;
pub use buffer::DeviceBuffer;
pub use driver::Attributes;
pub use event::Event;
pub use gpu::{Gpu, Inventory, inventory};
pub use graph::Graph;
pub use modules::on_load;
pub use probe::is_driver_installed;
pub use stream::Stream;

use context::Context;

use crate::Result;

/// A GPU in use. Cloning is cheap; two are equal if they are the same GPU in the same state of life.
#[derive(Clone, PartialEq)]
pub struct CudaDevice {
    stream: Stream,
}

impl Eq for CudaDevice {}

impl CudaDevice {
    /// GPU number `ordinal`.
    ///
    /// # Errors
    /// Without a driver, with one that is too old, without that GPU or with one that is too old: says which, and what
    /// to do.
    pub fn new(ordinal: usize) -> Result<Self> {
        Ok(Self { stream: Stream { context: Context::of(ordinal)? } })
    }

    /// What the GPU is.
    pub fn gpu(&self) -> &Gpu {
        &self.stream.context.gpu
    }

    /// The queue that all work of this device goes through.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The address of a u64 in which a kernel of `op` reports the lowest position of an index that is negative or not
    /// below `limit`. The next call that waits for the device then returns an [`Kind::Index`](crate::Kind::Index) error.
    ///
    /// # Errors
    /// If the memory cannot be had, or the first call of all is made while a graph is recorded.
    pub fn watch(&self, op: &'static str, limit: usize) -> Result<u64> {
        self.stream.context.watch(op, limit)
    }

    /// The address of a table of f32 that depends on `op` and `key` alone: `make` makes it at the first call, and it stays
    /// where it is as long as the device is open.
    ///
    /// # Errors
    /// If the memory cannot be had, or the table is not there yet and a graph is recorded.
    pub fn constant(&self, op: &'static str, key: [u64; 3], make: impl FnOnce() -> Vec<f32>) -> Result<u64> {
        self.stream.context.constant(op, key, make)
    }

    /// What the device's arena holds.
    pub fn usage(&self) -> DeviceUsage {
        let copies = self.stream.context.copies.load(Ordering::Relaxed);
        DeviceUsage { copies, ..self.stream.context.arena.usage() }
    }

    /// The bytes of the GPU's memory that are free, whoever holds the others, and how many there are in all.
    ///
    /// # Errors
    /// If the device is lost, or another thread records a graph.
    pub fn free_and_total(&self) -> Result<(u64, u64)> {
        let context = &self.stream.context;
        context.enter("free_and_total")?;
        context.run("free_and_total", driver::memory_info)
    }

    /// Bytes that tensors of this process can still have: what the driver has free, and what lies idle in the arena.
    ///
    /// # Errors
    /// As [`CudaDevice::free_and_total`].
    pub fn free(&self) -> Result<u64> {
        let (free, _) = self.free_and_total()?;
        let DeviceUsage { reserved, live, .. } = self.stream.context.arena.usage();
        Ok(free + reserved.saturating_sub(live))
    }

    /// Starts measuring the peak anew from what is live now.
    pub fn reset_peak(&self) {
        self.stream.context.arena.reset_peak();
    }

    /// Gives memory that nothing uses back to the driver.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn trim(&self) -> Result<()> {
        self.stream.context.enter("trim")?;
        self.stream.context.arena.trim();
        Ok(())
    }

    pub(crate) fn of(stream: &Stream) -> Self {
        Self { stream: Stream { context: Arc::clone(&stream.context) } }
    }
}

impl fmt::Display for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.gpu().ordinal)
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
