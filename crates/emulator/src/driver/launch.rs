//! Launches: the checks that the driver makes before a kernel starts, and its start.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::abi::{Host, In};
use super::code::Code;
use super::context::Context;
use super::device::{BLOCK, BLOCK_THREADS, GRID, SHARED_BYTES, SHARED_OPT_IN_BYTES};
use super::failure::{Failure, Outcome};
use super::function::Function;
use super::machine::hardware;
use super::state::driver;
use super::stream::submit;
use super::tally;
use super::work::Work;
use crate::{FaultKind, Launch};

/// A launch that passed the checks.
#[derive(Debug)]
pub(crate) struct Kernel {
    function: Arc<Function>,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    params: Vec<u8>,
}

impl Kernel {
    /// Runs the kernel; a fault strikes its context.
    pub(crate) fn run(&self, context: &Context) -> Outcome {
        hardware().inspect_err(|failure| context.strike(failure))?;
        let module = &self.function.module;
        let launch = Launch {
            program: &module.program,
            entry: self.function.entry,
            grid: self.grid,
            block: self.block,
            shared_bytes: self.shared_bytes,
            params: &self.params,
            globals: &module.globals,
            options: &context.options,
        };
        let ran = crate::run(&launch, &mut context.memory());
        ran.map(|counts| tally::add(&counts)).map_err(|fault| {
            let refused = fault.kind == FaultKind::InvalidLaunch;
            let failure = Failure::from(fault);
            if !refused {
                context.strike(&failure);
            }
            failure
        })
    }
}

/// The size of a launch, as the callers give it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Config {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    stream: usize,
    attributes: *const Attribute,
    attribute_count: u32,
}

/// `CUlaunchAttribute`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    id: u32,
    pad: u32,
    /// A union of 64 bytes, aligned to 8.
    value: [u64; 8],
}

/// The arguments of a launch: pointers to the values of the parameters, one for each.
pub(crate) type Values = In<*const c_void>;

/// `cuLaunchKernel`.
pub(crate) fn launch(
    function: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    stream: usize,
    values: Values,
    extra: In<*const c_void>,
) -> Outcome {
    let function = driver().function(function)?;
    check_size(&function, grid, block, shared_bytes)?;
    let params = params(&function, &values, &extra)?;
    let context = function.module.context.handle;
    submit(stream, Some(context), Work::Kernel(Kernel { function, grid, block, shared_bytes, params }))
}

/// `cuLaunchKernelEx`.
pub(crate) fn launch_with(
    config: In<Config>,
    function: usize,
    values: Values,
    extra: In<*const c_void>,
) -> Outcome {
    let config = config.read("the launch")?;
    let attributes = In::from(config.attributes);
    for index in 0..config.attribute_count as usize {
        check_attribute(&attributes.at(index, "the attributes of the launch")?)?;
    }
    launch(function, config.grid, config.block, config.shared_bytes, config.stream, values, extra)
}

/// Refuses an attribute that would change what the launch computes. Others are hints, or what the emulator does anyway.
fn check_attribute(attribute: &Attribute) -> Outcome {
    let bytes: Vec<u8> = attribute.value.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let word = |index: usize| bytes[4 * index..4 * index + 4].iter().any(|&byte| byte != 0);
    let first = attribute.value[0] as u32;
    let refused = match attribute.id {
        // Ignore, access policy, synchronisation policy, cluster scheduling, programmatic serialisation (streams run in
        // order), priority, domains of memory synchronisation, carveout.
        0 | 1 | 3 | 5 | 6 | 8 | 9 | 10 | 14 => return Ok(()),
        2 if !word(0) => return Ok(()),
        4 | 11 if (first, attribute.value[0] >> 32, attribute.value[1] as u32) == (1, 1, 1) => return Ok(()),
        2 => "a cooperative launch",
        4 | 11 => "a cluster of blocks",
        7 => "a programmatic event",
        12 => "a launch completion event",
        13 => "an updatable kernel node",
        id => {
            return Err(
                Code::NOT_SUPPORTED.says(format!("the emulator does not know the launch attribute {id}"))
            );
        }
    };
    Err(Code::NOT_SUPPORTED.says(format!("the emulated GPU does not have {refused}")))
}

/// `cuLaunchCooperativeKernel`.
pub(crate) fn launch_cooperative() -> Outcome {
    let sentence =
        "the emulated GPU has no cooperative launch; CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH says so";
    Err(Code::NOT_SUPPORTED.says(sentence))
}

fn check_size(function: &Function, grid: [u32; 3], block: [u32; 3], shared_bytes: u32) -> Outcome {
    let name = &function.entry().name;
    let refuse = |sentence: String| Err(Code::INVALID_VALUE.says(sentence));
    for (what, came, most) in [("grid", grid, GRID), ("block", block, BLOCK)] {
        if let Some(axis) = (0..3).find(|&axis| came[axis] == 0 || came[axis] > most[axis]) {
            let (axis_name, came, most) = (["x", "y", "z"][axis], came[axis], most[axis]);
            return refuse(format!("{name}: the {what} has 1 to {most} in {axis_name}, not {came}"));
        }
    }
    let threads = block.iter().map(|&axis| u64::from(axis)).product::<u64>();
    if threads > u64::from(BLOCK_THREADS) {
        return refuse(format!(
            "{name}: a block has up to {BLOCK_THREADS} threads, not {threads} ({block:?})"
        ));
    }
    let compiled_for = function.max_threads();
    if threads > u64::from(compiled_for) {
        return Err(Code::LAUNCH_OUT_OF_RESOURCES.says(format!(
            "{name} was compiled for blocks of up to {compiled_for} threads, not {threads} (.maxntid)"
        )));
    }
    let allowed = function.dynamic_bytes.load(Ordering::Relaxed);
    if shared_bytes > allowed {
        let fixed = function.entry().shared_bytes;
        return refuse(format!(
            "{name}: {shared_bytes} bytes of dynamic shared memory, {allowed} are allowed ({fixed} are static); \
             beyond {SHARED_BYTES} in all, up to {SHARED_OPT_IN_BYTES}, opt in with cuFuncSetAttribute"
        ));
    }
    Ok(())
}

/// Gathers the parameters, from pointers to each or from one buffer of them all.
fn params(function: &Function, values: &Values, extra: &In<*const c_void>) -> Outcome<Vec<u8>> {
    let entry = function.entry();
    let name = &entry.name;
    match (values.is_null(), extra.is_null()) {
        (true, true) if entry.params.is_empty() => Ok(Vec::new()),
        (true, true) => {
            let count = entry.params.len();
            Err(Code::INVALID_VALUE.says(format!("{name} takes {count} parameters; none were given")))
        }
        (false, false) => Err(Code::INVALID_VALUE
            .says(format!("{name}: parameters are given both ways; give one of them null"))),
        (false, true) => {
            let mut params = vec![0; entry.param_bytes];
            for (index, param) in entry.params.iter().enumerate() {
                let value = Host(values.at(index, "the parameters")? as usize);
                if value.0 == 0 {
                    return Err(
                        Code::INVALID_VALUE.says(format!("{name}: the pointer to parameter {index} is null"))
                    );
                }
                let bytes = value.bytes(param.bytes);
                params[param.offset..param.offset + param.bytes].copy_from_slice(bytes);
            }
            Ok(params)
        }
        (true, false) => buffer(function, extra),
    }
}

/// Reads the list of a buffer, its size and an end (`CU_LAUNCH_PARAM_BUFFER_POINTER`, `…_SIZE`, `…_END`).
fn buffer(function: &Function, extra: &In<*const c_void>) -> Outcome<Vec<u8>> {
    let (name, expected) = (&function.entry().name, function.entry().param_bytes);
    let (mut start, mut bytes) = (0, 0);
    let mut index = 0;
    loop {
        let value =
            |at| extra.at(at, "the buffer of the parameters").map(|value: *const c_void| value as usize);
        match value(index)? {
            0 => break,
            1 => start = value(index + 1)?,
            2 => {
                bytes = In::<usize>::from(value(index + 1)? as *const usize).read("the size of the buffer")?
            }
            other => {
                return Err(Code::INVALID_VALUE.says(format!("{name}: {other:#x} is no part of a launch")));
            }
        }
        index += 2;
    }
    // A C struct of the parameters may end with padding up to its alignment, 16 at the most.
    let padded = expected.next_multiple_of(16);
    if start == 0 || !(expected..=padded).contains(&bytes) {
        let sentence = format!("{name} takes {expected} bytes of parameters, not {bytes}");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    Ok(Host(start).bytes(expected).to_vec())
}
