//! The queue of a device: launches, copies and fills, done in order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use warpsmith_kernels::{Launch, MOST_BLOCKS};

use super::context::Context;
use super::driver;
use super::{Attributes, DeviceBuffer, Event, Graph};
use crate::{Error, Result};

/// The queue of one device. Whatever is put in is done in order, and later than the host goes on; cloning shares it.
#[derive(Clone)]
pub struct Stream {
    pub(super) context: Arc<Context>,
}

impl warpsmith_kernels::Stream for Stream {
    type Error = Error;

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.launch_with(launch, Attributes::default())
    }
}

impl Stream {
    /// Queues a launch with attributes (clusters, cooperation, overlap); nothing if a side of the grid is 0.
    ///
    /// # Errors
    /// If the PTX does not compile (with the compiler's log), or the driver refuses the launch: names the kernel, grid,
    /// block, shared memory and the layer.
    pub fn launch_with(&self, launch: &Launch, attributes: Attributes) -> Result<()> {
        if launch.is_empty() {
            return Ok(());
        }
        let (context, name) = (&*self.context, launch.entry.name);
        context.enter(name)?;
        if launch.is_too_large() {
            let message = format!("more blocks than a GPU takes, {MOST_BLOCKS:?}: {}", describe(launch));
            return Err(Error::value(name, message).hint("cut the batch into parts"));
        }
        if is_set("WARPSMITH_TRACE", &TRACED) {
            eprintln!("  {}", describe(launch));
        }
        let entry = context.entry(launch.entry)?;
        let done = entry.allow_shared(launch.shared_bytes).and_then(|()| {
            let sizes = [launch.grid, launch.block];
            let (shared, params) = (launch.shared_bytes, &launch.params);
            driver::launch(
                entry.function,
                entry.param_bytes,
                sizes,
                shared,
                params,
                attributes,
                context.stream,
            )
        });
        context.reports.expect();
        let waits = is_blocking() && !context.is_recording();
        let done = if waits { done.and_then(|()| driver::synchronize(context.stream)) } else { done };
        done.map_err(|failure| context.launch_error(launch, failure))
    }

    /// Waits until all that was queued is done.
    ///
    /// # Errors
    /// If a kernel that was queued before has failed, or met an index out of range.
    pub fn synchronize(&self) -> Result<()> {
        self.context.enter_unrecorded("synchronize")?;
        self.context.wait("synchronize")?;
        self.context.check_reports()
    }

    /// Device memory of `bytes` bytes with any contents, which goes back when dropped.
    ///
    /// # Errors
    /// If the device has no more; the process stays usable.
    pub fn allocate(&self, bytes: usize) -> Result<DeviceBuffer> {
        DeviceBuffer::new(self, bytes)
    }

    /// Marks the point that the stream reaches when all that is queued now is done.
    pub fn record_event(&self) -> Result<Event> {
        Event::record(self)
    }

    /// Records what `work` queues, in place of doing it, and returns the recording with what `work` returned.
    ///
    /// `work` must not read results or write inputs from the host. Run it once before, so that every kernel is loaded
    /// and all memory is there. Tensors made inside hold their values after each [`Graph::launch`].
    ///
    /// # Errors
    /// The error of `work`, or what the driver refuses to record. Nothing is left behind then.
    pub fn capture<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Graph, T)> {
        Graph::record(self, work)
    }

    /// The address of a number, u64, that recorded work adds to the numbers it draws at random; 0 if nothing is being
    /// recorded. See [`Graph::launch_as`].
    pub fn advance(&self) -> u64 {
        if !self.context.is_recording() {
            return 0;
        }
        self.context.is_numbered.store(true, Ordering::Relaxed);
        self.context.advance.load(Ordering::Relaxed)
    }

    /// Copies host bytes to the device.
    pub(crate) fn copy_in(&self, op: &'static str, to: u64, from: &[u8]) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        self.context.enter_unrecorded(op)?;
        self.context.copy_in(op, to, from)
    }

    /// Copies device bytes to the host, and waits for them.
    pub(crate) fn copy_out(&self, op: &'static str, to: &mut [u8], from: u64) -> Result<()> {
        if to.is_empty() {
            return Ok(());
        }
        self.context.enter_unrecorded(op)?;
        self.context.run(op, || driver::copy_out(to, from, self.context.stream))?;
        self.context.check_reports()
    }

    /// Copies bytes within the device.
    pub(crate) fn copy_within(&self, op: &'static str, to: u64, from: u64, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.context.enter(op)?;
        self.context.run(op, || driver::copy_within(to, from, bytes, self.context.stream))
    }

    /// Fills memory with `count` times the low `width` bytes (1, 2 or 4) of `pattern`.
    pub(crate) fn fill(
        &self,
        op: &'static str,
        to: u64,
        pattern: u32,
        width: usize,
        count: u64,
    ) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.context.enter(op)?;
        self.context.run(op, || driver::fill(to, pattern, width, count, self.context.stream))
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.context, &other.context)
    }
}

impl Context {
    fn launch_error(&self, launch: &Launch, failure: driver::Failure) -> Error {
        let name = launch.entry.name;
        let message = format!("{failure}; launched as {}", describe(launch));
        // Remembers a fault; what is told here says more.
        let plain = self.error(name, failure);
        let error = Error::new(plain.kind(), name, message);
        if is_found_late(failure) { error.hint(FOUND_LATE) } else { error }
    }
}

/// `softmax_fwd_f32 <<<(12, 1, 1), (256, 1, 1), 1024 B shared>>>`
fn describe(launch: &Launch) -> String {
    let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
    let (name, shared) = (launch.entry.name, launch.shared_bytes);
    format!("{name} <<<({gx}, {gy}, {gz}), ({bx}, {by}, {bz}), {shared} B shared>>>")
}

/// Whether each launch is waited for.
fn is_blocking() -> bool {
    is_set("WARPSMITH_LAUNCH_BLOCKING", &BLOCKING)
}

/// Whether a failure is the fault of a kernel that may have been queued long before the call that tells of it.
pub(super) fn is_found_late(failure: driver::Failure) -> bool {
    failure.is_sticky() && !is_blocking()
}

/// What to do about one.
pub(super) const FOUND_LATE: &str =
    "a kernel that was queued before may be at fault: with WARPSMITH_LAUNCH_BLOCKING=1 the error names it";

static TRACED: OnceLock<bool> = OnceLock::new();
static BLOCKING: OnceLock<bool> = OnceLock::new();

/// Whether an environment variable is 1; looked up once.
fn is_set(name: &str, known: &OnceLock<bool>) -> bool {
    *known.get_or_init(|| std::env::var_os(name).is_some_and(|value| value == "1"))
}
