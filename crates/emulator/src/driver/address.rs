//! `cuGetProcAddress`: the exported call behind a name without a suffix, at a version; also one that only refuses.

use std::ffi::c_void;

use super::abi::{Out, Text};
use super::code::Code;
use super::exports::find;
use super::failure::Outcome;
use super::unsupported;

/// Calls that changed more than once, or lately: a name, and since which version which suffix stands for it.
const VERSIONS: &[(&str, &[(i32, &str)])] = &[
    ("cuCtxCreate", &[(3020, "_v2"), (11040, "_v3"), (12050, "_v4")]),
    ("cuDeviceGetUuid", &[(9020, ""), (11040, "_v2")]),
    ("cuEventElapsedTime", &[(2000, ""), (12080, "_v2")]),
    ("cuEventRecordWithFlags", &[(11010, "")]),
    ("cuGetProcAddress", &[(11030, ""), (12000, "_v2")]),
    ("cuGraphInstantiate", &[(12000, "WithFlags")]),
    ("cuGraphInstantiateWithFlags", &[(11040, "")]),
    ("cuLaunchKernelEx", &[(11060, "")]),
    ("cuMemAllocAsync", &[(11020, "")]),
    ("cuMemFreeAsync", &[(11020, "")]),
    ("cuStreamBeginCapture", &[(10010, "_v2")]),
];

/// `CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM`.
const PER_THREAD: u64 = 2;
/// `CU_GET_PROC_ADDRESS_SUCCESS`, `…_SYMBOL_NOT_FOUND`, `…_VERSION_NOT_SUFFICIENT`.
const FOUND: u32 = 0;
const NO_SYMBOL: u32 = 1;
const OLD_VERSION: u32 = 2;

/// `cuGetProcAddress` and, with a place for the status, `cuGetProcAddress_v2`.
pub(crate) fn get(
    name: Text,
    address: Out<*mut c_void>,
    version: i32,
    flags: u64,
    status: Option<Out<u32>>,
) -> Outcome {
    let place = address.place("the address")?;
    place.put(std::ptr::null_mut());
    let name = name.read("the name")?;
    if flags > PER_THREAD {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a look-up")));
    }
    if flags == PER_THREAD {
        return Err(
            Code::NOT_SUPPORTED.says("the emulator has the calls with the legacy default stream only")
        );
    }
    let (found, answer) = match look_up(name, version) {
        Ok(found) => (found, FOUND),
        Err(answer) => (std::ptr::null_mut(), answer),
    };
    place.put(found);
    match status {
        Some(status) => {
            status.offer(answer);
            Ok(())
        }
        None if answer == FOUND => Ok(()),
        None => Err(Code::NOT_FOUND.says(format!("the emulator has no call {name} at version {version}"))),
    }
}

fn look_up(name: &str, version: i32) -> Result<*mut c_void, u32> {
    let Some((_, since)) = VERSIONS.iter().find(|(versioned, _)| *versioned == name) else {
        let newer = format!("{name}_v2");
        let refusing = || unsupported::find(&newer).or_else(|| unsupported::find(name));
        return find(&newer).or_else(|| find(name)).or_else(refusing).ok_or(NO_SYMBOL);
    };
    let newest = since.iter().rev().find(|(since, _)| *since <= version).ok_or(OLD_VERSION)?;
    find(&format!("{name}{}", newest.1)).ok_or(NO_SYMBOL)
}
