//! An unmodified `cudarc` on the emulator: every call goes through the shared library, as it would to a real driver.
#![cfg(target_os = "linux")]

mod context;
mod device;
mod graph;
mod launch;
mod memory;
mod module;
mod pinned;
mod stream;

use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, DriverError};

/// A context that no other test can harm.
fn context() -> Arc<CudaContext> {
    warpsmith_emulator::install().expect("cargo builds the shared library beside this test");
    CudaContext::new_non_primary(0, 0).expect("a context")
}

/// Expects the failure with that code, and a sentence with these words.
#[track_caller]
fn refused<T>(result: Result<T, DriverError>, code: CUresult, words: &[&str]) {
    let came = result.err().map(|error| error.0);
    let said = warpsmith_emulator::last_fault().unwrap_or_default();
    assert_eq!(came, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}
