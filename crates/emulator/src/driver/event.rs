//! Events: moments in a stream, or places in a capture.

use std::time::Instant;

use super::abi::Out;
use super::code::Code;
use super::failure::Outcome;
use super::handle::Object;
use super::late::settle;
use super::state::{Driver, driver};
use super::work::Work;

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    /// The handle of its context.
    pub(crate) context: usize,
    flags: u32,
    pub(crate) state: State,
}

/// What an event last stood for.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Never,
    /// Recorded, and waiting for its turn.
    Pending,
    At(Instant),
    /// The nodes of a capture that a stream had come to.
    Captured {
        capture: usize,
        after: Vec<usize>,
    },
}

/// `CU_EVENT_DISABLE_TIMING` and all flags: blocking sync, no timing, interprocess.
const NO_TIMING: u32 = 2;
const FLAGS: u32 = 7;

impl Object for Event {
    const TAG: usize = 5;
}

/// `cuEventCreate`.
pub(crate) fn create(event: Out<usize>, flags: u32) -> Outcome {
    let place = event.place("the event")?;
    if flags & !FLAGS != 0 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of an event")));
    }
    if flags & 4 != 0 {
        return Err(Code::NOT_SUPPORTED.says("the emulated GPU shares no events between processes"));
    }
    let mut driver = driver();
    let context = driver.current()?.handle;
    place.put(driver.events.insert(Event { context, flags, state: State::Never }));
    Ok(())
}

/// `cuEventDestroy_v2`.
pub(crate) fn destroy(event: usize) -> Outcome {
    driver().events.remove(event).map(drop)
}

/// `cuEventRecord`.
pub(crate) fn record(event: usize, stream: usize) -> Outcome {
    record_with_flags(event, stream, 0)
}

/// `cuEventRecordWithFlags`; `CU_EVENT_RECORD_EXTERNAL` makes a node of a captured record.
pub(crate) fn record_with_flags(event: usize, stream: usize, flags: u32) -> Outcome {
    if flags > 1 {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags of a record")));
    }
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    if driver.events.get(event)?.context != context.handle {
        return Err(Code::INVALID_HANDLE.says("the event and the stream belong to different contexts"));
    }
    if !driver.captures_on(stream)? {
        driver.events.get_mut(event)?.state = State::Pending;
        drop(driver);
        return context.take(Work::Record(event));
    }
    if flags == 1 {
        return driver.write_down(stream, Work::Record(event));
    }
    let captured = driver.streams.get(stream)?;
    let state = State::Captured { capture: captured.capture, after: captured.frontier.clone() };
    driver.events.get_mut(event)?.state = state;
    Ok(())
}

impl Driver {
    /// Refuses an event that stands for a place in a capture, and ends that capture.
    fn refuse_captured(&mut self, event: usize) -> Outcome {
        let found = self.events.get(event)?;
        let context = found.context;
        if let State::Captured { capture, .. } = found.state {
            let sentence =
                "the event was recorded in a capture, where nothing happens that could be waited for";
            self.invalidate(capture, sentence);
            return Err(Code::CAPTURED_EVENT.says(sentence));
        }
        self.context(context)?.sound()
    }
}

/// `cuEventSynchronize`: what the event stands for is done already, or is done now.
pub(crate) fn synchronize(event: usize) -> Outcome {
    driver().refuse_captured(event)?;
    let context = driver().events.get(event)?.context;
    settle(context)
}

/// `cuEventQuery`: as if it had been asked when what the event stands for was done.
pub(crate) fn query(event: usize) -> Outcome {
    synchronize(event)
}

/// `cuEventElapsedTime`.
pub(crate) fn elapsed(milliseconds: Out<f32>, start: usize, end: usize) -> Outcome {
    let place = milliseconds.place("the time")?;
    let driver = driver();
    let (start, end) = (moment(&driver, start, "first")?, moment(&driver, end, "second")?);
    let seconds = match end.checked_duration_since(start) {
        Some(forward) => forward.as_secs_f64(),
        None => -start.duration_since(end).as_secs_f64(),
    };
    place.put((seconds * 1e3) as f32);
    Ok(())
}

fn moment(driver: &Driver, event: usize, which: &str) -> Outcome<Instant> {
    let event = driver.events.get(event)?;
    if event.flags & NO_TIMING != 0 {
        let sentence = format!("the {which} event was created with CU_EVENT_DISABLE_TIMING");
        return Err(Code::INVALID_HANDLE.says(sentence));
    }
    match event.state {
        State::At(moment) => Ok(moment),
        State::Pending => {
            Err(Code::NOT_READY
                .says(format!("nobody has waited for the {which} event since it was recorded")))
        }
        State::Never => Err(Code::INVALID_HANDLE.says(format!("the {which} event was never recorded"))),
        State::Captured { .. } => {
            Err(Code::INVALID_HANDLE.says(format!("the {which} event was last recorded in a capture")))
        }
    }
}
