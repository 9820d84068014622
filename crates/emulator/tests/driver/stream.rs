use std::ffi::c_void;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUevent_flags as EventFlags, CUresult};

use crate::{context, refused};

const SLEEP: Duration = Duration::from_millis(5);

extern "C" fn sleep(_: *mut c_void) {
    std::thread::sleep(SLEEP);
}

#[test]
fn events_time_what_lies_between_them() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let outer = Instant::now();
    let first = stream.record_event(Some(EventFlags::CU_EVENT_DEFAULT)).unwrap();
    // SAFETY: the function takes nothing.
    unsafe { result::stream::launch_host_function(stream.cu_stream(), sleep, std::ptr::null_mut()) }.unwrap();
    let second = stream.record_event(Some(EventFlags::CU_EVENT_DEFAULT)).unwrap();
    stream.wait(&second).unwrap();
    stream.synchronize().unwrap();
    let outer = outer.elapsed().as_secs_f64() * 1e3;
    assert!(first.is_complete() && second.is_complete());
    // No less than what lies between them took, and no more than all of it; f32 keeps 24 bits of the time.
    let forward = f64::from(first.elapsed_ms(&second).unwrap());
    let rounding = outer * f64::from(f32::EPSILON);
    let inner = SLEEP.as_secs_f64() * 1e3;
    assert!(inner - rounding <= forward && forward <= outer + rounding, "{inner} {forward} {outer}");
    assert_eq!(f64::from(second.elapsed_ms(&first).unwrap()), -forward);
    let never = context.new_event(Some(EventFlags::CU_EVENT_DEFAULT)).unwrap();
    assert!(never.is_complete());
    refused(first.elapsed_ms(&never), CUresult::CUDA_ERROR_INVALID_HANDLE, &["second", "never recorded"]);
    let untimed = stream.record_event(None).unwrap();
    refused(untimed.elapsed_ms(&second), CUresult::CUDA_ERROR_INVALID_HANDLE, &["first", "DISABLE_TIMING"]);
}

/// Appends the length of a list to it.
///
/// # Safety
///
/// `list` points to a `Mutex<Vec<u32>>` that is alive.
unsafe extern "C" fn push(list: *mut c_void) {
    // SAFETY: the caller promises as much.
    let list = unsafe { &*list.cast::<Mutex<Vec<u32>>>() };
    let mut list = list.lock().unwrap();
    let next = list.len() as u32;
    list.push(next);
}

#[test]
fn host_functions_run_in_their_turn() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let list = Mutex::new(Vec::<u32>::new());
    let data = (&raw const list).cast_mut().cast();
    for _ in 0..3 {
        // SAFETY: the list outlives the stream's work, which ends with the synchronisation.
        unsafe { result::stream::launch_host_function(stream.cu_stream(), push, data) }.unwrap();
    }
    stream.synchronize().unwrap();
    assert_eq!(*list.lock().unwrap(), [0, 1, 2]);
}

#[test]
fn streams_know_what_they_are() {
    let context = context();
    let stream = context.new_stream_with_priority(-99).unwrap();
    let (mut priority, mut flags, mut owner) = (0, 0, std::ptr::null_mut());
    // SAFETY: the places are of the right types.
    unsafe {
        sys::cuStreamGetPriority(stream.cu_stream(), &mut priority).result().unwrap();
        sys::cuStreamGetFlags(stream.cu_stream(), &mut flags).result().unwrap();
        sys::cuStreamGetCtx(stream.cu_stream(), &mut owner).result().unwrap();
    }
    assert_eq!((priority, flags, owner), (-5, 1, context.cu_ctx()));
    context.per_thread_stream().synchronize().unwrap();
    context.default_stream().synchronize().unwrap();
}

#[test]
fn stale_and_foreign_handles_are_refused() {
    let (context, other) = (context(), context());
    context.bind_to_thread().unwrap();
    // SAFETY: the emulator checks each handle.
    unsafe {
        let stream = result::stream::create(result::stream::StreamKind::Default).unwrap();
        let event = result::event::create(EventFlags::CU_EVENT_DEFAULT).unwrap();
        let mixed = result::stream::synchronize(event.cast());
        refused(mixed, CUresult::CUDA_ERROR_INVALID_HANDLE, &["is an event where a stream belongs"]);
        let wild = result::event::record(0x1234_usize as sys::CUevent, stream);
        refused(wild, CUresult::CUDA_ERROR_INVALID_HANDLE, &["0x1234 is not an event"]);
        let null = result::event::destroy(std::ptr::null_mut());
        refused(null, CUresult::CUDA_ERROR_INVALID_HANDLE, &["null where an event belongs"]);
        let foreign = other.new_event(None).unwrap();
        let crossed = result::event::record(foreign.cu_event(), stream);
        refused(crossed, CUresult::CUDA_ERROR_INVALID_HANDLE, &["different contexts"]);
        result::stream::destroy(stream).unwrap();
        result::event::destroy(event).unwrap();
        let words = &["is a stream that was destroyed"];
        refused(result::stream::destroy(stream), CUresult::CUDA_ERROR_INVALID_HANDLE, words);
        let default = result::stream::destroy(std::ptr::null_mut());
        refused(default, CUresult::CUDA_ERROR_INVALID_HANDLE, &["default stream"]);
        refused(result::event::query(event), CUresult::CUDA_ERROR_INVALID_HANDLE, &["that was destroyed"]);
    }
}
