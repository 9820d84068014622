//! The report of two accesses that nothing orders.

use std::fmt;

/// What a thread did to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An atomic or another strong access that writes.
    Atomic,
    /// A `cp.async` that its thread has not waited for.
    Copy,
}

/// The memory that an access goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Global memory; addresses are those of the device.
    Global,
    /// The shared memory of the block; addresses count from its start.
    Shared,
}

/// One of the two accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// `blockIdx`.
    pub block: [u32; 3],
    /// `threadIdx`.
    pub thread: [u32; 3],
    /// The thread's number within the block.
    pub linear_thread: u32,
    /// The line of the PTX text that it executed.
    pub line: u32,
    /// What it did.
    pub action: Action,
}

/// Two accesses to the same bytes, at least one of them a write, that nothing orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The memory.
    pub place: Place,
    /// The first byte of the later access.
    pub address: u64,
    /// The bytes of the later access.
    pub bytes: u32,
    /// What was done before, in the order of execution.
    pub earlier: Party,
    /// What was done last, and detected.
    pub later: Party,
}

impl Conflict {
    /// True for a copy in flight that was touched; else it is a data race.
    pub fn is_pending_copy(&self) -> bool {
        self.earlier.action == Action::Copy
    }

    fn advice(&self) -> &'static str {
        let same_block = self.earlier.block == self.later.block;
        let same_warp = same_block && self.earlier.linear_thread / 32 == self.later.linear_thread / 32;
        if self.is_pending_copy() {
            if same_block && self.earlier.linear_thread == self.later.linear_thread {
                "the copy has not been waited for: `cp.async.wait_group` belongs before this access"
            } else {
                "the copy is in flight: its thread must wait for it, and then a barrier must follow"
            }
        } else if same_warp {
            "lanes of a warp are not ordered by themselves, nor by shuffles and votes: `__syncwarp` belongs between"
        } else if same_block {
            "warps are ordered by barriers alone: `__syncthreads` belongs between"
        } else {
            "blocks are ordered by a fence and an atomic on each side, or by the end of the kernel, and by nothing else"
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place == Place::Global { "global" } else { "shared" };
        let present = match self.later.action {
            Action::Read => "reads",
            Action::Write => "writes",
            Action::Atomic => "updates",
            Action::Copy => "copies into",
        };
        let past = match self.earlier.action {
            Action::Read => "read",
            Action::Write => "wrote",
            Action::Atomic => "updated atomically",
            Action::Copy => "copies into asynchronously",
        };
        let [x, y, z] = self.earlier.thread;
        write!(f, "{present} {} {place} bytes at {:#x} that thread ({x},{y},{z})", self.bytes, self.address)?;
        if self.earlier.block != self.later.block {
            let [x, y, z] = self.earlier.block;
            write!(f, " of block ({x},{y},{z})")?;
        }
        write!(f, " {past} at PTX line {}: {}", self.earlier.line, self.advice())
    }
}

impl std::error::Error for Conflict {}
