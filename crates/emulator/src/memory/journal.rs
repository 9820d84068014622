//! What memory held before a launch wrote to it, so that the launch can be taken back.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::{Allocation, Memory};

/// Bytes that are kept together.
const PAGE: u64 = 1 << 10;
/// Pages are kept under several locks, so that blocks seldom wait for each other.
const SHARDS: usize = 64;

/// A page's bytes as words, and its bits of the written.
#[derive(Debug)]
struct Kept {
    words: Vec<u64>,
    written: Vec<u64>,
}

/// The pages of all blocks.
#[derive(Debug)]
pub(crate) struct Journal {
    shards: Vec<Mutex<HashMap<u64, Kept>>>,
}

/// The pages that one thread of the host knows to be kept.
#[derive(Debug)]
pub(crate) struct Writer<'j> {
    journal: &'j Journal,
    known: HashSet<u64>,
    last: u64,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        Journal { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer { journal: self, known: HashSet::new(), last: u64::MAX }
    }

    /// Puts everything back.
    pub(crate) fn restore(self, memory: &Memory) {
        for shard in self.shards {
            for (page, kept) in shard.into_inner().unwrap_or_else(PoisonError::into_inner) {
                // Pages are counted by addresses, which are multiples of 256: an allocation may begin within one.
                if let Some(found) = memory.first_in(page * PAGE, PAGE) {
                    found.put_back((page * PAGE).saturating_sub(found.base), &kept.words, &kept.written);
                }
            }
        }
    }
}

impl Writer<'_> {
    /// Keeps what a page holds before the first write to it. Whoever writes comes here first, so that nobody has.
    #[inline]
    pub(crate) fn before_write(&mut self, found: &Allocation, address: u64) {
        let page = address / PAGE;
        if page != self.last {
            self.last = page;
            if self.known.insert(page) {
                self.keep(found, page);
            }
        }
    }

    #[cold]
    fn keep(&self, found: &Allocation, page: u64) {
        let shard = &self.journal.shards[page as usize % SHARDS];
        let mut pages = shard.lock().unwrap_or_else(PoisonError::into_inner);
        pages.entry(page).or_insert_with(|| {
            let first = (page * PAGE).saturating_sub(found.base);
            let end = ((page + 1) * PAGE - found.base).min(found.bytes);
            let (words, written) = found.take_down(first, end);
            Kept { words, written }
        });
    }
}
