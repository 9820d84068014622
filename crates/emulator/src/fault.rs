//! What a launch can do wrong, and where it did it.

use std::fmt;

/// A line of the CUDA source, from the `.loc` and `.file` lines of the PTX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The file as the compiler was given it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// The rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The launch itself is impossible: grid, block, shared bytes or parameters do not fit the kernel.
    InvalidLaunch,
    /// An instruction or a form of it that the emulator does not know.
    UnsupportedInstruction,
    /// An address outside every allocation, or past the end of shared or local memory.
    OutOfBounds,
    /// An address inside an allocation that was freed.
    UseAfterFree,
    /// An address that is not a multiple of the access's size.
    Misaligned,
    /// A read of bytes that nobody wrote.
    Uninitialised,
    /// Two threads touch the same bytes, one writes, and nothing orders them.
    Race,
    /// A read of bytes that a `cp.async` not yet waited for will write.
    PendingCopy,
    /// Threads of one warp, or of one block, wait at different barriers.
    BarrierDivergence,
    /// Every thread that is left waits for another.
    Deadlock,
    /// More instructions than [`crate::Options::max_steps`] allows: an endless loop.
    Timeout,
    /// `trap`, or an assertion of the kernel.
    Trap,
    /// A use of an instruction that PTX leaves undefined, such as `shfl.sync` by a lane outside its own mask.
    Undefined,
}

/// A broken rule with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The rule.
    pub kind: FaultKind,
    /// The entry's name.
    pub kernel: String,
    /// `blockIdx` of the thread.
    pub block: [u32; 3],
    /// `threadIdx` of the thread.
    pub thread: [u32; 3],
    /// The line of the PTX text, from 1; 0 if no instruction is to blame.
    pub ptx_line: u32,
    /// The instruction as written; empty if none is to blame.
    pub instruction: String,
    /// The line of the CUDA source, if the PTX names it.
    pub source: Option<Box<SourceLine>>,
    /// What was expected, what came, and what to do.
    pub sentence: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "{}: block ({bx},{by},{bz}) thread ({tx},{ty},{tz})", self.kernel)?;
        if let Some(source) = &self.source {
            write!(f, " at {}:{}", source.file, source.line)?;
        }
        if self.ptx_line != 0 {
            write!(f, " (PTX line {}: `{}`)", self.ptx_line, self.instruction)?;
        }
        write!(f, ": {}", self.sentence)
    }
}

impl std::error::Error for Fault {}
