//! A recorded piece of work: one launch in place of hundreds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::DeviceBuffer;
use super::driver::{self, GraphHandle};
use super::rounded::Touched;
use super::stream::Stream;
use crate::Result;

/// Recorded work of a device, to be launched again and again: the same kernels on the same addresses.
///
/// It keeps the memory that it uses: what it took while recording, and what was live then, even if every tensor there
/// is dropped. So tensors from outside may be read inside, and what was made inside may be read after a launch.
pub struct Graph {
    stream: Stream,
    handle: GraphHandle,
    memory: Kept,
    touched: Touched,
    advance: DeviceBuffer,
    /// Whether anything that was recorded asked for that number.
    is_numbered: bool,
    launches: AtomicU64,
}

/// The pool of the graph, and what was live when it was recorded; given back when dropped.
struct Kept {
    stream: Stream,
    pool: u32,
    pins: Vec<u64>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stream.context.arena.dissolve(self.pool, &self.pins);
    }
}

/// A recording in progress. However it ends, the stream goes back to doing what it is told.
struct Recording<'a>(&'a Stream);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let context = &self.0.context;
        context.arena.end_pool();
        context.advance.store(0, Ordering::Relaxed);
        context.stop_recording();
    }
}

impl Graph {
    pub(super) fn record<T>(stream: &Stream, work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let context = &stream.context;
        context.enter("capture")?;
        // Before the graph has a pool: each launch writes to it from outside.
        let advance = stream.allocate(8)?;
        context.start_recording()?;
        let recording = Recording(stream);
        context.advance.store(advance.address(), Ordering::Relaxed);
        context.is_numbered.store(false, Ordering::Relaxed);
        let (pool, pins) = context.arena.begin_pool();
        let memory = Kept { stream: stream.clone(), pool, pins };
        context.run("capture", || driver::begin_capture(context.stream))?;
        let ending = Ending(stream);
        let made = work();
        let graph = ending.end();
        let mut touched = std::mem::take(&mut *context.touched());
        let is_numbered = context.is_numbered.load(Ordering::Relaxed);
        drop(recording);
        // The error of `work` says why the recording is useless; what the driver then thinks of it says less.
        let made = made?;
        touched.prune();
        let handle = context.run("capture", || graph)?;
        let launches = AtomicU64::new(0);
        Ok((Self { stream: stream.clone(), handle, memory, touched, advance, is_numbered, launches }, made))
    }

    /// Queues the recorded work, as the launch after the last.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn launch(&self) -> Result<()> {
        self.launch_as(self.launches.load(Ordering::Relaxed))
    }

    /// Queues the recorded work as launch number `number`, from 0: random numbers are those that the work would draw
    /// if it were done eagerly for the (`number` + 1)th time.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn launch_as(&self, number: u64) -> Result<()> {
        let context = &self.stream.context;
        context.enter_unrecorded("graph")?;
        if self.is_numbered {
            self.write(number)?;
        }
        self.launches.store(number.wrapping_add(1), Ordering::Relaxed);
        self.touched.refresh()?;
        context.run("graph", || driver::launch_graph(self.handle, context.stream))?;
        self.touched.spoil();
        context.reports.expect();
        Ok(())
    }

    /// Tells the recorded work its number, by value: a copy from the host's memory may wait for all that is queued.
    fn write(&self, number: u64) -> Result<()> {
        let at = self.advance.address();
        self.stream.fill("graph", at, number as u32, 4, 1)?;
        self.stream.fill("graph", at + 4, (number >> 32) as u32, 4, 1)
    }

    /// Whether launches differ by their number: what was recorded asked for [`Stream::advance`].
    pub fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    /// How many blocks of memory from outside the recording it keeps.
    pub fn pinned_blocks(&self) -> usize {
        self.memory.pins.len()
    }
}

impl Drop for Graph {
    /// Waits for launches in flight: their memory goes to others next. Never fails, there is nobody to tell.
    fn drop(&mut self) {
        if self.stream.context.enter("graph").is_ok() {
            let _ = driver::synchronize(self.stream.context.stream);
        }
        let _ = driver::destroy_graph(self.handle);
    }
}

/// Ends the driver's recording, also if the work panics.
struct Ending<'a>(&'a Stream);

impl Ending<'_> {
    fn end(self) -> driver::Outcome<GraphHandle> {
        let stream = self.0;
        std::mem::forget(self);
        driver::end_capture(stream.context.stream)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Ok(graph) = driver::end_capture(self.0.context.stream) {
            let _ = driver::destroy_graph(graph);
        }
    }
}
