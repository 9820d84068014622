//! Loads the shared library of this crate, so that a loader of CUDA finds it under the driver's name.

use std::env;
use std::ffi::c_char;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

/// What the crate's shared library is called, whichever name it answers to.
const FILE: &str = "libwarpsmith_emulator.so";
/// The name that loaders look up.
const NAME: &str = "libcuda.so";
/// The private call that tells the emulator from a real driver.
const MARK: &[u8] = b"warpsmithLastFault\0";

/// Why the emulator was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The shared library lies in none of the usual places.
    #[error(
        "{FILE} is not beside the program ({places:?}); build warpsmith-emulator, or name it in WARPSMITH_LIBCUDA"
    )]
    NotFound {
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// The shared library does not load.
    #[error("{path}: {source}", path = path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        source: libloading::Error,
    },
    /// The library is no emulator, or another library holds the driver's name already.
    #[error("{path} does not answer as {NAME}: {reason}", path = path.display())]
    NotInPlace {
        /// The library.
        path: PathBuf,
        /// What stands against it.
        reason: String,
    },
}

/// Opens the emulator's shared library under the name `libcuda.so` for the whole process, and returns its path.
///
/// The library is the one that `WARPSMITH_LIBCUDA` names, or else the one beside the program, where `cargo` puts it
/// (`deps/` of the target folder). Call it before anything loads CUDA; calling it again changes nothing.
///
/// # Errors
///
/// If the library is not found, does not load, or comes after another `libcuda.so`.
pub fn install() -> Result<PathBuf, InstallError> {
    let path = library()?;
    // SAFETY: loading runs no code of the library but the initialisers of Rust's standard library.
    let opened = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    let library = opened.map_err(|source| InstallError::Load { path: path.clone(), source })?;
    // The library stays for good: statics of loaders hold pointers into it.
    std::mem::forget(library);
    match installed() {
        Ok(_) => Ok(path),
        Err(error) => Err(InstallError::NotInPlace { path, reason: error.to_string() }),
    }
}

/// What the emulator last said to this thread about a call that failed, if it is installed and one has.
///
/// The sentence names the call; that of a kernel's fault names the kernel, block, thread and line.
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

type LastFault = unsafe extern "C" fn(*mut c_char, usize) -> usize;

/// The private call of the library that holds the driver's name.
fn installed() -> Result<Symbol<LastFault>, libloading::Error> {
    // SAFETY: a library of this name that is open already is not loaded again; a driver's initialisers are sound.
    let library = unsafe { Library::open(Some(NAME), RTLD_NOW) }?;
    // SAFETY: only the emulator has a symbol of this name, and it is of this type.
    let call = unsafe { library.get::<LastFault>(MARK) };
    std::mem::forget(library);
    call
}

/// The path of the library.
fn library() -> Result<PathBuf, InstallError> {
    if let Some(named) = env::var_os("WARPSMITH_LIBCUDA") {
        return Ok(PathBuf::from(named));
    }
    let program = env::current_exe().unwrap_or_default();
    let folders = program.ancestors().skip(1).take(3);
    let places: Vec<PathBuf> = folders.flat_map(|folder| [folder.join("deps"), folder.to_owned()]).collect();
    let found = places.iter().map(|place| place.join(FILE)).find(|path| Path::is_file(path));
    found.ok_or(InstallError::NotFound { places })
}
