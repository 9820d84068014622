//! Managed memory: the host and kernels see it at one address. It never moves, so that hints about where it should lie
//! change nothing.

use super::abi::Out;
use super::code::Code;
use super::device::check_device;
use super::failure::Outcome;
use super::state::{current, driver};

/// `CU_MEM_ATTACH_GLOBAL`, `…_HOST`, `…_SINGLE`.
const ATTACH: std::ops::RangeInclusive<u32> = 1..=4;
/// `CU_DEVICE_CPU`.
const HOST: i32 = -1;
/// The last `CUmem_advise`, `CU_MEM_ADVISE_UNSET_ACCESSED_BY`.
const LAST_ADVICE: u32 = 6;

/// `cuMemAllocManaged`.
pub(crate) fn alloc(address: Out<u64>, bytes: usize, flags: u32) -> Outcome {
    let place = address.place("the address")?;
    if flags != 1 && flags != 2 {
        let sentence =
            format!("the flags must be CU_MEM_ATTACH_GLOBAL (1) or CU_MEM_ATTACH_HOST (2), not {flags}");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    driver().refuse_while_capturing("cuMemAllocManaged")?;
    place.put(current()?.memory().alloc_managed(bytes as u64)?);
    Ok(())
}

/// Refuses a range that is not all of one managed allocation's.
fn check(address: u64, bytes: usize) -> Outcome {
    let context = current()?;
    let memory = context.memory();
    memory.find(address, bytes as u64)?;
    if !memory.is_managed(address) {
        return Err(Code::INVALID_VALUE.says(format!("{address:#x} is not from cuMemAllocManaged")));
    }
    Ok(())
}

/// `cuMemPrefetchAsync`.
pub(crate) fn prefetch(address: u64, bytes: usize, device: i32, stream: usize) -> Outcome {
    if device != HOST {
        check_device(device)?;
    }
    driver().stream(stream)?;
    check(address, bytes)
}

/// `cuMemAdvise`.
pub(crate) fn advise(address: u64, bytes: usize, advice: u32, device: i32) -> Outcome {
    if !(1..=LAST_ADVICE).contains(&advice) {
        return Err(
            Code::INVALID_VALUE.says(format!("{advice} is no advice; they run from 1 to {LAST_ADVICE}"))
        );
    }
    if device != HOST {
        check_device(device)?;
    }
    check(address, bytes)
}

/// `cuStreamAttachMemAsync`; 0 bytes stand for the whole allocation.
pub(crate) fn attach(stream: usize, address: u64, bytes: usize, flags: u32) -> Outcome {
    if !ATTACH.contains(&flags) || flags == 3 {
        return Err(Code::INVALID_VALUE.says(format!("the flags must be 1, 2 or 4, not {flags}")));
    }
    driver().stream(stream)?;
    check(address, bytes.max(1))
}
