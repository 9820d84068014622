//! One launch: what to run, over which grid, under which checks.

use crate::counts::Counts;
use crate::fault::{Fault, FaultKind};
use crate::memory::Memory;
use crate::program::Program;

/// The order in which warps take turns and blocks are begun. A correct kernel gives the same bits under each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Lowest block and warp first.
    #[default]
    Forward,
    /// Highest block and warp first.
    Reverse,
    /// Drawn from a seed; the same seed gives the same order.
    Seeded(u64),
}

/// The checks to run with. Barriers, deadlock and alignment are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Reads of bytes that nobody wrote.
    pub init: bool,
    /// Unordered accesses of two threads to the same bytes, and reads of copies in flight.
    pub races: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Checks { init: true, races: true }
    }
}

/// How to run a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The order of warps and blocks.
    pub schedule: Schedule,
    /// The checks.
    pub checks: Checks,
    /// Instructions that one warp may issue before the launch counts as endless.
    pub max_steps: u64,
    /// Run blocks on all threads of the pool. A launch with `checks.races` runs them one after another.
    pub parallel: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            schedule: Schedule::Forward,
            checks: Checks::default(),
            max_steps: 1_000_000_000,
            parallel: true,
        }
    }
}

/// One launch of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The program that holds the entry.
    pub program: &'a Program,
    /// The entry's index in [`Program::entries`].
    pub entry: usize,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// The parameters, laid out as [`crate::Entry::params`] says.
    pub params: &'a [u8],
    /// The address in the memory of each variable of [`Program::globals`], in that order.
    pub globals: &'a [u64],
    /// How to run.
    pub options: &'a Options,
}

/// Runs a launch to its end.
///
/// # Errors
///
/// The first [`Fault`]; the memory then holds whatever the kernel had written until then.
pub fn run(launch: &Launch<'_>, _memory: &mut Memory) -> Result<Counts, Fault> {
    let Some(entry) = launch.program.entries.get(launch.entry) else {
        let count = launch.program.entries.len();
        return Err(refusal("", format!("entry {} of a program with {count}", launch.entry)));
    };
    Err(Fault {
        kind: FaultKind::UnsupportedInstruction,
        ..refusal(&entry.name, "no instruction runs yet".to_owned())
    })
}

fn refusal(kernel: &str, sentence: String) -> Fault {
    Fault {
        kind: FaultKind::InvalidLaunch,
        kernel: kernel.to_owned(),
        block: [0; 3],
        thread: [0; 3],
        ptx_line: 0,
        instruction: String::new(),
        source: None,
        sentence,
    }
}
