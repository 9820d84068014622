//! What the sweep over the registry cannot see.

mod cross_entropy;
#[cfg(target_os = "linux")]
mod device;
