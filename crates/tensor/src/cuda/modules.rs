//! Loading PTX, once per context and when first needed, and finding entries in it.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use warpsmith_kernels::{Entry, Module};

use super::context::Context;
use super::driver::{self, Function, ModuleHandle};
use crate::{Error, Kind, Result};

/// Dynamic shared memory that every launch may use without asking.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;

/// Who is told of loaded modules.
static TOLD: OnceLock<fn(&'static str, Duration)> = OnceLock::new();

/// From now on `tell` is called with the name of each module of kernels that was loaded and how long that took: the driver compiles
/// one when its first kernel is launched, seconds for the large ones, and keeps what it compiled for the next process. Only the
/// first to ask in a process is told.
pub fn on_load(tell: fn(&'static str, Duration)) {
    TOLD.get_or_init(|| tell);
}

/// An entry, ready to launch.
pub(super) struct Loaded {
    pub function: Function,
    pub param_bytes: usize,
    allowed_shared: AtomicU32,
}

impl Context {
    /// The entry, loaded; its module is compiled by the driver if this is the first of it. The context is current.
    pub(super) fn entry(&self, entry: &'static Entry) -> Result<Arc<Loaded>> {
        let key = std::ptr::from_ref(entry).addr();
        let known = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        let loaded = Arc::new(self.find(entry)?);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.entry(key).or_insert(loaded).clone())
    }

    fn find(&self, entry: &'static Entry) -> Result<Loaded> {
        let module = self.module(entry.module)?;
        let name = c_text(entry.name, entry.name)?;
        let function = self.run(entry.name, || driver::function(module, &name))?;
        let first = self.run(entry.name, || driver::param_bytes(function, 0))?;
        let second = self.run(entry.name, || driver::param_bytes(function, 1))?;
        if (first, second) != (Some(entry.param_bytes), None) {
            let message = format!(
                "the table of entries says one parameter of {} bytes, the PTX of {} has {first:?}, {second:?}",
                entry.param_bytes, entry.module.name
            );
            return Err(Error::internal(entry.name, message));
        }
        let allowed_shared = AtomicU32::new(SHARED_WITHOUT_ASKING);
        Ok(Loaded { function, param_bytes: entry.param_bytes, allowed_shared })
    }

    fn module(&self, module: &'static Module) -> Result<ModuleHandle> {
        let key = std::ptr::from_ref(module).addr();
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = modules.get(&key) {
            return Ok(*handle);
        }
        let ptx = c_text(module.name, module.ptx())?;
        let begun = Instant::now();
        let handle = driver::load(&ptx).map_err(|(failure, log)| {
            let cause = self.error(module.name, failure);
            if log.is_empty() {
                return cause;
            }
            let message =
                format!("the driver cannot compile the kernels of {}: {failure}\n{log}", module.name);
            Error::new(Kind::Device, module.name, message)
        })?;
        modules.insert(key, handle);
        if let Some(tell) = TOLD.get() {
            tell(module.name, begun.elapsed());
        }
        Ok(handle)
    }
}

impl Loaded {
    /// Asks the driver once for as much dynamic shared memory as a launch wants, if that is more than usual.
    pub fn allow_shared(&self, bytes: u32) -> driver::Outcome<()> {
        if bytes > self.allowed_shared.load(Ordering::Relaxed) {
            driver::allow_shared(self.function, bytes)?;
            self.allowed_shared.fetch_max(bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn c_text(of: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::internal(of, "the text holds a zero byte"))
}
