//! What GPUs there are: for choosing one, for `doctor`, and for kernels that count processors.

use cudarc::driver::sys::CUdevice_attribute as Attribute;

use super::driver::{self, Outcome};
use super::probe;
use crate::{Error, Kind, Result};

/// One GPU, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number: `cuda:0`, `cuda:1` …
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Where it is on the bus, which is how other tools (`nvidia-smi --id`) name the same one whatever its number here is.
    pub bus_id: String,
    /// Its compute capability, (major, minor).
    pub capability: (u32, u32),
    /// Its memory in bytes.
    pub memory: u64,
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
    /// Shared memory that one block may use, in bytes, static and dynamic together.
    pub shared_bytes: u32,
    /// Whether the driver has to copy memory of the host to its own before the GPU can read it. Where the GPU reads it by itself
    /// (Grace Hopper, or heterogeneous memory management of Linux), it may do so later than the call.
    pub stages_copies: bool,
}

impl Gpu {
    /// Why the kernels cannot run on it, if they cannot.
    pub fn shortcoming(&self) -> Option<String> {
        let ((major, minor), (least, least_minor)) = (self.capability, probe::CAPABILITY_FLOOR);
        (self.capability < probe::CAPABILITY_FLOOR).then(|| {
            format!(
                "{} has compute capability {major}.{minor}, the kernels need {least}.{least_minor}",
                self.name
            )
        })
    }
}

/// What the driver and its GPUs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The version of CUDA that the driver offers, (major, minor).
    pub cuda_version: (u32, u32),
    /// The GPUs, in the order of their numbers.
    pub gpus: Vec<Gpu>,
}

/// What driver and GPUs this machine has. Opens no context, so that it is cheap and takes no memory.
///
/// # Errors
/// If there is no usable driver: what is missing, and how to get it.
pub fn inventory() -> Result<Inventory> {
    let cuda_version = probe::driver()?;
    let gpus = driver::device_count().and_then(|count| (0..count).map(describe).collect());
    let gpus = gpus.map_err(|failure| Error::new(Kind::Device, "cuda", failure.to_string()))?;
    Ok(Inventory { cuda_version, gpus })
}

/// Describes a GPU. The driver must have been probed.
pub(super) fn describe(ordinal: usize) -> Outcome<Gpu> {
    let device = driver::device(ordinal)?;
    let number = |attribute| driver::device_attribute(device, attribute);
    Ok(Gpu {
        ordinal,
        name: driver::device_name(device)?,
        bus_id: driver::bus_id(device)?,
        capability: (
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        memory: driver::device_memory(device)?,
        multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes: number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        stages_copies: number(Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS)? == 0,
    })
}
