//! Looking on while a launch runs: an [`Observer`] is shown every instruction that a warp issues, before and behind it.
//!
//! [`crate::run_observed`] runs a launch with one. Without one, nothing here costs anything: the executor asks once for each
//! group of lanes, not for each instruction. An observed launch does what an unobserved one does, in the same order,
//! block after block.
//!
//! A [`Step`] holds the warp, a [`Listing`] says what the instruction at its pc is called, where it stands in the source
//! and which registers it reads and writes. [`Recorder`] puts both together: the trace of one thread, and what a warp
//! holds whenever it comes to a line. [`passes`] and [`Matrix`] picture what one access or one product does.

mod banks;
mod kind;
mod listing;
mod live;
mod matrix;
mod recorder;
mod step;

pub use banks::{Pass, passes, sectors};
pub use kind::Kind;
pub use listing::{Line, Listing, Register};
pub(crate) use listing::{Note, note};
pub use matrix::{Cell, Matrix, matrices};
pub use recorder::{Arrival, Held, Ran, Recorder, Stop, Thread, Traced};
pub use step::{Access, Space, Step};

use crate::code::Instr;
use crate::exec::block::Block;
use crate::exec::warp::Warp;

/// Somebody who looks on. Both calls do nothing unless written otherwise.
pub trait Observer {
    /// A warp has come to an instruction. It may come to it several times: an instruction of all lanes waits for all.
    fn before(&mut self, step: &Step<'_>) {
        let _ = step;
    }

    /// The instruction has run. Of a barrier: the warp has arrived.
    fn after(&mut self, step: &Step<'_>) {
        let _ = step;
    }
}

impl std::fmt::Debug for dyn Observer + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// Which of the two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// Shows an instruction to the block's observer, if it has one.
pub(crate) fn show(moment: Moment, block: &mut Block<'_>, warp: &Warp, instr: &Instr, pc: u32, mask: u32) {
    let Some(observer) = &mut block.observer else { return };
    let step = Step { block: block.index, warp, instr, pc, mask };
    match moment {
        Moment::Before => observer.before(&step),
        Moment::After => observer.after(&step),
    }
}

#[cfg(test)]
mod tests;
