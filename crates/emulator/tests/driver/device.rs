use std::ffi::{CStr, CString, c_void};
use std::process::Command;

use cudarc::driver::result::device;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};
use libloading::os::unix::Library;

use crate::{context, refused};

#[test]
fn the_device_presents_itself() {
    let context = context();
    assert_eq!(context.name().unwrap(), "Warpsmith emulated GPU");
    assert_eq!(context.compute_capability().unwrap(), (8, 0));
    assert_eq!(context.total_mem().unwrap(), 8 << 30);
    assert_eq!(context.uuid().unwrap().bytes.map(|byte| byte as u8), *b"warpsmith-emu-80");
    let attribute = |attribute| context.attribute(attribute).unwrap();
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK), 49152);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), 166_912);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z), 64);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), i32::MAX);
    assert_eq!(attribute(Attribute::CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY), 1);
    let mut version = 0;
    // SAFETY: the place is a number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().unwrap();
    assert_eq!((version, device::get_count().unwrap()), (12080, 1));
    refused(device::get(1), CUresult::CUDA_ERROR_INVALID_DEVICE, &["cuDeviceGet", "number 0"]);
}

#[test]
fn each_code_has_the_name_of_the_binding() {
    let _context = context();
    use CUresult::*;
    for code in [
        CUDA_SUCCESS,
        CUDA_ERROR_INVALID_VALUE,
        CUDA_ERROR_OUT_OF_MEMORY,
        CUDA_ERROR_INVALID_PTX,
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
        CUDA_ERROR_INVALID_HANDLE,
        CUDA_ERROR_ILLEGAL_ADDRESS,
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
        CUDA_ERROR_CONTEXT_IS_DESTROYED,
        CUDA_ERROR_ASSERT,
        CUDA_ERROR_MISALIGNED_ADDRESS,
        CUDA_ERROR_LAUNCH_FAILED,
        CUDA_ERROR_NOT_SUPPORTED,
        CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
        CUDA_ERROR_UNKNOWN,
    ] {
        let error = cudarc::driver::DriverError(code);
        assert_eq!(error.error_name().unwrap().to_str().unwrap(), format!("{code:?}"));
        assert!(!error.error_string().unwrap().is_empty());
    }
}

#[test]
fn a_call_that_is_missing_refuses() {
    let _context = context();
    let mut texture = std::ptr::null_mut();
    for _ in 0..2 {
        // SAFETY: the emulator reads none of the arguments.
        let result = unsafe { sys::cuTexRefCreate(&mut texture) }.result();
        refused(result, CUresult::CUDA_ERROR_NOT_SUPPORTED, &["cuTexRefCreate", "does not have this call"]);
    }
}

/// The test above, in a process of its own, whose stderr is read.
#[test]
fn a_call_that_is_missing_says_its_name_once() {
    let words = ["--exact", "device::a_call_that_is_missing_refuses", "--nocapture"];
    let child = Command::new(std::env::current_exe().unwrap()).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert_eq!(said.matches("cuTexRefCreate is not supported").count(), 1, "{said}");
}

/// The driver's library, as any loader opens it.
fn library() -> Library {
    // SAFETY: it is loaded already.
    unsafe { Library::open(Some("libcuda.so"), libloading::os::unix::RTLD_NOW) }.unwrap()
}

#[test]
fn addresses_are_those_of_the_symbols() {
    let _context = context();
    let library = library();
    for (name, version, symbol) in [
        ("cuInit", 12080, "cuInit\0"),
        ("cuMemAlloc", 12080, "cuMemAlloc_v2\0"),
        ("cuCtxCreate", 11000, "cuCtxCreate_v2\0"),
        ("cuCtxCreate", 12080, "cuCtxCreate_v4\0"),
        ("cuLaunchKernel", 4000, "cuLaunchKernel\0"),
        ("cuStreamGetCtx", 12080, "cuStreamGetCtx\0"),
        ("cuMemcpy2D", 12080, "cuMemcpy2D_v2\0"),
        ("cuTexRefCreate", 12080, "cuTexRefCreate\0"),
    ] {
        let (mut address, mut status) =
            (std::ptr::null_mut(), sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS);
        let text = CString::new(name).unwrap();
        // SAFETY: the places are of the types that the call names.
        unsafe { sys::cuGetProcAddress_v2(text.as_ptr(), &mut address, version, 0, &mut status) }
            .result()
            .unwrap();
        // SAFETY: a function, of which only the address is taken.
        let expected = unsafe { *library.get::<*mut c_void>(symbol.as_bytes()).unwrap() };
        assert_eq!(address, expected, "{name}");
    }
    let (mut address, mut status) =
        (std::ptr::null_mut(), sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS);
    // SAFETY: as above.
    unsafe { sys::cuGetProcAddress_v2(c"cuNoSuchCall".as_ptr(), &mut address, 12080, 0, &mut status) }
        .result()
        .unwrap();
    assert!(address.is_null());
    assert_eq!(status, sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

#[test]
fn nothing_works_before_cu_init() {
    // A second copy of the library has state of its own.
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("fresh.so");
    std::fs::copy(warpsmith_emulator::install().unwrap(), &path).unwrap();
    // SAFETY: the emulator's library runs no code of its own when it is loaded.
    let library = unsafe { Library::open(Some(&path), libloading::os::unix::RTLD_NOW) }.unwrap();
    type Count = unsafe extern "C" fn(*mut i32) -> u32;
    type Init = unsafe extern "C" fn(u32) -> u32;
    type LastFault = unsafe extern "C" fn(*mut i8, usize) -> usize;
    // SAFETY: the symbols are of these types, and get what they ask for.
    unsafe {
        let count = library.get::<Count>(b"cuDeviceGetCount").unwrap();
        let init = library.get::<Init>(b"cuInit").unwrap();
        let last_fault = library.get::<LastFault>(b"warpsmithLastFault").unwrap();
        let mut devices = 0;
        assert_eq!(count(&mut devices), CUresult::CUDA_ERROR_NOT_INITIALIZED as u32);
        // The sentence is cut to the room there is, and its whole length told.
        let mut buffer = [0x7f_i8; 8];
        let length = last_fault(buffer.as_mut_ptr(), buffer.len());
        assert_eq!(CStr::from_ptr(buffer.as_ptr().cast()).to_str().unwrap(), "cuDevic");
        assert!(length > 20);
        assert_eq!(init(7), CUresult::CUDA_ERROR_INVALID_VALUE as u32);
        assert_eq!((init(0), count(&mut devices), devices), (0, 0, 1));
        assert_eq!(count(std::ptr::null_mut()), CUresult::CUDA_ERROR_INVALID_VALUE as u32);
    }
}
