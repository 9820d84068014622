//! CUDA C++ to PTX by NVRTC, if it is there: loaded when first wanted, linked to nothing.
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

type Program = *mut c_void;
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

/// The loaded library.
struct Nvrtc {
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

/// Compiles CUDA C++ for a GPU of this compute capability; `folder` is where its own headers are looked for.
///
/// # Errors
/// Without NVRTC: says how to get it. If the text does not compile: the compiler's log.
pub fn compile(text: &str, name: &str, folder: Option<&Path>, capability: (u32, u32)) -> Result<String> {
    static FOUND: OnceLock<Option<Nvrtc>> = OnceLock::new();
    let Some(nvrtc) = FOUND.get_or_init(Nvrtc::find) else {
        return Err(Error::Unsupported(
            "CUDA C++ is compiled by NVRTC, which is not here: install the CUDA toolkit or `pip install \
             nvidia-cuda-nvrtc-cu12==12.4.127`, whose PTX drivers from the 550 series on read, or name libnvrtc.so in \
             WARPSMITH_NVRTC; a .ptx file needs none of these"
                .into(),
        ));
    };
    let (major, minor) = capability;
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
    fn find() -> Option<Self> {
        if let Some(path) = std::env::var_os("WARPSMITH_NVRTC") {
            return Self::open(Path::new(&path));
        }
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
        let homes: Vec<PathBuf> = homes.chain([PathBuf::from("/usr/local/cuda")]).collect();
        let beside = homes.iter().flat_map(|home| NAMES.map(|name| home.join("lib64").join(name)));
        let candidates: Vec<PathBuf> = NAMES.map(PathBuf::from).into_iter().chain(beside).collect();
        candidates
            .iter()
            .find_map(|path| Self::open(path))
            .or_else(|| wheels().iter().find_map(|path| Self::open(path)))
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

/// Libraries in the folders that Python imports from.
fn wheels() -> Vec<PathBuf> {
    let done = Command::new(crate::torch::python()).args(["-c", WHEELS]).output();
    let told = done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    told.lines().map(PathBuf::from).collect()
}
