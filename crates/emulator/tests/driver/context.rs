use cudarc::driver::result::{ctx, primary_ctx};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, result};

use crate::{context, refused};

#[test]
fn the_primary_context_is_one_and_dies_with_its_last_user() {
    drop(context());
    let (first, second) = (CudaContext::new(0).unwrap(), CudaContext::new(0).unwrap());
    assert_eq!(first.cu_ctx(), second.cu_ctx());
    let handle = first.cu_ctx();
    drop((first, second));
    let (mut flags, mut active) = (7, 7);
    // SAFETY: the places are numbers.
    unsafe { sys::cuDevicePrimaryCtxGetState(0, &mut flags, &mut active) }.result().unwrap();
    assert_eq!((flags, active), (0, 0));
    // SAFETY: the emulator knows a stale handle.
    let stale = unsafe { ctx::set_current(handle) };
    refused(stale, CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED, &["destroyed"]);
    // SAFETY: the device is there.
    let released = unsafe { primary_ctx::release(0) };
    refused(released, CUresult::CUDA_ERROR_INVALID_CONTEXT, &["once too often"]);
}

#[test]
fn contexts_stack_up_on_a_thread() {
    let (low, high) = (context(), context());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(ctx::get_current().unwrap().is_none());
            refused(result::mem_get_info(), CUresult::CUDA_ERROR_INVALID_CONTEXT, &["cuCtxSetCurrent"]);
            let mut popped = std::ptr::null_mut();
            // SAFETY: the handles are of contexts, and the place is of one.
            unsafe {
                sys::cuCtxPushCurrent_v2(low.cu_ctx()).result().unwrap();
                sys::cuCtxPushCurrent_v2(high.cu_ctx()).result().unwrap();
                assert_eq!(ctx::get_current().unwrap(), Some(high.cu_ctx()));
                sys::cuCtxPopCurrent_v2(&mut popped).result().unwrap();
            }
            assert_eq!((popped, ctx::get_current().unwrap()), (high.cu_ctx(), Some(low.cu_ctx())));
            // SAFETY: as above; null takes the last one off.
            unsafe {
                ctx::set_current(high.cu_ctx()).unwrap();
                ctx::set_current(std::ptr::null_mut()).unwrap();
                let empty = sys::cuCtxPopCurrent_v2(&mut popped).result();
                refused(empty, CUresult::CUDA_ERROR_INVALID_CONTEXT, &["no context"]);
            }
        });
    });
}

#[test]
fn what_belongs_to_a_context_ends_with_it() {
    let alive = context();
    let mut made = std::ptr::null_mut();
    // SAFETY: places and handles are of the right types; the emulator knows the stale ones.
    unsafe {
        sys::cuCtxCreate_v2(&mut made, 0, 0).result().unwrap();
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).unwrap();
        sys::cuCtxDestroy_v2(made).result().unwrap();
        alive.bind_to_thread().unwrap();
        refused(result::stream::synchronize(stream), CUresult::CUDA_ERROR_INVALID_HANDLE, &["destroyed"]);
        refused(result::event::query(event), CUresult::CUDA_ERROR_INVALID_HANDLE, &["destroyed"]);
        let again = sys::cuCtxDestroy_v2(made).result();
        refused(again, CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED, &["destroyed"]);
    }
}

#[test]
fn settings_are_kept_and_checked() {
    let context = context();
    context.set_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE, 4096).unwrap();
    assert_eq!(context.get_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE).unwrap(), 4096);
    let cig = context.get_limit(sys::CUlimit::CU_LIMIT_CIG_ENABLED);
    refused(cig, CUresult::CUDA_ERROR_UNSUPPORTED_LIMIT, &["limit 8"]);
    context.set_blocking_synchronize().unwrap();
    context.set_cache_config(sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_L1).unwrap();
    assert_eq!(context.get_cache_config().unwrap(), sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_L1);
    assert_eq!(result::stream::get_priority_range().unwrap(), (0, -5));
    let mut made = std::ptr::null_mut();
    // SAFETY: the place is of a context.
    let flags = unsafe { sys::cuCtxCreate_v2(&mut made, 3, 0) }.result();
    refused(flags, CUresult::CUDA_ERROR_INVALID_VALUE, &["0x3"]);
}

#[test]
fn a_leak_is_told_at_the_end() {
    let mut made = std::ptr::null_mut();
    drop(context());
    // SAFETY: the place is of a context, and the handle of this one.
    unsafe {
        sys::cuCtxCreate_v2(&mut made, 0, 0).result().unwrap();
        for bytes in [600, 400] {
            result::malloc_sync(bytes).unwrap();
        }
        result::free_sync(result::malloc_sync(7).unwrap()).unwrap();
        sys::cuCtxDestroy_v2(made).result().unwrap();
    }
    let said = warpsmith_emulator::last_fault().unwrap();
    assert!(said.contains("1000 bytes allocated and never freed: 600 at 0x7"), "{said}");
}
