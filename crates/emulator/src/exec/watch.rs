//! What the race checker is told. Without races to check for, nothing.

use super::block::{Block, Trouble};
use super::registers::{LANES, Row};
use super::warp::Warp;
use crate::check::{BlockRaces, Conflict, Effect, Footprints, Place, Races, Scope, WarpAccess};
use crate::code::{AccessSpace, Instr};
use crate::fault::FaultKind;

/// The checker of a launch, and its part for the block that runs.
#[derive(Debug)]
pub(crate) struct Watch {
    races: Races,
    block: BlockRaces,
}

impl Watch {
    /// A checker for a launch.
    pub(crate) fn new(grid: [u32; 3], block: [u32; 3]) -> Watch {
        let races = Races::new(grid, block);
        let block = races.begin_block(0);
        Watch { races, block }
    }

    /// Turns to the block of that number.
    pub(crate) fn begin(&mut self, block: u32) {
        self.block.turn(block);
    }

    /// Turns to a block that is watched for itself.
    pub(crate) fn begin_alone(&mut self, block: u32) {
        self.races.forget();
        self.block.turn(block);
    }

    /// Adds what the block touched to what others did; true if it races with one of them.
    pub(crate) fn leave(&self, footprints: &Footprints) -> bool {
        self.races.leave(footprints)
    }
}

fn trouble(conflict: &Conflict) -> Trouble {
    let kind = if conflict.is_pending_copy() { FaultKind::PendingCopy } else { FaultKind::Race };
    let lane = conflict.later.linear_thread as usize % LANES;
    Trouble { kind, lane, sentence: conflict.to_string() }
}

impl Block<'_> {
    /// Judges an access of `bytes` bytes a lane that has been found in bounds and aligned. `values` are what a store
    /// writes, a row for each element; for all else there are none.
    pub(crate) fn watch(
        &mut self,
        warp: &Warp,
        space: AccessSpace,
        addresses: &Row<u64>,
        mask: u32,
        bytes: u64,
        values: &[Row<u64>],
        instr: &Instr,
    ) -> Result<(), Trouble> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let place = match space {
            AccessSpace::Global | AccessSpace::Generic => Place::Global,
            AccessSpace::Shared => Place::Shared,
            // Nobody else can reach these.
            AccessSpace::Local | AccessSpace::Param => return Ok(()),
        };
        let (warp, bytes, effect, line) = (warp.index, bytes as u32, instr.effect, instr.line);
        let access = WarpAccess { place, warp, mask, addresses, bytes, effect, values, line };
        watch.block.access(&mut watch.races, &access).map_err(|conflict| trouble(&conflict))
    }

    /// Judges the writes of `cp.async`, which are in flight from now on.
    pub(crate) fn watch_copy(
        &mut self,
        warp: &Warp,
        addresses: &Row<u64>,
        mask: u32,
        bytes: u64,
        instr: &Instr,
    ) -> Result<(), Trouble> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let (place, warp, bytes, line) = (Place::Shared, warp.index, bytes as u32, instr.line);
        let access =
            WarpAccess { place, warp, mask, addresses, bytes, effect: Effect::WRITE, values: &[], line };
        watch.block.copy(&mut watch.races, &access).map_err(|conflict| trouble(&conflict))
    }

    pub(crate) fn watch_commit(&mut self, warp: &Warp, mask: u32) {
        if let Some(watch) = &mut self.watch {
            watch.block.commit_copies(warp.index, mask);
        }
    }

    pub(crate) fn watch_wait(&mut self, warp: &Warp, mask: u32, pending: Option<u32>) {
        if let Some(watch) = &mut self.watch {
            watch.block.wait_for_copies(&mut watch.races, warp.index, mask, pending);
        }
    }

    pub(crate) fn watch_warp_barrier(&mut self, warp: &Warp, mask: u32) {
        if let Some(watch) = &mut self.watch {
            watch.block.warp_barrier(&mut watch.races, warp.index, mask, warp.live);
        }
    }

    pub(crate) fn watch_fence(&mut self, warp: &Warp, mask: u32, scope: Scope) {
        if let Some(watch) = &mut self.watch {
            watch.block.fence(warp.index, mask, scope);
        }
    }

    /// A barrier of the whole block has opened.
    pub(crate) fn watch_barrier(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.block.barrier();
        }
    }

    /// A warp has come to a barrier of a part of the block.
    pub(crate) fn watch_arrival(&mut self, number: usize, warp: &Warp) {
        if let Some(watch) = &mut self.watch {
            watch.block.arrive(&mut watch.races, number as u32, warp.index, warp.live);
        }
    }

    /// A barrier of a part of the block has opened for those that waited, as (warp, lanes).
    pub(crate) fn watch_opening(&mut self, number: usize, waiting: &[(u32, u32)]) {
        if let Some(watch) = &mut self.watch {
            watch.block.complete(number as u32, waiting);
        }
    }
}
