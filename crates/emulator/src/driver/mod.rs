//! The CUDA driver API on top of the emulator, as the exported calls of a `libcuda.so`.
//!
//! [`exports`] lists every call in one line each; behind it stands one module per kind of object. A call that fails
//! returns the driver's own code and leaves a sentence that says what was expected, what came and what to do: in the
//! private export `warpsmithLastFault`, and on stderr with `WARPSMITH_EMULATOR_LOG=1`. Work runs when it is enqueued.

mod abi;
mod address;
mod capture;
mod code;
mod context;
mod copy;
mod device;
mod device_memory;
mod event;
mod exports;
mod failure;
mod function;
mod graph;
mod handle;
mod host_memory;
mod jit;
mod late;
mod launch;
mod machine;
mod managed;
mod module;
mod occupancy;
mod pool;
mod state;
mod stream;
mod tally;
mod text;
mod unsupported;
mod work;

pub use warpsmith_emulator_loader::{InstallError, counts, install, install_gpus, last_fault};
