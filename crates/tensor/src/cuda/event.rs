//! Points in a stream, to take the time between them.

use super::driver::{self, EventHandle};
use super::stream::Stream;
use crate::Result;

/// A point in a stream: what [`Stream::record_event`] gives.
pub struct Event {
    stream: Stream,
    handle: EventHandle,
}

impl Event {
    pub(super) fn record(stream: &Stream) -> Result<Self> {
        let context = &stream.context;
        context.enter_unrecorded("event")?;
        let handle = context.run("event", driver::event)?;
        let event = Self { stream: stream.clone(), handle };
        context.run("event", || driver::record(handle, context.stream))?;
        Ok(event)
    }

    /// Milliseconds from `start` to this point; waits until it is reached.
    ///
    /// # Errors
    /// If the work between has failed, or `start` is of another device.
    pub fn milliseconds_since(&self, start: &Self) -> Result<f64> {
        let context = &self.stream.context;
        context.enter_unrecorded("event")?;
        context.run("event", || driver::elapsed(start.handle, self.handle)).map(f64::from)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // A failure here has been told by whoever waited for the stream.
        let _ = driver::destroy_event(self.handle);
    }
}
