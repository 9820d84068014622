//! Which bytes of global memory each block of a launch has touched, for blocks that run at the same time.
//!
//! Nothing orders two blocks that never meet at an atomic or another strong access. So they race if and only if one wrote
//! bytes that the other touched, and neither the order nor the threads matter to find that out. To say who it was, the
//! launch runs again, a block at a time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::shadow::{PAGE, PageHasher, Shadow};

/// Words of a bitmap with a bit for each byte of a page.
const WORDS: usize = PAGE as usize / 64;
/// Pages are kept under several locks, so that blocks seldom wait for each other.
const SHARDS: usize = 64;

/// The bytes of a page that were read and that were written.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) read: [u64; WORDS],
    pub(super) written: [u64; WORDS],
}

impl Touched {
    pub(super) const NOTHING: Touched = Touched { read: [0; WORDS], written: [0; WORDS] };

    /// Adds what another block touched; true if the two race.
    fn add(&mut self, other: &Touched) -> bool {
        let mut racing = 0;
        for at in 0..WORDS {
            let (read, written) = (other.read[at], other.written[at]);
            racing |= (written & (self.read[at] | self.written[at])) | (read & self.written[at]);
            self.read[at] |= read;
            self.written[at] |= written;
        }
        racing != 0
    }
}

type Pages = HashMap<u64, Touched, std::hash::BuildHasherDefault<PageHasher>>;

/// What the blocks that have ended touched.
#[derive(Debug)]
pub struct Footprints {
    shards: Vec<Mutex<Pages>>,
}

impl Footprints {
    /// Those of no block.
    pub fn new() -> Self {
        Footprints { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Adds those of one block; true if it races with another.
    pub(super) fn add(&self, shadow: &Shadow) -> bool {
        let mut is_racing = false;
        for (number, touched) in shadow.touched() {
            let shard = &self.shards[number as usize % SHARDS];
            let mut pages = shard.lock().unwrap_or_else(PoisonError::into_inner);
            is_racing |= pages.entry(number).or_insert(Touched::NOTHING).add(&touched);
        }
        is_racing
    }
}

impl Default for Footprints {
    fn default() -> Self {
        Footprints::new()
    }
}
