//! Vector clocks, kept small: most of what a thread knows is "everything in the block before the last barrier".

use std::collections::BTreeMap;

use super::stamp::Stamp;

/// What is known of one block: everything stamped below a clock, by all its threads, by some warps, by some threads.
#[derive(Clone, Debug, Default)]
struct Past {
    whole: u32,
    warps: BTreeMap<u32, u32>,
    threads: BTreeMap<u32, u32>,
}

/// A vector clock over all threads of the grid.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge {
    blocks: BTreeMap<u32, Past>,
}

fn raise(clocks: &mut BTreeMap<u32, u32>, who: u32, until: u32) {
    let clock = clocks.entry(who).or_default();
    *clock = until.max(*clock);
}

impl Knowledge {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds everything that block `block` did before `until`.
    pub(super) fn learn_block(&mut self, block: u32, until: u32) {
        let past = self.blocks.entry(block).or_default();
        past.whole = past.whole.max(until);
    }

    /// Adds everything that one warp did before `until`.
    pub(super) fn learn_warp(&mut self, block: u32, warp: u32, until: u32) {
        raise(&mut self.blocks.entry(block).or_default().warps, warp, until);
    }

    /// Adds everything that one thread did before `until`.
    pub(super) fn learn_thread(&mut self, block: u32, thread: u32, until: u32) {
        raise(&mut self.blocks.entry(block).or_default().threads, thread, until);
    }

    /// Drops what is known of a block, because it is known otherwise.
    pub(super) fn forget(&mut self, block: u32) {
        self.blocks.remove(&block);
    }

    /// Adds what `other` knows.
    pub(super) fn join(&mut self, other: &Knowledge) {
        for (&block, theirs) in &other.blocks {
            let ours = self.blocks.entry(block).or_default();
            ours.whole = ours.whole.max(theirs.whole);
            theirs.warps.iter().for_each(|(&warp, &until)| raise(&mut ours.warps, warp, until));
            theirs.threads.iter().for_each(|(&thread, &until)| raise(&mut ours.threads, thread, until));
        }
    }

    /// True if what was stamped so happened before.
    pub(super) fn covers(&self, stamp: Stamp) -> bool {
        let Some(past) = self.blocks.get(&stamp.block()) else { return false };
        let below = |until: Option<&u32>| until.is_some_and(|&until| stamp.clock() < until);
        stamp.clock() < past.whole
            || below(past.warps.get(&stamp.warp()))
            || below(past.threads.get(&stamp.thread()))
    }
}
