//! Copies and fills, each in the form that waits and the form that a stream takes in its turn.

use super::abi::Host;
use super::code::Code;
use super::failure::Outcome;
use super::late::settle;
use super::state::{current, driver};
use super::stream::submit;
use super::work::{Copy, Fill, Side, Work};

/// A copy on a stream; one of no bytes is none.
fn enqueue(target: Side, source: Side, bytes: usize, stream: usize) -> Outcome {
    if bytes == 0 {
        return driver().stream(stream).map(drop);
    }
    let (target, source) = (unmanaged(target)?, unmanaged(source)?);
    for side in [target, source] {
        if let Side::Host(host) = side {
            driver().check_pinned(host, bytes)?;
        }
    }
    submit(stream, None, Work::Copy(Copy { target, source, bytes }))
}

/// A side in managed memory is the device's, whatever it is called.
fn unmanaged(side: Side) -> Outcome<Side> {
    match side {
        Side::Host(Host(address)) if current()?.memory().is_managed(address as u64) => {
            Ok(Side::Device(address as u64))
        }
        _ => Ok(side),
    }
}

/// A copy that waits, on the legacy stream.
fn wait(target: Side, source: Side, bytes: usize) -> Outcome {
    driver().refuse_while_capturing("a copy that waits")?;
    enqueue(target, source, bytes, 0)?;
    settle(0)
}

/// Which side an address lies on, where host and device share one range of addresses.
fn side(address: u64) -> Outcome<Side> {
    let on_device = current()?.memory().allocation_of(address).is_some();
    let host = usize::try_from(address).ok().filter(|_| !on_device);
    Ok(host.map_or(Side::Device(address), |address| Side::Host(Host(address))))
}

/// `cuMemcpy`.
pub(crate) fn any(target: u64, source: u64, bytes: usize) -> Outcome {
    wait(side(target)?, side(source)?, bytes)
}

/// `cuMemcpyAsync`.
pub(crate) fn any_async(target: u64, source: u64, bytes: usize, stream: usize) -> Outcome {
    enqueue(side(target)?, side(source)?, bytes, stream)
}

/// `cuMemcpyHtoD_v2`.
pub(crate) fn upload(target: u64, source: Host, bytes: usize) -> Outcome {
    wait(Side::Device(target), Side::Host(source), bytes)
}

/// `cuMemcpyHtoDAsync_v2`.
pub(crate) fn upload_async(target: u64, source: Host, bytes: usize, stream: usize) -> Outcome {
    enqueue(Side::Device(target), Side::Host(source), bytes, stream)
}

/// `cuMemcpyDtoH_v2`.
pub(crate) fn download(target: Host, source: u64, bytes: usize) -> Outcome {
    wait(Side::Host(target), Side::Device(source), bytes)
}

/// `cuMemcpyDtoHAsync_v2`.
pub(crate) fn download_async(target: Host, source: u64, bytes: usize, stream: usize) -> Outcome {
    enqueue(Side::Host(target), Side::Device(source), bytes, stream)
}

/// `cuMemcpyDtoD_v2`.
pub(crate) fn within(target: u64, source: u64, bytes: usize) -> Outcome {
    wait(Side::Device(target), Side::Device(source), bytes)
}

/// `cuMemcpyDtoDAsync_v2`.
pub(crate) fn within_async(target: u64, source: u64, bytes: usize, stream: usize) -> Outcome {
    enqueue(Side::Device(target), Side::Device(source), bytes, stream)
}

/// Refuses two contexts: each has a memory of its own, and there is one device.
fn check_peers(target: usize, source: usize) -> Outcome {
    let driver = driver();
    let (target, source) = (driver.context(target)?, driver.context(source)?);
    if target.handle != source.handle {
        return Err(Code::NOT_SUPPORTED.says("the emulator copies nothing from one context to another"));
    }
    Ok(())
}

/// `cuMemcpyPeer`.
pub(crate) fn between(target: u64, to: usize, source: u64, from: usize, bytes: usize) -> Outcome {
    check_peers(to, from)?;
    within(target, source, bytes)
}

/// `cuMemcpyPeerAsync`.
pub(crate) fn between_async(
    target: u64,
    to: usize,
    source: u64,
    from: usize,
    bytes: usize,
    stream: usize,
) -> Outcome {
    check_peers(to, from)?;
    within_async(target, source, bytes, stream)
}

/// `cuMemsetD8_v2`, `cuMemsetD16_v2` and `cuMemsetD32_v2`: `count` values of `width` bytes. The documentation promises that they
/// are done when they return of memory that the host sees alone.
pub(crate) fn fill(target: u64, pattern: u32, width: usize, count: usize) -> Outcome {
    driver().refuse_while_capturing("a fill that waits")?;
    fill_async(target, pattern, width, count, 0)?;
    let is_managed = current()?.memory().is_managed(target);
    if is_managed { settle(0) } else { Ok(()) }
}

/// `cuMemsetD8Async`, `cuMemsetD16Async` and `cuMemsetD32Async`.
pub(crate) fn fill_async(target: u64, pattern: u32, width: usize, count: usize, stream: usize) -> Outcome {
    if count == 0 {
        return driver().stream(stream).map(drop);
    }
    submit(stream, None, Work::Fill(Fill { target, pattern, width, count }))
}
