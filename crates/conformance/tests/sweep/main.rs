//! What every op of the registry must do, derived from the registry alone: no test here names an op but to ask a
//! question that only that op has.
//!
//! `WARPSMITH_SWEEP=gelu cargo test -p warpsmith-conformance -- --nocapture` runs the ops whose names contain `gelu`
//! and prints the counts.
#![forbid(unsafe_code)]

mod broken;
mod cost;
mod determinism;
#[cfg(target_os = "linux")]
mod device;
mod forward;
mod gradients;
mod honesty;

use warpsmith_autograd::Spec;

/// The registry, or the part of it that `WARPSMITH_SWEEP` names.
fn specs() -> Vec<Spec> {
    let part = std::env::var("WARPSMITH_SWEEP").unwrap_or_default();
    warpsmith_ops::registry().into_iter().filter(|spec| spec.name.contains(&part)).collect()
}
