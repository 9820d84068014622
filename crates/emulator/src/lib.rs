//! A `libcuda` that runs PTX on the CPU.
//!
//! [`Program::parse`] reads what `nvcc` or NVRTC wrote, [`Memory`] holds what the kernels work on, and [`run`]
//! executes one launch, a warp at a time. A kernel that breaks a rule of the machine is a [`Fault`] that names the
//! kernel, block, thread, PTX line and, if the PTX carries line information, the line of the CUDA source.
//!
//! ```
//! use warpsmith_emulator::{FaultKind, Launch, Memory, Options, Program, run};
//!
//! const PTX: &str = "
//!     .version 8.4
//!     .target sm_80
//!     .address_size 64
//!     .visible .entry twice(.param .u64 x)
//!     {
//!         .reg .b32 %i; .reg .b64 %x, %at; .reg .f32 %f;
//!         ld.param.u64 %x, [x];
//!         mov.u32 %i, %tid.x;
//!         mul.wide.u32 %at, %i, 4;
//!         add.s64 %at, %at, %x;
//!         ld.global.f32 %f, [%at];
//!         add.f32 %f, %f, %f;
//!         st.global.f32 [%at], %f;
//!         ret;
//!     }";
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let program = Program::parse(PTX)?;
//! let mut memory = Memory::new(1 << 20);
//! let x = memory.alloc(32 * 4)?;
//! memory.write(x, &1.5f32.to_le_bytes().repeat(32))?;
//! let launch = Launch {
//!     program: &program,
//!     entry: program.entry("twice").ok_or("no such kernel")?,
//!     grid: [1, 1, 1],
//!     block: [32, 1, 1],
//!     shared_bytes: 0,
//!     params: &x.to_le_bytes(), // laid out as `program.entries[…].params` says
//!     globals: &[],
//!     options: &Options::default(), // all checks
//! };
//! let counts = run(&launch, &mut memory)?;
//! assert_eq!(counts.global_read_bytes, 32 * 4);
//! let mut last = [0; 4];
//! memory.read(x + 31 * 4, &mut last)?;
//! assert_eq!(f32::from_le_bytes(last), 3.0);
//!
//! // One thread more than there are numbers.
//! let fault = run(&Launch { block: [33, 1, 1], ..launch }, &mut memory).unwrap_err();
//! assert_eq!(fault.kind, FaultKind::OutOfBounds);
//! # Ok(())
//! # }
//! ```
//!
//! [`install`] puts it under the name of the driver instead, for programs that call CUDA.

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
