//! Who did something and when, in one word.

/// Bits of a block's clock.
const CLOCK: u32 = 30;
/// Bits of a thread's number: a block has at most 1024.
const THREAD: u32 = 10;
/// Blocks that can be told apart. A larger grid uses the numbers again, which can hide a race and never invent one.
const BLOCKS: u64 = (1 << (64 - CLOCK - THREAD)) - 1;

/// A thread and its block's clock at the time. 0 is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    pub(super) const NOBODY: Stamp = Stamp(0);

    pub(super) fn new(block: u32, thread: u32, clock: u32) -> Self {
        let clock = u64::from(clock).min((1 << CLOCK) - 1);
        Stamp((u64::from(block) % BLOCKS + 1) << (CLOCK + THREAD) | u64::from(thread) << CLOCK | clock)
    }

    /// The same time and block, the thread `lane` further.
    #[inline]
    pub(super) fn further(self, lane: u32) -> Stamp {
        Stamp(self.0 + (u64::from(lane) << CLOCK))
    }

    pub(super) fn is_nobody(self) -> bool {
        self.0 == 0
    }

    pub(super) fn block(self) -> u32 {
        ((self.0 >> (CLOCK + THREAD)) as u32).wrapping_sub(1)
    }

    pub(super) fn thread(self) -> u32 {
        (self.0 >> CLOCK) as u32 & ((1 << THREAD) - 1)
    }

    pub(super) fn warp(self) -> u32 {
        self.thread() / 32
    }

    pub(super) fn clock(self) -> u32 {
        self.0 as u32 & ((1 << CLOCK) - 1)
    }

    /// The same thread, at whatever time.
    pub(super) fn is_thread_of(self, other: Stamp) -> bool {
        self.0 >> CLOCK == other.0 >> CLOCK
    }

    pub(super) fn is_block_of(self, other: Stamp) -> bool {
        self.0 >> (CLOCK + THREAD) == other.0 >> (CLOCK + THREAD)
    }

    pub(super) fn is_warp_of(self, other: Stamp) -> bool {
        // A warp is 32 threads: five bits fewer.
        self.0 >> (CLOCK + 5) == other.0 >> (CLOCK + 5)
    }
}
