//! One launch: what to run, over which grid, under which checks.

use crate::counts::Counts;
use crate::exec::grid::{refusal, run_blocks};
use crate::fault::Fault;
use crate::memory::Memory;
use crate::observe::Observer;
use crate::program::{Entry, Program};

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

/// What `ex2.approx` and the other functions of a bounded error give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approximation {
    /// The correctly rounded value.
    #[default]
    Rounded,
    /// A value as far off as PTX allows, up or down as the seed and the operands choose.
    Nudged(u64),
}

impl Approximation {
    pub(crate) fn seed(self) -> Option<u64> {
        match self {
            Approximation::Rounded => None,
            Approximation::Nudged(seed) => Some(seed),
        }
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
    /// Run blocks on all threads of the pool. A launch with `checks.races` does so only if its blocks cannot meet at an
    /// atomic or the like; if it then breaks a rule it runs again, a block at a time, to say which.
    pub parallel: bool,
    /// Approximate functions.
    pub approximation: Approximation,
    /// Run this block alone, x + X·(y + Y·z) of a grid of (X, Y, Z): the last one of a grid that would take for ever.
    pub only: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            schedule: Schedule::Forward,
            checks: Checks::default(),
            max_steps: 1_000_000_000,
            parallel: true,
            approximation: Approximation::default(),
            only: None,
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

/// Most threads of a block, on every device.
const MOST_THREADS: u64 = 1024;
/// Most shared memory of a block, static and dynamic, of the devices that this one stands for.
const MOST_SHARED: u64 = 227 << 10;
/// Most blocks in x, in y and in z.
pub(crate) const MOST_BLOCKS: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// Runs a launch to its end.
///
/// # Errors
///
/// The first [`Fault`]; the memory then holds whatever the kernel had written until then.
pub fn run(launch: &Launch<'_>, memory: &mut Memory) -> Result<Counts, Fault> {
    start(launch, memory, None)
}

/// As [`run`], one block after another, and shows every instruction to an observer.
///
/// # Errors
///
/// As [`run`].
pub fn run_observed(
    launch: &Launch<'_>,
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<Counts, Fault> {
    start(launch, memory, Some(observer))
}

fn start<'m>(
    launch: &Launch<'m>,
    memory: &'m Memory,
    observer: Option<&'m mut (dyn Observer + 'm)>,
) -> Result<Counts, Fault> {
    let Some(entry) = launch.program.entries.get(launch.entry) else {
        let count = launch.program.entries.len();
        return Err(refusal("", format!("entry {} of a program with {count}", launch.entry)));
    };
    check(launch, entry).map_err(|sentence| refusal(&entry.name, sentence))?;
    run_blocks(launch, entry, memory, observer)
}

fn check(launch: &Launch<'_>, entry: &Entry) -> Result<(), String> {
    let threads: u64 = launch.block.iter().map(|&count| u64::from(count)).product();
    let most = entry.max_threads.map_or(MOST_THREADS, |most| MOST_THREADS.min(most.into()));
    let [bx, by, bz] = launch.block;
    if launch.grid.contains(&0) || launch.block.contains(&0) {
        return Err(format!("grid {:?} and block {:?}: no axis may be 0", launch.grid, launch.block));
    }
    if launch.grid.iter().zip(MOST_BLOCKS).any(|(&blocks, most)| blocks > most) {
        let [x, y, z] = MOST_BLOCKS;
        return Err(format!("grid {:?}: at most {x} blocks in x, {y} in y and {z} in z", launch.grid));
    }
    let blocks: u64 = launch.grid.iter().map(|&blocks| u64::from(blocks)).product();
    if let Some(only) = launch.options.only
        && only >= blocks
    {
        return Err(format!("block {only} alone of a grid of {blocks}"));
    }
    if threads > most || bz > 64 {
        let block = format!("{bx} x {by} x {bz}");
        return Err(format!("a block of {block} threads: at most {most} in all and 64 in z"));
    }
    let shared = u64::from(entry.code.dynamic_shared) + u64::from(launch.shared_bytes);
    if shared > MOST_SHARED {
        return Err(format!("{shared} bytes of shared memory: at most {MOST_SHARED}"));
    }
    if launch.params.len() != entry.param_bytes {
        let (came, wanted) = (launch.params.len(), entry.param_bytes);
        return Err(format!("{came} bytes of parameters, the kernel takes {wanted}"));
    }
    if launch.globals.len() != launch.program.globals.len() {
        let (came, wanted) = (launch.globals.len(), launch.program.globals.len());
        return Err(format!("addresses of {came} variables, the program has {wanted}"));
    }
    Ok(())
}
