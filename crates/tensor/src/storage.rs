//! Where the elements of a tensor lie: shared memory of the host or of a GPU.

use std::sync::Arc;

#[cfg(feature = "cuda")]
use crate::cuda::{CudaDevice, DeviceBuffer};
use crate::{CpuBuffer, DType, Device, Error, Kind, Result};

#[derive(Clone)]
pub(crate) enum Storage {
    Cpu(Arc<CpuBuffer>),
    #[cfg(feature = "cuda")]
    Cuda(Arc<DeviceBuffer>),
}

impl Storage {
    /// `len` elements with any contents.
    pub fn empty(dtype: DType, len: usize, device: &Device) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::Cpu(Arc::new(CpuBuffer::recycled(dtype, len)?))),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => Ok(Self::Cuda(Arc::new(cuda.stream().allocate(len * dtype.size())?))),
        }
    }

    /// `len` zeros.
    pub fn zeros(dtype: DType, len: usize, device: &Device) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::Cpu(Arc::new(CpuBuffer::zeros(dtype, len)?))),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let storage = Self::Cuda(Arc::new(cuda.stream().allocate(len * dtype.size())?));
                storage.fill("zeros", 0, 1, len * dtype.size())?;
                Ok(storage)
            }
        }
    }

    /// How many elements of `dtype` it holds.
    pub fn len(&self, dtype: DType) -> usize {
        match self {
            Self::Cpu(buffer) => {
                debug_assert_eq!(buffer.dtype(), dtype);
                buffer.len()
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => buffer.len() / dtype.size(),
        }
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        match self {
            Self::Cpu(_) => Device::Cpu,
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => Device::Cuda(CudaDevice::of(buffer.stream())),
        }
    }

    /// Whether both are the same memory.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu(a), Self::Cpu(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "cuda")]
            (Self::Cuda(a), Self::Cuda(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "cuda")]
            _ => false,
        }
    }

    /// Whether nobody else holds it.
    pub fn is_unique(&mut self) -> bool {
        match self {
            Self::Cpu(buffer) => Arc::get_mut(buffer).is_some(),
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => Arc::get_mut(buffer).is_some(),
        }
    }

    /// The host's memory; an error of `op` if it lies elsewhere.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "the host is the only place then"))]
    #[inline]
    pub fn host(&self, op: &'static str) -> Result<&CpuBuffer> {
        match self {
            Self::Cpu(buffer) => Ok(buffer),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => Err(self.not_on_the_host(op)),
        }
    }

    /// The host's memory to write; `None` if somebody else holds it too.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "the host is the only place then"))]
    #[inline]
    pub fn host_mut(&mut self, op: &'static str) -> Result<Option<&mut CpuBuffer>> {
        match self {
            Self::Cpu(buffer) => Ok(Arc::get_mut(buffer)),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => Err(self.not_on_the_host(op)),
        }
    }

    /// Where the GPU's memory begins; an error of `op` if it lies on the host.
    pub fn address(&self, op: &'static str) -> Result<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => Ok(buffer.address()),
            Self::Cpu(_) => {
                let message = "the tensor lies on the CPU, and this needs one on a GPU";
                Err(Error::new(Kind::Device, op, message).hint("move it with to_device"))
            }
        }
    }

    /// The GPU's memory is about to be written: a bf16 copy of it is then no longer one.
    pub fn spoil_copy(&self) {
        #[cfg(feature = "cuda")]
        if let Self::Cuda(buffer) = self {
            buffer.spoil();
        }
    }

    /// The bf16 copy of the f32 in this GPU's memory, current, made with `make` if it is not there yet.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "the host is the only place then"))]
    pub fn rounded(&self, make: bool) -> Result<Option<Self>> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => Ok(buffer.rounded().current(make)?.map(Self::Cuda)),
            Self::Cpu(_) => Ok(None),
        }
    }

    /// The address of that copy, made if there is none, for a kernel that is about to write both; 0 on the CPU.
    pub fn filled_copy(&self) -> Result<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => buffer.rounded().filled(),
            Self::Cpu(_) => Ok(0),
        }
    }

    /// The address of that copy, for a kernel that keeps it current while it writes the f32; 0 if there is none.
    pub fn kept_copy(&self) -> u64 {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => buffer.rounded().kept_current(),
            Self::Cpu(_) => 0,
        }
    }

    /// `len` elements on `device`, copied from the host's bytes of them.
    pub fn upload(bytes: &[u8], dtype: DType, len: usize, device: &Device) -> Result<Self> {
        let mut storage = Self::empty(dtype, len, device)?;
        match &mut storage {
            Self::Cpu(_) => {
                storage
                    .host_mut("to_device")?
                    .into_iter()
                    .for_each(|own| own.bytes_mut().copy_from_slice(bytes));
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => buffer.stream().copy_in("to_device", buffer.address(), bytes)?,
        }
        Ok(storage)
    }

    /// `len` elements from number `start` on, copied to the host.
    pub fn download(&self, dtype: DType, start: usize, len: usize) -> Result<Self> {
        let mut to = CpuBuffer::recycled(dtype, len)?;
        let from = start * dtype.size();
        match self {
            Self::Cpu(buffer) => {
                to.bytes_mut().copy_from_slice(&buffer.bytes()[from..from + len * dtype.size()])
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(buffer) => buffer.read(from, to.bytes_mut())?,
        }
        Ok(Self::Cpu(Arc::new(to)))
    }

    /// `len` elements of at most 4 bytes on a GPU, each the low bytes of `pattern`.
    pub fn filled(pattern: u32, dtype: DType, len: usize, device: &Device) -> Result<Self> {
        let storage = Self::empty(dtype, len, device)?;
        storage.fill("full", pattern, dtype.size(), len)?;
        Ok(storage)
    }

    /// Copies the host's bytes to the front of this GPU's memory.
    pub fn write_over(&self, bytes: &[u8]) -> Result<()> {
        let to = self.address("overwrite")?;
        self.spoil_copy();
        #[cfg(feature = "cuda")]
        if let Self::Cuda(buffer) = self {
            return buffer.stream().copy_in("overwrite", to, bytes);
        }
        Err(Error::internal("overwrite", format!("{} bytes to {to} without a device", bytes.len())))
    }

    /// Copies `bytes` bytes at `from` to the front of this GPU's memory.
    pub fn copy_from(&self, from: u64, bytes: usize) -> Result<()> {
        let to = self.address("copy")?;
        self.spoil_copy();
        #[cfg(feature = "cuda")]
        if let Self::Cuda(buffer) = self {
            return buffer.stream().copy_within("copy", to, from, bytes as u64);
        }
        Err(Error::internal("copy", format!("{bytes} bytes from {from} to {to} without a device")))
    }

    /// Writes `count` times the low `width` bytes of `pattern` to the front of this GPU's memory.
    fn fill(&self, op: &'static str, pattern: u32, width: usize, count: usize) -> Result<()> {
        let to = self.address(op)?;
        self.spoil_copy();
        #[cfg(feature = "cuda")]
        if let Self::Cuda(buffer) = self {
            return buffer.stream().fill(op, to, pattern, width, count as u64);
        }
        Err(Error::internal(op, format!("{count} times {pattern} of {width} bytes to {to} without a device")))
    }

    #[cfg(feature = "cuda")]
    fn not_on_the_host(&self, op: &'static str) -> Error {
        let message = format!("the tensor lies on {}, and this reads the host's memory", self.device());
        Error::new(Kind::Device, op, message).hint("copy it with to_device(&Device::Cpu)")
    }
}
