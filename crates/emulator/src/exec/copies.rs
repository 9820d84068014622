//! `cp.async`: copies that take place when they are waited for, and not a moment earlier.

use super::block::{Block, Trouble};
use super::registers::{Row, lanes};

#[derive(Debug, Clone, Copy)]
struct Copy {
    lane: usize,
    /// The lane's group that it belongs to.
    group: u32,
    offset: u64,
    bytes: u8,
    data: [u8; 16],
}

/// The copies in flight of one warp's lanes.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    waiting: Vec<Copy>,
    /// Groups that each lane has committed.
    committed: Row<u32>,
}

impl Copies {
    /// Begins a copy of `bytes` bytes to shared memory.
    pub(crate) fn begin(
        &mut self,
        block: &mut Block<'_>,
        lane: usize,
        offset: u64,
        bytes: u8,
        data: [u8; 16],
    ) -> Result<(), Trouble> {
        block.mark_pending(offset, bytes.into(), lane, true)?;
        block.copies_in_flight += 1;
        self.waiting.push(Copy { lane, group: self.committed[lane], offset, bytes, data });
        Ok(())
    }

    /// Closes the group that the lanes are filling.
    pub(crate) fn commit(&mut self, mask: u32) {
        lanes(mask).for_each(|lane| self.committed[lane] += 1);
    }

    /// Waits until at most `pending` of each lane's groups are in flight; `None` waits for every copy.
    pub(crate) fn wait(
        &mut self,
        block: &mut Block<'_>,
        mask: u32,
        pending: Option<u32>,
    ) -> Result<(), Trouble> {
        let mut left = Vec::with_capacity(self.waiting.len());
        for copy in std::mem::take(&mut self.waiting) {
            let done = self.committed[copy.lane].saturating_sub(pending.unwrap_or(0));
            let is_due = mask >> copy.lane & 1 != 0 && (pending.is_none() || copy.group < done);
            if !is_due {
                left.push(copy);
                continue;
            }
            block.mark_pending(copy.offset, copy.bytes.into(), copy.lane, false)?;
            block.write_shared(copy.offset, &copy.data[..usize::from(copy.bytes)], copy.lane)?;
            block.copies_in_flight -= 1;
        }
        self.waiting = left;
        Ok(())
    }
}
