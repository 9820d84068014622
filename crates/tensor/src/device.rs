//! Where tensors live and ops run.

use std::fmt;

use crate::{Error, Kind, Result};

/// Where tensors live and ops run.
///
/// The CPU is the only device of this build; [`Device::cuda`] says so. The enum is what CUDA joins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The host's processor, with SIMD chosen at run time.
    Cpu,
}

impl Device {
    /// The fastest device that answers.
    pub fn best() -> Result<Self> {
        Ok(Self::cuda(0).unwrap_or(Self::Cpu))
    }

    /// The CUDA device number `ordinal`.
    ///
    /// # Errors
    /// Always, in this build: the kernels for CUDA are not part of it yet.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        let message = format!("CUDA device {ordinal} cannot be used: this build has no CUDA kernels yet");
        Err(Error::new(Kind::Device, "device", message).hint("use --device cpu"))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
        }
    }
}
