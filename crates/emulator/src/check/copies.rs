//! The `cp.async` copies in flight, thread by thread.

use std::collections::VecDeque;

/// Copies of one thread: the groups it has committed, oldest first, and the one that is still open.
#[derive(Clone, Debug, Default)]
struct Groups {
    committed: VecDeque<Vec<(u64, u32)>>,
    open: Vec<(u64, u32)>,
}

/// Copies of the threads of one block.
#[derive(Debug)]
pub(super) struct Copies {
    threads: u32,
    /// Empty until the first copy.
    groups: Vec<Groups>,
}

impl Copies {
    pub(super) fn new(threads: u32) -> Self {
        Copies { threads, groups: Vec::new() }
    }

    pub(super) fn issue(&mut self, thread: u32, address: u64, bytes: u32) {
        if self.groups.is_empty() {
            self.groups = vec![Groups::default(); self.threads as usize];
        }
        if let Some(groups) = self.groups.get_mut(thread as usize) {
            groups.open.push((address, bytes));
        }
    }

    pub(super) fn commit(&mut self, thread: u32) {
        if let Some(groups) = self.groups.get_mut(thread as usize) {
            let closed = std::mem::take(&mut groups.open);
            groups.committed.push_back(closed);
        }
    }

    /// The copies that are complete once at most `in_flight` groups are left; `None` completes all, the open one too.
    pub(super) fn wait(&mut self, thread: u32, in_flight: Option<u32>) -> Vec<(u64, u32)> {
        let Some(groups) = self.groups.get_mut(thread as usize) else { return Vec::new() };
        let done = groups.committed.len().saturating_sub(in_flight.unwrap_or(0) as usize);
        let mut copies: Vec<(u64, u32)> = groups.committed.drain(..done).flatten().collect();
        if in_flight.is_none() {
            copies.append(&mut groups.open);
        }
        copies
    }
}
