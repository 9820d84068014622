//! The exported calls: one line each, with the name that loaders look up, its C arguments, and who answers it.

#![allow(non_snake_case, reason = "the names are those of the CUDA driver API")]

use std::ffi::c_void;

use super::abi::{Host, In, Out, Text};
use super::code::Code;
use super::failure::{enter, last};
use super::launch::{Config, Values};
use super::occupancy::SharedOfBlock;
use super::state::initialised;
use super::{
    address, capture, context, copy, device, device_memory, event, function, graph, host_memory, jit, launch,
    managed, module, occupancy, pool, stream, text,
};

/// A function of the host that a stream calls.
type HostFunction = Option<unsafe extern "C" fn(*mut c_void)>;

macro_rules! exports {
    (
        anytime { $($any:ident($($any_arg:ident: $any_ty:ty),*) => $any_body:expr;)* }
        initialised { $($name:ident($($arg:ident: $ty:ty),*) => $body:expr;)* }
    ) => {
        $(
            // SAFETY: no other symbol of this name is linked: it is the CUDA driver's, whose place this library takes.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $any($($any_arg: $any_ty),*) -> Code {
                enter(stringify!($any), || $any_body)
            }
        )*
        $(
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($arg: $ty),*) -> Code {
                enter(stringify!($name), || {
                    initialised()?;
                    $body
                })
            }
        )*

        /// The address of an exported call.
        pub(crate) fn find(name: &str) -> Option<*mut c_void> {
            Some(match name {
                $(stringify!($any) => $any as *mut c_void,)*
                $(stringify!($name) => $name as *mut c_void,)*
                _ => return None,
            })
        }
    };
}

exports! {
    anytime {
        cuInit(flags: u32) => device::init(flags);
        cuDriverGetVersion(version: Out<i32>) => device::version(version);
        cuGetErrorName(code: Code, name: Out<*const u8>) => text::error_name(code, name);
        cuGetErrorString(code: Code, line: Out<*const u8>) => text::error_line(code, line);
        cuGetProcAddress(name: Text, address: Out<*mut c_void>, version: i32, flags: u64)
            => address::get(name, address, version, flags, None);
        cuGetProcAddress_v2(name: Text, address: Out<*mut c_void>, version: i32, flags: u64, status: Out<u32>)
            => address::get(name, address, version, flags, Some(status));
    }
    initialised {
        cuDeviceGet(device: Out<i32>, ordinal: i32) => device::get(device, ordinal);
        cuDeviceGetCount(count: Out<i32>) => device::count(count);
        cuDeviceGetName(name: Out<u8>, length: i32, device: i32) => device::name(name, length, device);
        cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: i32) => device::uuid(uuid, device);
        cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32) => device::uuid(uuid, device);
        cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) => device::total_memory(bytes, device);
        cuDeviceGetAttribute(value: Out<i32>, attribute: u32, device: i32) => device::attribute(value, attribute, device);
        cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, device: i32) => device::capability(major, minor, device);
        cuDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32) => device::can_access_peer(can, device, peer);
        cuDeviceGetPCIBusId(id: Out<u8>, length: i32, device: i32) => device::bus_id(id, length, device);
        cuDeviceGetByPCIBusId(device: Out<i32>, id: Text) => device::by_bus_id(device, id);

        cuDevicePrimaryCtxRetain(context: Out<usize>, device: i32) => context::retain_primary(context, device);
        cuDevicePrimaryCtxRelease_v2(device: i32) => context::release_primary(device);
        cuDevicePrimaryCtxReset_v2(device: i32) => context::reset_primary(device);
        cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>)
            => context::primary_state(device, flags, active);
        cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) => context::set_primary_flags(device, flags);
        cuCtxCreate_v2(context: Out<usize>, flags: u32, device: i32) => context::create(context, flags, device);
        cuCtxCreate_v3(context: Out<usize>, affinities: In<usize>, count: i32, flags: u32, device: i32)
            => context::create_with_affinity(context, affinities, count, flags, device);
        cuCtxCreate_v4(context: Out<usize>, params: In<context::CreateParams>, flags: u32, device: i32)
            => context::create_with_params(context, params, flags, device);
        cuCtxDestroy_v2(context: usize) => context::destroy(context);
        cuCtxPushCurrent_v2(context: usize) => context::push(context);
        cuCtxPopCurrent_v2(context: Out<usize>) => context::pop(context);
        cuCtxSetCurrent(context: usize) => context::set_current(context);
        cuCtxGetCurrent(context: Out<usize>) => context::get_current(context);
        cuCtxGetDevice(device: Out<i32>) => context::get_device(device);
        cuCtxGetId(context: usize, id: Out<u64>) => context::get_id(context, id);
        cuCtxGetApiVersion(context: usize, version: Out<u32>) => context::get_api_version(context, version);
        cuCtxSynchronize() => context::synchronize();
        cuCtxGetFlags(flags: Out<u32>) => context::get_flags(flags);
        cuCtxSetFlags(flags: u32) => context::set_flags(flags);
        cuCtxGetLimit(value: Out<usize>, limit: u32) => context::get_limit(value, limit);
        cuCtxSetLimit(limit: u32, value: usize) => context::set_limit(limit, value);
        cuCtxGetCacheConfig(config: Out<u32>) => context::get_cache(config);
        cuCtxSetCacheConfig(config: u32) => context::set_cache(config);
        cuCtxGetSharedMemConfig(config: Out<u32>) => context::get_shared_banks(config);
        cuCtxSetSharedMemConfig(config: u32) => context::set_shared_banks(config);
        cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) => context::priority_range(least, greatest);
        cuCtxResetPersistingL2Cache() => context::reset_persisting_cache();

        cuModuleLoad(module: Out<usize>, path: Text) => module::load_file(module, path);
        cuModuleLoadData(module: Out<usize>, image: Text) => module::load(module, image);
        cuModuleLoadDataEx(module: Out<usize>, image: Text, count: u32, options: In<u32>, values: Out<usize>)
            => jit::load(module, image, count, options, values);
        cuModuleUnload(module: usize) => module::unload(module);
        cuModuleGetFunction(function: Out<usize>, module: usize, name: Text) => module::get_function(function, module, name);
        cuModuleGetGlobal_v2(address: Out<u64>, bytes: Out<usize>, module: usize, name: Text)
            => module::get_global(address, bytes, module, name);
        cuModuleGetFunctionCount(count: Out<u32>, module: usize) => module::function_count(count, module);
        cuModuleEnumerateFunctions(functions: Out<usize>, count: u32, module: usize)
            => module::enumerate_functions(functions, count, module);
        cuModuleGetLoadingMode(mode: Out<u32>) => module::loading_mode(mode);

        cuFuncGetAttribute(value: Out<i32>, attribute: u32, function: usize) => function::get_attribute(value, attribute, function);
        cuFuncSetAttribute(function: usize, attribute: u32, value: i32) => function::set_attribute(function, attribute, value);
        cuFuncSetCacheConfig(function: usize, config: u32) => function::set_cache(function, config);
        cuFuncSetSharedMemConfig(function: usize, config: u32) => function::set_shared_banks(function, config);
        cuFuncGetModule(module: Out<usize>, function: usize) => function::get_module(module, function);
        cuFuncGetName(name: Out<*const u8>, function: usize) => text::function_name(name, function);
        cuFuncGetParamInfo(function: usize, index: usize, offset: Out<usize>, bytes: Out<usize>)
            => function::get_param(function, index, offset, bytes);
        cuFuncIsLoaded(state: Out<u32>, function: usize) => function::is_loaded(state, function);
        cuFuncLoad(function: usize) => function::load(function);

        cuOccupancyMaxActiveBlocksPerMultiprocessor(count: Out<i32>, function: usize, threads: i32, dynamic: usize)
            => occupancy::max_blocks(count, function, threads, dynamic);
        cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
            count: Out<i32>, function: usize, threads: i32, dynamic: usize, flags: u32
        ) => occupancy::max_blocks_with_flags(count, function, threads, dynamic, flags);
        cuOccupancyMaxPotentialBlockSize(
            grid: Out<i32>, block: Out<i32>, function: usize, shared: SharedOfBlock, dynamic: usize, limit: i32
        ) => occupancy::best_block(grid, block, function, shared, dynamic, limit);
        cuOccupancyMaxPotentialBlockSizeWithFlags(
            grid: Out<i32>, block: Out<i32>, function: usize, shared: SharedOfBlock, dynamic: usize, limit: i32, flags: u32
        ) => occupancy::best_block_with_flags(grid, block, function, shared, dynamic, limit, flags);
        cuOccupancyAvailableDynamicSMemPerBlock(bytes: Out<usize>, function: usize, blocks: i32, threads: i32)
            => occupancy::available_shared(bytes, function, blocks, threads);

        cuLaunchKernel(
            function: usize, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
            shared_bytes: u32, stream: usize, values: Values, extra: In<*const c_void>
        ) => {
            let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
            launch::launch(function, grid, block, shared_bytes, stream, values, extra)
        };
        cuLaunchKernelEx(config: In<Config>, function: usize, values: Values, extra: In<*const c_void>)
            => launch::launch_with(config, function, values, extra);
        cuLaunchCooperativeKernel() => launch::launch_cooperative();
        cuLaunchHostFunc(stream: usize, function: HostFunction, data: usize) => stream::call_host(stream, function, data);

        cuMemAlloc_v2(address: Out<u64>, bytes: usize) => device_memory::alloc(address, bytes);
        cuMemFree_v2(address: u64) => device_memory::free(address);
        cuMemAllocAsync(address: Out<u64>, bytes: usize, stream: usize) => device_memory::alloc_async(address, bytes, stream);
        cuMemFreeAsync(address: u64, stream: usize) => device_memory::free_async(address, stream);
        cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) => device_memory::info(free, total);
        cuMemGetAddressRange_v2(base: Out<u64>, bytes: Out<usize>, address: u64) => device_memory::range(base, bytes, address);
        cuPointerGetAttribute(value: Out<u8>, attribute: u32, address: u64)
            => device_memory::pointer_attribute(value, attribute, address);

        cuDeviceGetDefaultMemPool(pool: Out<usize>, device: i32) => pool::get_default(pool, device);
        cuDeviceGetMemPool(pool: Out<usize>, device: i32) => pool::get(pool, device);
        cuDeviceSetMemPool(device: i32, pool: usize) => pool::set(device, pool);
        cuMemPoolCreate(pool: Out<usize>, properties: In<pool::Properties>) => pool::create(pool, properties);
        cuMemPoolDestroy(pool: usize) => pool::destroy(pool);
        cuMemPoolTrimTo(pool: usize, keep: usize) => pool::trim(pool, keep);
        cuMemAllocFromPoolAsync(address: Out<u64>, bytes: usize, pool: usize, stream: usize)
            => pool::alloc(address, bytes, pool, stream);
        cuMemPoolGetAttribute(pool: usize, attribute: u32, value: Out<u8>) => pool::get_attribute(pool, attribute, value);
        cuMemPoolSetAttribute(pool: usize, attribute: u32, value: Out<u8>) => pool::set_attribute(pool, attribute, value);
        cuMemPoolSetAccess(pool: usize, accesses: In<pool::Access>, count: usize) => pool::set_access(pool, accesses, count);
        cuMemPoolGetAccess(flags: Out<u32>, pool: usize, location: In<pool::Location>) => pool::get_access(flags, pool, location);

        cuMemAllocManaged(address: Out<u64>, bytes: usize, flags: u32) => managed::alloc(address, bytes, flags);
        cuMemPrefetchAsync(address: u64, bytes: usize, device: i32, stream: usize)
            => managed::prefetch(address, bytes, device, stream);
        cuMemAdvise(address: u64, bytes: usize, advice: u32, device: i32) => managed::advise(address, bytes, advice, device);
        cuStreamAttachMemAsync(stream: usize, address: u64, bytes: usize, flags: u32)
            => managed::attach(stream, address, bytes, flags);

        cuMemAllocHost_v2(address: Out<usize>, bytes: usize) => host_memory::alloc_default(address, bytes);
        cuMemHostAlloc(address: Out<usize>, bytes: usize, flags: u32) => host_memory::alloc(address, bytes, flags);
        cuMemFreeHost(address: usize) => host_memory::free(address);
        cuMemHostRegister_v2(address: usize, bytes: usize, flags: u32) => host_memory::register(address, bytes, flags);
        cuMemHostUnregister(address: usize) => host_memory::unregister(address);
        cuMemHostGetFlags(flags: Out<u32>, address: usize) => host_memory::get_flags(flags, address);

        cuMemcpy(target: u64, source: u64, bytes: usize) => copy::any(target, source, bytes);
        cuMemcpyAsync(target: u64, source: u64, bytes: usize, stream: usize) => copy::any_async(target, source, bytes, stream);
        cuMemcpyHtoD_v2(target: u64, source: Host, bytes: usize) => copy::upload(target, source, bytes);
        cuMemcpyHtoDAsync_v2(target: u64, source: Host, bytes: usize, stream: usize)
            => copy::upload_async(target, source, bytes, stream);
        cuMemcpyDtoH_v2(target: Host, source: u64, bytes: usize) => copy::download(target, source, bytes);
        cuMemcpyDtoHAsync_v2(target: Host, source: u64, bytes: usize, stream: usize)
            => copy::download_async(target, source, bytes, stream);
        cuMemcpyDtoD_v2(target: u64, source: u64, bytes: usize) => copy::within(target, source, bytes);
        cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize, stream: usize)
            => copy::within_async(target, source, bytes, stream);
        cuMemcpyPeer(target: u64, to: usize, source: u64, from: usize, bytes: usize)
            => copy::between(target, to, source, from, bytes);
        cuMemcpyPeerAsync(target: u64, to: usize, source: u64, from: usize, bytes: usize, stream: usize)
            => copy::between_async(target, to, source, from, bytes, stream);
        cuMemsetD8_v2(target: u64, value: u8, count: usize) => copy::fill(target, value.into(), 1, count);
        cuMemsetD16_v2(target: u64, value: u16, count: usize) => copy::fill(target, value.into(), 2, count);
        cuMemsetD32_v2(target: u64, value: u32, count: usize) => copy::fill(target, value, 4, count);
        cuMemsetD8Async(target: u64, value: u8, count: usize, stream: usize)
            => copy::fill_async(target, value.into(), 1, count, stream);
        cuMemsetD16Async(target: u64, value: u16, count: usize, stream: usize)
            => copy::fill_async(target, value.into(), 2, count, stream);
        cuMemsetD32Async(target: u64, value: u32, count: usize, stream: usize)
            => copy::fill_async(target, value, 4, count, stream);

        cuStreamCreate(stream: Out<usize>, flags: u32) => stream::create(stream, flags);
        cuStreamCreateWithPriority(stream: Out<usize>, flags: u32, priority: i32)
            => stream::create_with_priority(stream, flags, priority);
        cuStreamDestroy_v2(stream: usize) => stream::destroy(stream);
        cuStreamSynchronize(stream: usize) => stream::synchronize(stream);
        cuStreamQuery(stream: usize) => stream::query(stream);
        cuStreamWaitEvent(stream: usize, event: usize, flags: u32) => stream::wait_event(stream, event, flags);
        cuStreamGetPriority(stream: usize, priority: Out<i32>) => stream::get_priority(stream, priority);
        cuStreamGetFlags(stream: usize, flags: Out<u32>) => stream::get_flags(stream, flags);
        cuStreamGetCtx(stream: usize, context: Out<usize>) => stream::get_context(stream, context);
        cuStreamGetId(stream: usize, id: Out<u64>) => stream::get_id(stream, id);
        cuStreamGetDevice(stream: usize, device: Out<i32>) => stream::get_device(stream, device);
        cuStreamBeginCapture_v2(stream: usize, mode: u32) => capture::begin(stream, mode);
        cuStreamEndCapture(stream: usize, graph: Out<usize>) => capture::end(stream, graph);
        cuStreamIsCapturing(stream: usize, status: Out<u32>) => capture::is_capturing(stream, status);
        cuStreamGetCaptureInfo(stream: usize, status: Out<u32>, id: Out<u64>) => capture::info(stream, status, id);
        cuThreadExchangeStreamCaptureMode(mode: Out<u32>) => capture::exchange_mode(mode);

        cuEventCreate(event: Out<usize>, flags: u32) => event::create(event, flags);
        cuEventDestroy_v2(event: usize) => event::destroy(event);
        cuEventRecord(event: usize, stream: usize) => event::record(event, stream);
        cuEventRecordWithFlags(event: usize, stream: usize, flags: u32) => event::record_with_flags(event, stream, flags);
        cuEventSynchronize(event: usize) => event::synchronize(event);
        cuEventQuery(event: usize) => event::query(event);
        cuEventElapsedTime(milliseconds: Out<f32>, start: usize, end: usize) => event::elapsed(milliseconds, start, end);
        cuEventElapsedTime_v2(milliseconds: Out<f32>, start: usize, end: usize) => event::elapsed(milliseconds, start, end);

        cuGraphInstantiateWithFlags(executable: Out<usize>, graph: usize, flags: u64)
            => graph::instantiate(executable, graph, flags);
        cuGraphLaunch(executable: usize, stream: usize) => graph::launch(executable, stream);
        cuGraphUpload(executable: usize, stream: usize) => graph::upload(executable, stream);
        cuGraphDestroy(graph: usize) => graph::destroy(graph);
        cuGraphExecDestroy(executable: usize) => graph::destroy_executable(executable);
        cuGraphGetNodes(graph: usize, nodes: Out<usize>, count: Out<usize>) => graph::get_nodes(graph, nodes, count);
        cuGraphNodeGetType(node: usize, node_type: Out<u32>) => graph::node_type(node, node_type);

        cuProfilerStart() => Ok(());
        cuProfilerStop() => Ok(());
    }
}

/// Writes the sentence of this thread's last failure, cut to `bytes` and ended by a NUL, and returns how long it is;
/// 0 if no call has failed. A host puts it beside the code in its own error.
///
/// # Safety
///
/// `buffer` is null, or `bytes` bytes may be written there.
// SAFETY: the name is this project's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn warpsmithLastFault(mut buffer: Host, bytes: usize) -> usize {
    let sentence = last();
    if let Some((end, room)) = buffer.bytes_mut(bytes).split_last_mut() {
        let cut =
            (0..=sentence.len().min(room.len())).rev().find(|&at| sentence.is_char_boundary(at)).unwrap_or(0);
        room[..cut].copy_from_slice(&sentence.as_bytes()[..cut]);
        *room.get_mut(cut).unwrap_or(end) = 0;
    }
    sentence.len()
}

/// Writes what all launches did since the last call of this, as many numbers as there is room for, and returns how many
/// there are: those of `tally::take`.
///
/// # Safety
///
/// `numbers` is null, or `room` numbers may be written there.
// SAFETY: the name is this project's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn warpsmithCounts(numbers: Out<u64>, room: usize) -> usize {
    let taken = super::tally::take();
    taken.iter().take(room).enumerate().for_each(|(at, number)| numbers.at(at).offer(*number));
    taken.len()
}

/// Asks for a machine of so many GPUs, and returns how many it has: as many if the environment does not say otherwise and
/// nobody has looked before.
// SAFETY: the name is this project's own.
#[unsafe(no_mangle)]
extern "C" fn warpsmithGpus(count: i32) -> i32 {
    super::machine::ask_for(count)
}
