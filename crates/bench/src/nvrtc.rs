//! CUDA C++ to PTX by NVRTC, if it is there: loaded when first wanted, linked to nothing.
//!
//! A machine may have several of them (a toolkit, and what packages of Python brought), and PTX of a newer CUDA than the
//! driver's does not load. So all are looked at, and the newest that is not too new is taken.
//!
//! Source of the interface: NVRTC user guide, "Basic usage".

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::Library;

use crate::{Error, Result};

/// The names that the library has had.
const NAMES: [&str; 4] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"];
/// A wheel of the Python package index has it too.
const WHEELS: &str = "import glob, sys\nfor p in sys.path:\n    for f in sorted(glob.glob(p + '/nvidia/*/lib/libnvrtc.so.*')):\n        print(f)";

/// What the PTX is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The compute capability of the GPU, (major, minor).
    pub capability: (u32, u32),
    /// The version of CUDA that its driver offers, (major, minor): PTX of a newer one is refused by it.
    pub cuda: (u32, u32),
}

type Program = *mut c_void;
type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type SizeOf = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type TextOf = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;

/// A loaded library.
struct Nvrtc {
    /// The version of CUDA that it is of, (major, minor).
    version: (u32, u32),
    create: Create,
    compile: Compile,
    ptx_size: SizeOf,
    ptx: TextOf,
    log_size: SizeOf,
    log: TextOf,
    destroy: Destroy,
    /// Where headers of CUDA may lie.
    includes: Vec<PathBuf>,
}

/// Compiles CUDA C++ for a GPU; `folder` is where its own headers are looked for.
///
/// # Errors
/// Without an NVRTC that is old enough for the driver: says how to get it. If the text does not compile: the compiler's log.
pub fn compile(text: &str, name: &str, folder: Option<&Path>, target: Target) -> Result<String> {
    static FOUND: OnceLock<Vec<Nvrtc>> = OnceLock::new();
    let found = FOUND.get_or_init(Nvrtc::find);
    let versions: Vec<(u32, u32)> = found.iter().map(|nvrtc| nvrtc.version).collect();
    let nvrtc = &found[newest(&versions, target.cuda).ok_or_else(|| absent(&versions, target.cuda))?];
    let (major, minor) = target.capability;
    let mut options = vec![
        format!("--gpu-architecture=compute_{major}{minor}"),
        "--std=c++17".into(),
        "-default-device".into(),
        "-lineinfo".into(),
    ];
    let folders = folder.into_iter().chain(nvrtc.includes.iter().map(PathBuf::as_path));
    options.extend(folders.map(|folder| format!("-I{}", folder.display())));
    nvrtc.run(text, name, &options)
}

impl Nvrtc {
    /// All that this machine has, or the one that `WARPSMITH_NVRTC` names.
    fn find() -> Vec<Self> {
        if let Some(path) = std::env::var_os("WARPSMITH_NVRTC") {
            return Self::open(Path::new(&path)).into_iter().collect();
        }
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
        let homes: Vec<PathBuf> = homes.chain([PathBuf::from("/usr/local/cuda")]).collect();
        let beside = homes.iter().flat_map(|home| NAMES.map(|name| home.join("lib64").join(name)));
        let candidates = NAMES.map(PathBuf::from).into_iter().chain(beside).chain(wheels());
        candidates.filter_map(|path| Self::open(&path)).collect()
    }

    fn open(path: &Path) -> Option<Self> {
        // SAFETY: loading NVRTC runs its initialisers, which it makes safe to run at any time.
        let library = unsafe { Library::new(path) }.ok()?;
        let beside = path.parent().and_then(Path::parent);
        let roots = beside.into_iter().flat_map(|root| {
            let wheel = root.parent().map(|nvidia| nvidia.join("cuda_runtime/include"));
            [Some(root.join("include")), wheel]
        });
        let includes = roots.flatten().filter(|folder| folder.is_dir()).collect();
        // SAFETY: each name is that of the C function whose type it is given, as the user guide declares it.
        let found = unsafe {
            Self {
                version: version(*library.get::<Version>(b"nvrtcVersion\0").ok()?)?,
                create: *library.get::<Create>(b"nvrtcCreateProgram\0").ok()?,
                compile: *library.get::<Compile>(b"nvrtcCompileProgram\0").ok()?,
                ptx_size: *library.get::<SizeOf>(b"nvrtcGetPTXSize\0").ok()?,
                ptx: *library.get::<TextOf>(b"nvrtcGetPTX\0").ok()?,
                log_size: *library.get::<SizeOf>(b"nvrtcGetProgramLogSize\0").ok()?,
                log: *library.get::<TextOf>(b"nvrtcGetProgramLog\0").ok()?,
                destroy: *library.get::<Destroy>(b"nvrtcDestroyProgram\0").ok()?,
                includes,
            }
        };
        // The functions are called as long as the process lives, so the library stays as long.
        std::mem::forget(library);
        Some(found)
    }

    fn run(&self, text: &str, name: &str, options: &[String]) -> Result<String> {
        let c_text =
            |text: &str| CString::new(text).map_err(|_| Error::Failed(format!("{name} holds a zero byte")));
        let (source, c_name) = (c_text(text)?, c_text(name)?);
        let options = options.iter().map(|option| c_text(option)).collect::<Result<Vec<_>>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program: Program = std::ptr::null_mut();
        // SAFETY: both texts end with a zero and outlive the call; there are no headers, so their lists may be null.
        let made = unsafe {
            (self.create)(
                &mut program,
                source.as_ptr(),
                c_name.as_ptr(),
                0,
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        if made != 0 {
            return Err(Error::Failed(format!("NVRTC refuses {name}: error {made}")));
        }
        // SAFETY: the program was made above; the list holds as many pointers as are said, each to a text that lives.
        let compiled = unsafe { (self.compile)(program, pointers.len() as c_int, pointers.as_ptr()) };
        let result = if compiled == 0 {
            self.text(program, self.ptx_size, self.ptx)
        } else {
            let log = self.text(program, self.log_size, self.log).unwrap_or_default();
            Err(Error::Failed(format!("{name} does not compile:\n{}", log.trim_end())))
        };
        // SAFETY: the program was made above and is not used any more.
        unsafe { (self.destroy)(&mut program) };
        result
    }

    fn text(&self, program: Program, size: SizeOf, text: TextOf) -> Result<String> {
        let mut bytes = 0;
        // SAFETY: the program lives, and the size is written to a local variable.
        let asked = unsafe { size(program, &mut bytes) };
        let mut buffer = vec![0_u8; bytes + 1];
        // SAFETY: the buffer has room for as many bytes as the library said it writes, and a zero behind them.
        let written = if asked == 0 { unsafe { text(program, buffer.as_mut_ptr().cast()) } } else { asked };
        let ended = CStr::from_bytes_until_nul(&buffer);
        match (written, ended) {
            (0, Ok(text)) => Ok(text.to_string_lossy().into_owned()),
            _ => Err(Error::Failed(format!("NVRTC gives no text: error {written}"))),
        }
    }
}

/// What a library says of its own age.
fn version(ask: Version) -> Option<(u32, u32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is loaded, and writes two ints.
    let told = unsafe { ask(&mut major, &mut minor) };
    (told == 0).then_some((major.unsigned_abs(), minor.unsigned_abs()))
}

/// Which of these is the newest that is not newer than `most`; the first of several.
fn newest(versions: &[(u32, u32)], most: (u32, u32)) -> Option<usize> {
    let fits = (0..versions.len()).filter(|&i| versions[i] <= most);
    fits.rev().max_by_key(|&i| versions[i])
}

/// That there is none, or none for a driver that offers CUDA `most`, and how to get one.
fn absent(versions: &[(u32, u32)], most: (u32, u32)) -> Error {
    let (major, minor) = most;
    let package =
        if major < 13 { format!("nvidia-cuda-nvrtc-cu{major}") } else { "nvidia-cuda-nvrtc".into() };
    let why = match versions.iter().min() {
        None => "is not here".to_owned(),
        Some((own, own_minor)) => {
            format!("is here as {own}.{own_minor}, whose PTX is too new for a driver of CUDA {major}.{minor}")
        }
    };
    Error::Unsupported(format!(
        "CUDA C++ is compiled by NVRTC, which {why}: `pip install '{package}=={major}.{minor}.*'`, or name a libnvrtc.so \
         of CUDA {major}.{minor} or older in WARPSMITH_NVRTC; a .ptx file needs none of these"
    ))
}

/// Libraries in the folders that Python imports from.
fn wheels() -> Vec<PathBuf> {
    let done = Command::new(crate::torch::python()).args(["-c", WHEELS]).output();
    let told = done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    told.lines().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_the_driver_takes_is_chosen() {
        let versions = [(13, 2), (12, 4), (12, 8), (12, 8), (11, 8)];
        assert_eq!(newest(&versions, (12, 8)), Some(2));
        assert_eq!(newest(&versions, (12, 7)), Some(1));
        assert_eq!(newest(&versions, (13, 9)), Some(0));
        assert_eq!(newest(&versions, (11, 7)), None);
        assert_eq!(newest(&[], (12, 8)), None);
    }

    #[test]
    fn what_is_missing_says_which_version_would_do() {
        let none = absent(&[], (12, 8)).to_string();
        assert!(none.contains("not here") && none.contains("nvidia-cuda-nvrtc-cu12==12.8.*"), "{none}");
        let new = absent(&[(13, 2)], (13, 0)).to_string();
        assert!(new.contains("here as 13.2") && new.contains("'nvidia-cuda-nvrtc==13.0.*'"), "{new}");
    }
}
