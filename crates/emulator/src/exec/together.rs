//! Blocks on all threads of the pool, in a way that nobody can tell from one block after another.
//!
//! Blocks are begun in the order of the schedule, and of several faults that of the first block in that order is told. A
//! launch that is watched for races runs together only if its blocks cannot meet, and is taken back if anything is wrong
//! with it: it then runs again, a block at a time, so that its report is the same in every run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::grid::{Grid, Worker};
use crate::check::Footprints;
use crate::counts::Counts;
use crate::fault::Fault;
use crate::memory::{Journal, Memory};

/// Hands out the blocks of a launch, until one breaks a rule.
struct Queue<'o> {
    order: &'o [u64],
    next: AtomicUsize,
    /// The place in the order of the first block that broke a rule.
    end: AtomicUsize,
}

impl<'o> Queue<'o> {
    fn new(order: &'o [u64]) -> Self {
        Queue { order, next: AtomicUsize::new(0), end: AtomicUsize::new(order.len()) }
    }

    /// The next block and its place. Places are handed out upwards, so that all before a fault are run.
    fn take(&self) -> Option<(usize, u64)> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        (place < self.end.load(Ordering::Relaxed)).then(|| (place, self.order[place]))
    }

    /// Runs `work` on as many threads as there are, and sums what they counted.
    fn share(&self, work: impl Fn() -> Counts + Sync) -> Counts {
        let threads = rayon::current_num_threads().min(self.order.len());
        let counts = (0..threads).into_par_iter().with_max_len(1).map(|_| work());
        counts.reduce(Counts::default, |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

impl<'m> Grid<'_, 'm> {
    /// Runs blocks that are not watched for races.
    pub(super) fn run_together(&self, memory: &'m Memory, order: &[u64]) -> Result<Counts, Fault> {
        let (queue, first) = (Queue::new(order), Mutex::new(None::<(usize, Fault)>));
        let counts = queue.share(|| {
            let mut worker = self.worker(memory, None);
            while let Some((place, block)) = queue.take() {
                if let Err(fault) = self.run_block(&mut worker, block) {
                    queue.end.fetch_min(place, Ordering::Relaxed);
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|(before, _)| place < *before) {
                        *first = Some((place, fault));
                    }
                }
            }
            worker.counts
        });
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, fault)) => Err(fault),
            None => Ok(counts),
        }
    }

    /// Runs blocks that are watched for races. `None` if they have to run one after another, because they may meet or
    /// because something is wrong; memory is then as it was before.
    pub(super) fn run_watched_together(&self, memory: &'m Memory, order: &[u64]) -> Option<Counts> {
        if self.code.blocks_meet() {
            return None;
        }
        let (queue, journal) = (Queue::new(order), Journal::new());
        let (footprints, is_wrong) = (Footprints::new(), AtomicBool::new(false));
        let counts = queue.share(|| {
            let mut worker = self.worker(memory, Some(journal.writer()));
            while let Some((place, block)) = queue.take() {
                if self.run_block(&mut worker, block).is_err() || worker.races_with(&footprints) {
                    queue.end.fetch_min(place, Ordering::Relaxed);
                    is_wrong.store(true, Ordering::Relaxed);
                }
            }
            worker.counts
        });
        if is_wrong.into_inner() {
            journal.restore(memory);
            return None;
        }
        Some(counts)
    }
}

impl Worker<'_> {
    /// Adds what the block touched to what others did; true if it races with one of them.
    fn races_with(&self, footprints: &Footprints) -> bool {
        self.block.watch.as_ref().is_some_and(|watch| watch.leave(footprints))
    }
}
