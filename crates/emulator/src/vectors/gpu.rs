//! Runs the families through the driver API of a `libcuda`, be it a GPU's or the emulator's.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use libloading::os::unix::{Library, RTLD_NOW};

use super::{Family, Recording};

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is no driver, or it lacks a call.
    #[error("no CUDA driver: {0}")]
    NoDriver(#[from] libloading::Error),
    /// A call failed.
    #[error("{call} failed with code {code}{}", of(.family))]
    Call {
        /// The call.
        call: &'static str,
        /// The driver's code.
        code: c_int,
        /// The family that it was for; empty for none.
        family: String,
    },
}

fn of(family: &str) -> String {
    if family.is_empty() { String::new() } else { format!(" at `{family}`") }
}

/// Runs every family on device 0 of the driver that the system finds, or of the one that is loaded already under its name.
///
/// # Errors
///
/// No driver, no device, or a call that fails; it names the family at which it did.
pub fn record(families: &[Family]) -> Result<Recording, RecordError> {
    let driver = Driver::open()?;
    let mut recording = driver.describe()?;
    for family in families {
        let name = &family.name;
        let named = |error| match error {
            RecordError::Call { call, code, .. } => RecordError::Call { call, code, family: name.clone() },
            other => other,
        };
        let outputs = driver.run(family).map_err(named)?;
        recording.outputs.push((family.name.clone(), outputs));
    }
    Ok(recording)
}

/// An open driver with a current context.
struct Driver {
    library: Library,
}

/// Calls `name` of the driver with arguments of these types.
macro_rules! call {
    ($driver:expr, $name:literal, $($argument:expr => $kind:ty),*) => {{
        // SAFETY: the driver API gives the call this type, and the arguments are sound where this is used.
        let code = unsafe {
            let name = concat!($name, "\0").as_bytes();
            let function = $driver.library.get::<unsafe extern "C" fn($($kind),*) -> c_int>(name)?;
            function($($argument),*)
        };
        if code == 0 { Ok(()) } else { Err(RecordError::Call { call: $name, code, family: String::new() }) }
    }};
}

impl Driver {
    fn open() -> Result<Driver, RecordError> {
        // SAFETY: the initialisers of a CUDA driver are sound; one that is open already is not loaded again.
        let open = |name: &str| unsafe { Library::open(Some(name), RTLD_NOW) };
        let library = open("libcuda.so").or_else(|_| open("libcuda.so.1"))?;
        let driver = Driver { library };
        let (mut device, mut context) = (0, std::ptr::null_mut());
        call!(driver, "cuInit", 0 => c_uint)?;
        call!(driver, "cuDeviceGet", &mut device => *mut c_int, 0 => c_int)?;
        call!(driver, "cuDevicePrimaryCtxRetain", &mut context => *mut *mut c_void, device => c_int)?;
        call!(driver, "cuCtxSetCurrent", context => *mut c_void)?;
        Ok(driver)
    }

    fn describe(&self) -> Result<Recording, RecordError> {
        let mut name = [0 as c_char; 128];
        let (mut driver, mut capability) = (0, (0, 0));
        call!(self, "cuDeviceGetName", name.as_mut_ptr() => *mut c_char, 128 => c_int, 0 => c_int)?;
        call!(self, "cuDriverGetVersion", &mut driver => *mut c_int)?;
        for (attribute, value) in [(75, &mut capability.0), (76, &mut capability.1)] {
            call!(self, "cuDeviceGetAttribute", value => *mut c_int, attribute => c_int, 0 => c_int)?;
        }
        // SAFETY: the driver ends the name with a NUL within the 128 bytes.
        let device = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(Recording { device, capability, driver, outputs: Vec::new() })
    }

    fn run(&self, family: &Family) -> Result<Vec<Vec<u64>>, RecordError> {
        // The text holds no NUL of its own.
        let text = CString::new(family.ptx()).unwrap_or_default();
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        call!(self, "cuModuleLoadData", &mut module => *mut *mut c_void, text.as_ptr().cast() => *const c_void)?;
        call!(
            self, "cuModuleGetFunction",
            &mut function => *mut *mut c_void, module => *mut c_void, c"vectors".as_ptr() => *const c_char
        )?;
        let input: Vec<u64> = family.lanes.iter().flatten().copied().collect();
        let mut output = vec![0u64; family.lanes.len() * family.outputs.len()];
        let (mut from, mut to) = (self.upload(&input)?, self.upload(&output)?);
        let mut params = [(&raw mut from).cast::<c_void>(), (&raw mut to).cast()];
        let blocks = (family.lanes.len() / 32) as c_uint;
        let null = std::ptr::null_mut();
        call!(
            self, "cuLaunchKernel",
            function => *mut c_void, blocks => c_uint, 1 => c_uint, 1 => c_uint, 32 => c_uint, 1 => c_uint, 1 => c_uint,
            0 => c_uint, null => *mut c_void, params.as_mut_ptr() => *mut *mut c_void, null.cast() => *mut *mut c_void
        )?;
        call!(self, "cuCtxSynchronize",)?;
        let bytes = size_of_val(&output[..]);
        call!(self, "cuMemcpyDtoH_v2", output.as_mut_ptr().cast() => *mut c_void, to => u64, bytes => usize)?;
        call!(self, "cuMemFree_v2", from => u64)?;
        call!(self, "cuMemFree_v2", to => u64)?;
        call!(self, "cuModuleUnload", module => *mut c_void)?;
        Ok(output.chunks(family.outputs.len()).map(<[u64]>::to_vec).collect())
    }

    fn upload(&self, words: &[u64]) -> Result<u64, RecordError> {
        let (mut address, bytes) = (0, size_of_val(words));
        call!(self, "cuMemAlloc_v2", &mut address => *mut u64, bytes => usize)?;
        call!(self, "cuMemcpyHtoD_v2", address => u64, words.as_ptr().cast() => *const c_void, bytes => usize)?;
        Ok(address)
    }
}
