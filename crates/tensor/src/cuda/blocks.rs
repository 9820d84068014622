//! Which bytes of which segment are taken: the books of the device's memory. Pure, it names addresses and touches none.
//!
//! Memory comes in few big segments and is cut into ranges, best fit first; neighbours that are free grow together
//! again. All work runs in the order of one stream, so a range that was given back may be handed out at once: who
//! writes to it next is queued behind who read it last.
//!
//! A recorded graph uses the same addresses at every launch. What it took while it was recorded is its *pool*, which
//! nobody else is given; what others held at that time is *pinned*, and stays even if they drop it.

use std::collections::{BTreeMap, BTreeSet};

/// Ranges start and end at multiples of this: the widest load of a kernel and the driver's own alignment.
pub const ALIGNMENT: u64 = 256;

/// The pool of everything outside a graph.
pub const SHARED: u32 = 0;

#[derive(Clone, Copy, Debug)]
struct Range {
    bytes: u64,
    segment: u64,
    pool: u32,
    pins: u32,
    is_taken: bool,
}

impl Range {
    fn is_idle(&self) -> bool {
        !self.is_taken && self.pins == 0
    }
}

/// The ranges of all segments, by address.
#[derive(Debug, Default)]
pub struct Blocks {
    ranges: BTreeMap<u64, Range>,
    /// (pool, bytes, address) of each idle range: the best fit is the first that is large enough.
    idle: BTreeSet<(u32, u64, u64)>,
}

impl Blocks {
    /// Adds a segment of `bytes` bytes at `base`, all of it free.
    pub fn add_segment(&mut self, base: u64, bytes: u64) {
        let range = Range { bytes, segment: base, pool: SHARED, pins: 0, is_taken: false };
        self.ranges.insert(base, range);
        self.index(base);
    }

    /// Takes `bytes` bytes for `pool`, from the pool's own idle ranges or the shared ones. They are a multiple of
    /// [`ALIGNMENT`], unless they are all of a segment.
    pub fn take(&mut self, bytes: u64, pool: u32) -> Option<u64> {
        let fit =
            |from: u32| self.idle.range((from, bytes, 0)..).next().filter(|(p, ..)| *p == from).copied();
        let (from, size, address) = fit(pool).or_else(|| fit(SHARED))?;
        self.unindex(address);
        let range = self.ranges.get_mut(&address)?;
        (range.bytes, range.pool, range.is_taken) = (bytes, pool, true);
        let segment = range.segment;
        if size > bytes {
            // What is left of a shared range stays shared, even if the pool of a graph took the front.
            let rest = Range { bytes: size - bytes, segment, pool: from, pins: 0, is_taken: false };
            self.ranges.insert(address + bytes, rest);
            self.index(address + bytes);
        }
        Some(address)
    }

    /// Gives a range back and says how long it was; `None` if none was taken there.
    pub fn give(&mut self, address: u64) -> Option<u64> {
        let range = self.ranges.get_mut(&address).filter(|range| range.is_taken)?;
        range.is_taken = false;
        let bytes = range.bytes;
        self.settle(address);
        Some(bytes)
    }

    /// Pins all that is taken: it will not be handed out again before [`Blocks::unpin`], though it be given back.
    pub fn pin_all(&mut self) -> Vec<u64> {
        let taken = self.ranges.iter_mut().filter(|(_, range)| range.is_taken);
        taken
            .map(|(address, range)| {
                range.pins += 1;
                *address
            })
            .collect()
    }

    /// Takes back one pin of each.
    pub fn unpin(&mut self, addresses: &[u64]) {
        for &address in addresses {
            if let Some(range) = self.ranges.get_mut(&address) {
                range.pins = range.pins.saturating_sub(1);
                self.settle(address);
            }
        }
    }

    /// Makes all of a graph's pool shared.
    pub fn dissolve(&mut self, pool: u32) {
        let own: Vec<u64> =
            self.ranges.iter().filter(|(_, range)| range.pool == pool).map(|(&address, _)| address).collect();
        for &address in &own {
            self.unindex(address);
            if let Some(range) = self.ranges.get_mut(&address) {
                range.pool = SHARED;
            }
        }
        own.iter().for_each(|&address| self.settle(address));
    }

    /// Removes the segments of which nothing is in use, and names them.
    pub fn remove_idle_segments(&mut self) -> Vec<(u64, u64)> {
        let whole = |(&address, range): (&u64, &Range)| {
            let end = address + range.bytes;
            let ends = self.ranges.get(&end).is_none_or(|next| next.segment != range.segment);
            (range.is_idle() && range.pool == SHARED && address == range.segment && ends)
                .then_some((address, range.bytes))
        };
        let idle: Vec<(u64, u64)> = self.ranges.iter().filter_map(whole).collect();
        for (address, _) in &idle {
            self.unindex(*address);
            self.ranges.remove(address);
        }
        idle
    }

    /// Joins an idle range with its idle neighbours and makes it findable.
    fn settle(&mut self, address: u64) {
        let Some(range) = self.ranges.get(&address).copied().filter(Range::is_idle) else { return };
        let fits =
            |other: &Range| other.is_idle() && other.segment == range.segment && other.pool == range.pool;
        self.unindex(address);
        let mut start = address;
        let mut joined = range;
        let before = self.ranges.range(..address).next_back().map(|(&at, other)| (at, *other));
        if let Some((at, other)) = before.filter(|(at, other)| at + other.bytes == address && fits(other)) {
            self.unindex(at);
            self.ranges.remove(&address);
            (start, joined.bytes) = (at, joined.bytes + other.bytes);
        }
        let next = address + range.bytes;
        if let Some(other) = self.ranges.get(&next).copied().filter(fits) {
            self.unindex(next);
            self.ranges.remove(&next);
            joined.bytes += other.bytes;
        }
        self.ranges.insert(start, joined);
        self.index(start);
    }

    fn index(&mut self, address: u64) {
        if let Some(range) = self.ranges.get(&address) {
            self.idle.insert((range.pool, range.bytes, address));
        }
    }

    fn unindex(&mut self, address: u64) {
        if let Some(range) = self.ranges.get(&address) {
            self.idle.remove(&(range.pool, range.bytes, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: u64 = 64 * ALIGNMENT;

    fn blocks(segments: u64) -> Blocks {
        let mut blocks = Blocks::default();
        // Back to back, so that a join across segments would be seen.
        (0..segments).for_each(|i| blocks.add_segment(SEGMENT * (i + 1), SEGMENT));
        blocks
    }

    #[test]
    fn the_best_fit_is_taken_and_neighbours_join() {
        let mut b = blocks(1);
        let at: Vec<u64> = [8, 2, 4, 2, 48].map(|n| b.take(n * ALIGNMENT, SHARED).unwrap()).into();
        assert_eq!(b.take(ALIGNMENT, SHARED), None);
        b.give(at[0]);
        b.give(at[2]);
        assert_eq!(b.take(3 * ALIGNMENT, SHARED), Some(at[2]), "four fit better than eight");
        b.give(at[2]);
        b.give(at[1]);
        assert_eq!(b.take(14 * ALIGNMENT, SHARED), Some(at[0]), "eight, two and four became one");
        assert_eq!(b.give(at[0] + ALIGNMENT), None, "nothing starts there");
    }

    #[test]
    fn a_graph_keeps_its_pool_and_what_others_held() {
        let mut b = blocks(1);
        let input = b.take(ALIGNMENT, SHARED).unwrap();
        let pins = b.pin_all();
        let activation = b.take(4 * ALIGNMENT, 1).unwrap();
        b.give(activation);
        b.give(input);
        assert_eq!(b.take(4 * ALIGNMENT, 1), Some(activation), "the graph uses its own memory again");
        b.give(activation);
        let others: Vec<u64> = std::iter::from_fn(|| b.take(ALIGNMENT, SHARED)).collect();
        assert_eq!(others.len(), 64 - 5, "neither the pool nor the pinned input went to others");
        assert!(!others.contains(&input) && !others.contains(&activation));
        others.iter().for_each(|&at| assert_eq!(b.give(at), Some(ALIGNMENT)));
        b.unpin(&pins);
        b.dissolve(1);
        assert_eq!(b.remove_idle_segments(), [(SEGMENT, SEGMENT)], "all of it is whole again");
    }

    proptest! {
        /// Whatever is taken and given back: ranges never overlap, and once all is back each segment is whole.
        #[test]
        fn ranges_never_overlap_and_grow_whole_again(steps in prop::collection::vec((1u64..20, 0usize..40, 0u32..3), 1..200)) {
            let mut b = blocks(3);
            let mut held: Vec<(u64, u64)> = Vec::new();
            for (units, which, pool) in steps {
                if which < held.len() {
                    let (at, bytes) = held.swap_remove(which);
                    prop_assert_eq!(b.give(at), Some(bytes));
                } else if let Some(at) = b.take(units * ALIGNMENT, pool) {
                    let bytes = units * ALIGNMENT;
                    prop_assert!(held.iter().all(|&(other, size)| at + bytes <= other || other + size <= at));
                    prop_assert!((1..=3).any(|s| SEGMENT * s <= at && at + bytes <= SEGMENT * (s + 1)));
                    held.push((at, bytes));
                }
            }
            for (at, bytes) in held {
                prop_assert_eq!(b.give(at), Some(bytes));
            }
            b.dissolve(1);
            b.dissolve(2);
            prop_assert_eq!(b.remove_idle_segments().len(), 3);
            prop_assert!(b.ranges.is_empty() && b.idle.is_empty());
        }
    }
}
