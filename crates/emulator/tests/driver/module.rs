use std::ffi::{CString, c_void};

use cudarc::driver::result::module;
use cudarc::driver::sys::{self, CUjit_option as Option, CUresult};

use crate::{context, refused};

/// Loads a text with buffers for both logs, and returns the code and the log of errors.
fn load(text: &str, room: usize) -> (CUresult, String) {
    let text = CString::new(text).unwrap();
    let (mut module, mut errors, mut infos) = (std::ptr::null_mut(), vec![0x7f_u8; room + 1], [0_u8; 64]);
    let mut options = [
        Option::CU_JIT_ERROR_LOG_BUFFER,
        Option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        Option::CU_JIT_INFO_LOG_BUFFER,
        Option::CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
        Option::CU_JIT_WALL_TIME,
        Option::CU_JIT_OPTIMIZATION_LEVEL,
    ];
    let mut values = [
        errors.as_mut_ptr().cast::<c_void>(),
        room as *mut c_void,
        infos.as_mut_ptr().cast(),
        infos.len() as *mut c_void,
        std::ptr::null_mut(),
        4_usize as *mut c_void,
    ];
    let (options, values) = (&mut options, &mut values);
    // SAFETY: the buffers are as large as the options say.
    let code = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            text.as_ptr().cast(),
            6,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    assert_eq!(errors[room], 0x7f, "written past the buffer");
    let written = values[1] as usize;
    let log = errors[..written].strip_suffix(&[0]).map(|log| String::from_utf8(log.to_vec()).unwrap());
    (code, log.unwrap_or_default())
}

#[test]
fn bad_ptx_leaves_a_log() {
    let _context = context();
    let text = ".version 8.4\n.target sm_80\n.address_size 64\nthis is not PTX\n";
    let (code, log) = load(text, 4096);
    assert_eq!(code, CUresult::CUDA_ERROR_INVALID_PTX);
    assert!(log.contains("ptx line"), "{log}");
    assert!(warpsmith_emulator::last_fault().unwrap().ends_with(&log));
    let (code, cut) = load(text, 8);
    assert_eq!((code, cut.as_str()), (CUresult::CUDA_ERROR_INVALID_PTX, &log[..7]));
    assert_eq!(load(text, 0), (CUresult::CUDA_ERROR_INVALID_PTX, String::new()));
}

#[test]
fn images_that_cannot_run_are_refused() {
    let _context = context();
    // SAFETY: each image is a text, or longer than what is looked at.
    unsafe {
        let elf = module::load_data(c"\x7fELF\x02\x01\x01".as_ptr().cast());
        refused(elf, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU, &["machine code", "PTX"]);
        let null = module::load_data(std::ptr::null());
        refused(null, CUresult::CUDA_ERROR_INVALID_VALUE, &["image", "null"]);
    }
    let absent = module::load(c"/no/such/file.ptx".into());
    refused(absent, CUresult::CUDA_ERROR_FILE_NOT_FOUND, &["/no/such/file.ptx"]);
    let newer = load(".version 9.9\n.target sm_80\n.address_size 64\n.newer thing\n", 256);
    assert_eq!(newer.0, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
}
