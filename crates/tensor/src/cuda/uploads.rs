//! Copies from the host to the device that nobody waits for.
//!
//! A driver that has to stage them has read the host's memory when the call returns. A GPU that reads such memory by itself may do
//! so when the copy's turn comes: then the bytes are kept here until somebody has waited for the stream.

use std::sync::PoisonError;

use super::context::Context;
use super::driver;
use crate::Result;

/// What is no longer is kept, more is waited for: batches and tables are shorter, weights are copied once.
const KEPT_BYTES: usize = 1 << 20;
/// So many copies are kept, before the next waits for all of them.
const KEPT_COPIES: usize = 64;

impl Context {
    /// Copies host bytes to the device, in order of the stream; `from` is free again when this returns.
    pub fn copy_in(&self, op: &'static str, to: u64, from: &[u8]) -> Result<()> {
        if self.gpu.stages_copies {
            return self.run(op, || driver::copy_in(to, from, self.stream));
        }
        if from.len() > KEPT_BYTES || self.uploads().len() >= KEPT_COPIES {
            let copied = self.run(op, || driver::copy_in(to, from, self.stream));
            return self.wait(op).and(copied);
        }
        let kept = from.to_vec();
        let copied = self.run(op, || driver::copy_in(to, &kept, self.stream));
        self.uploads().push(kept);
        copied
    }

    /// Waits until the stream has done all that was queued, and lets go of what that has read.
    pub fn wait(&self, op: &'static str) -> Result<()> {
        let read = std::mem::take(&mut *self.uploads());
        let waited = self.run(op, || driver::synchronize(self.stream));
        drop(read);
        waited
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
