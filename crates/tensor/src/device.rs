//! Where tensors live and ops run.

use std::fmt;

#[cfg(feature = "cuda")]
use crate::cuda::CudaDevice;
use crate::{Error, Kind, Result};

/// Where tensors live and ops run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The host's processor, with SIMD chosen at run time.
    Cpu,
    /// A GPU of NVIDIA's.
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice),
}

impl Device {
    /// The fastest device that can train and generate.
    pub fn best() -> Result<Self> {
        Ok(Self::best_and_why().0)
    }

    /// As [`Device::best`], with the reason if it is not a GPU.
    ///
    /// A GPU is not chosen yet, only taken by name ([`Device::cuda`]): not every op has a kernel.
    pub fn best_and_why() -> (Self, Option<Error>) {
        let reason = Self::cuda(0).err().unwrap_or_else(|| {
            Error::new(Kind::Device, "cuda", "a GPU answers, but not every op of a model has a kernel yet")
        });
        (Self::Cpu, Some(reason))
    }

    /// GPU number `ordinal`.
    ///
    /// # Errors
    /// Without a driver, with one that is too old, without that GPU or with one that is too old: says which, and what
    /// to do about it. Always, if the crate was built without its feature `cuda`.
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        CudaDevice::new(ordinal).map(Self::Cuda)
    }

    /// GPU number `ordinal`.
    ///
    /// # Errors
    /// Always, in this build.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        let message =
            format!("cuda:{ordinal} cannot be used: this program was built without the feature `cuda`");
        Err(Error::new(Kind::Device, "cuda", message).hint("use --device cpu"))
    }

    /// Whether this is the host.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }

    /// Queues a kernel on the device.
    ///
    /// # Errors
    /// If the PTX does not compile, the driver refuses the launch, or this is the CPU, which runs no kernels.
    pub fn launch(&self, launch: &warpsmith_kernels::Launch) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => warpsmith_kernels::Stream::launch(cuda.stream(), launch),
            Self::Cpu => Err(Error::new(Kind::Device, launch.entry.name, "the CPU runs no CUDA kernels")),
        }
    }

    /// Waits until all that was queued is done; the CPU has nothing queued.
    ///
    /// # Errors
    /// If a kernel that was queued before has failed.
    pub fn synchronize(&self) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.stream().synchronize(),
            Self::Cpu => Ok(()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.fmt(f),
        }
    }
}
