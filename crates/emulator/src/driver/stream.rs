//! Streams. Work runs when it is enqueued, to its end, which is one of the orders that streams allow; or [late](super::late).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use super::abi::{HostCall, Out};
use super::code::Code;
use super::context::Context;
use super::event::State;
use super::failure::Outcome;
use super::handle::Object;
use super::state::{Driver, driver};
use super::work::Work;

/// Priorities, lowest and highest; a lower number goes first.
pub(crate) const LEAST_PRIORITY: i32 = 0;
pub(crate) const GREATEST_PRIORITY: i32 = -5;
/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: u32 = 1;
/// `CU_STREAM_LEGACY` and `CU_STREAM_PER_THREAD`.
const LEGACY: usize = 1;
const PER_THREAD: usize = 2;

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The handle of its context.
    pub(crate) context: usize,
    flags: u32,
    priority: i32,
    /// Whether it is its context's legacy stream, which waits for all blocking streams.
    pub(crate) legacy: bool,
    /// The handle of the capture that it takes part in; 0 for none.
    pub(crate) capture: usize,
    /// The nodes of the capture that its next node comes after.
    pub(crate) frontier: Vec<usize>,
}

impl Object for Stream {
    const TAG: usize = 4;
}

impl Stream {
    /// The legacy stream of a context.
    pub(crate) fn legacy(context: usize) -> Stream {
        Stream { legacy: true, ..Stream::new(context, 0, LEAST_PRIORITY) }
    }

    fn new(context: usize, flags: u32, priority: i32) -> Stream {
        Stream { context, flags, priority, legacy: false, capture: 0, frontier: Vec::new() }
    }

    /// Whether the legacy stream waits for it.
    pub(crate) fn is_blocking(&self) -> bool {
        !self.legacy && self.flags & NON_BLOCKING == 0
    }
}

thread_local! {
    /// This thread's own stream in each context.
    static OWN: RefCell<HashMap<usize, usize>> = RefCell::default();
}

impl Driver {
    /// The stream that a caller means, null being the legacy one of the current context, with its context.
    pub(crate) fn stream(&mut self, handle: usize) -> Outcome<(usize, Arc<Context>)> {
        let handle = match handle {
            0 | LEGACY => self.current()?.legacy_stream,
            PER_THREAD => {
                let context = self.current()?.handle;
                let own = || self.streams.insert(Stream::new(context, 0, LEAST_PRIORITY));
                OWN.with_borrow_mut(|streams| *streams.entry(context).or_insert_with(own))
            }
            handle => handle,
        };
        let context = self.context(self.streams.get(handle)?.context)?;
        context.sound()?;
        Ok((handle, context))
    }
}

/// Runs work in its turn, or writes it down if the stream captures. `owner` is the context that the work belongs to,
/// if it belongs to one.
pub(crate) fn submit(stream: usize, owner: Option<usize>, work: Work) -> Outcome {
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    if owner.is_some_and(|owner| owner != context.handle) {
        return Err(Code::INVALID_HANDLE.says("the stream and the work belong to different contexts"));
    }
    if driver.captures_on(stream)? {
        work.check(&context)?;
        return driver.write_down(stream, work);
    }
    drop(driver);
    context.take(work)
}

/// `cuStreamCreate`.
pub(crate) fn create(stream: Out<usize>, flags: u32) -> Outcome {
    create_with_priority(stream, flags, LEAST_PRIORITY)
}

/// `cuStreamCreateWithPriority`; a priority out of range becomes the nearest in it.
pub(crate) fn create_with_priority(stream: Out<usize>, flags: u32, priority: i32) -> Outcome {
    let place = stream.place("the stream")?;
    if flags & !NON_BLOCKING != 0 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a stream")));
    }
    let mut driver = driver();
    let context = driver.current()?.handle;
    let priority = priority.clamp(GREATEST_PRIORITY, LEAST_PRIORITY);
    place.put(driver.streams.insert(Stream::new(context, flags, priority)));
    Ok(())
}

/// `cuStreamDestroy_v2`.
pub(crate) fn destroy(stream: usize) -> Outcome {
    let mut driver = driver();
    if stream <= PER_THREAD || driver.streams.get(stream)?.legacy {
        return Err(Code::INVALID_HANDLE.says("a default stream is not destroyed"));
    }
    let capture = driver.streams.remove(stream)?.capture;
    if capture != 0 {
        driver.invalidate(capture, "a stream of the capture was destroyed");
    }
    Ok(())
}

/// `cuStreamSynchronize`: all work is done already, or is done now.
pub(crate) fn synchronize(stream: usize) -> Outcome {
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    driver.refuse_on_capturing(stream, "a stream that captures runs nothing to wait for")?;
    drop(driver);
    context.settle()
}

/// `cuStreamQuery`: as if it had been asked when all work was done.
pub(crate) fn query(stream: usize) -> Outcome {
    synchronize(stream)
}

/// `cuStreamGetPriority`.
pub(crate) fn get_priority(stream: usize, priority: Out<i32>) -> Outcome {
    let mut driver = driver();
    let (stream, _) = driver.stream(stream)?;
    priority.set(driver.streams.get(stream)?.priority, "the priority")
}

/// `cuStreamGetFlags`.
pub(crate) fn get_flags(stream: usize, flags: Out<u32>) -> Outcome {
    let mut driver = driver();
    let (stream, _) = driver.stream(stream)?;
    flags.set(driver.streams.get(stream)?.flags, "the flags")
}

/// `cuStreamGetCtx`.
pub(crate) fn get_context(stream: usize, context: Out<usize>) -> Outcome {
    let (_, owner) = driver().stream(stream)?;
    context.set(owner.handle, "the context")
}

/// `cuStreamGetId`.
pub(crate) fn get_id(stream: usize, id: Out<u64>) -> Outcome {
    let (stream, _) = driver().stream(stream)?;
    id.set(stream as u64, "the number")
}

/// `cuStreamGetDevice`.
pub(crate) fn get_device(stream: usize, device: Out<i32>) -> Outcome {
    driver().stream(stream)?;
    device.set(0, "the device")
}

/// `cuLaunchHostFunc`.
pub(crate) fn call_host(
    stream: usize,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: usize,
) -> Outcome {
    let function = function.ok_or_else(|| Code::INVALID_VALUE.says("the host function is null"))?;
    submit(stream, None, Work::Call(HostCall { function, data }))
}

/// `cuStreamWaitEvent`.
pub(crate) fn wait_event(stream: usize, event: usize, flags: u32) -> Outcome {
    if flags > 1 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a wait")));
    }
    let mut driver = driver();
    let (stream, _) = driver.stream(stream)?;
    let state = driver.events.get(event)?.state.clone();
    let capturing = driver.captures_on(stream)?;
    match state {
        State::Captured { capture, after } => driver.join(stream, capture, &after),
        State::Never => Ok(()),
        State::At(_) | State::Pending if capturing && flags == 1 => driver.write_down(stream, Work::Wait),
        State::At(_) | State::Pending if capturing => {
            let capture = driver.streams.get(stream)?.capture;
            let sentence = "the event was recorded outside of the capture, which must not depend on it";
            driver.invalidate(capture, sentence);
            Err(Code::STREAM_CAPTURE_ISOLATION.says(sentence))
        }
        State::At(_) | State::Pending => Ok(()),
    }
}
