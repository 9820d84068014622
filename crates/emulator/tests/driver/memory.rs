use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdeviceptr, CUresult};

use crate::{context, got, refused, sent};

#[test]
fn bytes_come_back() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let values: Vec<u32> = (0..1000).collect();
    let there = sent(&stream, &values);
    let mut copy = stream.alloc_zeros::<u32>(1000).unwrap();
    assert_eq!(got(&stream, &copy), vec![0; 1000]);
    stream.memcpy_dtod(&there.slice(250..750), &mut copy.slice_mut(100..600)).unwrap();
    let back = got(&stream, &copy);
    assert_eq!((back[99], back[100], back[599], back[600]), (0, 250, 749, 0));
    let (free, total) = context.mem_get_info().unwrap();
    assert_eq!(total - free, 8000);
    drop((there, copy));
    stream.synchronize().unwrap();
    assert_eq!(context.mem_get_info().unwrap().0, total);
}

#[test]
fn fills_of_each_width_on_each_side_of_a_stream() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let raw = stream.cu_stream();
    // SAFETY: the ranges lie in the allocation.
    unsafe {
        let address = result::malloc_sync(16).unwrap();
        sys::cuMemsetD8_v2(address, 0xab, 16).result().unwrap();
        sys::cuMemsetD16_v2(address + 2, 0x1234, 1).result().unwrap();
        sys::cuMemsetD32_v2(address + 4, 0xdead_beef, 1).result().unwrap();
        sys::cuMemsetD8Async(address + 8, 0xcd, 1, raw).result().unwrap();
        sys::cuMemsetD16Async(address + 10, 0x5678, 1, raw).result().unwrap();
        sys::cuMemsetD32Async(address + 12, 0x0102_0304, 1, raw).result().unwrap();
        let mut bytes = [0_u8; 16];
        sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), address, 16).result().unwrap();
        let expected =
            [0xab, 0xab, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde, 0xcd, 0xab, 0x78, 0x56, 0x04, 0x03, 0x02, 0x01];
        assert_eq!(bytes, expected);
        let odd = sys::cuMemsetD32_v2(address + 2, 0, 1).result();
        refused(odd, CUresult::CUDA_ERROR_INVALID_VALUE, &["multiple"]);
        let long = sys::cuMemsetD32_v2(address, 0, 5).result();
        refused(long, CUresult::CUDA_ERROR_INVALID_VALUE, &["4 bytes past"]);
        let huge = sys::cuMemsetD32_v2(address, 0, usize::MAX).result();
        refused(huge, CUresult::CUDA_ERROR_INVALID_VALUE, &["more than any memory"]);
        result::free_sync(address).unwrap();
    }
}

/// Copies to and from `address`; none of them may go through.
fn copies(address: CUdeviceptr, bytes: usize, words: &[&str]) {
    let mut host = vec![0_u8; bytes];
    let pointer: *mut u8 = host.as_mut_ptr();
    // SAFETY: the host memory is as large as the copy; the emulator checks the device's side.
    unsafe {
        let spare = result::malloc_sync(bytes).unwrap();
        let refuse = |result: CUresult| refused(result.result(), CUresult::CUDA_ERROR_INVALID_VALUE, words);
        refuse(sys::cuMemcpyHtoD_v2(address, pointer.cast(), bytes));
        refuse(sys::cuMemcpyDtoH_v2(pointer.cast(), address, bytes));
        refuse(sys::cuMemcpyDtoD_v2(spare, address, bytes));
        refuse(sys::cuMemcpyDtoD_v2(address, spare, bytes));
        refuse(sys::cuMemcpyHtoDAsync_v2(address, pointer.cast(), bytes, std::ptr::null_mut()));
        refuse(sys::cuMemcpyDtoHAsync_v2(pointer.cast(), address, bytes, std::ptr::null_mut()));
        refuse(sys::cuMemsetD8_v2(address, 0, bytes));
        result::free_sync(spare).unwrap();
    }
}

#[test]
fn every_misuse_of_a_pointer_is_refused() {
    let _context = context();
    // SAFETY: the emulator checks each address.
    unsafe {
        let address = result::malloc_sync(64).unwrap();
        copies(address, 65, &["65 bytes", "1 bytes past an allocation of 64"]);
        copies(address + 60, 8, &["4 bytes past"]);
        copies(address - 8, 8, &["no allocation"]);
        copies(0, 8, &["0x0", "no allocation"]);
        let inside = result::free_sync(address + 8);
        refused(inside, CUresult::CUDA_ERROR_INVALID_VALUE, &["cuMemFree_v2", "first address"]);
        result::free_sync(address).unwrap();
        copies(address, 8, &["were freed", "after its end"]);
        refused(result::free_sync(address), CUresult::CUDA_ERROR_INVALID_VALUE, &["were freed"]);
        let stream = std::ptr::null_mut();
        let later = result::free_async(address, stream).and_then(|()| result::stream::synchronize(stream));
        refused(later, CUresult::CUDA_ERROR_INVALID_VALUE, &["were freed"]);
        refused(result::malloc_sync(0), CUresult::CUDA_ERROR_INVALID_VALUE, &["0 bytes"]);
        refused(
            result::malloc_sync(9 << 30),
            CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            &["9663676416 bytes asked"],
        );
        let nowhere = sys::cuMemAlloc_v2(std::ptr::null_mut(), 8).result();
        refused(nowhere, CUresult::CUDA_ERROR_INVALID_VALUE, &["the address", "null"]);
        sys::cuMemFree_v2(0).result().unwrap();
    }
}

#[test]
fn host_and_device_are_told_apart() {
    let _context = context();
    let mut host = [7_u8; 8];
    // SAFETY: the host memory is as large as the copies; the emulator checks the device's side.
    unsafe {
        let address = result::malloc_sync(8).unwrap();
        let wrong = sys::cuMemcpyHtoD_v2(address, address as *const _, 8).result();
        refused(
            wrong,
            CUresult::CUDA_ERROR_INVALID_VALUE,
            &["source", "device memory where host memory belongs"],
        );
        let null = sys::cuMemcpyHtoD_v2(address, std::ptr::null(), 8).result();
        refused(null, CUresult::CUDA_ERROR_INVALID_VALUE, &["source", "null"]);
        let pointer = host.as_mut_ptr();
        sys::cuMemcpy(address, pointer as CUdeviceptr, 8).result().unwrap();
        host = [0; 8];
        sys::cuMemcpy(host.as_mut_ptr() as CUdeviceptr, address, 8).result().unwrap();
        let (mut base, mut bytes, mut kind) = (0, 0, 0_u32);
        sys::cuMemGetAddressRange_v2(&mut base, &mut bytes, address + 5).result().unwrap();
        let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
        sys::cuPointerGetAttribute((&raw mut kind).cast(), attribute, address).result().unwrap();
        assert_eq!((base, bytes, kind), (address, 8, sys::CUmemorytype::CU_MEMORYTYPE_DEVICE as u32));
        result::free_sync(address).unwrap();
    }
    assert_eq!(host, [7; 8]);
}

#[test]
fn pools_give_and_take() {
    let context = context();
    let stream = context.new_stream().unwrap();
    // SAFETY: handles and places are of the right types.
    unsafe {
        let default = result::device::get_default_mem_pool(0).unwrap();
        assert_eq!(result::device::get_mem_pool(0).unwrap(), default);
        let mut properties: sys::CUmemPoolProps = std::mem::zeroed();
        properties.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
        properties.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        let pool = result::mem_pool::create(&properties).unwrap();
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        let (mut set, mut got) = (1_u64 << 20, 0_u64);
        result::mem_pool::set_attribute(pool, threshold, (&raw mut set).cast()).unwrap();
        result::mem_pool::get_attribute(pool, threshold, (&raw mut got).cast()).unwrap();
        let address = result::mem_pool::alloc_async(pool, 32, stream.cu_stream()).unwrap();
        result::memset_d8_async(address, 1, 32, stream.cu_stream()).unwrap();
        result::free_async(address, stream.cu_stream()).unwrap();
        result::mem_pool::trim_to(pool, 0).unwrap();
        result::mem_pool::destroy(pool).unwrap();
        let stale = result::mem_pool::alloc_async(pool, 32, stream.cu_stream());
        refused(stale, CUresult::CUDA_ERROR_INVALID_HANDLE, &["a memory pool that was destroyed"]);
        refused(result::mem_pool::destroy(default), CUresult::CUDA_ERROR_INVALID_VALUE, &["default pool"]);
        assert_eq!(got, set);
    }
}

#[test]
fn managed_memory_is_the_host_s_too() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let raw = stream.cu_stream();
    let global = sys::CUmemAttach_flags::CU_MEM_ATTACH_GLOBAL;
    // SAFETY: the host touches the memory between calls, and inside.
    unsafe {
        let address = result::malloc_managed(64, global).unwrap();
        let host = std::slice::from_raw_parts_mut(address as *mut u32, 16);
        host[3] = 7;
        let mut copy = [0_u32; 16];
        result::memcpy_dtoh_sync(&mut copy, address).unwrap();
        assert_eq!((copy[3], copy[4]), (7, 0));
        sys::cuMemsetD32_v2(address + 16, 9, 2).result().unwrap();
        assert_eq!(host[4..7], [9, 9, 0]);
        // Called host memory it may be, too.
        let device = result::malloc_sync(64).unwrap();
        sys::cuMemcpyHtoD_v2(device, address as *const _, 64).result().unwrap();
        sys::cuMemcpyDtoH_v2((address + 32) as *mut _, device, 32).result().unwrap();
        assert_eq!(host[8..16], [0, 0, 0, 7, 9, 9, 0, 0]);
        sys::cuMemPrefetchAsync(address, 64, 0, raw).result().unwrap();
        sys::cuStreamAttachMemAsync(raw, address, 0, 2).result().unwrap();
        let mut managed = 0_u32;
        let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_IS_MANAGED;
        sys::cuPointerGetAttribute((&raw mut managed).cast(), attribute, address).result().unwrap();
        assert_eq!(managed, 1);
        let plain = sys::cuMemPrefetchAsync(device, 64, 0, raw).result();
        refused(plain, CUresult::CUDA_ERROR_INVALID_VALUE, &["not from cuMemAllocManaged"]);
        let long = sys::cuMemPrefetchAsync(address, 65, 0, raw).result();
        refused(long, CUresult::CUDA_ERROR_INVALID_VALUE, &["1 bytes past"]);
        result::free_sync(device).unwrap();
        result::free_sync(address).unwrap();
    }
    let (free, total) = context.mem_get_info().unwrap();
    assert_eq!(free, total);
}

#[test]
fn a_pointer_of_another_context_is_refused() {
    let (one, other) = (context(), context());
    one.bind_to_thread().unwrap();
    // SAFETY: the emulator checks each address.
    unsafe {
        let address = result::malloc_sync(64).unwrap();
        other.bind_to_thread().unwrap();
        // As many bytes, so that the two would lie at the same place if contexts shared their addresses.
        let own = result::malloc_sync(64).unwrap();
        assert_ne!(address, own);
        copies(address, 8, &["no allocation", "of another context"]);
        refused(result::free_sync(address), CUresult::CUDA_ERROR_INVALID_VALUE, &["of another context"]);
        result::free_sync(own).unwrap();
        one.bind_to_thread().unwrap();
        result::free_sync(address).unwrap();
    }
}
