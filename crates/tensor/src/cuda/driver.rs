//! The driver's calls, one thin function each: the only place that names them, and the only unsafe code of the device.
//!
//! Callers have run [`super::probe::driver`] before, so that every symbol is there. Handles are plain copies; their
//! owners ([`super::context`], [`super::graph`], [`super::event`]) release each once and use none after that. Device
//! addresses are numbers to the host: a wrong one is the driver's error, never a fault of this process.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::ptr::{null_mut, without_provenance_mut};

use cudarc::driver::sys::{self, CUresult};

/// A call that the driver answered with an error.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The call.
    pub call: &'static str,
    /// The driver's answer.
    pub code: CUresult,
}

impl Failure {
    /// Whether the driver refuses all further work in this context: the fault of a kernel, or of the hardware.
    pub fn is_sticky(&self) -> bool {
        self.ends_process() || matches!(self.code as u32, 214 | 220 | 709 | 710)
    }

    /// Whether the driver refuses all further work of this process, of which its documentation says that it "must be terminated
    /// and relaunched": addresses and instructions that are illegal, launches that fail or take too long, contained errors of
    /// the memory.
    pub fn ends_process(&self) -> bool {
        matches!(self.code as u32, 226 | 700 | 702 | 714..=719 | 721)
    }

    /// Whether the memory of the device is used up.
    pub fn is_out_of_memory(&self) -> bool {
        self.code == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gave {:?}", self.call, self.code)?;
        let mut text = std::ptr::null();
        // SAFETY: on success the driver stores a pointer to a string that lives as long as the driver.
        let text = unsafe {
            match sys::cuGetErrorString(self.code, &mut text) {
                CUresult::CUDA_SUCCESS if !text.is_null() => CStr::from_ptr(text).to_string_lossy(),
                _ => return Ok(()),
            }
        };
        write!(f, ": {text}")
    }
}

/// What a call gives.
pub type Outcome<T> = Result<T, Failure>;

fn check(call: &'static str, code: CUresult) -> Outcome<()> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(Failure { call, code }),
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($raw:ty);)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name($raw);

        // SAFETY: the driver's handles may be used from any thread; what must not be done by two threads at once
        // (recording one graph) its owner prevents.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}
    )* };
}

handles! {
    /// A context: what one process holds on one GPU.
    Context(sys::CUcontext);
    /// A queue of work, done in order.
    StreamHandle(sys::CUstream);
    /// A point in a queue.
    EventHandle(sys::CUevent);
    /// PTX, compiled and loaded.
    ModuleHandle(sys::CUmodule);
    /// One entry of a module.
    Function(sys::CUfunction);
    /// Recorded work, ready to be launched.
    GraphHandle(sys::CUgraphExec);
}

/// Starts the driver.
pub fn init() -> Outcome<()> {
    // SAFETY: takes no pointer; may be called any number of times.
    check("cuInit", unsafe { sys::cuInit(0) })
}

/// The version of CUDA that the driver offers, as (major, minor).
pub fn version() -> Outcome<(u32, u32)> {
    let mut version = 0;
    // SAFETY: the driver writes one int.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
    let version = version.unsigned_abs();
    Ok((version / 1000, version % 1000 / 10))
}

/// How many GPUs there are.
pub fn device_count() -> Outcome<usize> {
    let mut count = 0;
    // SAFETY: the driver writes one int.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The GPU of this number.
pub fn device(ordinal: usize) -> Outcome<c_int> {
    let mut device = 0;
    let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
    // SAFETY: the driver writes one int.
    check("cuDeviceGet", unsafe { sys::cuDeviceGet(&mut device, ordinal) })?;
    Ok(device)
}

/// The name of a GPU.
pub fn device_name(device: c_int) -> Outcome<String> {
    let mut name = [0u8; 256];
    // SAFETY: the driver writes at most 255 bytes and a zero.
    check("cuDeviceGetName", unsafe {
        sys::cuDeviceGetName(name.as_mut_ptr().cast::<c_char>(), 255, device)
    })?;
    Ok(text(&name))
}

/// Where a GPU is on the bus, as `domain:bus:device.function` in hexadecimal digits.
pub fn bus_id(device: c_int) -> Outcome<String> {
    let mut id = [0u8; 32];
    // SAFETY: the driver writes at most 31 bytes and a zero.
    check("cuDeviceGetPCIBusId", unsafe {
        sys::cuDeviceGetPCIBusId(id.as_mut_ptr().cast::<c_char>(), 31, device)
    })?;
    Ok(text(&id))
}

/// What stands before the zero that ends a text of the driver's.
fn text(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes).map_or_else(|_| String::new(), |s| s.to_string_lossy().into_owned())
}

/// A number that describes a GPU.
pub fn device_attribute(device: c_int, attribute: sys::CUdevice_attribute) -> Outcome<u32> {
    let mut value = 0;
    // SAFETY: the driver writes one int.
    check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) })?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// The memory of a GPU, in bytes.
pub fn device_memory(device: c_int) -> Outcome<u64> {
    let mut bytes = 0usize;
    // SAFETY: the driver writes one size.
    check("cuDeviceTotalMem_v2", unsafe { sys::cuDeviceTotalMem_v2(&mut bytes, device) })?;
    Ok(bytes as u64)
}

/// Takes part in the context that all users of a GPU in this process share.
pub fn retain(device: c_int) -> Outcome<Context> {
    let mut context = null_mut();
    // SAFETY: the driver writes one handle.
    check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, device) })?;
    Ok(Context(context))
}

/// Leaves it again.
pub fn release(device: c_int) -> Outcome<()> {
    // SAFETY: called once for each [`retain`], by the owner of what was made in the context, after all of that.
    check("cuDevicePrimaryCtxRelease_v2", unsafe { sys::cuDevicePrimaryCtxRelease_v2(device) })
}

/// Makes `context` the one that this thread works in.
pub fn enter(context: Context) -> Outcome<()> {
    // SAFETY: the handle is retained, see [`retain`].
    check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(context.0) })
}

/// Free and total memory of the GPU whose context is current, in bytes.
pub fn memory_info() -> Outcome<(u64, u64)> {
    let (mut free, mut total) = (0usize, 0usize);
    // SAFETY: the driver writes two sizes.
    check("cuMemGetInfo_v2", unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) })?;
    Ok((free as u64, total as u64))
}

/// Takes memory of the GPU.
pub fn allocate(bytes: u64) -> Outcome<u64> {
    let mut address = 0;
    // SAFETY: the driver writes one address.
    check("cuMemAlloc_v2", unsafe { sys::cuMemAlloc_v2(&mut address, bytes as usize) })?;
    Ok(address)
}

/// Gives memory back; waits for all work that may use it.
pub fn free(address: u64) -> Outcome<()> {
    // SAFETY: the driver checks the address.
    check("cuMemFree_v2", unsafe { sys::cuMemFree_v2(address) })
}

/// Copies host bytes to the GPU, in order of the stream. They have to stay where they are until the copy's turn has come, unless
/// the driver [stages](super::gpu::Gpu::stages_copies) copies before the call returns.
///
/// The stream must not be recording: a graph would remember the host's address and read it at each launch.
pub fn copy_in(to: u64, from: &[u8], stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the driver reads `from.len()` bytes; the caller keeps them as long as said above.
    check("cuMemcpyHtoDAsync_v2", unsafe {
        sys::cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast::<c_void>(), from.len(), stream.0)
    })
}

/// Copies bytes of the GPU to the host, and waits until they are there.
pub fn copy_out(to: &mut [u8], from: u64, stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the driver writes `to.len()` bytes, all before the wait ends, and `to` is borrowed until then.
    check("cuMemcpyDtoHAsync_v2", unsafe {
        sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast::<c_void>(), from, to.len(), stream.0)
    })?;
    synchronize(stream)
}

/// Copies bytes within the GPU, in order of the stream.
pub fn copy_within(to: u64, from: u64, bytes: u64, stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the driver checks both addresses.
    check("cuMemcpyDtoDAsync_v2", unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes as usize, stream.0) })
}

/// Fills memory of the GPU with a pattern of 1, 2 or 4 bytes (`width`), repeated `count` times.
pub fn fill(to: u64, pattern: u32, width: usize, count: u64, stream: StreamHandle) -> Outcome<()> {
    let count = count as usize;
    // SAFETY: the driver checks the address; the pattern goes by value.
    unsafe {
        match width {
            1 => check("cuMemsetD8Async", sys::cuMemsetD8Async(to, pattern as u8, count, stream.0)),
            2 => check("cuMemsetD16Async", sys::cuMemsetD16Async(to, pattern as u16, count, stream.0)),
            _ => check("cuMemsetD32Async", sys::cuMemsetD32Async(to, pattern, count, stream.0)),
        }
    }
}

/// Makes a stream that does not wait for the default one.
pub fn stream() -> Outcome<StreamHandle> {
    let mut stream = null_mut();
    let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as c_uint;
    // SAFETY: the driver writes one handle.
    check("cuStreamCreate", unsafe { sys::cuStreamCreate(&mut stream, flags) })?;
    Ok(StreamHandle(stream))
}

/// Ends a stream when its work is done.
pub fn destroy_stream(stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the owner calls this once, when dropped.
    check("cuStreamDestroy_v2", unsafe { sys::cuStreamDestroy_v2(stream.0) })
}

/// Waits until the stream has done all its work.
pub fn synchronize(stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the handle lives, see the module's doc.
    check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(stream.0) })
}

/// Makes an event that takes the time.
pub fn event() -> Outcome<EventHandle> {
    let mut event = null_mut();
    // SAFETY: the driver writes one handle.
    check("cuEventCreate", unsafe { sys::cuEventCreate(&mut event, 0) })?;
    Ok(EventHandle(event))
}

/// Marks the point that `stream` has reached when all its work so far is done.
pub fn record(event: EventHandle, stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the handles live, see the module's doc.
    check("cuEventRecord", unsafe { sys::cuEventRecord(event.0, stream.0) })
}

/// Milliseconds between two recorded events; waits for the second.
pub fn elapsed(start: EventHandle, end: EventHandle) -> Outcome<f32> {
    let mut milliseconds = 0.0;
    // SAFETY: the handles live, see the module's doc; the driver writes one float.
    unsafe {
        check("cuEventSynchronize", sys::cuEventSynchronize(end.0))?;
        check("cuEventElapsedTime", sys::cuEventElapsedTime(&mut milliseconds, start.0, end.0))?;
    }
    Ok(milliseconds)
}

/// Ends an event.
pub fn destroy_event(event: EventHandle) -> Outcome<()> {
    // SAFETY: the owner calls this once, when dropped.
    check("cuEventDestroy_v2", unsafe { sys::cuEventDestroy_v2(event.0) })
}

/// From now on the stream records its work in place of doing it. Relaxed: memory may be taken and modules loaded
/// meanwhile, as neither is part of the stream.
pub fn begin_capture(stream: StreamHandle) -> Outcome<()> {
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
    // SAFETY: the handle lives, see the module's doc.
    check("cuStreamBeginCapture_v2", unsafe { sys::cuStreamBeginCapture_v2(stream.0, mode) })
}

/// Ends the recording and makes it ready to launch.
pub fn end_capture(stream: StreamHandle) -> Outcome<GraphHandle> {
    let (mut graph, mut ready) = (null_mut(), null_mut());
    // SAFETY: the handle lives; the driver writes one handle at a time. The recording is destroyed once, after the
    // last use of it.
    unsafe {
        check("cuStreamEndCapture", sys::cuStreamEndCapture(stream.0, &mut graph))?;
        let made =
            check("cuGraphInstantiateWithFlags", sys::cuGraphInstantiateWithFlags(&mut ready, graph, 0));
        check("cuGraphDestroy", sys::cuGraphDestroy(graph))?;
        made?;
    }
    Ok(GraphHandle(ready))
}

/// Puts the recorded work into the stream.
pub fn launch_graph(graph: GraphHandle, stream: StreamHandle) -> Outcome<()> {
    // SAFETY: the handles live, see the module's doc.
    check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(graph.0, stream.0) })
}

/// Ends a graph.
pub fn destroy_graph(graph: GraphHandle) -> Outcome<()> {
    // SAFETY: the owner calls this once, when dropped.
    check("cuGraphExecDestroy", unsafe { sys::cuGraphExecDestroy(graph.0) })
}

/// Compiles and loads PTX; the failure comes with what the compiler wrote.
pub fn load(ptx: &CStr) -> Result<ModuleHandle, (Failure, String)> {
    use sys::CUjit_option_enum::{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    let mut log = vec![0u8; 16 << 10];
    let mut module = null_mut();
    let mut options = [CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes a size in place of a pointer, and leaves one zero byte at the end of the log to us.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), without_provenance_mut(log.len() - 1)];
    // SAFETY: the text ends with a zero; the log has the size given; the driver writes one handle.
    let code = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            ptx.as_ptr().cast(),
            2,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    check("cuModuleLoadDataEx", code).map_err(|failure| {
        let text = CStr::from_bytes_until_nul(&log).map_or("".into(), CStr::to_string_lossy);
        (failure, text.trim().to_string())
    })?;
    Ok(ModuleHandle(module))
}

/// Unloads a module.
pub fn unload(module: ModuleHandle) -> Outcome<()> {
    // SAFETY: the owner calls this once, when dropped.
    check("cuModuleUnload", unsafe { sys::cuModuleUnload(module.0) })
}

/// Finds an entry.
pub fn function(module: ModuleHandle, name: &CStr) -> Outcome<Function> {
    let mut function = null_mut();
    // SAFETY: the module is loaded, the name ends with a zero, the driver writes one handle.
    check("cuModuleGetFunction", unsafe {
        sys::cuModuleGetFunction(&mut function, module.0, name.as_ptr())
    })?;
    Ok(Function(function))
}

/// Size in bytes of parameter number `index` of an entry; `None` if it has no such parameter.
pub fn param_bytes(function: Function, index: usize) -> Outcome<Option<usize>> {
    let (mut offset, mut bytes) = (0, 0);
    // SAFETY: the function is loaded; the driver writes two sizes.
    let code = unsafe { sys::cuFuncGetParamInfo(function.0, index, &mut offset, &mut bytes) };
    match code {
        CUresult::CUDA_ERROR_INVALID_VALUE => Ok(None),
        code => check("cuFuncGetParamInfo", code).map(|()| Some(bytes)),
    }
}

/// Lets an entry use up to `bytes` of dynamic shared memory.
pub fn allow_shared(function: Function, bytes: u32) -> Outcome<()> {
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    // SAFETY: the function is loaded.
    check("cuFuncSetAttribute", unsafe { sys::cuFuncSetAttribute(function.0, attribute, bytes) })
}

/// What a launch may ask for besides its grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Blocks per cluster along each axis (compute capability 9.0 on).
    pub cluster: Option<[u32; 3]>,
    /// All blocks are to run at once, so that they may wait for each other.
    pub cooperative: bool,
    /// May start while the launch before it still runs (compute capability 9.0 on; the kernel waits by itself).
    pub overlaps_previous: bool,
}

impl Attributes {
    fn to_driver(self) -> Vec<sys::CUlaunchAttribute> {
        use sys::CUlaunchAttributeID_enum::*;
        let attribute = |id, value| sys::CUlaunchAttribute { id, pad: [0; 4], value };
        // Bytes of the union that its arm does not cover are passed too: start from zeros.
        let zeros = sys::CUlaunchAttributeValue { pad: [0; 64] };
        let mut list = Vec::new();
        if let Some([x, y, z]) = self.cluster {
            let mut value = zeros;
            value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
            list.push(attribute(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, value));
        }
        if self.cooperative {
            let mut value = zeros;
            value.cooperative = 1;
            list.push(attribute(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, value));
        }
        if self.overlaps_previous {
            let mut value = zeros;
            value.programmaticStreamSerializationAllowed = 1;
            list.push(attribute(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, value));
        }
        list
    }
}

/// Puts one launch into the stream. `params` is the entry's one parameter, a struct by value.
///
/// `param_size` is what [`param_bytes`] said of the entry; an entry of another size than `params` is not launched.
pub fn launch(
    function: Function,
    param_size: usize,
    [grid, block]: [[u32; 3]; 2],
    shared_bytes: u32,
    params: &[u8],
    attributes: Attributes,
    stream: StreamHandle,
) -> Outcome<()> {
    if params.len() != param_size {
        return Err(Failure { call: "cuLaunchKernel", code: CUresult::CUDA_ERROR_INVALID_VALUE });
    }
    let mut list = [params.as_ptr().cast_mut().cast::<c_void>()];
    let mut attributes = attributes.to_driver();
    if attributes.is_empty() {
        // SAFETY: the handles live; the driver copies `param_size` bytes from the one pointer in the list before it
        // returns, and `params` has so many.
        return check("cuLaunchKernel", unsafe {
            sys::cuLaunchKernel(
                function.0,
                grid[0],
                grid[1],
                grid[2],
                block[0],
                block[1],
                block[2],
                shared_bytes,
                stream.0,
                list.as_mut_ptr(),
                null_mut(),
            )
        });
    }
    let config = sys::CUlaunchConfig {
        gridDimX: grid[0],
        gridDimY: grid[1],
        gridDimZ: grid[2],
        blockDimX: block[0],
        blockDimY: block[1],
        blockDimZ: block[2],
        sharedMemBytes: shared_bytes,
        hStream: stream.0,
        attrs: attributes.as_mut_ptr(),
        numAttrs: attributes.len() as c_uint,
    };
    // SAFETY: as above; the configuration and its attributes live until the call returns.
    check("cuLaunchKernelEx", unsafe {
        sys::cuLaunchKernelEx(&config, function.0, list.as_mut_ptr(), null_mut())
    })
}
