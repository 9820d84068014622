//! What every op of the registry must do, derived from the registry alone: no test here names an op but to ask a
//! question that only that op has.
//!
//! `WARPSMITH_SWEEP=gelu cargo test -p warpsmith-ops --test sweep -- --nocapture` runs the ops whose names contain
//! `gelu` and prints the counts.
#![forbid(unsafe_code)]

mod call;
mod cost;
mod determinism;
#[cfg(target_os = "linux")]
mod device;
mod forward;
mod gradients;
mod honesty;
mod memory;
mod tape;
mod tolerance;
mod values;
