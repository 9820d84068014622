use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use crate::{context, got, refused};

#[test]
fn pinned_memory_carries_copies() {
    let context = context();
    let stream = context.new_stream().unwrap();
    // SAFETY: the memory is written before it is read.
    let mut pinned = unsafe { context.alloc_pinned::<f32>(10) }.unwrap();
    pinned.as_mut_slice().unwrap().copy_from_slice(&[1.5; 10]);
    let there = stream.clone_htod(&pinned).unwrap();
    assert_eq!(got(&stream, &there), [1.5; 10]);
}

#[test]
fn misuse_of_pinned_memory_is_refused() {
    let _context = context();
    // SAFETY: the emulator checks addresses and sizes.
    unsafe {
        let address = result::malloc_sync(256).unwrap();
        let pinned = result::malloc_host(64, 0).unwrap();
        let long = sys::cuMemcpyHtoD_v2(address, pinned.cast(), 65).result();
        refused(long, CUresult::CUDA_ERROR_INVALID_VALUE, &["1 bytes past 64 bytes of pinned"]);
        let mapped = result::malloc_host(64, sys::CU_MEMHOSTALLOC_DEVICEMAP);
        refused(mapped, CUresult::CUDA_ERROR_NOT_SUPPORTED, &["map host memory"]);
        refused(result::malloc_host(0, 0), CUresult::CUDA_ERROR_INVALID_VALUE, &["at least 1 byte"]);
        refused(
            result::malloc_host(usize::MAX, 0),
            CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            &["more than the host"],
        );
        result::free_host(pinned).unwrap();
        refused(result::free_host(pinned), CUresult::CUDA_ERROR_INVALID_VALUE, &["freed already"]);
        result::free_sync(address).unwrap();
    }
}

#[test]
fn registered_ranges_do_not_overlap() {
    let _context = context();
    let mut host = vec![0_u8; 300];
    let start = host.as_mut_ptr();
    // SAFETY: the ranges lie in the vector, which outlives their registration.
    unsafe {
        sys::cuMemHostRegister_v2(start.add(100).cast(), 100, 0).result().unwrap();
        for (offset, bytes) in [(100, 100), (50, 51), (199, 1), (0, 300)] {
            let again = sys::cuMemHostRegister_v2(start.add(offset).cast(), bytes, 0).result();
            refused(again, CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, &["100 bytes at"]);
        }
        sys::cuMemHostRegister_v2(start.cast(), 100, 0).result().unwrap();
        sys::cuMemHostUnregister(start.cast()).result().unwrap();
        sys::cuMemHostUnregister(start.add(100).cast()).result().unwrap();
        let twice = sys::cuMemHostUnregister(start.cast()).result();
        refused(twice, CUresult::CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, &["cuMemHostRegister"]);
    }
}
