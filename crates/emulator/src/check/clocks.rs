//! What the threads of one block know of each other and of other blocks.

use std::collections::BTreeMap;

use super::knowledge::Knowledge;
use super::stamp::Stamp;

/// How far a fence or an atomic reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `.cta`: the block.
    Block,
    /// `.gpu`, and `.sys` and `.cluster`, which mean no more here.
    Device,
}

/// The state of one thread that is rarely there: allocated when the first thread of the block needs it.
#[derive(Clone, Debug, Default)]
struct Thread {
    /// Knowledge beyond the block's and the warp's.
    learned: Knowledge,
    /// What the thread knew at its last fence, which its next strong write may pass on.
    fenced: Option<(Scope, Knowledge)>,
    /// What its strong reads have met; a fence turns that into knowledge. By the scope that the fence must have.
    met: BTreeMap<Scope, Knowledge>,
}

/// The clocks of one block. Time passes at each synchronisation; an access is stamped with the time.
#[derive(Debug)]
pub(super) struct Clocks {
    block: u32,
    threads: u32,
    now: u32,
    /// Everything in the block before this is known to all its threads.
    base: u32,
    /// Everything in the warp before this is known to all its lanes.
    warp_base: Vec<u32>,
    /// What all threads know of other blocks.
    shared: Knowledge,
    /// Empty, or one for each thread.
    private: Vec<Thread>,
    /// What has been brought to barriers that not all threads take part in.
    arrived: BTreeMap<u32, Knowledge>,
}

/// One thread's view at an access: enough to judge most stamps without a look into the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) me: Stamp,
    base: u32,
    warp_base: u32,
    clocks: &'a Clocks,
}

impl View<'_> {
    /// The view of the thread that is `lane` further in the same warp.
    #[inline]
    pub(super) fn further(&self, lane: u32) -> Self {
        View { me: self.me.further(lane), ..*self }
    }

    /// True if the stamped access happened before this thread's present, or is its own.
    #[inline]
    pub(super) fn knows(&self, stamp: Stamp) -> bool {
        stamp.is_thread_of(self.me) || self.knows_warp(stamp)
    }

    /// The same for all that stamp's warp did until then.
    #[inline]
    pub(super) fn knows_warp(&self, stamp: Stamp) -> bool {
        (stamp.is_warp_of(self.me) && stamp.clock() < self.warp_base) || self.knows_block(stamp)
    }

    /// The same for all that stamp's block did until then.
    #[inline]
    pub(super) fn knows_block(&self, stamp: Stamp) -> bool {
        (stamp.is_block_of(self.me) && stamp.clock() < self.base)
            || self.clocks.has_learned(self.me.thread(), stamp)
    }
}

impl Clocks {
    pub(super) fn new(block: u32, threads: u32) -> Self {
        Clocks {
            block,
            threads,
            now: 1,
            base: 0,
            warp_base: vec![0; threads.div_ceil(32) as usize],
            shared: Knowledge::default(),
            private: Vec::new(),
            arrived: BTreeMap::new(),
        }
    }

    pub(super) fn stamp(&self, thread: u32) -> Stamp {
        Stamp::new(self.block, thread, self.now)
    }

    pub(super) fn view(&self, thread: u32) -> View<'_> {
        let warp_base = self.warp_base.get(thread as usize / 32).copied().unwrap_or(0);
        View { me: self.stamp(thread), base: self.base, warp_base, clocks: self }
    }

    fn has_learned(&self, thread: u32, stamp: Stamp) -> bool {
        if self.private.is_empty() && self.shared.is_empty() {
            return false;
        }
        let private = self.private.get(thread as usize);
        self.shared.covers(stamp) || private.is_some_and(|private| private.learned.covers(stamp))
    }

    /// A barrier that every thread of the block (that has not exited) waits at.
    pub(super) fn barrier(&mut self) {
        self.now += 1;
        self.base = self.now;
        for thread in &mut self.private {
            self.shared.join(&std::mem::take(&mut thread.learned));
        }
        // `base` now says all there is to know of this block.
        self.shared.forget(self.block);
    }

    /// A barrier of all live lanes of a warp.
    pub(super) fn warp_barrier(&mut self, warp: u32) {
        self.now += 1;
        if let Some(base) = self.warp_base.get_mut(warp as usize) {
            *base = self.now;
        }
        let lanes = self.private.iter_mut().skip(warp as usize * 32).take(32);
        let mut sum = Knowledge::default();
        lanes.for_each(|lane| sum.join(&std::mem::take(&mut lane.learned)));
        for lane in self.private.iter_mut().skip(warp as usize * 32).take(32) {
            lane.learned = sum.clone();
        }
    }

    /// A barrier of some lanes of a warp.
    pub(super) fn lane_barrier(&mut self, warp: u32, mask: u32) {
        self.exchange(&Self::lanes(warp, mask));
    }

    /// The lanes of `mask` bring what they know to barrier `id`, to which not all threads of the block belong.
    pub(super) fn arrive(&mut self, id: u32, warp: u32, mask: u32) {
        let brought = self.sum(&Self::lanes(warp, mask));
        self.arrived.entry(id).or_default().join(&brought);
    }

    /// Barrier `id` opens: those that waited learn what was brought to it.
    pub(super) fn complete(&mut self, id: u32, waiting: &[(u32, u32)]) {
        let brought = self.arrived.remove(&id).unwrap_or_default();
        for &(warp, mask) in waiting {
            Self::lanes(warp, mask).into_iter().for_each(|thread| self.learn(thread, &brought));
        }
    }

    /// A fence of one thread.
    pub(super) fn fence(&mut self, thread: u32, scope: Scope) {
        let Some(private) = self.private_mut(thread) else { return };
        for (_, met) in std::mem::take(&mut private.met).into_iter().filter(|(needed, _)| *needed <= scope) {
            private.learned.join(&met);
        }
        let known = self.knowledge(thread);
        if let Some(private) = self.private_mut(thread) {
            private.fenced = Some((scope, known));
        }
    }

    /// What a strong write of scope `scope` passes on, and how far: after a fence, or if it releases by itself.
    pub(super) fn released(
        &mut self,
        thread: u32,
        scope: Scope,
        releases: bool,
    ) -> Option<(Scope, Knowledge)> {
        if releases {
            return Some((scope, self.knowledge(thread)));
        }
        let (fence, known) = self.private.get(thread as usize)?.fenced.clone()?;
        Some((fence.min(scope), known))
    }

    /// A strong read met what another thread had passed on.
    pub(super) fn meet(&mut self, thread: u32, needed: Scope, passed: &Knowledge, acquires: bool) {
        if acquires {
            self.learn(thread, passed);
        } else if let Some(private) = self.private_mut(thread) {
            private.met.entry(needed).or_default().join(passed);
        }
    }

    /// All that a thread knows, itself included.
    fn knowledge(&mut self, thread: u32) -> Knowledge {
        let mut known = self.shared.clone();
        known.learn_block(self.block, self.base);
        known.join(&self.beyond_block(thread));
        known
    }

    /// What a thread knows, itself included, beyond what its whole block knows. Time passes, so that what it does next
    /// is not among it.
    fn beyond_block(&mut self, thread: u32) -> Knowledge {
        let private = self.private.get(thread as usize);
        let mut known = private.map(|private| private.learned.clone()).unwrap_or_default();
        self.now += 1;
        let warp = thread / 32;
        known.learn_warp(self.block, warp, self.warp_base.get(warp as usize).copied().unwrap_or(0));
        known.learn_thread(self.block, thread, self.now);
        known
    }

    fn sum(&mut self, threads: &[u32]) -> Knowledge {
        let mut sum = Knowledge::default();
        for &thread in threads {
            sum.join(&self.beyond_block(thread));
        }
        sum
    }

    fn exchange(&mut self, threads: &[u32]) {
        let sum = self.sum(threads);
        threads.iter().for_each(|&thread| self.learn(thread, &sum));
    }

    fn learn(&mut self, thread: u32, what: &Knowledge) {
        if let Some(private) = self.private_mut(thread) {
            private.learned.join(what);
        }
    }

    fn private_mut(&mut self, thread: u32) -> Option<&mut Thread> {
        if self.private.is_empty() {
            self.private = vec![Thread::default(); self.threads as usize];
        }
        self.private.get_mut(thread as usize)
    }

    fn lanes(warp: u32, mask: u32) -> Vec<u32> {
        (0..32).filter(|lane| mask >> lane & 1 == 1).map(|lane| warp * 32 + lane).collect()
    }
}
