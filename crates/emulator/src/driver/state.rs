//! What the driver knows: its objects by handle, under one lock that is never held while a kernel runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::capture::Capture;
use super::code::Code;
use super::context::Context;
use super::event::Event;
use super::failure::Outcome;
use super::function::Function;
use super::graph::{Executable, Graph, GraphNode};
use super::handle::Table;
use super::host_memory::Pinned;
use super::module::Module;
use super::pool::Pool;
use super::stream::Stream;
use crate::Options;

/// The objects.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) contexts: Table<Arc<Context>>,
    /// Contexts made so far: each has a range of addresses of its own.
    pub(crate) contexts_made: u64,
    pub(crate) modules: Table<Arc<Module>>,
    pub(crate) functions: Table<Arc<Function>>,
    pub(crate) streams: Table<Stream>,
    pub(crate) events: Table<Event>,
    pub(crate) captures: Table<Capture>,
    pub(crate) graphs: Table<Graph>,
    pub(crate) graph_nodes: Table<GraphNode>,
    pub(crate) executables: Table<Arc<Executable>>,
    pub(crate) pools: Table<Pool>,
    /// Pinned host memory by its first address.
    pub(crate) pinned: BTreeMap<usize, Pinned>,
    /// The primary context of each device.
    pub(crate) primary: BTreeMap<i32, Primary>,
    /// How to run launches, from the environment at `cuInit`.
    pub(crate) options: Options,
    /// The pool that allocations of the device come from; 0 before the first use.
    pub(crate) default_pool: usize,
    pub(crate) current_pool: usize,
}

/// The primary context of a device.
#[derive(Debug, Default)]
pub(crate) struct Primary {
    /// Its handle; 0 while it is not active.
    pub(crate) context: usize,
    /// How often it was retained and not released.
    pub(crate) retained: usize,
    pub(crate) flags: u32,
}

static DRIVER: LazyLock<Mutex<Driver>> = LazyLock::new(Mutex::default);
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// The driver's objects. A panic while they were locked has not harmed them: each change is one insertion or removal.
pub(crate) fn driver() -> MutexGuard<'static, Driver> {
    lock(&DRIVER)
}

/// Locks what a panic elsewhere cannot leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the driver to calls.
pub(crate) fn initialise(options: Options) {
    driver().options = options;
    INITIALISED.store(true, Ordering::Release);
}

/// Refuses a call before `cuInit`.
pub(crate) fn initialised() -> Outcome {
    if INITIALISED.load(Ordering::Acquire) {
        return Ok(());
    }
    Err(Code::NOT_INITIALIZED.says("cuInit must be called first"))
}

thread_local! {
    /// This thread's contexts, the current one last; 0 stands for none.
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// The number of this thread; 0 before it was asked for.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// The handle of the current context of this thread, 0 for none.
pub(crate) fn current_handle() -> usize {
    CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(0))
}

/// Changes the stack of contexts of this thread.
pub(crate) fn with_stack<T>(change: impl FnOnce(&mut Vec<usize>) -> T) -> T {
    CURRENT.with_borrow_mut(change)
}

/// A number that no other thread has, from 1.
pub(crate) fn thread_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    THREAD.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

impl Driver {
    /// The current context of this thread, alive and without a fault.
    pub(crate) fn current(&self) -> Outcome<Arc<Context>> {
        let handle = current_handle();
        if handle == 0 {
            let sentence = "no context is current on this thread; make one current with cuCtxSetCurrent";
            return Err(Code::INVALID_CONTEXT.says(sentence));
        }
        let context = self.context(handle)?;
        context.sound()?;
        Ok(context)
    }

    /// The context of a handle, faulty or not.
    pub(crate) fn context(&self, handle: usize) -> Outcome<Arc<Context>> {
        let found = self.contexts.get(handle).map(Arc::clone);
        found.map_err(|failure| match failure.sentence.contains("destroyed") {
            true => Code::CONTEXT_IS_DESTROYED.says(failure.sentence),
            false => Code::INVALID_CONTEXT.says(failure.sentence),
        })
    }

    /// The function of a handle.
    pub(crate) fn function(&self, handle: usize) -> Outcome<Arc<Function>> {
        self.functions.get(handle).map(Arc::clone)
    }
}

/// The current context of this thread, alive and without a fault.
pub(crate) fn current() -> Outcome<Arc<Context>> {
    driver().current()
}
