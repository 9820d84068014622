//! Pinned host memory: allocated here, or registered.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use super::abi::{Host, Out};
use super::code::Code;
use super::failure::Outcome;
use super::state::{Driver, current, driver};

/// A range of pinned host memory; its address is the key that it is kept under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinned {
    bytes: usize,
    flags: u32,
    /// Whether it was allocated here, and is freed here.
    own: bool,
}

/// What the driver aligns its allocations to: a page.
const PAGE: usize = 4096;
/// `CU_MEMHOSTALLOC_PORTABLE`, `…_DEVICEMAP`, `…_WRITECOMBINED`.
const DEVICE_MAP: u32 = 2;
const ALLOC_FLAGS: u32 = 7;
/// `CU_MEMHOSTREGISTER_PORTABLE`, `…_DEVICEMAP`, `…_IOMEMORY`, `…_READ_ONLY`.
const REGISTER_FLAGS: u32 = 15;

impl Driver {
    /// The pinned range that an address lies in, as (address, bytes).
    pub(crate) fn pinned_at(&self, address: usize) -> Option<(usize, usize)> {
        let (&start, pinned) = self.pinned.range(..=address).next_back()?;
        (address - start < pinned.bytes).then_some((start, pinned.bytes))
    }

    /// Refuses a copy that begins in a pinned range and ends past it.
    pub(crate) fn check_pinned(&self, host: Host, bytes: usize) -> Outcome {
        let Some((start, length)) = self.pinned_at(host.0) else { return Ok(()) };
        let left = length - (host.0 - start);
        if bytes > left {
            return Err(Code::INVALID_VALUE.says(format!(
                "{bytes} bytes at {:#x} end {} bytes past {length} bytes of pinned host memory at {start:#x}",
                host.0,
                bytes - left
            )));
        }
        Ok(())
    }
}

fn layout(bytes: usize) -> Outcome<Layout> {
    let layout = Layout::from_size_align(bytes, PAGE);
    layout.map_err(|_| Code::OUT_OF_MEMORY.says(format!("{bytes} bytes are more than the host can address")))
}

/// `cuMemAllocHost_v2`.
pub(crate) fn alloc_default(address: Out<usize>, bytes: usize) -> Outcome {
    alloc(address, bytes, 0)
}

/// `cuMemHostAlloc`.
pub(crate) fn alloc(address: Out<usize>, bytes: usize, flags: u32) -> Outcome {
    let place = address.place("the address")?;
    if flags & !ALLOC_FLAGS != 0 || bytes == 0 {
        let sentence =
            format!("{bytes} bytes with the flags {flags:#x}; at least 1 byte and flags up to 7 belong here");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    refuse_mapped(flags)?;
    current()?;
    let mut driver = driver();
    driver.refuse_while_capturing("cuMemHostAlloc")?;
    // SAFETY: the layout is not of zero bytes.
    let start = unsafe { alloc_zeroed(layout(bytes)?) } as usize;
    if start == 0 {
        return Err(Code::OUT_OF_MEMORY.says(format!("the host has no {bytes} bytes")));
    }
    driver.pinned.insert(start, Pinned { bytes, flags, own: true });
    place.put(start);
    Ok(())
}

/// Kernels of the emulator see the device's memory only.
fn refuse_mapped(flags: u32) -> Outcome {
    if flags & DEVICE_MAP != 0 {
        let sentence =
            "the emulated GPU cannot map host memory; CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY says so";
        return Err(Code::NOT_SUPPORTED.says(sentence));
    }
    Ok(())
}

/// `cuMemFreeHost`.
pub(crate) fn free(address: usize) -> Outcome {
    current()?;
    let mut driver = driver();
    driver.refuse_while_capturing("cuMemFreeHost")?;
    let found = driver.pinned.get(&address).copied().filter(|pinned| pinned.own);
    let Some(pinned) = found else {
        let sentence = format!("{address:#x} was not allocated by cuMemHostAlloc, or is freed already");
        return Err(Code::INVALID_VALUE.says(sentence));
    };
    let layout = layout(pinned.bytes)?;
    driver.pinned.remove(&address);
    // SAFETY: allocated in `alloc` with this very layout, and taken off the list, so that it is freed once.
    unsafe { dealloc(address as *mut u8, layout) };
    Ok(())
}

/// `cuMemHostRegister_v2`.
pub(crate) fn register(address: usize, bytes: usize, flags: u32) -> Outcome {
    if address == 0 || bytes == 0 || flags & !REGISTER_FLAGS != 0 || address.checked_add(bytes).is_none() {
        let sentence =
            format!("{bytes} bytes at {address:#x} with the flags {flags:#x} cannot be registered");
        return Err(Code::INVALID_VALUE.says(sentence));
    }
    refuse_mapped(flags)?;
    current()?;
    let mut driver = driver();
    let overlaps = driver.pinned.range(..address + bytes).next_back();
    if let Some((start, pinned)) = overlaps.filter(|(start, pinned)| **start + pinned.bytes > address) {
        let length = pinned.bytes;
        let sentence = format!("{length} bytes at {start:#x}, which overlap the range, are pinned already");
        return Err(Code::HOST_MEMORY_ALREADY_REGISTERED.says(sentence));
    }
    driver.pinned.insert(address, Pinned { bytes, flags, own: false });
    Ok(())
}

/// `cuMemHostUnregister`.
pub(crate) fn unregister(address: usize) -> Outcome {
    current()?;
    let mut driver = driver();
    if driver.pinned.get(&address).is_none_or(|pinned| pinned.own) {
        let sentence = format!("{address:#x} is not the start of a range that cuMemHostRegister registered");
        return Err(Code::HOST_MEMORY_NOT_REGISTERED.says(sentence));
    }
    driver.pinned.remove(&address);
    Ok(())
}

/// `cuMemHostGetFlags`.
pub(crate) fn get_flags(flags: Out<u32>, address: usize) -> Outcome {
    let driver = driver();
    let found = driver.pinned_at(address).and_then(|(start, _)| driver.pinned.get(&start));
    let pinned = found.filter(|pinned| pinned.own);
    let pinned =
        pinned.ok_or_else(|| Code::INVALID_VALUE.says(format!("{address:#x} is not from cuMemHostAlloc")))?;
    flags.set(pinned.flags, "the flags")
}
