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
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError};
use warpsmith_emulator::all_again;

/// A context that no other test can harm.
fn context() -> Arc<CudaContext> {
    warpsmith_emulator::install().expect("cargo builds the shared library beside this test");
    CudaContext::new_non_primary(0, 0).expect("a context")
}

/// What holds at once holds as well if the driver does everything as late as its documentation allows. How faults are told is
/// asked of each driver by itself.
#[test]
fn all_of_this_holds_with_a_strict_driver() {
    all_again("all_of_this_holds_with_a_strict_driver", &[("WARPSMITH_EMULATOR_STRICT", "1")], &[]);
}

/// These values on the device. They are there before the caller lets go of them: a driver may read them as late as that.
fn sent<T: DeviceRepr>(stream: &Arc<CudaStream>, values: &[T]) -> CudaSlice<T> {
    let there = stream.clone_htod(values).unwrap();
    stream.synchronize().unwrap();
    there
}

/// What the device holds. `clone_dtoh` gives the list away before a driver need have written it.
fn got<T: DeviceRepr + Default + Clone>(stream: &Arc<CudaStream>, there: &impl DevicePtr<T>) -> Vec<T> {
    let mut values = vec![T::default(); there.len()];
    stream.memcpy_dtoh(there, &mut values).unwrap();
    stream.synchronize().unwrap();
    values
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
