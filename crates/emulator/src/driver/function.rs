//! Functions: the kernels of a module, with what a launch may ask of them.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::abi::Out;
use super::code::Code;
use super::context::cache_preference;
use super::device::{BLOCK_THREADS, REGISTERS, SHARED_BYTES, SHARED_OPT_IN_BYTES};
use super::failure::Outcome;
use super::handle::Object;
use super::machine::machine;
use super::module::Module;
use super::state::driver;
use crate::Entry;

/// A kernel of a loaded module.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) module: Arc<Module>,
    /// Its index in [`crate::Program::entries`].
    pub(crate) entry: usize,
    /// Dynamic shared memory that a launch may ask for, in bytes.
    pub(crate) dynamic_bytes: AtomicU32,
    carveout: AtomicU32,
    /// Its name for C.
    pub(crate) name: CString,
}

impl Object for Arc<Function> {
    const TAG: usize = 3;
}

/// The most registers that one thread can have.
const THREAD_REGISTERS: u32 = 255;
/// `CU_SHAREDMEM_CARVEOUT_DEFAULT`, -1.
const NO_CARVEOUT: u32 = u32::MAX;

impl Function {
    pub(crate) fn new(module: &Arc<Module>, entry: usize) -> Function {
        let static_bytes = module.program.entries[entry].shared_bytes;
        Function {
            module: Arc::clone(module),
            entry,
            dynamic_bytes: AtomicU32::new(SHARED_BYTES.saturating_sub(static_bytes)),
            carveout: AtomicU32::new(NO_CARVEOUT),
            // A PTX name holds no NUL.
            name: CString::new(module.program.entries[entry].name.as_str()).unwrap_or_default(),
        }
    }

    /// What the PTX says of it.
    pub(crate) fn entry(&self) -> &Entry {
        &self.module.program.entries[self.entry]
    }

    /// The most threads of a block.
    pub(crate) fn max_threads(&self) -> u32 {
        self.entry().max_threads.unwrap_or(BLOCK_THREADS).min(BLOCK_THREADS)
    }

    /// Registers of a thread: what the PTX declares, held to what lets its largest block run, as the assembler does.
    pub(crate) fn registers(&self) -> u32 {
        let fitting = REGISTERS / self.max_threads().next_multiple_of(32) / 8 * 8;
        self.entry().registers.clamp(16, THREAD_REGISTERS.min(fitting))
    }
}

/// `cuFuncGetAttribute`.
pub(crate) fn get_attribute(value: Out<i32>, attribute: u32, function: usize) -> Outcome {
    let place = value.place("the attribute")?;
    let function = driver().function(function)?;
    let entry = function.entry();
    let (major, minor) = function.module.program.version;
    let (threads, local) = (function.max_threads(), entry.local_bytes);
    let constants =
        function.module.program.globals.iter().filter(|global| global.space == crate::Space::Const);
    place.put(match attribute {
        0 => threads as i32,
        1 => entry.shared_bytes as i32,
        2 => constants.map(|global| global.bytes as i32).sum(),
        3 => local as i32,
        4 => function.registers() as i32,
        5 => (major * 10 + minor) as i32,
        6 => {
            let (major, minor) = machine().capability;
            (major * 10 + minor) as i32
        }
        8 => function.dynamic_bytes.load(Ordering::Relaxed) as i32,
        9 => function.carveout.load(Ordering::Relaxed) as i32,
        // Caching of globals in L1, and clusters: none.
        7 | 10..=15 => 0,
        _ => return Err(Code::INVALID_VALUE.says(format!("{attribute} is no attribute of a function"))),
    });
    Ok(())
}

/// `cuFuncSetAttribute`.
pub(crate) fn set_attribute(function: usize, attribute: u32, value: i32) -> Outcome {
    let function = driver().function(function)?;
    function.module.context.sound()?;
    match attribute {
        8 => {
            let room = SHARED_OPT_IN_BYTES.saturating_sub(function.entry().shared_bytes);
            let bytes = u32::try_from(value).ok().filter(|&bytes| bytes <= room);
            let bytes = bytes.ok_or_else(|| {
                let (name, fixed) = (&function.entry().name, function.entry().shared_bytes);
                Code::INVALID_VALUE.says(format!(
                    "{name} can have 0 to {room} bytes of dynamic shared memory ({SHARED_OPT_IN_BYTES} less {fixed} static), not {value}"
                ))
            })?;
            function.dynamic_bytes.store(bytes, Ordering::Relaxed);
            Ok(())
        }
        9 if (-1..=100).contains(&value) => {
            function.carveout.store(value as u32, Ordering::Relaxed);
            Ok(())
        }
        9 => Err(Code::INVALID_VALUE.says(format!("a carveout is -1 or 0 to 100 percent, not {value}"))),
        10..=15 => Err(Code::NOT_SUPPORTED.says("compute capability 8.0 has no clusters")),
        _ => Err(Code::INVALID_VALUE.says(format!("{attribute} is no attribute that can be set"))),
    }
}

/// `cuFuncSetCacheConfig`: a preference, checked and of no effect.
pub(crate) fn set_cache(function: usize, config: u32) -> Outcome {
    driver().function(function)?;
    cache_preference(config).map(drop)
}

/// `cuFuncSetSharedMemConfig`: the banks of compute capability 8.0 are 4 bytes wide whatever is asked for.
pub(crate) fn set_shared_banks(function: usize, _config: u32) -> Outcome {
    driver().function(function).map(drop)
}

/// `cuFuncGetModule`.
pub(crate) fn get_module(module: Out<usize>, function: usize) -> Outcome {
    module.set(driver().function(function)?.module.handle, "the module")
}

/// `cuFuncGetParamInfo`.
pub(crate) fn get_param(function: usize, index: usize, offset: Out<usize>, bytes: Out<usize>) -> Outcome {
    let function = driver().function(function)?;
    let params = &function.entry().params;
    let param = params.get(index).ok_or_else(|| {
        let (name, count) = (&function.entry().name, params.len());
        Code::INVALID_VALUE.says(format!("{name} has {count} parameters, none of index {index}"))
    })?;
    offset.set(param.offset, "the offset")?;
    bytes.offer(param.bytes);
    Ok(())
}

/// `cuFuncIsLoaded`: `CU_FUNCTION_LOADING_STATE_LOADED`.
pub(crate) fn is_loaded(state: Out<u32>, function: usize) -> Outcome {
    driver().function(function)?;
    state.set(1, "the state")
}

/// `cuFuncLoad`: functions are loaded with their module.
pub(crate) fn load(function: usize) -> Outcome {
    driver().function(function).map(drop)
}
