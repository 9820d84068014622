//! The race checker of one launch, and its part for one block.

use std::collections::BTreeMap;

use super::cell::{Lists, Prior, Strength, Touch};
use super::clocks::{Clocks, Scope};
use super::conflict::{Action, Conflict, Party, Place};
use super::copies::Copies;
use super::footprints::Footprints;
use super::knowledge::Knowledge;
use super::shadow::Shadow;
use super::stamp::Stamp;

/// What an instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    reads: bool,
    writes: bool,
    strong: Option<Scope>,
    acquires: bool,
    releases: bool,
}

impl Effect {
    /// An ordinary load.
    pub const READ: Effect =
        Effect { reads: true, writes: false, strong: None, acquires: false, releases: false };
    /// An ordinary store.
    pub const WRITE: Effect = Effect { reads: false, writes: true, ..Effect::READ };
    /// `atom` and `red` without `.acquire` or `.release`, at the scope of the device.
    pub const UPDATE: Effect = Effect { writes: true, strong: Some(Scope::Device), ..Effect::READ };

    /// The same as a strong access (`volatile`, `relaxed`, atomic) of a scope.
    pub const fn strong(self, scope: Scope) -> Effect {
        Effect { strong: Some(scope), ..self }
    }

    /// The same with `.acquire`; with [`Effect::release`] too it is `.acq_rel`.
    pub const fn acquire(self) -> Effect {
        Effect { acquires: true, ..self }
    }

    /// Whether other threads may be met by it.
    pub fn is_strong(self) -> bool {
        self.strong.is_some()
    }

    /// The same with `.release`.
    pub const fn release(self) -> Effect {
        Effect { releases: true, ..self }
    }
}

/// One memory instruction of a warp.
#[derive(Clone, Copy, Debug)]
pub struct WarpAccess<'a> {
    /// The memory.
    pub place: Place,
    /// The warp within the block.
    pub warp: u32,
    /// The lanes that take part, lane 0 in the lowest bit.
    pub mask: u32,
    /// Each lane's address: aligned, and within bounds.
    pub addresses: &'a [u64; 32],
    /// Bytes of each lane: 1, 2, 4, 8 or 16.
    pub bytes: u32,
    /// What is done.
    pub effect: Effect,
    /// What an ordinary store writes: rows of one element per lane, one after another in memory; empty for all else.
    pub values: &'a [[u64; 32]],
    /// The line of the PTX text.
    pub line: u32,
}

impl WarpAccess<'_> {
    /// Whether the earlier access is of this same instruction, by a lane that wrote the same values to the same place:
    /// CUDA promises that one of such writes is made (CUDA C++ Programming Guide, "SIMT Architecture"), whichever.
    fn repeats(&self, lane: u32, prior: Prior, me: Stamp) -> bool {
        let (lane, other) = (lane as usize, prior.stamp.thread().wrapping_sub(self.warp * 32) as usize);
        // A lane below has just written, so what the cell tells of it is of this instruction.
        prior.stamp.is_block_of(me)
            && prior.action == Action::Write
            && other < lane
            && self.mask >> other & 1 == 1
            && self.addresses[other] == self.addresses[lane]
            && !self.values.is_empty()
            && self.values.iter().all(|row| row[other] == row[lane])
    }
}

/// A location that threads synchronise by: (place, address, block if the scope is one block).
type Location = (Place, u64, Option<u32>);

/// The race checker of one launch. Kernel boundaries order everything, so the next launch begins with a new one.
#[derive(Debug)]
pub struct Races {
    grid: [u32; 3],
    block: [u32; 3],
    global: Shadow,
    lists: Lists,
    passed: BTreeMap<Location, Knowledge>,
}

/// The part of the checker that belongs to one block.
#[derive(Debug)]
pub struct BlockRaces {
    block: u32,
    threads: u32,
    shared: Shadow,
    clocks: Clocks,
    copies: Copies,
}

impl Races {
    /// A checker for a launch of `grid` blocks of `block` threads.
    pub fn new(grid: [u32; 3], block: [u32; 3]) -> Self {
        Races { grid, block, global: Shadow::new(), lists: Lists::default(), passed: BTreeMap::new() }
    }

    /// Forgets the blocks before, for a checker that sees one block at a time.
    pub fn forget(&mut self) {
        self.global.clear();
        self.lists = Lists::default();
        self.passed.clear();
    }

    /// Adds what the one block since [`Races::forget`] touched; true if it races with another block.
    pub fn leave(&self, footprints: &Footprints) -> bool {
        footprints.add(&self.global)
    }

    /// The state for block number `block`, x running fastest.
    pub fn begin_block(&self, block: u32) -> BlockRaces {
        let threads = self.block.iter().product();
        BlockRaces {
            block,
            threads,
            shared: Shadow::new(),
            clocks: Clocks::new(block, threads),
            copies: Copies::new(threads),
        }
    }

    fn party(&self, stamp: Stamp, line: u32, action: Action) -> Party {
        Party {
            block: spread(stamp.block(), self.grid),
            thread: spread(stamp.thread(), self.block),
            linear_thread: stamp.thread(),
            line,
            action,
        }
    }
}

/// The coordinates of a number, x running fastest.
fn spread(number: u32, [x, y, _]: [u32; 3]) -> [u32; 3] {
    let (x, y) = (x.max(1), y.max(1));
    [number % x, number / x % y, number / x / y]
}

impl BlockRaces {
    /// Turns to another block, whose shared memory nobody has touched.
    pub fn turn(&mut self, block: u32) {
        self.block = block;
        self.shared.clear();
        self.clocks = Clocks::new(block, self.threads);
        self.copies = Copies::new(self.threads);
    }

    /// Judges a memory instruction and notes it.
    ///
    /// # Errors
    /// The first conflict with an earlier access, by lane and then by address.
    pub fn access(&mut self, races: &mut Races, access: &WarpAccess<'_>) -> Result<(), Box<Conflict>> {
        let effect = access.effect;
        let touch = Touch {
            reads: effect.reads,
            writes: effect.writes,
            strength: effect.strong.map_or(Strength::Weak, Strength::Strong),
            line: access.line,
        };
        self.touch(races, access, touch)?;
        if let Some(scope) = effect.strong {
            self.synchronise(races, access, scope);
        }
        Ok(())
    }

    #[inline]
    fn touch(
        &mut self,
        races: &mut Races,
        access: &WarpAccess<'_>,
        touch: Touch,
    ) -> Result<(), Box<Conflict>> {
        let first = self.clocks.view(access.warp * 32);
        let shadow = match access.place {
            Place::Global => &mut races.global,
            Place::Shared => &mut self.shared,
        };
        for lane in lanes(access.mask) {
            let (view, address) = (first.further(lane), access.addresses[lane as usize]);
            for cell in shadow.cells(address, access.bytes, &mut races.lists) {
                if let Err(prior) = cell.touch(&view, touch, &mut races.lists)
                    && !access.repeats(lane, prior, view.me)
                {
                    let me = view.me;
                    return Err(report(races, access, address, prior, me, touch));
                }
            }
        }
        Ok(())
    }

    /// Strong accesses pass on and take over what fences have gathered.
    fn synchronise(&mut self, races: &mut Races, access: &WarpAccess<'_>, scope: Scope) {
        for lane in lanes(access.mask) {
            let thread = access.warp * 32 + lane;
            let location = |block| (access.place, access.addresses[lane as usize], block);
            let (narrow, wide) = (location(Some(self.block)), location(None));
            if access.effect.reads && !races.passed.is_empty() {
                for (needed, location) in [(Scope::Block, narrow), (Scope::Device, wide)] {
                    if let Some(passed) = races.passed.get(&location).filter(|_| needed <= scope) {
                        self.clocks.meet(thread, needed, passed, access.effect.acquires);
                    }
                }
            }
            if !access.effect.writes {
                continue;
            }
            let released = self.clocks.released(thread, scope, access.effect.releases);
            // An atomic continues what was passed on before; a store puts its own in the place of it.
            if !access.effect.reads && !races.passed.is_empty() {
                races.passed.remove(&narrow);
                races.passed.remove(&wide);
            }
            if let Some((scope, known)) = released {
                races.lists.exact = true;
                races.passed.entry(narrow).or_default().join(&known);
                if scope == Scope::Device && access.place == Place::Global {
                    races.passed.entry(wide).or_default().join(&known);
                }
            }
        }
    }

    /// A barrier (`bar.sync 0` without a count) at which every thread of the block that has not exited has arrived.
    pub fn barrier(&mut self) {
        self.clocks.barrier();
    }

    /// Some lanes have arrived at barrier `id`, to which not all threads of the block belong; by `bar.sync` or `bar.arrive`.
    pub fn arrive(&mut self, races: &mut Races, id: u32, warp: u32, mask: u32) {
        races.lists.exact = true;
        self.clocks.arrive(id, warp, mask);
    }

    /// Barrier `id` opens for those that waited at it, as (warp, lanes). They have all called [`BlockRaces::arrive`].
    pub fn complete(&mut self, id: u32, waiting: &[(u32, u32)]) {
        self.clocks.complete(id, waiting);
    }

    /// `bar.warp.sync` of the lanes in `mask`, when `live` are the lanes that have not exited.
    pub fn warp_barrier(&mut self, races: &mut Races, warp: u32, mask: u32, live: u32) {
        if live & !mask == 0 {
            self.clocks.warp_barrier(warp);
        } else {
            races.lists.exact = true;
            self.clocks.lane_barrier(warp, mask);
        }
    }

    /// A fence (`fence`, `membar`) by each lane of `mask`.
    pub fn fence(&mut self, warp: u32, mask: u32, scope: Scope) {
        lanes(mask).for_each(|lane| self.clocks.fence(warp * 32 + lane, scope));
    }

    /// `cp.async` into shared memory. Its read of global memory is reported by [`BlockRaces::access`].
    ///
    /// # Errors
    /// As for a write, and if another copy into the same bytes is in flight.
    pub fn copy(&mut self, races: &mut Races, access: &WarpAccess<'_>) -> Result<(), Box<Conflict>> {
        let touch = Touch { reads: false, writes: true, strength: Strength::Pending, line: access.line };
        self.touch(races, access, touch)?;
        for lane in lanes(access.mask) {
            self.copies.issue(access.warp * 32 + lane, access.addresses[lane as usize], access.bytes);
        }
        Ok(())
    }

    /// `cp.async.commit_group`.
    pub fn commit_copies(&mut self, warp: u32, mask: u32) {
        lanes(mask).for_each(|lane| self.copies.commit(warp * 32 + lane));
    }

    /// `cp.async.wait_group` with the number of groups that may stay in flight, or `None` for `wait_all`.
    pub fn wait_for_copies(&mut self, races: &mut Races, warp: u32, mask: u32, in_flight: Option<u32>) {
        for lane in lanes(mask) {
            let thread = warp * 32 + lane;
            let now = self.clocks.stamp(thread);
            for (address, bytes) in self.copies.wait(thread, in_flight) {
                let cells = self.shared.cells(address, bytes, &mut races.lists);
                cells.iter_mut().for_each(|cell| cell.settle(now));
            }
        }
    }
}

fn lanes(mask: u32) -> impl Iterator<Item = u32> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let lane = left.trailing_zeros();
        left &= left.wrapping_sub(1);
        (lane < 32).then_some(lane)
    })
}

#[cold]
fn report(
    races: &Races,
    access: &WarpAccess<'_>,
    address: u64,
    prior: Prior,
    me: Stamp,
    touch: Touch,
) -> Box<Conflict> {
    let action = match (touch.strength, touch.reads, touch.writes) {
        (Strength::Pending, ..) => Action::Copy,
        (Strength::Strong(_), _, true) => Action::Atomic,
        (_, _, true) => Action::Write,
        _ => Action::Read,
    };
    Box::new(Conflict {
        place: access.place,
        address,
        bytes: access.bytes,
        earlier: races.party(prior.stamp, prior.line, prior.action),
        later: races.party(me, touch.line, action),
    })
}
