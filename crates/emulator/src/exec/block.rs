//! One block: shared memory, barriers, and the turns of its warps.

use super::watch::Watch;
use crate::code::Code;
use crate::counts::Counts;
use crate::fault::FaultKind;
use crate::launch::{Checks, Launch};
use crate::memory::{Allocation, Memory};
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

/// What the warps of one block share.
#[derive(Debug)]
pub(crate) struct Block<'m> {
    pub(crate) memory: &'m Memory,
    /// The allocation that was used last.
    pub(crate) recent: Option<&'m Allocation>,
    pub(crate) params: &'m [u8],
    pub(crate) shared: Vec<u8>,
    /// For each byte of shared memory: was it written?
    pub(crate) shared_written: Vec<bool>,
    /// For each byte of shared memory: how many copies in flight will write it.
    pub(crate) shared_pending: Vec<u8>,
    /// Copies in flight in the block.
    pub(crate) copies_in_flight: usize,
    pub(crate) counts: Counts,
    pub(crate) checks: Checks,
    /// The race checker, if races are checked for.
    pub(crate) watch: Option<Watch>,
    /// Its place in the grid.
    pub(crate) index: [u32; 3],
    /// Who is shown every instruction.
    pub(crate) observer: Option<&'m mut (dyn Observer + 'm)>,
}

impl<'m> Block<'m> {
    pub(crate) fn new(launch: &Launch<'m>, code: &Code, memory: &'m Memory) -> Block<'m> {
        let bytes = (code.dynamic_shared + launch.shared_bytes) as usize;
        Block {
            memory,
            recent: None,
            params: launch.params,
            shared: vec![0; bytes],
            shared_written: vec![false; bytes],
            shared_pending: vec![0; bytes],
            copies_in_flight: 0,
            counts: Counts::default(),
            checks: launch.options.checks,
            watch: launch.options.checks.races.then(|| Watch::new(launch.grid, launch.block)),
            index: [0; 3],
            observer: None,
        }
    }

    /// Makes it the block at another place of the grid, with shared memory that nobody has written.
    pub(crate) fn begin(&mut self, index: [u32; 3], number: u64) {
        self.index = index;
        if let Some(watch) = &mut self.watch {
            watch.begin(number as u32);
        }
        self.shared.fill(0);
        self.shared_written.fill(false);
        self.shared_pending.fill(0);
        self.copies_in_flight = 0;
    }
}
