//! Small kernels as sequences of events: each with a planted bug that must be reported, beside the correct twin.

use super::*;

/// Two warps in each of up to four blocks.
struct Machine {
    races: Races,
    blocks: Vec<BlockRaces>,
}

const ALL: u32 = u32::MAX;

impl Machine {
    fn new() -> Self {
        let races = Races::new([2, 2, 1], [32, 2, 1]);
        let blocks = (0..4).map(|block| races.begin_block(block)).collect();
        Machine { races, blocks }
    }

    /// Warp `warp` of block `block` accesses `bytes` bytes at `address(lane)`.
    fn warp(
        &mut self,
        (block, warp, mask): (usize, u32, u32),
        place: Place,
        effect: Effect,
        bytes: u32,
        address: impl Fn(u64) -> u64,
        line: u32,
    ) -> Result<(), Box<Conflict>> {
        let addresses = std::array::from_fn(|lane| address(lane as u64));
        let access =
            WarpAccess { place, warp, mask, addresses: &addresses, bytes, effect, values: &[], line };
        self.blocks[block].access(&mut self.races, &access)
    }

    /// One thread of block `block` accesses the word at `address`.
    fn thread(
        &mut self,
        block: usize,
        thread: u32,
        place: Place,
        effect: Effect,
        address: u64,
        line: u32,
    ) -> Result<(), Box<Conflict>> {
        self.warp((block, thread / 32, 1 << (thread % 32)), place, effect, 4, |_| address, line)
    }

    fn copy(&mut self, block: usize, thread: u32, address: u64, line: u32) -> Result<(), Box<Conflict>> {
        let access = WarpAccess {
            place: Place::Shared,
            warp: thread / 32,
            mask: 1 << (thread % 32),
            addresses: &[address; 32],
            bytes: 16,
            effect: Effect::WRITE,
            values: &[],
            line,
        };
        self.blocks[block].copy(&mut self.races, &access)
    }

    fn wait(&mut self, block: usize, thread: u32, in_flight: Option<u32>) {
        self.blocks[block].wait_for_copies(&mut self.races, thread / 32, 1 << (thread % 32), in_flight);
    }

    fn commit(&mut self, block: usize, thread: u32) {
        self.blocks[block].commit_copies(thread / 32, 1 << (thread % 32));
    }
}

use Place::{Global, Shared};

fn silent(result: Result<(), Box<Conflict>>) {
    if let Err(conflict) = result {
        panic!("reported without cause: {conflict}");
    }
}

/// Checks both lines and both actions of the report.
fn reported(result: Result<(), Box<Conflict>>, earlier: (u32, Action), later: (u32, Action)) -> Conflict {
    let conflict = *result.expect_err("a planted bug must be reported");
    assert_eq!((conflict.earlier.line, conflict.earlier.action), earlier, "{conflict}");
    assert_eq!((conflict.later.line, conflict.later.action), later, "{conflict}");
    conflict
}

#[test]
fn a_missing_block_barrier_is_reported_and_a_present_one_is_not() {
    for with_barrier in [false, true] {
        let mut m = Machine::new();
        for warp in 0..2 {
            silent(m.warp((0, warp, ALL), Shared, Effect::WRITE, 4, |l| 128 * u64::from(warp) + 4 * l, 10));
        }
        if with_barrier {
            m.blocks[0].barrier();
        }
        // Warp 0 reads what warp 1 wrote.
        let read = m.warp((0, 0, ALL), Shared, Effect::READ, 4, |l| 128 + 4 * l, 12);
        if with_barrier {
            silent(read);
        } else {
            let conflict = reported(read, (10, Action::Write), (12, Action::Read));
            assert_eq!((conflict.earlier.thread, conflict.later.thread), ([0, 1, 0], [0, 0, 0]));
            assert_eq!((conflict.place, conflict.address, conflict.bytes), (Shared, 128, 4));
            assert_eq!(
                conflict.to_string(),
                "reads 4 shared bytes at 0x80 that thread (0,1,0) wrote at PTX line 10: \
                 warps are ordered by barriers alone: `__syncthreads` belongs between"
            );
        }
    }
}

#[test]
fn a_tile_overwritten_before_all_have_read_it_is_reported() {
    for with_barrier in [false, true] {
        let mut m = Machine::new();
        silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 1));
        m.blocks[0].barrier();
        silent(m.warp((0, 0, ALL), Shared, Effect::READ, 4, |_| 0, 2));
        silent(m.warp((0, 1, ALL), Shared, Effect::READ, 4, |_| 0, 2));
        if with_barrier {
            m.blocks[0].barrier();
        }
        let write = m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 3);
        if with_barrier {
            silent(write);
        } else {
            let conflict = reported(write, (2, Action::Read), (3, Action::Write));
            assert_ne!(conflict.earlier.linear_thread, 0, "the thread itself is not to blame");
        }
    }
}

#[test]
fn what_two_threads_read_neither_may_write() {
    // The other reader is in the same warp, in another warp, in another block.
    for (block, thread) in [(0, 1), (0, 33), (1, 0)] {
        for last_writes in [false, true] {
            let mut m = Machine::new();
            silent(m.thread(0, 0, Global, Effect::READ, 0, 1));
            silent(m.thread(block, thread, Global, Effect::READ, 0, 1));
            let (block, thread) = if last_writes { (block, thread) } else { (0, 0) };
            let write = m.thread(block, thread, Global, Effect::WRITE, 0, 2);
            let conflict = reported(write, (1, Action::Read), (2, Action::Write));
            assert_ne!(conflict.earlier, Party { line: 1, action: Action::Read, ..conflict.later });
        }
    }
}

#[test]
fn a_warp_needs_its_own_barrier_between_lanes() {
    for with_barrier in [false, true] {
        let mut m = Machine::new();
        silent(m.warp((0, 1, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 5));
        if with_barrier {
            m.blocks[0].warp_barrier(&mut m.races, 1, ALL, ALL);
        }
        let read = m.warp((0, 1, ALL), Shared, Effect::READ, 4, |l| 4 * (l ^ 1), 6);
        if with_barrier {
            silent(read);
            // A warp's barrier orders nothing between warps.
            let other = m.warp((0, 0, ALL), Shared, Effect::READ, 4, |l| 4 * l, 7);
            reported(other, (5, Action::Write), (7, Action::Read));
        } else {
            let conflict = reported(read, (5, Action::Write), (6, Action::Read));
            assert!(conflict.to_string().contains("__syncwarp"), "{conflict}");
        }
    }
}

#[test]
fn a_lane_barrier_orders_its_own_lanes_only() {
    let mut m = Machine::new();
    silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 1));
    m.blocks[0].warp_barrier(&mut m.races, 0, 0x3, ALL);
    silent(m.thread(0, 0, Shared, Effect::READ, 4, 2));
    silent(m.thread(0, 1, Shared, Effect::WRITE, 0, 3));
    reported(m.thread(0, 2, Shared, Effect::READ, 0, 4), (3, Action::Write), (4, Action::Read));
    reported(m.thread(0, 0, Shared, Effect::READ, 8, 5), (1, Action::Write), (5, Action::Read));
    // Lanes 2 to 31 have exited: the two that are left are the warp.
    m.blocks[0].warp_barrier(&mut m.races, 0, 0x3, 0x3);
    silent(m.thread(0, 0, Shared, Effect::READ, 8, 6));
}

#[test]
fn two_lanes_of_one_store_race() {
    let mut m = Machine::new();
    let store = m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * (l / 2), 9);
    let conflict = reported(store, (9, Action::Write), (9, Action::Write));
    assert_eq!((conflict.earlier.thread, conflict.later.thread), ([0, 0, 0], [1, 0, 0]));
}

#[test]
fn an_off_by_one_write_meets_the_neighbour() {
    let mut m = Machine::new();
    silent(m.warp((0, 0, ALL), Global, Effect::WRITE, 4, |l| 0x1000 + 4 * l, 1));
    // Block 1 begins one element too early.
    let write = m.warp((1, 0, ALL), Global, Effect::WRITE, 4, |l| 0x1000 + 4 * (31 + l), 1);
    let conflict = reported(write, (1, Action::Write), (1, Action::Write));
    assert_eq!((conflict.earlier.thread, conflict.later.block), ([31, 0, 0], [1, 0, 0]));
    assert!(conflict.to_string().contains("of block (0,0,0)"), "{conflict}");
    let mut m = Machine::new();
    silent(m.warp((0, 0, ALL), Global, Effect::WRITE, 4, |l| 0x1000 + 4 * l, 1));
    silent(m.warp((1, 0, ALL), Global, Effect::WRITE, 4, |l| 0x1000 + 4 * (32 + l), 1));
}

#[test]
fn bytes_and_halves_of_a_word_are_told_apart() {
    for bytes in [1, 2] {
        let mut m = Machine::new();
        // Neighbouring lanes share words, first as readers and writers of 4 bytes of another page's worth of use.
        silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 1));
        m.blocks[0].barrier();
        let width = u64::from(bytes);
        silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, bytes, |l| width * l, 2));
        silent(m.warp((0, 0, ALL), Shared, Effect::READ, bytes, |l| width * l, 3));
        reported(m.thread(0, 1, Shared, Effect::READ, 0, 4), (2, Action::Write), (4, Action::Read));
        m.blocks[0].barrier();
        silent(m.thread(0, 1, Shared, Effect::READ, 0, 5));
        let write = m.warp((0, 1, 1), Shared, Effect::WRITE, bytes, |_| 4 - width, 6);
        reported(write, (5, Action::Read), (6, Action::Write));
    }
}

#[test]
fn a_page_keeps_all_that_is_known_when_bytes_of_it_are_told_apart() {
    let mut m = Machine::new();
    silent(m.thread(0, 0, Shared, Effect::WRITE, 1020, 1));
    silent(m.warp((0, 1, 1), Shared, Effect::WRITE, 1, |_| 0, 2));
    reported(m.thread(0, 1, Shared, Effect::READ, 1020, 3), (1, Action::Write), (3, Action::Read));
}

#[test]
fn a_barrier_orders_nothing_between_blocks() {
    let mut m = Machine::new();
    silent(m.thread(0, 0, Global, Effect::WRITE, 64, 1));
    m.blocks[0].barrier();
    m.blocks[1].barrier();
    let read = m.thread(1, 0, Global, Effect::READ, 64, 2);
    let conflict = reported(read, (1, Action::Write), (2, Action::Read));
    assert_eq!(conflict.earlier.block, [0, 0, 0]);
    // The same offset in shared memory is another byte in each block.
    silent(m.thread(0, 0, Shared, Effect::WRITE, 64, 3));
    silent(m.thread(1, 0, Shared, Effect::WRITE, 64, 3));
}

#[test]
fn what_many_blocks_read_none_may_write() {
    let mut m = Machine::new();
    for block in 0..3 {
        for warp in 0..2 {
            silent(m.warp((block, warp, ALL), Global, Effect::READ, 16, |l| 16 * l, 1));
        }
    }
    reported(m.thread(3, 0, Global, Effect::WRITE, 4, 2), (1, Action::Read), (2, Action::Write));
    reported(m.thread(2, 0, Global, Effect::WRITE, 8, 2), (1, Action::Read), (2, Action::Write));
}

/// Blocks write a partial result each, count themselves, and the last one adds all up.
fn last_block_adds_up(fence_before: bool, fence_after: bool, barrier: bool) -> Result<(), Box<Conflict>> {
    let mut m = Machine::new();
    const COUNTER: u64 = 0x8000;
    for block in 0..4u64 {
        let b = block as usize;
        for warp in 0..2 {
            let base = 256 * block + 128 * u64::from(warp);
            m.warp((b, warp, ALL), Global, Effect::WRITE, 4, |l| base + 4 * l, 1)?;
        }
        if barrier {
            m.blocks[b].barrier();
        }
        if fence_before {
            m.blocks[b].fence(0, 1, Scope::Device);
        }
        m.thread(b, 0, Global, Effect::UPDATE, COUNTER, 2)?;
    }
    if fence_after {
        m.blocks[3].fence(0, 1, Scope::Device);
    }
    m.blocks[3].barrier();
    for warp in 0..2 {
        m.warp((3, warp, ALL), Global, Effect::READ, 4, |l| 512 * u64::from(warp) + 8 * l, 3)?;
    }
    Ok(())
}

#[test]
fn the_last_block_needs_both_fences_and_the_barrier_before() {
    silent(last_block_adds_up(true, true, true));
    for (before, after, barrier) in [(false, true, true), (true, false, true), (true, true, false)] {
        reported(last_block_adds_up(before, after, barrier), (1, Action::Write), (3, Action::Read));
    }
}

#[test]
fn release_and_acquire_need_no_fence_and_reach_as_far_as_their_scope() {
    for scope in [Scope::Block, Scope::Device] {
        let mut m = Machine::new();
        silent(m.thread(0, 0, Global, Effect::WRITE, 0, 1));
        silent(m.thread(0, 0, Global, Effect::WRITE.strong(scope).release(), 4, 2));
        silent(m.thread(0, 0, Global, Effect::WRITE, 8, 3));
        silent(m.thread(0, 33, Global, Effect::READ.strong(scope).acquire(), 4, 4));
        silent(m.thread(0, 33, Global, Effect::READ, 0, 5));
        // What was written after the release is not passed on.
        reported(m.thread(0, 33, Global, Effect::READ, 8, 6), (3, Action::Write), (6, Action::Read));
        let flag = m.thread(1, 0, Global, Effect::READ.strong(scope).acquire(), 4, 7);
        if scope == Scope::Device {
            silent(flag);
            silent(m.thread(1, 0, Global, Effect::READ, 0, 8));
        } else {
            reported(flag, (2, Action::Atomic), (7, Action::Read));
        }
    }
}

#[test]
fn a_narrow_fence_or_acquire_does_not_reach_another_block() {
    let (wide, narrow) = (Scope::Device, Scope::Block);
    for (released, acquired, arrives) in [(wide, wide, true), (narrow, wide, false), (wide, narrow, false)] {
        let mut m = Machine::new();
        silent(m.thread(0, 0, Global, Effect::WRITE, 0, 1));
        m.blocks[0].fence(0, 1, released);
        silent(m.thread(0, 0, Global, Effect::UPDATE, 4, 2));
        silent(m.thread(1, 0, Global, Effect::UPDATE, 4, 3));
        m.blocks[1].fence(0, 1, acquired);
        let read = m.thread(1, 0, Global, Effect::READ, 0, 4);
        if arrives {
            silent(read);
        } else {
            reported(read, (1, Action::Write), (4, Action::Read));
        }
        // Another thread of block 1 looks at the atomic of its own block, and no farther.
        silent(m.thread(1, 1, Global, Effect::READ.strong(narrow).acquire(), 4, 5));
        reported(m.thread(1, 1, Global, Effect::READ, 0, 6), (1, Action::Write), (6, Action::Read));
    }
}

#[test]
fn an_atomic_passes_on_what_it_met_and_a_store_does_not() {
    for (effect, passes) in [(Effect::UPDATE, true), (Effect::WRITE.strong(Scope::Device), false)] {
        let mut m = Machine::new();
        silent(m.thread(0, 0, Global, Effect::WRITE, 0, 1));
        silent(m.thread(0, 0, Global, Effect::UPDATE.release(), 4, 2));
        silent(m.thread(1, 0, Global, effect, 4, 3));
        silent(m.thread(2, 0, Global, Effect::READ.strong(Scope::Device).acquire(), 4, 4));
        let read = m.thread(2, 0, Global, Effect::READ, 0, 5);
        if passes {
            silent(read);
        } else {
            reported(read, (1, Action::Write), (5, Action::Read));
        }
    }
}

#[test]
fn atomics_do_not_race_with_each_other_but_with_plain_accesses() {
    let mut m = Machine::new();
    for block in 0..2 {
        silent(m.warp((block, 0, ALL), Global, Effect::UPDATE, 4, |_| 0, 1));
    }
    reported(m.thread(2, 0, Global, Effect::READ, 0, 2), (1, Action::Atomic), (2, Action::Read));
    reported(m.thread(2, 0, Global, Effect::WRITE, 0, 3), (1, Action::Atomic), (3, Action::Write));
    silent(m.thread(2, 0, Global, Effect::READ, 4, 4));
    reported(m.thread(1, 0, Global, Effect::UPDATE, 4, 5), (4, Action::Read), (5, Action::Atomic));
    // An atomic of the block's scope does not reach another block.
    let narrow = Effect::UPDATE.strong(Scope::Block);
    silent(m.thread(0, 0, Global, narrow, 8, 6));
    silent(m.thread(0, 40, Global, narrow, 8, 6));
    reported(m.thread(1, 0, Global, narrow, 8, 7), (6, Action::Atomic), (7, Action::Atomic));
}

/// A limit that the module names: of several atomics, the latest alone is kept.
#[test]
fn a_plain_access_is_compared_with_the_latest_atomic_alone() {
    let mut m = Machine::new();
    silent(m.thread(0, 0, Global, Effect::UPDATE, 0, 1));
    silent(m.thread(0, 40, Global, Effect::UPDATE, 0, 2));
    silent(m.thread(0, 40, Global, Effect::READ, 0, 3));
    reported(m.thread(0, 0, Global, Effect::READ, 0, 4), (2, Action::Atomic), (4, Action::Read));
}

#[test]
fn named_barriers_order_those_that_arrive_before_those_that_wait() {
    let mut m = Machine::new();
    silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 1));
    m.blocks[0].arrive(&mut m.races, 1, 0, ALL);
    // The producer goes on after `bar.arrive`; that part is not ordered.
    silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 256 + 4 * l, 2));
    m.blocks[0].arrive(&mut m.races, 1, 1, ALL);
    m.blocks[0].complete(1, &[(1, ALL)]);
    silent(m.warp((0, 1, ALL), Shared, Effect::READ, 4, |l| 4 * (31 - l), 3));
    let early = m.warp((0, 1, ALL), Shared, Effect::READ, 4, |l| 256 + 4 * l, 4);
    reported(early, (2, Action::Write), (4, Action::Read));
    // The consumer has read; the producer has not been told so.
    let write = m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 5);
    reported(write, (3, Action::Read), (5, Action::Write));
    m.blocks[0].arrive(&mut m.races, 2, 1, ALL);
    m.blocks[0].arrive(&mut m.races, 2, 0, ALL);
    m.blocks[0].complete(2, &[(0, ALL)]);
    silent(m.warp((0, 0, ALL), Shared, Effect::WRITE, 4, |l| 4 * l, 6));
}

#[test]
fn a_copy_is_nobodys_to_touch_before_its_wait_and_a_barrier() {
    let mut m = Machine::new();
    silent(m.copy(0, 0, 0, 1));
    m.commit(0, 0);
    let own = reported(m.thread(0, 0, Shared, Effect::READ, 4, 2), (1, Action::Copy), (2, Action::Read));
    assert!(own.is_pending_copy() && own.to_string().contains("wait_group"), "{own}");
    let foreign = reported(m.thread(0, 5, Shared, Effect::READ, 12, 3), (1, Action::Copy), (3, Action::Read));
    assert!(foreign.is_pending_copy() && foreign.to_string().contains("barrier"), "{foreign}");
    m.blocks[0].barrier();
    // A barrier does not wait for copies.
    reported(m.thread(0, 5, Shared, Effect::READ, 12, 4), (1, Action::Copy), (4, Action::Read));
    m.wait(0, 0, Some(0));
    silent(m.thread(0, 0, Shared, Effect::READ, 4, 5));
    let unordered =
        reported(m.thread(0, 5, Shared, Effect::READ, 12, 6), (1, Action::Write), (6, Action::Read));
    assert!(!unordered.is_pending_copy());
    m.blocks[0].barrier();
    silent(m.thread(0, 5, Shared, Effect::READ, 12, 7));
}

#[test]
fn waiting_for_all_but_one_group_leaves_the_last_in_flight() {
    let mut m = Machine::new();
    for stage in 0..2 {
        silent(m.copy(0, 3, 64 * stage, 1));
        m.commit(0, 3);
    }
    silent(m.copy(0, 3, 128, 2));
    m.wait(0, 3, Some(1));
    silent(m.thread(0, 3, Shared, Effect::READ, 0, 3));
    reported(m.thread(0, 3, Shared, Effect::READ, 64, 4), (1, Action::Copy), (4, Action::Read));
    m.wait(0, 3, Some(0));
    silent(m.thread(0, 3, Shared, Effect::READ, 64, 5));
    // What was not committed belongs to no group; wait_all takes it.
    reported(m.thread(0, 3, Shared, Effect::READ, 128, 6), (2, Action::Copy), (6, Action::Read));
    m.wait(0, 3, None);
    silent(m.thread(0, 3, Shared, Effect::READ, 128, 7));
}

#[test]
fn a_copy_into_bytes_that_others_still_read_is_a_race() {
    for with_barrier in [false, true] {
        let mut m = Machine::new();
        silent(m.thread(0, 40, Shared, Effect::READ, 4, 1));
        if with_barrier {
            m.blocks[0].barrier();
        }
        let copy = m.copy(0, 0, 0, 2);
        if with_barrier {
            silent(copy);
        } else {
            reported(copy, (1, Action::Read), (2, Action::Copy));
        }
    }
}

/// Random kernels against the definition: one full vector clock for each thread, every access kept.
#[test]
fn reports_agree_with_plain_vector_clocks() {
    reference::compare();
}

mod reference;
