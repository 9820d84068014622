//! What this process holds on one GPU: the shared context, one stream, the arena, loaded modules, and the first fault.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use super::arena::Arena;
use super::constants::Constants;
use super::driver::{self, Failure, Outcome, StreamHandle};
use super::gpu::{self, Gpu};
use super::modules::Loaded;
use super::probe;
use super::reports::Reports;
use super::rounded::Touched;
use super::stream::{FOUND_LATE, is_found_late};
use crate::{Error, Kind, Result, injection};

/// One per GPU and process, while anything uses it. All work goes through its one stream.
pub(super) struct Context {
    pub gpu: Gpu,
    pub stream: StreamHandle,
    pub arena: Arena,
    /// Loaded entries, by the address of their description.
    pub entries: RwLock<HashMap<usize, Arc<Loaded>>>,
    pub modules: Mutex<HashMap<usize, driver::ModuleHandle>>,
    pub reports: Reports,
    pub constants: Mutex<Constants>,
    /// Bytes of the host that the device may still read.
    pub uploads: Mutex<Vec<Vec<u8>>>,
    device: c_int,
    handle: driver::Context,
    fault: OnceLock<Fault>,
    /// The address of the number that the graph in recording will advance by; 0 outside recordings.
    pub advance: AtomicU64,
    /// Whether the recording has asked for that address.
    pub is_numbered: AtomicBool,
    /// Bytes of bf16 copies that are kept beside f32 numbers.
    pub copies: AtomicU64,
    /// What the recording in progress does to such copies.
    touched: Mutex<Touched>,
    /// The mark of the thread that records a graph; 0 if none does.
    recorder: AtomicUsize,
}

/// What ended a context.
struct Fault {
    /// Who met it, where, and what the driver said.
    told: String,
    /// Whether no other context of this process works any more either.
    ends_process: bool,
}

/// What to do when the driver wants a new process.
const START_AGAIN: &str =
    "start the program again: after such a fault the driver serves this process no more";

/// Contexts in use, by the number of the GPU.
static CONTEXTS: Mutex<Vec<(usize, Weak<Context>)>> = Mutex::new(Vec::new());

impl Context {
    /// The context of GPU number `ordinal`: the one in use, or a new one.
    pub fn of(ordinal: usize) -> Result<Arc<Self>> {
        probe::driver()?;
        let mut known = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, context)| context.strong_count() > 0);
        let found = known.iter().find(|(of, _)| *of == ordinal).and_then(|(_, context)| context.upgrade());
        // One that is lost serves nobody new. Where the driver still serves the process, a fresh start is the way out of a fault.
        if let Some(context) = found.filter(|context| context.fault.get().is_none()) {
            return Ok(context);
        }
        let context = Arc::new(Self::open(ordinal)?);
        known.retain(|(of, _)| *of != ordinal);
        known.push((ordinal, Arc::downgrade(&context)));
        Ok(context)
    }

    fn open(ordinal: usize) -> Result<Self> {
        let fail = |failure: Failure| {
            let error = Error::new(Kind::Device, "cuda", format!("cuda:{ordinal} cannot be used: {failure}"));
            if failure.ends_process() { error.hint(START_AGAIN) } else { error }
        };
        let count = driver::device_count().map_err(fail)?;
        if ordinal >= count {
            let message = format!("there is no cuda:{ordinal}: {count} GPU(s) are visible");
            return Err(Error::new(Kind::Device, "cuda", message).hint("see `warpsmith doctor`"));
        }
        let device = driver::device(ordinal).map_err(fail)?;
        let gpu = gpu::describe(ordinal).map_err(fail)?;
        if let Some(reason) = gpu.shortcoming() {
            return Err(Error::new(Kind::Device, "cuda", format!("cuda:{ordinal} cannot be used: {reason}"))
                .hint("use --device cpu"));
        }
        let handle = driver::retain(device).map_err(fail)?;
        let stream = driver::enter(handle).and_then(|()| driver::stream()).map_err(|failure| {
            // Nothing was made in the context yet; if leaving fails too, the first failure says more.
            let _ = driver::release(device);
            fail(failure)
        })?;
        Ok(Self {
            gpu,
            stream,
            arena: Arena::new(),
            entries: RwLock::default(),
            modules: Mutex::default(),
            reports: Reports::new(),
            constants: Mutex::default(),
            uploads: Mutex::default(),
            device,
            handle,
            fault: OnceLock::new(),
            advance: AtomicU64::new(0),
            is_numbered: AtomicBool::new(false),
            copies: AtomicU64::new(0),
            touched: Mutex::default(),
            recorder: AtomicUsize::new(0),
        })
    }

    /// Makes the context the calling thread's, unless a fault has ended it or another thread records its stream.
    pub fn enter(&self, op: &'static str) -> Result<()> {
        if let Some(fault) = self.fault.get() {
            let message = format!("cuda:{} was lost: {}", self.gpu.ordinal, fault.told);
            let anew = "drop every tensor and device of this GPU and open it again";
            return Err(Error::new(Kind::Device, op, message).hint(if fault.ends_process {
                START_AGAIN
            } else {
                anew
            }));
        }
        let recorder = self.recorder.load(Ordering::Relaxed);
        if recorder != 0 && recorder != thread_mark() {
            return Err(Error::new(Kind::Device, op, "another thread is recording a graph on this device")
                .hint("record while no other thread uses the device"));
        }
        driver::enter(self.handle).map_err(|failure| self.error(op, failure))
    }

    /// As [`Context::enter`], for what a recording cannot hold: anything that reads or writes the host's memory.
    pub fn enter_unrecorded(&self, op: &'static str) -> Result<()> {
        self.enter(op)?;
        if self.is_recording() {
            let message = "copies between host and device cannot be part of a recorded graph";
            return Err(
                Error::new(Kind::Device, op, message).hint("make inputs before, read results after capture")
            );
        }
        Ok(())
    }

    /// Whether this thread records the stream.
    pub fn is_recording(&self) -> bool {
        self.recorder.load(Ordering::Relaxed) == thread_mark()
    }

    /// Marks this thread as the recorder; an error if somebody records already.
    pub fn start_recording(&self) -> Result<()> {
        let started = self.recorder.compare_exchange(0, thread_mark(), Ordering::Relaxed, Ordering::Relaxed);
        started.map(drop).map_err(|_| {
            Error::new(Kind::Device, "capture", "a graph is being recorded on this device already")
        })
    }

    /// What the recording in progress does to bf16 copies.
    pub fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the mark.
    pub fn stop_recording(&self) {
        *self.touched() = Touched::default();
        self.recorder.store(0, Ordering::Relaxed);
    }

    /// A failure as an error of `op`; a fault is remembered, and every later call tells of it.
    pub fn error(&self, op: &'static str, failure: Failure) -> Error {
        if failure.is_sticky() {
            let place = match crate::current_scope() {
                scope if scope.is_empty() => String::new(),
                scope => format!(" in {scope}"),
            };
            let is_late = is_found_late(failure);
            self.fault.get_or_init(|| Fault {
                told: if is_late {
                    format!("{op} found a fault{place}: {failure}")
                } else {
                    format!("{op} failed{place}: {failure}")
                },
                ends_process: failure.ends_process(),
            });
        }
        let error = Error::new(Kind::Device, op, failure.to_string());
        if is_found_late(failure) { error.hint(FOUND_LATE) } else { error }
    }

    /// `bytes` bytes with any contents.
    pub fn allocate(&self, op: &'static str, bytes: u64) -> Result<u64> {
        self.enter(op)?;
        if bytes > 0 && injection::fails_now() {
            return Err(self.out_of_memory(op, bytes));
        }
        self.arena.take(bytes).map_err(|failure| match failure.is_out_of_memory() {
            true => self.out_of_memory(op, bytes),
            false => self.error(op, failure),
        })
    }

    fn out_of_memory(&self, op: &'static str, bytes: u64) -> Error {
        let usage = self.arena.usage();
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let free = driver::memory_info().map_or(String::new(), |(free, total)| {
            format!("; of {} MiB on the device {} are free", mib(total), mib(free))
        });
        let message = format!(
            "{} MiB could not be had on cuda:{}: tensors hold {} MiB, {} MiB are reserved{free}",
            mib(bytes),
            self.gpu.ordinal,
            mib(usage.live),
            mib(usage.reserved)
        );
        Error::new(Kind::Memory, op, message).hint("use a smaller batch_size, block_size or model")
    }

    /// Runs calls of the driver, whose failure becomes an error of `op`.
    pub fn run<T>(&self, op: &'static str, call: impl FnOnce() -> Outcome<T>) -> Result<T> {
        call().map_err(|failure| self.error(op, failure))
    }

    /// Gives memory back. Never fails: this runs in destructors.
    pub fn give(&self, address: u64) {
        if address != 0 {
            // Only for the driver calls that trimming makes; if it fails, so do they, and nothing is lost but memory.
            let _ = driver::enter(self.handle);
            self.arena.give(address);
        }
    }
}

impl Drop for Context {
    /// After a fault every call fails, and there is nobody to tell: the driver frees all with the context.
    fn drop(&mut self) {
        let _ = driver::enter(self.handle);
        let _ = driver::synchronize(self.stream);
        let modules = self.modules.get_mut().unwrap_or_else(PoisonError::into_inner);
        for module in modules.values() {
            let _ = driver::unload(*module);
        }
        self.end_reports();
        self.end_constants();
        self.arena.trim();
        let _ = driver::destroy_stream(self.stream);
        let _ = driver::release(self.device);
    }
}

/// A number that no other living thread has, and never 0.
fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}
