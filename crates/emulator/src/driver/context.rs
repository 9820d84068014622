//! Contexts: a memory of their own, and the fault that once struck them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::abi::{In, Out};
use super::code::Code;
use super::device::{GLOBAL_BYTES, check_device};
use super::failure::{Failure, Outcome, say};
use super::handle::Object;
use super::late::{Queue, check_process, settle};
use super::state::{Driver, Primary, current, current_handle, driver, lock, with_stack};
use super::stream::Stream;
use crate::{Memory, Options};

/// A context.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) handle: usize,
    /// Of which device.
    device: i32,
    /// How to run launches.
    pub(crate) options: Options,
    /// The handle of its legacy stream.
    pub(crate) legacy_stream: usize,
    memory: Mutex<Memory>,
    fault: Mutex<Option<Failure>>,
    settings: Mutex<Settings>,
    pub(crate) queue: Queue,
    destroyed: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    flags: u32,
    cache: u32,
    shared_banks: u32,
    limits: [usize; LIMITS],
}

/// Limits by `CUlimit`: stack bytes, printf bytes, heap bytes, sync depth, pending launches, L2 fetch granularity,
/// persisting L2 bytes.
const LIMITS: usize = 7;
const DEFAULT_LIMITS: [usize; LIMITS] = [1024, 1 << 20, 8 << 20, 2, 2048, 64, 0];
/// `CU_CTX_FLAGS_MASK`.
const FLAGS: u32 = 0xff;
/// `CU_CTX_SCHED_MASK`.
const SCHEDULING: u32 = 7;

impl Object for Arc<Context> {
    const TAG: usize = 1;
}

impl Context {
    /// The memory; waits for the kernel that runs on it.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Refuses a context that is destroyed, or that a fault has struck.
    pub(crate) fn sound(&self) -> Outcome {
        if self.destroyed.load(Ordering::Acquire) {
            return Err(Code::CONTEXT_IS_DESTROYED.says("the context of this object is destroyed"));
        }
        check_process()?;
        match lock(&self.fault).as_ref() {
            None => Ok(()),
            Some(fault) => {
                let earlier = &fault.sentence;
                let sentence =
                    format!("a kernel failed earlier, and its context is lost until destroyed: {earlier}");
                Err(fault.code.says(sentence))
            }
        }
    }

    /// Strikes the context with a kernel's fault: every later call on it fails with the same code.
    pub(crate) fn strike(&self, fault: &Failure) {
        lock(&self.fault).get_or_insert_with(|| fault.clone());
        Self::lose(fault);
    }
}

impl Driver {
    /// Makes a context with its streams.
    pub(crate) fn make_context(&mut self, device: i32, flags: u32) -> Outcome<Arc<Context>> {
        check_process()?;
        if flags & !FLAGS != 0 || (flags & SCHEDULING).count_ones() > 1 {
            return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a context")));
        }
        let (options, number) = (self.options, self.contexts_made);
        self.contexts_made += 1;
        let settings = Settings { flags, cache: 0, shared_banks: 0, limits: DEFAULT_LIMITS };
        let streams = &mut self.streams;
        let handle = self.contexts.insert_with(|handle| {
            Arc::new(Context {
                handle,
                device,
                options,
                legacy_stream: streams.insert(Stream::legacy(handle)),
                memory: Mutex::new(Memory::in_range(GLOBAL_BYTES, number)),
                fault: Mutex::new(None),
                settings: Mutex::new(settings),
                queue: Queue::default(),
                destroyed: AtomicBool::new(false),
            })
        });
        self.context(handle)
    }

    /// Destroys a context with all that belongs to it, and tells of memory that nobody freed.
    pub(crate) fn destroy_context(&mut self, handle: usize) -> Outcome {
        let context = self.context(handle)?;
        self.contexts.remove(handle)?;
        context.destroyed.store(true, Ordering::Release);
        let own: Vec<u64> = self.modules_of(handle).flat_map(|module| module.globals.clone()).collect();
        self.modules.drop_if(|module| module.context.handle == handle);
        self.functions.drop_if(|function| function.module.context.handle == handle);
        self.streams.drop_if(|stream| stream.context == handle);
        self.events.drop_if(|event| event.context == handle);
        self.captures.drop_if(|capture| capture.context == handle);
        let memory = context.memory();
        let leaked: Vec<(u64, u64)> =
            memory.allocations().filter(|(address, _)| !own.contains(address)).collect();
        // What a lost context holds cannot be freed any more.
        if !leaked.is_empty() && lock(&context.fault).is_none() {
            say(told(handle, &leaked));
        }
        Ok(())
    }
}

/// What is said of allocations, as (address, bytes), that outlive their context.
fn told(context: usize, leaked: &[(u64, u64)]) -> String {
    const SHOWN: usize = 4;
    let bytes: u64 = leaked.iter().map(|(_, bytes)| bytes).sum();
    let mut places: Vec<String> =
        leaked.iter().take(SHOWN).map(|(address, bytes)| format!("{bytes} at {address:#x}")).collect();
    if leaked.len() > SHOWN {
        places.push(format!("{} more", leaked.len() - SHOWN));
    }
    let places = places.join(", ");
    format!("the context {context:#x} ended with {bytes} bytes allocated and never freed: {places}")
}

/// `cuCtxCreate_v2`.
pub(crate) fn create(context: Out<usize>, flags: u32, device: i32) -> Outcome {
    let place = context.place("the context")?;
    check_device(device)?;
    let made = driver().make_context(device, flags)?.handle;
    with_stack(|stack| stack.push(made));
    place.put(made);
    Ok(())
}

/// `cuCtxCreate_v3`.
pub(crate) fn create_with_affinity(
    context: Out<usize>,
    _affinities: In<usize>,
    count: i32,
    flags: u32,
    device: i32,
) -> Outcome {
    if count != 0 {
        return Err(Code::UNSUPPORTED_EXEC_AFFINITY.says("the emulated GPU has no execution affinity"));
    }
    create(context, flags, device)
}

/// `CUctxCreateParams`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct CreateParams {
    affinities: usize,
    affinity_count: i32,
    graphics: usize,
}

/// `cuCtxCreate_v4`.
pub(crate) fn create_with_params(
    context: Out<usize>,
    params: In<CreateParams>,
    flags: u32,
    device: i32,
) -> Outcome {
    if !params.is_null() {
        let params = params.read("the parameters")?;
        if params.affinity_count != 0 || params.affinities != 0 {
            return Err(Code::UNSUPPORTED_EXEC_AFFINITY.says("the emulated GPU has no execution affinity"));
        }
        if params.graphics != 0 {
            return Err(Code::NOT_SUPPORTED.says("the emulated GPU shares nothing with a graphics API"));
        }
    }
    create(context, flags, device)
}

/// `cuCtxDestroy_v2`.
pub(crate) fn destroy(context: usize) -> Outcome {
    settle_before_the_end(context);
    let mut driver = driver();
    if context != 0 && driver.primary.values().any(|primary| primary.context == context) {
        let sentence = "the primary context is released with cuDevicePrimaryCtxRelease, not destroyed";
        return Err(Code::INVALID_CONTEXT.says(sentence));
    }
    driver.destroy_context(context)?;
    with_stack(|stack| {
        if stack.last() == Some(&context) {
            stack.pop();
        }
    });
    Ok(())
}

/// `cuCtxPushCurrent_v2`.
pub(crate) fn push(context: usize) -> Outcome {
    driver().context(context)?;
    with_stack(|stack| stack.push(context));
    Ok(())
}

/// `cuCtxPopCurrent_v2`.
pub(crate) fn pop(context: Out<usize>) -> Outcome {
    let popped = with_stack(Vec::pop).filter(|&popped| popped != 0);
    let popped = popped.ok_or_else(|| Code::INVALID_CONTEXT.says("no context is current on this thread"))?;
    context.offer(popped);
    Ok(())
}

/// `cuCtxSetCurrent`; null takes the current context off.
pub(crate) fn set_current(context: usize) -> Outcome {
    if context != 0 {
        driver().context(context)?;
    }
    with_stack(|stack| {
        stack.pop();
        if context != 0 {
            stack.push(context);
        }
    });
    Ok(())
}

/// `cuCtxGetCurrent`.
pub(crate) fn get_current(context: Out<usize>) -> Outcome {
    context.set(current_handle(), "the context")
}

/// `cuCtxGetDevice`.
pub(crate) fn get_device(device: Out<i32>) -> Outcome {
    device.set(current()?.device, "the device")
}

/// `cuCtxGetId`.
pub(crate) fn get_id(context: usize, id: Out<u64>) -> Outcome {
    let context = if context == 0 { current()? } else { driver().context(context)? };
    id.set(context.handle as u64, "the number")
}

/// `cuCtxGetApiVersion`: 3020 for every context since that version.
pub(crate) fn get_api_version(context: usize, version: Out<u32>) -> Outcome {
    driver().context(context)?;
    version.set(3020, "the version")
}

/// `cuCtxSynchronize`.
pub(crate) fn synchronize() -> Outcome {
    let mut driver = driver();
    let context = driver.current()?;
    driver.refuse_while_capturing_in(context.handle, "cuCtxSynchronize waits for all streams")?;
    drop(driver);
    context.settle()
}

/// `cuCtxGetFlags`.
pub(crate) fn get_flags(flags: Out<u32>) -> Outcome {
    flags.set(lock(&current()?.settings).flags, "the flags")
}

/// `cuCtxSetFlags`.
pub(crate) fn set_flags(flags: u32) -> Outcome {
    if flags & !FLAGS != 0 || (flags & SCHEDULING).count_ones() > 1 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a context")));
    }
    lock(&current()?.settings).flags = flags;
    Ok(())
}

fn known_limit(limit: u32) -> Outcome<usize> {
    let known = usize::try_from(limit).ok().filter(|&limit| limit < LIMITS);
    known.ok_or_else(|| Code::UNSUPPORTED_LIMIT.says(format!("the emulated GPU has no limit {limit}")))
}

/// `cuCtxGetLimit`.
pub(crate) fn get_limit(value: Out<usize>, limit: u32) -> Outcome {
    let limit = known_limit(limit)?;
    value.set(lock(&current()?.settings).limits[limit], "the limit")
}

/// `cuCtxSetLimit`. The emulator gives every thread the local memory it declares, so limits are only remembered.
pub(crate) fn set_limit(limit: u32, value: usize) -> Outcome {
    let limit = known_limit(limit)?;
    lock(&current()?.settings).limits[limit] = value;
    Ok(())
}

/// `cuCtxGetCacheConfig`.
pub(crate) fn get_cache(config: Out<u32>) -> Outcome {
    config.set(lock(&current()?.settings).cache, "the preference")
}

/// `cuCtxSetCacheConfig`: a preference, remembered.
pub(crate) fn set_cache(config: u32) -> Outcome {
    lock(&current()?.settings).cache = cache_preference(config)?;
    Ok(())
}

/// Checks a `CUfunc_cache`.
pub(crate) fn cache_preference(config: u32) -> Outcome<u32> {
    if config > 3 {
        return Err(
            Code::INVALID_VALUE.says(format!("{config} is no cache preference; they run from 0 to 3"))
        );
    }
    Ok(config)
}

/// `cuCtxGetSharedMemConfig`.
pub(crate) fn get_shared_banks(config: Out<u32>) -> Outcome {
    config.set(lock(&current()?.settings).shared_banks, "the size of a bank")
}

/// `cuCtxSetSharedMemConfig`: the banks of compute capability 8.0 are 4 bytes wide whatever is asked for.
pub(crate) fn set_shared_banks(config: u32) -> Outcome {
    if config > 2 {
        return Err(Code::INVALID_VALUE.says(format!("{config} is no size of a bank; they run from 0 to 2")));
    }
    lock(&current()?.settings).shared_banks = config;
    Ok(())
}

/// `cuCtxGetStreamPriorityRange`.
pub(crate) fn priority_range(least: Out<i32>, greatest: Out<i32>) -> Outcome {
    current()?;
    least.offer(super::stream::LEAST_PRIORITY);
    greatest.offer(super::stream::GREATEST_PRIORITY);
    Ok(())
}

/// `cuCtxResetPersistingL2Cache`: there is no cache to reset.
pub(crate) fn reset_persisting_cache() -> Outcome {
    current().map(drop)
}

/// `cuDevicePrimaryCtxRetain`.
pub(crate) fn retain_primary(context: Out<usize>, device: i32) -> Outcome {
    let place = context.place("the context")?;
    check_device(device)?;
    let mut driver = driver();
    let Primary { context: active, flags, .. } = *driver.primary.entry(device).or_default();
    let context = if active == 0 { driver.make_context(device, flags)?.handle } else { active };
    let primary = driver.primary.entry(device).or_default();
    primary.context = context;
    primary.retained += 1;
    place.put(context);
    Ok(())
}

/// The handle of the primary context of a device; 0 while it is not active.
fn primary_of(device: i32) -> usize {
    driver().primary.get(&device).map_or(0, |primary| primary.context)
}

/// Runs what a context still has to do before it may end; how that ends is nobody's business any more.
fn settle_before_the_end(context: usize) {
    if context != 0 {
        let _ = settle(context);
    }
}

/// `cuDevicePrimaryCtxRelease_v2`.
pub(crate) fn release_primary(device: i32) -> Outcome {
    check_device(device)?;
    settle_before_the_end(primary_of(device));
    let mut driver = driver();
    let primary = driver.primary.entry(device).or_default();
    if primary.retained == 0 {
        let sentence = "the primary context is not retained; it was released once too often";
        return Err(Code::INVALID_CONTEXT.says(sentence));
    }
    primary.retained -= 1;
    if primary.retained > 0 {
        return Ok(());
    }
    let context = std::mem::take(&mut primary.context);
    driver.destroy_context(context)
}

/// `cuDevicePrimaryCtxReset_v2`: ends the primary context, whoever retains it.
pub(crate) fn reset_primary(device: i32) -> Outcome {
    check_device(device)?;
    settle_before_the_end(primary_of(device));
    let mut driver = driver();
    match std::mem::take(driver.primary.entry(device).or_default()).context {
        0 => Ok(()),
        context => driver.destroy_context(context),
    }
}

/// `cuDevicePrimaryCtxGetState`.
pub(crate) fn primary_state(device: i32, flags: Out<u32>, active: Out<i32>) -> Outcome {
    check_device(device)?;
    let Primary { context, flags: own, .. } = *driver().primary.entry(device).or_default();
    flags.set(own, "the flags")?;
    active.set(i32::from(context != 0), "whether it is active")
}

/// `cuDevicePrimaryCtxSetFlags_v2`.
pub(crate) fn set_primary_flags(device: i32, flags: u32) -> Outcome {
    check_device(device)?;
    if flags & !FLAGS != 0 || (flags & SCHEDULING).count_ones() > 1 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a context")));
    }
    let mut driver = driver();
    let primary = driver.primary.entry(device).or_default();
    primary.flags = flags;
    let active = primary.context;
    if active != 0 {
        lock(&driver.context(active)?.settings).flags = flags;
    }
    Ok(())
}
