//! Allocations of device memory, and what a pointer is.

use super::abi::Out;
use super::code::Code;
use super::failure::Outcome;
use super::late::settle;
use super::state::{current, driver};
use super::stream::submit;
use super::work::Work;

/// `cuMemAlloc_v2`.
pub(crate) fn alloc(address: Out<u64>, bytes: usize) -> Outcome {
    let place = address.place("the address")?;
    driver().refuse_while_capturing("cuMemAlloc")?;
    place.put(current()?.memory().alloc(bytes as u64)?);
    Ok(())
}

/// `cuMemFree_v2`.
pub(crate) fn free(address: u64) -> Outcome {
    let context = current()?;
    if address == 0 {
        return Ok(());
    }
    driver().refuse_while_capturing("cuMemFree")?;
    settle(0)?;
    Ok(context.memory().free(address)?)
}

/// `cuMemAllocAsync`.
pub(crate) fn alloc_async(address: Out<u64>, bytes: usize, stream: usize) -> Outcome {
    let place = address.place("the address")?;
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    if driver.captures_on(stream)? {
        Work::Free(0).check(&context)?;
    }
    drop(driver);
    place.put(context.memory().alloc(bytes as u64)?);
    Ok(())
}

/// `cuMemFreeAsync`.
pub(crate) fn free_async(address: u64, stream: usize) -> Outcome {
    if address == 0 {
        return Err(Code::INVALID_VALUE.says("the address is null"));
    }
    submit(stream, None, Work::Free(address))
}

/// `cuMemGetInfo_v2`.
pub(crate) fn info(free: Out<usize>, total: Out<usize>) -> Outcome {
    let context = current()?;
    let memory = context.memory();
    free.set((memory.capacity() - memory.live_bytes()) as usize, "the free bytes")?;
    total.set(memory.capacity() as usize, "the bytes in all")
}

/// `cuMemGetAddressRange_v2`.
pub(crate) fn range(base: Out<u64>, bytes: Out<usize>, address: u64) -> Outcome {
    let context = current()?;
    let found = context.memory().allocation_of(address);
    let (start, length) = found
        .ok_or_else(|| Code::NOT_FOUND.says(format!("{address:#x} lies in no allocation of this context")))?;
    base.offer(start);
    bytes.offer(length as usize);
    Ok(())
}

/// `cuPointerGetAttribute`. The place is as wide as the attribute asks: 4 or 8 bytes.
pub(crate) fn pointer_attribute(value: Out<u8>, attribute: u32, address: u64) -> Outcome {
    /// `CU_MEMORYTYPE_HOST` and `…_DEVICE`.
    const HOST: u32 = 1;
    const DEVICE: u32 = 2;
    let context = current()?;
    let (found, is_managed) = {
        let memory = context.memory();
        (memory.allocation_of(address), memory.is_managed(address))
    };
    let host = usize::try_from(address).ok().and_then(|address| driver().pinned_at(address));
    let what = "the attribute";
    match (attribute, found, host) {
        (_, None, None) => {
            Err(Code::INVALID_VALUE
                .says(format!("{address:#x} is neither device memory nor pinned host memory")))
        }
        (1, ..) => value.fill((context.handle as u64).to_ne_bytes(), what),
        (2, Some(_), _) => value.fill(DEVICE.to_ne_bytes(), what),
        (2, ..) => value.fill(HOST.to_ne_bytes(), what),
        (3, Some(_), _) | (4, None, _) => value.fill(address.to_ne_bytes(), what),
        (4, ..) if is_managed => value.fill(address.to_ne_bytes(), what),
        (8, ..) => value.fill([u8::from(is_managed)], what),
        // On the one device.
        (9, ..) => value.fill(0_u32.to_ne_bytes(), what),
        (11, Some((start, _)), _) => value.fill(start.to_ne_bytes(), what),
        (12, Some((_, length)), _) => value.fill(length.to_ne_bytes(), what),
        (11, None, Some((start, _))) => value.fill((start as u64).to_ne_bytes(), what),
        (12, None, Some((_, length))) => value.fill((length as u64).to_ne_bytes(), what),
        _ => Err(Code::NOT_SUPPORTED
            .says(format!("the emulator does not know attribute {attribute} of a pointer"))),
    }
}
