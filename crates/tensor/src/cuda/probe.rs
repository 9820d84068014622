//! Is there a driver, and can it do what is asked of it? Found out before any call: `cudarc` panics on a library or
//! a symbol that is missing.

use std::sync::OnceLock;

use cudarc::driver::sys;

use super::driver;
use crate::{Error, Kind, Result};

/// The oldest interface of the driver that loads the kernels: PTX 8.4 came with CUDA 12.4, driver series 550.
pub const DRIVER_FLOOR: (u32, u32) = (12, 4);

/// The oldest GPU that the kernels run on: Ampere, for `cp.async` and bf16 `mma.sync`.
pub const CAPABILITY_FLOOR: (u32, u32) = (8, 0);

/// Every call that [`super::driver`] makes.
const CALLS: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorString",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetPCIBusId",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuMemsetD16Async",
    "cuMemsetD32Async",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuEventDestroy_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncGetParamInfo",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuLaunchKernelEx",
];

/// Makes sure that the driver is there, complete, started and new enough; returns its version as (major, minor) of
/// the CUDA interface it offers. Success is remembered; a failure is looked into anew each time.
///
/// # Errors
/// What is missing, and how to get it.
pub fn driver() -> Result<(u32, u32)> {
    static FOUND: OnceLock<(u32, u32)> = OnceLock::new();
    if let Some(version) = FOUND.get() {
        return Ok(*version);
    }
    if !is_driver_installed() {
        return Err(absent("no NVIDIA driver was found: libcuda.so cannot be loaded")
            .hint("install the NVIDIA driver, series 550 or newer, or use --device cpu"));
    }
    let missing: Vec<&str> = CALLS.iter().copied().filter(|name| !has_symbol(name)).collect();
    if !missing.is_empty() {
        let message = format!("the NVIDIA driver is too old: it lacks {}", missing.join(", "));
        return Err(absent(message).hint("update the driver to series 550 or newer, or use --device cpu"));
    }
    driver::init().map_err(|failure| absent(failure.to_string()).hint(start_hint(&failure)))?;
    let version = driver::version().map_err(|failure| absent(failure.to_string()))?;
    if version < DRIVER_FLOOR {
        let ((major, minor), (least, least_minor)) = (version, DRIVER_FLOOR);
        let message =
            format!("the NVIDIA driver offers CUDA {major}.{minor}, the kernels need {least}.{least_minor}");
        return Err(absent(message).hint("update the driver to series 550 or newer, or use --device cpu"));
    }
    Ok(*FOUND.get_or_init(|| version))
}

/// Whether the driver's library is there at all, whatever it can do.
pub fn is_driver_installed() -> bool {
    // SAFETY: loading the driver's library runs its constructors, which the driver makes safe to run at any time.
    unsafe { sys::is_culib_present() }
}

fn absent(message: impl Into<String>) -> Error {
    Error::new(Kind::Device, "cuda", message)
}

fn has_symbol(name: &str) -> bool {
    // SAFETY: the library is present. The symbol is only looked for; nothing is called through this type.
    unsafe { sys::culib().get::<unsafe extern "C" fn()>(name.as_bytes()).is_ok() }
}

fn start_hint(failure: &driver::Failure) -> &'static str {
    use sys::CUresult::*;
    match failure.code {
        CUDA_ERROR_NO_DEVICE => {
            "no GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"
        }
        CUDA_ERROR_STUB_LIBRARY => {
            "libcuda.so is the toolkit's stub: take its folder out of LD_LIBRARY_PATH and install the driver"
        }
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "libcuda.so and the kernel module are of different versions: reboot after updating the driver"
        }
        CUDA_ERROR_SYSTEM_NOT_READY => "start nvidia-fabricmanager",
        _ => "see whether nvidia-smi works; in a container, pass the GPU through",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CALLS;

    /// A call that is made but not looked for would panic on a machine whose driver lacks it.
    #[test]
    fn every_call_is_looked_for_and_no_other() {
        let source = include_str!("driver.rs");
        let made: BTreeSet<&str> = source
            .split("sys::cu")
            .skip(1)
            .map(|rest| &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())])
            .collect();
        let known: BTreeSet<&str> = CALLS.iter().map(|name| &name[2..]).collect();
        assert_eq!(made, known);
        assert_eq!(known.len(), CALLS.len());
    }
}
