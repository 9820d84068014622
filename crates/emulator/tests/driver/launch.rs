use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUfunction_attribute as Attribute, CUresult, CUstreamCaptureMode as Mode};
use cudarc::driver::{CudaContext, CudaStream, DriverError, result};

use warpsmith_emulator::alone;

use crate::{context, refused};

const PTX: &str = include_str!("kernels.ptx");

/// A stream in a context of its own, and the kernels.
struct Kernels {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    module: sys::CUmodule,
    /// What was allocated, to be freed at the end.
    owned: RefCell<Vec<u64>>,
}

/// The size of a launch: grid, block, bytes of dynamic shared memory.
type Size = ((u32, u32, u32), (u32, u32, u32), u32);
const ONE: Size = ((1, 1, 1), (1, 1, 1), 0);

impl Kernels {
    fn load() -> Kernels {
        let context = context();
        let stream = context.new_stream().unwrap();
        let text = CString::new(PTX).unwrap();
        // SAFETY: a text with its NUL.
        let module = unsafe { result::module::load_data(text.as_ptr().cast()) }
            .unwrap_or_else(|error| panic!("{error}: {:?}", warpsmith_emulator::last_fault()));
        Kernels { context, stream, module, owned: RefCell::default() }
    }

    fn function(&self, name: &str) -> sys::CUfunction {
        // SAFETY: the module is loaded.
        unsafe { result::module::get_function(self.module, CString::new(name).unwrap()) }.unwrap()
    }

    /// Launches with pointers to each parameter.
    fn launch(
        &self,
        name: &str,
        (grid, block, shared): Size,
        params: &mut [*mut c_void],
    ) -> Result<(), DriverError> {
        let stream = self.stream.cu_stream();
        // SAFETY: the tests pass as many parameters as the kernel takes, or the emulator refuses.
        unsafe { result::launch_kernel(self.function(name), grid, block, shared, stream, params) }
    }

    /// Launches `reverse` for a block of `threads`.
    fn reverse(&self, out: u64, threads: u32, shared: u32) -> Result<(), DriverError> {
        let mut out = out;
        self.launch("reverse", ((1, 1, 1), (threads, 1, 1), shared), &mut [(&raw mut out).cast()])
    }

    /// Launches `store` of a value.
    fn store(&self, out: u64, value: u32, index: u32) -> Result<(), DriverError> {
        let mut args = Store { out, value, index };
        self.launch("store", ONE, &mut [(&raw mut args).cast()])
    }

    fn alloc(&self, bytes: usize) -> u64 {
        // SAFETY: the memory is written before it is read.
        let address = unsafe { result::malloc_sync(bytes) }.unwrap();
        self.owned.borrow_mut().push(address);
        address
    }

    fn read<const N: usize>(&self, address: u64) -> [u32; N] {
        let mut values = [0; N];
        // SAFETY: the allocation holds as many values.
        unsafe { result::memcpy_dtoh_sync(&mut values, address) }.unwrap();
        values
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // Another test's context may be the current one, and this one may be lost by now.
        let _ = self.context.bind_to_thread();
        for address in self.owned.take() {
            // SAFETY: nobody uses it any more; the emulator refuses what was freed before.
            let _ = unsafe { result::free_sync(address) };
        }
    }
}

#[repr(C)]
struct Store {
    out: u64,
    value: u32,
    index: u32,
}

#[test]
fn kernels_compute() {
    let kernels = Kernels::load();
    let (mut out, mut input, mut n) = (kernels.alloc(400), kernels.alloc(400), 100_u32);
    let values: [u32; 100] = std::array::from_fn(|index| index as u32);
    // SAFETY: the allocation holds as many values.
    unsafe { result::memcpy_htod_sync(input, &values) }.unwrap();
    let mut params = [(&raw mut out).cast(), (&raw mut input).cast(), (&raw mut n).cast()];
    kernels.launch("scale", ((2, 1, 1), (64, 1, 1), 0), &mut params).unwrap();
    assert_eq!(kernels.read::<100>(out), values.map(|value| 3 * value));

    // The variable is where the module says, and has the value that the PTX gave it.
    let global = |name: &str| {
        // SAFETY: the module is loaded.
        unsafe { result::module::get_global(kernels.module, CString::new(name).unwrap()) }
    };
    let (factor, bytes) = global("factor").unwrap();
    assert_eq!((bytes, kernels.read::<1>(factor)), (4, [3]));
    let (place, bytes) = global("place_of_factor").unwrap();
    assert_eq!((bytes, kernels.read::<2>(place)), (8, [factor as u32, (factor >> 32) as u32]));
    refused(global("factors"), CUresult::CUDA_ERROR_NOT_FOUND, &["\"factors\"", "factor, place_of_factor"]);
    // SAFETY: the variable holds one value.
    unsafe { result::memcpy_htod_sync(factor, &[5_u32]) }.unwrap();
    kernels.launch("scale", ((2, 1, 1), (64, 1, 1), 0), &mut params).unwrap();
    assert_eq!(kernels.read::<100>(out), values.map(|value| 5 * value));
}

#[test]
fn parameters_come_in_one_buffer_too() {
    let kernels = Kernels::load();
    let out = kernels.alloc(8);
    let mut args = Store { out, value: 42, index: 1 };
    // The list names each part by a number where a pointer could be.
    let part = |number: usize| number as *mut c_void;
    let launch = |args: &mut Store, mut bytes: usize| {
        let mut extra = [
            part(1),
            std::ptr::from_mut(args).cast(),
            part(2),
            (&raw mut bytes).cast(),
            std::ptr::null_mut(),
        ];
        let (function, stream) = (kernels.function("store"), kernels.stream.cu_stream());
        // SAFETY: the list ends with its end, and the buffer is as large as it says, or larger.
        unsafe {
            let values = std::ptr::null_mut();
            sys::cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, values, extra.as_mut_ptr()).result()
        }
    };
    launch(&mut args, 16).unwrap();
    assert_eq!(kernels.read::<2>(out)[1], 42);
    for wrong in [0, 15, 17, 24] {
        let words = &["store takes 16 bytes", &format!("not {wrong}")];
        refused(launch(&mut args, wrong), CUresult::CUDA_ERROR_INVALID_VALUE, words);
    }
    refused(
        kernels.launch("store", ONE, &mut [std::ptr::null_mut()]),
        CUresult::CUDA_ERROR_INVALID_VALUE,
        &["parameter 0 is null"],
    );
    // SAFETY: nothing is read where nothing is given; the emulator refuses.
    unsafe {
        let (function, stream) = (kernels.function("store"), kernels.stream.cu_stream());
        let null = std::ptr::null_mut();
        let none = sys::cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, null, null).result();
        refused(none, CUresult::CUDA_ERROR_INVALID_VALUE, &["store takes 1 parameters", "none were given"]);
        let mut values = [(&raw mut args).cast()];
        let mut end = [std::ptr::null_mut()];
        let (values, end) = (values.as_mut_ptr(), end.as_mut_ptr());
        let both = sys::cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, values, end).result();
        refused(both, CUresult::CUDA_ERROR_INVALID_VALUE, &["both ways"]);
    }
}

#[test]
fn launches_of_the_wrong_size_are_refused() {
    let kernels = Kernels::load();
    let out = kernels.alloc(4);
    let mut args = Store { out, value: 1, index: 0 };
    let mut launch = |grid, block| kernels.launch("store", (grid, block, 0), &mut [(&raw mut args).cast()]);
    let invalid = CUresult::CUDA_ERROR_INVALID_VALUE;
    refused(launch((0, 1, 1), (1, 1, 1)), invalid, &["store: the grid", "in x, not 0"]);
    refused(launch((1, 65536, 1), (1, 1, 1)), invalid, &["the grid has 1 to 65535 in y, not 65536"]);
    refused(launch((1, 1, 1), (1, 0, 1)), invalid, &["the block", "in y, not 0"]);
    refused(launch((1, 1, 1), (1025, 1, 1)), invalid, &["the block has 1 to 1024 in x, not 1025"]);
    refused(launch((1, 1, 1), (1, 1, 65)), invalid, &["1 to 64 in z, not 65"]);
    refused(launch((1, 1, 1), (32, 33, 1)), invalid, &["up to 1024 threads, not 1056"]);
    let beyond = kernels.launch("bounded", ((1, 1, 1), (65, 1, 1), 0), &mut []);
    refused(beyond, CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, &["bounded", "64 threads, not 65"]);
    kernels.launch("bounded", ((1, 1, 1), (64, 1, 1), 0), &mut []).unwrap();
}

#[test]
fn shared_memory_beyond_48_kib_is_opted_in_to() {
    let kernels = Kernels::load();
    let out = kernels.alloc(1024 * 4);
    kernels.reverse(out, 64, 256).unwrap();
    assert_eq!(kernels.read::<64>(out), std::array::from_fn(|index| 63 - index as u32));
    let words = &["reverse: 49153 bytes", "49152 are allowed", "cuFuncSetAttribute"];
    refused(kernels.reverse(out, 64, 49153), CUresult::CUDA_ERROR_INVALID_VALUE, words);
    let (function, dynamic) =
        (kernels.function("reverse"), Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    // SAFETY: the function is loaded.
    let set = |bytes| unsafe { result::function::set_function_attribute(function, dynamic, bytes) };
    refused(set(163 * 1024 + 1), CUresult::CUDA_ERROR_INVALID_VALUE, &["0 to 166912"]);
    refused(set(-1), CUresult::CUDA_ERROR_INVALID_VALUE, &["not -1"]);
    set(163 * 1024).unwrap();
    kernels.reverse(out, 1024, 163 * 1024).unwrap();
    assert_eq!(kernels.read::<1024>(out), std::array::from_fn(|index| 1023 - index as u32));
}

#[test]
fn functions_know_what_they_are() {
    let kernels = Kernels::load();
    let bounded = kernels.function("bounded");
    assert_eq!(bounded, kernels.function("bounded"));
    // SAFETY: the function is loaded.
    let attribute =
        |attribute| unsafe { result::function::get_function_attribute(bounded, attribute) }.unwrap();
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 64);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES), 4096);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), 49152 - 4096);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION), 84);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_BINARY_VERSION), 80);
    let (mut offset, mut bytes, mut count) = (0, 0, 0);
    // SAFETY: handles and places are of the right types.
    unsafe {
        sys::cuFuncGetParamInfo(kernels.function("scale"), 2, &mut offset, &mut bytes).result().unwrap();
        let none = sys::cuFuncGetParamInfo(kernels.function("scale"), 3, &mut offset, &mut bytes).result();
        refused(none, CUresult::CUDA_ERROR_INVALID_VALUE, &["scale has 3 parameters"]);
        sys::cuModuleGetFunctionCount(&mut count, kernels.module).result().unwrap();
        let absent = result::module::get_function(kernels.module, c"scales".into());
        refused(absent, CUresult::CUDA_ERROR_NOT_FOUND, &["\"scales\"", "scale, store, misaligned"]);
    }
    assert_eq!((offset, bytes, count), (16, 4, 6));
}

#[test]
fn occupancy_follows_threads_and_shared_memory() {
    let kernels = Kernels::load();
    let (reverse, bounded) = (kernels.function("reverse"), kernels.function("bounded"));
    // SAFETY: the functions are loaded.
    let blocks = |function, threads, bytes| unsafe {
        result::occupancy::max_active_block_per_multiprocessor(function, threads, bytes)
    };
    assert_eq!(blocks(reverse, 1024, 0).unwrap(), 2);
    assert_eq!(blocks(reverse, 256, 0).unwrap(), 8);
    assert_eq!(blocks(reverse, 32, 0).unwrap(), 32);
    // 164 KiB hold six blocks of 24 KiB with the 1 KiB that the system keeps of each.
    assert_eq!(blocks(reverse, 64, 24 * 1024).unwrap(), 6);
    // Five KiB each with the static four.
    assert_eq!(blocks(bounded, 64, 0).unwrap(), 32);
    assert_eq!(blocks(bounded, 96, 0).unwrap(), 0);
    refused(blocks(reverse, 1025, 0), CUresult::CUDA_ERROR_INVALID_VALUE, &["1 to 1024 threads"]);
    // SAFETY: as above; no function gives the shared memory of a block.
    unsafe {
        let (grid, block) = result::occupancy::max_potential_block_size(reverse, None, 0, 0).unwrap();
        assert_eq!((grid, block), (32, 1024));
        let room = result::occupancy::available_dynamic_shared_mem_per_block(reverse, 2, 512).unwrap();
        assert_eq!(room, 81 * 1024);
    }
}

/// A driver that runs a launch before it returns.
const AT_ONCE: &[(&str, &str)] = &[("WARPSMITH_EMULATOR_STRICT", "0")];

#[test]
fn a_fault_is_told_in_full_and_ends_the_context() {
    alone("launch::a_fault_is_told_in_full_and_ends_the_context", AT_ONCE, told_in_full);
}

fn told_in_full() {
    let kernels = Kernels::load();
    let out = kernels.alloc(16);
    let (store, mut args) = (kernels.function("store"), Store { out, value: 1, index: 0 });
    let line = 1 + PTX.lines().position(|line| line.contains("st.global.u32 [%rd4], %r1")).unwrap();
    let words = ["cuLaunchKernel: store: block (0,0,0) thread (0,0,0)", &format!("PTX line {line}")];
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    refused(kernels.store(out, 1, 4), illegal, &words);
    // The context is lost: whatever comes next has the same code, and the sentence stays that of the launch.
    let params = &mut [(&raw mut args).cast()];
    // SAFETY: the function takes the one parameter.
    let again = unsafe { result::launch_kernel(store, ONE.0, ONE.1, 0, kernels.stream.cu_stream(), params) };
    refused(again, illegal, &words);
    refused(kernels.context.synchronize(), illegal, &words);
    // SAFETY: the emulator allocates nothing.
    refused(unsafe { result::malloc_sync(4) }, illegal, &words);
    // Another context is not.
    Kernels::load();
}

#[test]
fn each_fault_has_its_code() {
    alone("launch::each_fault_has_its_code", AT_ONCE, each_code);
}

fn each_code() {
    let kernels = Kernels::load();
    let mut out = kernels.alloc(16);
    let misaligned = kernels.launch("misaligned", ONE, &mut [(&raw mut out).cast()]);
    refused(misaligned, CUresult::CUDA_ERROR_MISALIGNED_ADDRESS, &["misaligned"]);
    refused(Kernels::load().launch("stop", ONE, &mut []), CUresult::CUDA_ERROR_LAUNCH_FAILED, &["stop"]);
    let null = Kernels::load().store(0, 1, 0);
    refused(
        null,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
        &["store: block (0,0,0)", "4 bytes at 0x0: a null pointer"],
    );
    let kernels = Kernels::load();
    let out = kernels.alloc(16);
    // SAFETY: it was just allocated.
    unsafe { result::free_sync(out) }.unwrap();
    refused(kernels.store(out, 1, 0), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &["store", "freed"]);
}

/// And "to continue using CUDA, the process must be terminated and relaunched".
#[test]
fn a_strict_driver_tells_of_a_fault_to_who_waits() {
    alone(
        "launch::a_strict_driver_tells_of_a_fault_to_who_waits",
        &[("WARPSMITH_EMULATOR_STRICT", "1")],
        || {
            let kernels = Kernels::load();
            let out = kernels.alloc(16);
            kernels.store(out, 1, 4).unwrap();
            kernels.store(out, 1, 0).unwrap();
            let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
            refused(kernels.stream.synchronize(), illegal, &["store: block (0,0,0)", "PTX line"]);
            // SAFETY: the emulator allocates nothing.
            refused(unsafe { result::malloc_sync(4) }, illegal, &["store: block (0,0,0)", "PTX line"]);
            let anew = CudaContext::new_non_primary(0, 0).map(drop);
            refused(anew, illegal, &["store: block (0,0,0)"]);
        },
    );
}

#[test]
fn captured_launches_keep_their_parameters() {
    let kernels = Kernels::load();
    let out = kernels.alloc(8);
    kernels.stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    kernels.store(out, 1, 0).unwrap();
    kernels.store(out, 2, 1).unwrap();
    let graph = kernels.stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for _ in 0..2 {
        // SAFETY: the allocation holds two values.
        unsafe { result::memcpy_htod_sync(out, &[9_u32, 9]) }.unwrap();
        graph.launch().unwrap();
        assert_eq!(kernels.read::<2>(out), [1, 2]);
    }
}

#[test]
fn what_was_unloaded_or_is_foreign_does_not_launch() {
    let (kernels, other) = (Kernels::load(), Kernels::load());
    let function = kernels.function("stop");
    kernels.context.bind_to_thread().unwrap();
    // SAFETY: the emulator checks each handle.
    unsafe {
        let crossed =
            result::launch_kernel(function, (1, 1, 1), (1, 1, 1), 0, other.stream.cu_stream(), &mut []);
        refused(crossed, CUresult::CUDA_ERROR_INVALID_HANDLE, &["different contexts"]);
        result::module::unload(kernels.module).unwrap();
        let stale =
            result::launch_kernel(function, (1, 1, 1), (1, 1, 1), 0, kernels.stream.cu_stream(), &mut []);
        refused(stale, CUresult::CUDA_ERROR_INVALID_HANDLE, &["a function that was destroyed"]);
        refused(
            result::module::unload(kernels.module),
            CUresult::CUDA_ERROR_INVALID_HANDLE,
            &["a module that was destroyed"],
        );
    }
    let (free, total) = kernels.context.mem_get_info().unwrap();
    assert_eq!(free, total, "the module's variables go with it");
}

#[test]
fn attributes_that_change_the_launch_are_refused() {
    let kernels = Kernels::load();
    let out = kernels.alloc(4);
    let mut args = Store { out, value: 6, index: 0 };
    let mut launch = |id: sys::CUlaunchAttributeID, set: &dyn Fn(&mut sys::CUlaunchAttributeValue)| {
        // SAFETY: all zeros is a value of both structures.
        let (mut config, mut attribute): (sys::CUlaunchConfig, sys::CUlaunchAttribute) =
            unsafe { std::mem::zeroed() };
        attribute.id = id;
        set(&mut attribute.value);
        (config.gridDimX, config.gridDimY, config.gridDimZ) = (1, 1, 1);
        (config.blockDimX, config.blockDimY, config.blockDimZ) = (1, 1, 1);
        (config.hStream, config.attrs, config.numAttrs) = (kernels.stream.cu_stream(), &mut attribute, 1);
        let mut params = [(&raw mut args).cast()];
        let (function, extra) = (kernels.function("store"), std::ptr::null_mut());
        // SAFETY: the launch, its attribute and its parameter are as the call asks.
        unsafe { sys::cuLaunchKernelEx(&config, function, params.as_mut_ptr(), extra) }.result()
    };
    use sys::CUlaunchAttributeID::*;
    launch(CU_LAUNCH_ATTRIBUTE_PRIORITY, &|value| value.priority = -1).unwrap();
    launch(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &|value| value.cooperative = 0).unwrap();
    let cluster = |x| {
        move |value: &mut sys::CUlaunchAttributeValue| {
            (value.clusterDim.x, value.clusterDim.y, value.clusterDim.z) = (x, 1, 1);
        }
    };
    launch(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, &cluster(1)).unwrap();
    assert_eq!(kernels.read::<1>(out), [6]);
    let unsupported = CUresult::CUDA_ERROR_NOT_SUPPORTED;
    refused(launch(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, &cluster(2)), unsupported, &["cluster"]);
    let together = launch(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &|value| value.cooperative = 1);
    refused(together, unsupported, &["cooperative"]);
    let event = launch(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT, &|_| ());
    refused(event, unsupported, &["programmatic event"]);
}
