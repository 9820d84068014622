//! A driver as strict as its documentation: with `WARPSMITH_EMULATOR_STRICT=1` a stream's work waits until somebody waits for it.
//!
//! Without it work runs when it is enqueued, which is one of the orders that streams allow, and the kindest one: a fault is
//! told by the launch that made it, and memory of the host is read before the call returns. With it
//! - a launch that faults succeeds, and a later call that waits tells of it ("may also return error codes from previous,
//!   asynchronous launches");
//! - an asynchronous copy reads and writes the host's memory in its turn, pageable memory too. The documentation says that it
//!   "might be synchronous", and a GPU that reads pageable memory by itself need not stage it; so that is what this GPU says
//!   it does (`CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS`);
//! - after a fault that leaves "the process in an inconsistent state" no context works any more, none that is made anew either.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock};

use super::code::Code;
use super::context::Context;
use super::failure::{Failure, Outcome};
use super::machine::machine;
use super::state::{current, driver, lock};
use super::work::Work;

/// Work that waits for somebody to wait for it, in the order in which it was enqueued, whatever the stream.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    works: Mutex<VecDeque<Work>>,
    /// Held by the thread that runs the work.
    turn: Mutex<()>,
}

/// The fault that the process does not survive.
static LOST: OnceLock<Failure> = OnceLock::new();

/// `CUDA_ERROR_ILLEGAL_ADDRESS`, `…_LAUNCH_TIMEOUT`, and those from `…_HARDWARE_STACK_ERROR` to `…_LAUNCH_FAILED`: "to continue
/// using CUDA, the process must be terminated and relaunched".
fn ends_the_process(code: Code) -> bool {
    matches!(code.0, 700 | 702 | 714..=719)
}

/// Refuses all work of a process that a fault has ended.
pub(crate) fn check_process() -> Outcome {
    LOST.get().map_or(Ok(()), |fault| {
        let sentence = format!(
            "a kernel failed earlier, and this process can use no GPU any more; start it again: {}",
            fault.sentence
        );
        Err(fault.code.says(sentence))
    })
}

impl Context {
    /// Runs work, or lets it wait for its turn.
    pub(crate) fn take(&self, work: Work) -> Outcome {
        if !machine().is_strict {
            return work.run(self);
        }
        if !matches!(work, Work::Free(_)) {
            work.check(self)?;
        }
        lock(&self.queue.works).push_back(work);
        Ok(())
    }

    /// Runs all that waits; the first failure is told, and nothing behind a fault runs.
    pub(crate) fn settle(&self) -> Outcome {
        let _turn = lock(&self.queue.turn);
        loop {
            let Some(work) = lock(&self.queue.works).pop_front() else { return Ok(()) };
            if let Err(failure) = work.run(self) {
                if self.sound().is_err() {
                    lock(&self.queue.works).clear();
                }
                return Err(failure);
            }
        }
    }

    /// Remembers a fault that ends the process.
    pub(crate) fn lose(fault: &Failure) {
        if machine().is_strict && ends_the_process(fault.code) {
            LOST.get_or_init(|| fault.clone());
        }
    }
}

/// Runs all that waits in a context, by its handle; 0 is the current one. For calls that wait.
pub(crate) fn settle(context: usize) -> Outcome {
    if !machine().is_strict {
        return Ok(());
    }
    let context = if context == 0 { current()? } else { driver().context(context)? };
    context.settle()
}
