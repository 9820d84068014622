//! The driver's result codes with their names and a line about each (CUDA Driver API, `CUresult`).

use std::ffi::CStr;

/// A `CUresult`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

macro_rules! codes {
    ($($name:ident = $value:literal $says:literal;)*) => {
        #[allow(dead_code, reason = "the table is whole, whichever codes the emulator returns")]
        impl Code {
            pub(crate) const SUCCESS: Code = Code(0);
            $(pub(crate) const $name: Code = Code($value);)*
        }

        /// The codes with their names and lines, each ended by a NUL for C.
        static TABLE: &[(u32, &str, &str)] = &[
            (0, "CUDA_SUCCESS\0", "no error\0"),
            $(($value, concat!("CUDA_ERROR_", stringify!($name), "\0"), concat!($says, "\0")),)*
        ];
    };
}

codes! {
    INVALID_VALUE = 1 "an argument is out of its range";
    OUT_OF_MEMORY = 2 "out of memory";
    NOT_INITIALIZED = 3 "cuInit has not been called";
    DEINITIALIZED = 4 "the driver is shutting down";
    PROFILER_DISABLED = 5 "profiling is switched off";
    PROFILER_NOT_INITIALIZED = 6 "the profiler was not set up";
    PROFILER_ALREADY_STARTED = 7 "the profiler runs already";
    PROFILER_ALREADY_STOPPED = 8 "the profiler has stopped already";
    STUB_LIBRARY = 34 "a stub stands in for the driver";
    NO_DEVICE = 100 "there is no device";
    INVALID_DEVICE = 101 "no such device";
    DEVICE_NOT_LICENSED = 102 "the device lacks a licence";
    INVALID_IMAGE = 200 "the image of the module is not valid";
    INVALID_CONTEXT = 201 "no context, or not a valid one, is current";
    CONTEXT_ALREADY_CURRENT = 202 "the context is current already";
    MAP_FAILED = 205 "mapping failed";
    UNMAP_FAILED = 206 "unmapping failed";
    ARRAY_IS_MAPPED = 207 "the array is mapped";
    ALREADY_MAPPED = 208 "the resource is mapped already";
    NO_BINARY_FOR_GPU = 209 "the image holds no code for this device";
    ALREADY_ACQUIRED = 210 "the resource is acquired already";
    NOT_MAPPED = 211 "the resource is not mapped";
    NOT_MAPPED_AS_ARRAY = 212 "the resource is not mapped as an array";
    NOT_MAPPED_AS_POINTER = 213 "the resource is not mapped as a pointer";
    ECC_UNCORRECTABLE = 214 "memory holds an error that cannot be corrected";
    UNSUPPORTED_LIMIT = 215 "the device does not know this limit";
    CONTEXT_ALREADY_IN_USE = 216 "the context is in use by another thread";
    PEER_ACCESS_UNSUPPORTED = 217 "the devices cannot reach each other";
    INVALID_PTX = 218 "the PTX did not compile";
    INVALID_GRAPHICS_CONTEXT = 219 "not a valid graphics context";
    NVLINK_UNCORRECTABLE = 220 "NVLink met an error that cannot be corrected";
    JIT_COMPILER_NOT_FOUND = 221 "there is no PTX compiler";
    UNSUPPORTED_PTX_VERSION = 222 "the PTX is newer than the driver";
    JIT_COMPILATION_DISABLED = 223 "compiling PTX is switched off";
    UNSUPPORTED_EXEC_AFFINITY = 224 "this execution affinity is not supported";
    UNSUPPORTED_DEVSIDE_SYNC = 225 "the code synchronises on the device, which is not supported";
    INVALID_SOURCE = 300 "the source is not valid";
    FILE_NOT_FOUND = 301 "file not found";
    SHARED_OBJECT_SYMBOL_NOT_FOUND = 302 "a shared object lacks a symbol";
    SHARED_OBJECT_INIT_FAILED = 303 "a shared object failed to load";
    OPERATING_SYSTEM = 304 "a call of the operating system failed";
    INVALID_HANDLE = 400 "not a valid handle";
    ILLEGAL_STATE = 401 "the object is not in the state that the call needs";
    LOSSY_QUERY = 402 "the answer would lose information";
    NOT_FOUND = 500 "no such name";
    NOT_READY = 600 "the work is not done yet";
    ILLEGAL_ADDRESS = 700 "a kernel touched memory that is not its own";
    LAUNCH_OUT_OF_RESOURCES = 701 "the launch asks for more than the device has";
    LAUNCH_TIMEOUT = 702 "the kernel ran too long";
    LAUNCH_INCOMPATIBLE_TEXTURING = 703 "the launch's texturing mode does not fit";
    PEER_ACCESS_ALREADY_ENABLED = 704 "peer access is enabled already";
    PEER_ACCESS_NOT_ENABLED = 705 "peer access is not enabled";
    PRIMARY_CONTEXT_ACTIVE = 708 "the primary context is active";
    CONTEXT_IS_DESTROYED = 709 "the context is destroyed";
    ASSERT = 710 "an assertion of a kernel failed";
    TOO_MANY_PEERS = 711 "too many peers";
    HOST_MEMORY_ALREADY_REGISTERED = 712 "the host memory is registered already";
    HOST_MEMORY_NOT_REGISTERED = 713 "the host memory is not registered";
    HARDWARE_STACK_ERROR = 714 "a stack of a kernel is damaged";
    ILLEGAL_INSTRUCTION = 715 "a kernel met an instruction that the device does not know";
    MISALIGNED_ADDRESS = 716 "a kernel used an address that is not aligned";
    INVALID_ADDRESS_SPACE = 717 "a kernel used an address in the wrong space";
    INVALID_PC = 718 "a kernel's program counter left its code";
    LAUNCH_FAILED = 719 "a kernel failed";
    COOPERATIVE_LAUNCH_TOO_LARGE = 720 "the cooperative launch does not fit the device at once";
    TENSOR_MEMORY_LEAK = 721 "a block ended without giving back its tensor memory";
    NOT_PERMITTED = 800 "the call is not permitted";
    NOT_SUPPORTED = 801 "the call is not supported";
    SYSTEM_NOT_READY = 802 "the system is not ready";
    SYSTEM_DRIVER_MISMATCH = 803 "the driver's parts do not fit each other";
    COMPAT_NOT_SUPPORTED_ON_DEVICE = 804 "forward compatibility is not supported on the device";
    MPS_CONNECTION_FAILED = 805 "MPS: no connection";
    MPS_RPC_FAILURE = 806 "MPS: a call failed";
    MPS_SERVER_NOT_READY = 807 "MPS: the server is not ready";
    MPS_MAX_CLIENTS_REACHED = 808 "MPS: too many clients";
    MPS_MAX_CONNECTIONS_REACHED = 809 "MPS: too many connections";
    MPS_CLIENT_TERMINATED = 810 "MPS: the client was ended";
    CDP_NOT_SUPPORTED = 811 "dynamic parallelism is not supported";
    CDP_VERSION_MISMATCH = 812 "versions of dynamic parallelism do not fit each other";
    STREAM_CAPTURE_UNSUPPORTED = 900 "the call is not allowed while a stream captures";
    STREAM_CAPTURE_INVALIDATED = 901 "the capture failed earlier";
    STREAM_CAPTURE_MERGE = 902 "the call would merge two captures";
    STREAM_CAPTURE_UNMATCHED = 903 "the capture was not begun on this stream";
    STREAM_CAPTURE_UNJOINED = 904 "the capture holds work that its first stream never waits for";
    STREAM_CAPTURE_ISOLATION = 905 "the capture would depend on work outside of it";
    STREAM_CAPTURE_IMPLICIT = 906 "the call would wait for a capture through the legacy stream";
    CAPTURED_EVENT = 907 "the event was last recorded in a capture";
    STREAM_CAPTURE_WRONG_THREAD = 908 "the capture belongs to another thread";
    TIMEOUT = 909 "the time is up";
    GRAPH_EXEC_UPDATE_FAILURE = 910 "the graph differs too much from what was instantiated";
    EXTERNAL_DEVICE = 911 "a device outside of CUDA failed";
    INVALID_CLUSTER_SIZE = 912 "the size of the cluster does not fit";
    FUNCTION_NOT_LOADED = 913 "the function is not loaded";
    INVALID_RESOURCE_TYPE = 914 "a resource of the wrong type";
    INVALID_RESOURCE_CONFIGURATION = 915 "the resources are not enough or not applicable";
    UNKNOWN = 999 "an internal error";
}

impl Code {
    /// `CUDA_ERROR_…`, or nothing for a number that is no code.
    pub(crate) fn name(self) -> Option<&'static CStr> {
        self.row().and_then(|&(_, name, _)| CStr::from_bytes_with_nul(name.as_bytes()).ok())
    }

    /// What the code means.
    pub(crate) fn line(self) -> Option<&'static CStr> {
        self.row().and_then(|&(_, _, line)| CStr::from_bytes_with_nul(line.as_bytes()).ok())
    }

    fn row(self) -> Option<&'static (u32, &'static str, &'static str)> {
        TABLE.iter().find(|row| row.0 == self.0)
    }
}
