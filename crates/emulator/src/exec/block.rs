//! One block: shared memory, barriers, and the turns of its warps.

use super::watch::Watch;
use super::written::Written;
use crate::code::Code;
use crate::counts::Counts;
use crate::fault::FaultKind;
use crate::launch::{Checks, Launch};
use crate::memory::{Allocation, Memory, Writer};
use crate::observe::Observer;

/// A broken rule and the lane that broke it.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: FaultKind,
    pub(crate) lane: usize,
    pub(crate) sentence: String,
}

impl Trouble {
    /// Trouble of the first lane of a mask.
    pub(crate) fn new(kind: FaultKind, mask: u32, sentence: String) -> Trouble {
        Trouble { kind, lane: (mask.trailing_zeros() as usize).min(31), sentence }
    }

    pub(crate) fn undefined(mask: u32, sentence: String) -> Trouble {
        Trouble::new(FaultKind::Undefined, mask, sentence)
    }
}

/// Allocations that are tried before the memory is searched: two inputs, an output and one more.
const RECENT: usize = 4;

/// What the warps of one block share.
#[derive(Debug)]
pub(crate) struct Block<'m> {
    pub(crate) memory: &'m Memory,
    /// The allocations that were found last, and which of them is the oldest.
    pub(crate) recent: [Option<&'m Allocation>; RECENT],
    oldest: usize,
    pub(crate) params: &'m [u8],
    pub(crate) shared: Vec<u8>,
    pub(crate) shared_written: Written,
    /// For each byte of shared memory: how many copies in flight will write it.
    pub(crate) shared_pending: Vec<u8>,
    /// Copies in flight in the block.
    pub(crate) copies_in_flight: usize,
    pub(crate) counts: Counts,
    pub(crate) checks: Checks,
    /// The race checker, if races are checked for.
    pub(crate) watch: Option<Watch>,
    /// Who keeps what global memory held, if the launch may have to be taken back.
    pub(crate) writer: Option<Writer<'m>>,
    /// Its place in the grid.
    pub(crate) index: [u32; 3],
    /// Who is shown every instruction.
    pub(crate) observer: Option<&'m mut (dyn Observer + 'm)>,
}

impl<'m> Block<'m> {
    pub(crate) fn new(
        launch: &Launch<'m>,
        code: &Code,
        memory: &'m Memory,
        writer: Option<Writer<'m>>,
    ) -> Block<'m> {
        let bytes = (code.dynamic_shared + launch.shared_bytes) as usize;
        Block {
            memory,
            recent: [None; RECENT],
            oldest: 0,
            params: launch.params,
            shared: vec![0; bytes],
            shared_written: Written::new(bytes),
            shared_pending: vec![0; bytes],
            copies_in_flight: 0,
            counts: Counts::default(),
            checks: launch.options.checks,
            watch: launch.options.checks.races.then(|| Watch::new(launch.grid, launch.block)),
            writer,
            index: [0; 3],
            observer: None,
        }
    }

    /// Keeps an allocation among those that are tried first.
    pub(crate) fn remember(&mut self, found: &'m Allocation) {
        self.recent[self.oldest] = Some(found);
        self.oldest = (self.oldest + 1) % RECENT;
    }

    /// Makes it the block at another place of the grid, with shared memory that nobody has written.
    pub(crate) fn begin(&mut self, index: [u32; 3], number: u64) {
        self.index = index;
        if let Some(watch) = &mut self.watch {
            if self.writer.is_some() { watch.begin_alone(number as u32) } else { watch.begin(number as u32) }
        }
        self.shared.fill(0);
        self.shared_written.clear();
        self.shared_pending.fill(0);
        self.copies_in_flight = 0;
    }
}
