//! The way to the emulator: finds its shared library at run time and opens it under the driver's name, so that whatever
//! loads CUDA afterwards finds it there.
//!
//! Apart from the emulator itself, so that a program which offers the emulated device links none of it.

mod counts;

use std::env;
use std::path::{Path, PathBuf};

pub use counts::{Counts, counts};

/// What the emulator's shared library is called, whichever name it answers to.
const FILE: &str = "libwarpsmith_emulator.so";

/// Why the emulator was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The shared library lies in none of the usual places.
    #[error("{FILE} is not beside the program (looked in {}); {}", listed(.places), advice(.places))]
    NotFound {
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// The shared library does not load.
    #[error("{path} cannot be loaded: {reason}", path = path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library is no emulator, or another library holds the driver's name already.
    #[error("{path} does not answer as libcuda.so: {reason}", path = path.display())]
    NotInPlace {
        /// The library.
        path: PathBuf,
        /// What stands against it.
        reason: String,
    },
    /// The emulator exists for another system.
    #[error("the emulated GPU needs Linux, this is {}", env::consts::OS)]
    OtherSystem,
}

fn listed(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The command that makes the library where it is looked for.
fn advice(places: &[PathBuf]) -> String {
    let is_release = places.iter().any(|place| place.ends_with("release"));
    let profile = if is_release { " --release" } else { "" };
    format!("run `cargo build{profile} -p warpsmith-emulator`, or name the file in WARPSMITH_LIBCUDA")
}

/// Where the library is: the file that `WARPSMITH_LIBCUDA` names, or else the one beside the program or in `deps/`
/// beside it, where `cargo` puts it, or up to two folders above.
///
/// # Errors
/// If it is in none of these places.
pub fn find() -> Result<PathBuf, InstallError> {
    if let Some(named) = env::var_os("WARPSMITH_LIBCUDA") {
        return Ok(PathBuf::from(named));
    }
    let program = env::current_exe().unwrap_or_default();
    let folders = program.ancestors().skip(1).take(3);
    let places: Vec<PathBuf> = folders.flat_map(|folder| [folder.join("deps"), folder.to_owned()]).collect();
    let found = places.iter().map(|place| place.join(FILE)).find(|path| Path::is_file(path));
    found.ok_or(InstallError::NotFound { places })
}

/// Opens the emulator's shared library under the name `libcuda.so` for the whole process, and returns its path.
///
/// Call it before anything loads CUDA; calling it again changes nothing.
///
/// # Errors
/// If the library is not found ([`find`]), does not load, or comes after another `libcuda.so`.
#[cfg(target_os = "linux")]
pub fn install() -> Result<PathBuf, InstallError> {
    let path = find()?;
    match linux::open(&path) {
        Err(source) => Err(InstallError::Load { path, reason: source.to_string() }),
        Ok(()) => match linux::installed() {
            Ok(_) => Ok(path),
            Err(error) => Err(InstallError::NotInPlace { path, reason: error.to_string() }),
        },
    }
}

/// An error: the emulator exists for Linux alone.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn install() -> Result<PathBuf, InstallError> {
    Err(InstallError::OtherSystem)
}

/// [`install`], and a machine of `count` GPUs, so that tests of one program can each have their own. Returns how many there
/// are: others if `WARPSMITH_EMULATOR_GPUS` says so, or if CUDA was in use before.
///
/// # Errors
/// As [`install`].
#[cfg(target_os = "linux")]
pub fn install_gpus(count: i32) -> Result<i32, InstallError> {
    let path = install()?;
    linux::gpus(count).map_err(|error| InstallError::NotInPlace { path, reason: error.to_string() })
}

/// An error: the emulator exists for Linux alone.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn install_gpus(_count: i32) -> Result<i32, InstallError> {
    Err(InstallError::OtherSystem)
}

/// What the emulator last said to this thread about a call that failed, if it is installed and one has.
///
/// The sentence names the call; that of a kernel's fault names the kernel, block, thread and line.
pub fn last_fault() -> Option<String> {
    #[cfg(target_os = "linux")]
    return linux::last_fault();
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::c_char;
    use std::path::Path;

    use libloading::Error;
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

    /// The name that loaders look up.
    const NAME: &str = "libcuda.so";
    /// The name of that call.
    const MARK: &[u8] = b"warpsmithLastFault\0";

    type CountsCall = unsafe extern "C" fn(*mut u64, usize) -> usize;
    type LastFault = unsafe extern "C" fn(*mut c_char, usize) -> usize;

    /// Opens the library for the whole process.
    pub fn open(path: &Path) -> Result<(), Error> {
        // SAFETY: loading runs no code of the library but the initialisers of Rust's standard library.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }?;
        // The library stays for good: statics of loaders hold pointers into it.
        std::mem::forget(library);
        Ok(())
    }

    /// The private call that tells the emulator from a real driver.
    pub fn installed() -> Result<Symbol<LastFault>, Error> {
        // SAFETY: only the emulator has a symbol of this name, and it is of this type.
        unsafe { call(MARK) }
    }

    /// A private call of the library that holds the driver's name.
    ///
    /// # Safety
    ///
    /// If there is such a symbol it is of type `T`.
    unsafe fn call<T>(name: &[u8]) -> Result<Symbol<T>, Error> {
        // SAFETY: a library of this name that is open already is not loaded again; a driver's initialisers are sound.
        let library = unsafe { Library::open(Some(NAME), RTLD_NOW) }?;
        // SAFETY: the caller's promise.
        let call = unsafe { library.get::<T>(name) };
        std::mem::forget(library);
        call
    }

    /// Writes as many of the counts as there is room for, and returns how many the emulator has; `None` if it is not there.
    pub fn counts(numbers: &mut [u64]) -> Option<usize> {
        // SAFETY: only the emulator has a symbol of this name, and it is of this type.
        let call: Symbol<CountsCall> = unsafe { call(b"warpsmithCounts\0") }.ok()?;
        // SAFETY: there is room for so many.
        Some(unsafe { call(numbers.as_mut_ptr(), numbers.len()) })
    }

    /// Asks for so many GPUs, and returns how many there are.
    pub fn gpus(count: i32) -> Result<i32, Error> {
        // SAFETY: only the emulator has a symbol of this name, and it is of this type.
        let call: Symbol<extern "C" fn(i32) -> i32> = unsafe { call(b"warpsmithGpus\0") }?;
        Ok(call(count))
    }

    pub fn last_fault() -> Option<String> {
        let call = installed().ok()?;
        // SAFETY: a null buffer of no bytes is never written to.
        let length = unsafe { call(std::ptr::null_mut(), 0) };
        let mut buffer = vec![0_u8; length + 1];
        // SAFETY: the buffer holds as many bytes as are said.
        unsafe { call(buffer.as_mut_ptr().cast(), buffer.len()) };
        buffer.truncate(length);
        String::from_utf8(buffer).ok().filter(|sentence| !sentence.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_builds_what_lies_beside_this_program() {
        let told = |folder: &str| InstallError::NotFound { places: vec![PathBuf::from(folder)] }.to_string();
        assert!(told("/x/target/debug").contains("`cargo build -p warpsmith-emulator`"));
        assert!(told("/x/target/release").contains("`cargo build --release -p warpsmith-emulator`"));
        assert!(told("/x/target/debug").contains("/x/target/debug"));
    }
}
