use std::sync::Arc;

use cudarc::driver::sys::{self, CUgraphInstantiate_flags as Flags, CUresult, CUstreamCaptureMode as Mode};
use cudarc::driver::{CudaContext, CudaGraph, CudaSlice, CudaStream, result};

use crate::{context, got, refused, sent};

const PLAIN: Flags = Flags(0);
const LOCAL: Mode = Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

/// A stream with eight numbers. Events are left to the tests.
fn prepared() -> (Arc<CudaContext>, Arc<CudaStream>, CudaSlice<u32>) {
    let context = context();
    // SAFETY: each test uses its data on streams that it orders itself.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let data = sent(&stream, &[7_u32; 8]);
    (context, stream, data)
}

fn end(stream: &Arc<CudaStream>) -> Result<CudaGraph, cudarc::driver::DriverError> {
    stream.end_capture(PLAIN).map(|graph| graph.expect("a graph"))
}

#[test]
fn a_captured_graph_runs_only_when_it_is_launched() {
    let (_context, stream, mut data) = prepared();
    let (mut copy, host) = (stream.alloc_zeros::<u32>(8).unwrap(), [9_u32; 4]);
    stream.begin_capture(LOCAL).unwrap();
    stream.memset_zeros(&mut data.slice_mut(0..2)).unwrap();
    stream.memcpy_htod(&host, &mut data.slice_mut(4..8)).unwrap();
    stream.memcpy_dtod(&data, &mut copy).unwrap();
    let graph = end(&stream).unwrap();
    assert_eq!(got(&stream, &data), [7; 8]);
    for _ in 0..2 {
        graph.upload().unwrap();
        graph.launch().unwrap();
        assert_eq!(got(&stream, &copy), [0, 0, 7, 7, 9, 9, 9, 9]);
        stream.memset_zeros(&mut copy).unwrap();
    }
    let (mut count, mut nodes, mut kinds) = (0, [std::ptr::null_mut(); 5], Vec::new());
    // SAFETY: the places are large enough.
    unsafe {
        sys::cuGraphGetNodes(graph.cu_graph(), std::ptr::null_mut(), &mut count).result().unwrap();
        let mut room = 5;
        sys::cuGraphGetNodes(graph.cu_graph(), nodes.as_mut_ptr(), &mut room).result().unwrap();
        assert_eq!((count, room, nodes[3].is_null()), (3, 3, true));
        for node in &nodes[..3] {
            let mut kind = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
            sys::cuGraphNodeGetType(*node, &mut kind).result().unwrap();
            kinds.push(kind);
        }
    }
    use sys::CUgraphNodeType::{CU_GRAPH_NODE_TYPE_MEMCPY as Memcpy, CU_GRAPH_NODE_TYPE_MEMSET as Memset};
    assert_eq!(kinds, [Memset, Memcpy, Memcpy]);
}

#[test]
fn streams_join_a_capture_through_events() {
    let (context, stream, mut data) = prepared();
    let side = context.new_stream().unwrap();
    stream.begin_capture(LOCAL).unwrap();
    side.join(&stream).unwrap();
    side.memset_zeros(&mut data).unwrap();
    use sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE as Active;
    assert_eq!((side.capture_status().unwrap(), stream.capture_status().unwrap()), (Active, Active));
    refused(end(&side).map(drop), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, &["another stream"]);
    stream.join(&side).unwrap();
    let graph = end(&stream).unwrap();
    assert_eq!(got(&stream, &data), [7; 8]);
    graph.launch().unwrap();
    assert_eq!(got(&side, &data), [0; 8]);
}

#[test]
fn work_that_nobody_waits_for_fails_the_capture() {
    let (context, stream, mut data) = prepared();
    let side = context.new_stream().unwrap();
    stream.begin_capture(LOCAL).unwrap();
    side.join(&stream).unwrap();
    side.memset_zeros(&mut data).unwrap();
    refused(end(&stream).map(drop), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED, &["1 nodes"]);
    refused(end(&stream).map(drop), CUresult::CUDA_ERROR_ILLEGAL_STATE, &["does not capture"]);
    side.memset_zeros(&mut data).unwrap();
    assert_eq!(got(&stream, &data), [0; 8]);
}

/// Expects that the deed fails as said, and that the capture it happened in then fails as well.
#[track_caller]
fn spoils<T>(
    stream: &Arc<CudaStream>,
    deed: Result<T, cudarc::driver::DriverError>,
    code: CUresult,
    words: &[&str],
) {
    refused(deed, code, words);
    use sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_INVALIDATED as Invalidated;
    assert_eq!(stream.capture_status().unwrap(), Invalidated);
    refused(end(stream).map(drop), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, words);
}

#[test]
fn what_a_capture_forbids_spoils_it() {
    let (context, stream, _data) = prepared();
    let before = stream.record_event(None).unwrap();
    let unsupported = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    stream.begin_capture(LOCAL).unwrap();
    spoils(&stream, stream.synchronize(), unsupported, &["runs nothing to wait for"]);
    stream.begin_capture(LOCAL).unwrap();
    spoils(&stream, context.synchronize(), unsupported, &["waits for all streams"]);
    stream.begin_capture(LOCAL).unwrap();
    // SAFETY: nothing is allocated.
    spoils(&stream, unsafe { result::malloc_sync(8) }, unsupported, &["cuMemAlloc"]);
    stream.begin_capture(LOCAL).unwrap();
    spoils(
        &stream,
        stream.wait(&before),
        CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
        &["outside of the capture"],
    );
    stream.begin_capture(LOCAL).unwrap();
    let within = stream.record_event(None).unwrap();
    spoils(
        &stream,
        within.try_is_complete(),
        CUresult::CUDA_ERROR_CAPTURED_EVENT,
        &["recorded in a capture"],
    );
    let other = context.new_stream().unwrap();
    stream.begin_capture(LOCAL).unwrap();
    other.begin_capture(LOCAL).unwrap();
    let merged = stream.join(&other);
    refused(end(&other).map(drop), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, &["two captures"]);
    assert_eq!(merged.unwrap_err().0, CUresult::CUDA_ERROR_STREAM_CAPTURE_MERGE);
    refused(end(&stream).map(drop), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, &["two captures"]);
}

#[test]
fn the_legacy_stream_neither_captures_nor_meets_a_capture() {
    let (context, _stream, mut data) = prepared();
    let default = context.default_stream();
    let begun = default.begin_capture(LOCAL);
    refused(begun, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, &["legacy stream cannot capture"]);
    context.bind_to_thread().unwrap();
    let blocking = result::stream::create(result::stream::StreamKind::Default).unwrap();
    // SAFETY: the stream is destroyed at the end of the test.
    let blocking = unsafe { context.wrap_borrowed_stream(blocking) };
    blocking.begin_capture(LOCAL).unwrap();
    let implicit = default.memset_zeros(&mut data);
    spoils(&blocking, implicit, CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, &["legacy stream would wait"]);
    // SAFETY: it was made above.
    unsafe { result::stream::destroy(blocking.cu_stream()) }.unwrap();
}

#[test]
fn modes_say_whose_calls_are_forbidden() {
    let (context, stream, _data) = prepared();
    let elsewhere = |expected: Result<(), CUresult>| {
        std::thread::scope(|scope| {
            let allocated = scope.spawn(|| {
                context.bind_to_thread().unwrap();
                // SAFETY: freed at once.
                unsafe { result::malloc_sync(8).and_then(|address| result::free_sync(address)) }
            });
            assert_eq!(allocated.join().unwrap().map_err(|error| error.0), expected);
        });
    };
    stream.begin_capture(LOCAL).unwrap();
    elsewhere(Ok(()));
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| end(&stream).map(drop).map_err(|error| error.0)).join().unwrap();
        assert_eq!(ended, Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD));
    });
    end(&stream).unwrap();
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_RELAXED).unwrap();
    elsewhere(Ok(()));
    std::thread::scope(|scope| assert!(scope.spawn(|| end(&stream).is_ok()).join().unwrap()));
}

#[test]
fn allocations_are_not_captured() {
    let (_context, stream, data) = prepared();
    stream.begin_capture(LOCAL).unwrap();
    // SAFETY: nothing is allocated.
    let alloc = unsafe { stream.alloc::<u8>(8) };
    refused(alloc, CUresult::CUDA_ERROR_NOT_SUPPORTED, &["cuMemAllocAsync", "allocate before the capture"]);
    let address = data.leak();
    // SAFETY: the address is of an allocation that goes on living.
    let freed = unsafe { result::free_async(address, stream.cu_stream()) };
    refused(freed, CUresult::CUDA_ERROR_NOT_SUPPORTED, &["cuMemFreeAsync"]);
    end(&stream).unwrap();
    // SAFETY: now it ends.
    unsafe { result::free_sync(address) }.unwrap();
}

#[test]
fn graphs_check_flags_and_outlive_nothing() {
    let (_context, stream, mut data) = prepared();
    stream.begin_capture(LOCAL).unwrap();
    let both = Flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH
        | Flags::CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
    refused(stream.end_capture(both).map(drop), CUresult::CUDA_ERROR_INVALID_VALUE, &["0x5"]);
    stream.begin_capture(LOCAL).unwrap();
    stream.memset_zeros(&mut data).unwrap();
    let graph = end(&stream).unwrap();
    let executable = graph.cu_graph_exec();
    drop(data);
    let launched = graph.launch().and_then(|()| stream.synchronize());
    refused(launched, CUresult::CUDA_ERROR_INVALID_VALUE, &["were freed"]);
    drop(graph);
    // SAFETY: the emulator knows a stale handle.
    let stale = unsafe { result::graph::launch(executable, stream.cu_stream()) };
    refused(stale, CUresult::CUDA_ERROR_INVALID_HANDLE, &["an executable graph that was destroyed"]);
}
