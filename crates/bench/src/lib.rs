//! The kernel bench: how fast is a kernel here, how far from the limit, how does it stand beside others, and is it right?
//!
//! The order of work is fixed. Every contender computes fresh random inputs into poisoned outputs and is compared with the
//! oracle in f64 ([`oracle`]); one that is wrong or fails is reported and never timed. Then all contenders of a case are
//! timed in turn, round after round (A-B-A-B), so that a noisy minute hurts all alike ([`clock`], [`stats`]). What comes out
//! is a [`record::Record`], written as Markdown, CSV, JSON or one HTML page ([`output`]).
//!
//! - [`tasks`]: what is computed, on which sizes; FLOPs and bytes come from the ops' own formulas.
//! - [`contender`]: who computes it. [`engine`] is this engine, [`ladder`] the kernels from naive to
//!   shipping, [`kernel`] a kernel of the user's, [`torch`] PyTorch in a
//!   process of its own. A Rust user implements [`contender::Contender`].
//! - [`model`]: a whole model as its users run it, beside llama.cpp.
//! - [`session`]: the run itself. [`difference`]: what changed between two of them.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod clock;
pub mod contender;
pub mod counts;
pub mod difference;
pub mod engine;
mod error;
pub mod kernel;
pub mod ladder;
mod launched;
pub mod machine;
pub mod memory;
pub mod model;
#[allow(unsafe_code, reason = "the C interface of NVRTC")]
pub mod nvrtc;
pub mod oracle;
pub mod output;
pub mod record;
pub mod session;
pub mod stats;
pub mod tasks;
mod tensors;
pub mod torch;

pub use error::{Error, Result};

/// The emulated GPUs, for one unit test at a time: recording takes a device's one stream.
#[cfg(all(test, feature = "cuda", target_os = "linux"))]
fn emulated_gpus() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    warpsmith_emulator::install_gpus(2).expect("the emulator is built beside the tests");
    guard
}
