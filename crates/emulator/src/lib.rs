//! A `libcuda` that runs PTX on the CPU.
//!
//! [`Program::parse`] reads what `nvcc` or NVRTC wrote, [`Memory`] holds what the kernels work on, and [`run`]
//! executes one launch, a warp at a time. A kernel that breaks a rule of the machine is a [`Fault`] that names the
//! kernel, block, thread, PTX line and, if the PTX carries line information, the line of the CUDA source.

mod alone;
pub mod check;
mod code;
pub mod convert;
mod counts;
mod decode;
#[cfg(target_os = "linux")]
mod driver;
mod environment;
mod exec;
mod fault;
mod isa;
mod launch;
mod memory;
pub mod observe;
mod printf;
mod program;
mod ptx;
pub mod tensor_core;
pub mod vectors;

pub use alone::{all_again, alone};
pub use counts::Counts;
#[cfg(target_os = "linux")]
pub use driver::{InstallError, counts, install, install_gpus, last_fault};
pub use fault::{Fault, FaultKind, SourceLine};
pub use launch::{Approximation, Checks, Launch, Options, Schedule, run, run_observed};
pub use memory::{Memory, MemoryError};
pub use program::{Entry, Global, Param, ParseError, Program, Space};
