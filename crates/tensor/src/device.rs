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

/// What a GPU's memory holds for this process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// In tensors now.
    pub live: u64,
    /// The most that was in tensors at once.
    pub peak: u64,
    /// Of what is live, bf16 copies of weights: see [`Tensor::rounded`](crate::Tensor::rounded).
    pub copies: u64,
}

impl Device {
    /// What its memory holds; `None` for the CPU, whose memory is [`arena::usage`](crate::arena::usage)'s.
    pub fn memory(&self) -> Option<DeviceMemory> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => {
                let crate::cuda::DeviceUsage { live, peak, copies, .. } = cuda.usage();
                Some(DeviceMemory { live, peak, copies })
            }
            Self::Cpu => None,
        }
    }

    /// Bytes that a GPU has left for tensors; `None` for the CPU, whose memory is the host's.
    ///
    /// # Errors
    /// If the GPU is lost, or another thread records a graph on it.
    pub fn free_memory(&self) -> Result<Option<u64>> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.free().map(Some),
            Self::Cpu => Ok(None),
        }
    }

    /// The fastest device that can train and generate: a GPU if one can be used, else the CPU.
    pub fn best() -> Result<Self> {
        Ok(Self::best_and_why().0)
    }

    /// As [`Device::best`], with the reason if it is not a GPU.
    pub fn best_and_why() -> (Self, Option<Error>) {
        match Self::cuda(0) {
            Ok(gpu) => (gpu, None),
            Err(reason) => (Self::Cpu, Some(reason)),
        }
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

    /// The address of a table of f32 that depends on `op` and `key` alone: `make` makes it at the first call, and it stays
    /// where it is as long as the device is open.
    ///
    /// # Errors
    /// If this is the CPU, the memory cannot be had, or the table is not there yet and a graph is recorded.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "only a GPU keeps tables"))]
    pub fn constant(&self, op: &'static str, key: [u64; 3], make: impl FnOnce() -> Vec<f32>) -> Result<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.constant(op, key, make),
            Self::Cpu => Err(Error::new(Kind::Device, op, "the CPU keeps no tables for kernels")),
        }
    }

    /// The address of a u64 in which a kernel of `op` reports the lowest position of an index that is negative or not
    /// below `limit`; the next call that waits for the device (a read, [`Device::synchronize`]) is an error then.
    ///
    /// # Errors
    /// If this is the CPU, the memory cannot be had, or the first call of all is made while a graph is recorded.
    pub fn watch(&self, op: &'static str, limit: usize) -> Result<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.watch(op, limit),
            Self::Cpu => {
                let message = format!("the CPU checks each index at once, so also those below {limit}");
                Err(Error::new(Kind::Device, op, message))
            }
        }
    }

    /// The address of a number that recorded work adds to the numbers it draws at random; 0 if nothing is being recorded,
    /// and on the CPU.
    pub fn advance(&self) -> u64 {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.stream().advance(),
            Self::Cpu => 0,
        }
    }

    /// Waits until all that was queued is done; the CPU has nothing queued.
    ///
    /// # Errors
    /// If a kernel that was queued before has failed, or met an index out of range.
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
