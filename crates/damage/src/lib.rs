//! Files from strangers, for tests: every way to cut a file off and to flip one of its bits, edits at random, and the memory
//! that reading one takes, held to four times its size and a mebibyte.
//!
//! A test program that asks for memory to be counted installs the counter:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: warpsmith_damage::Counting = warpsmith_damage::Counting;
//!
//! let text = warpsmith_damage::fair(5, || String::from("short"));
//! assert_eq!(text, "short");
//! ```
#![warn(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;

/// The system's allocator, which counts what each thread has asked for and not given back, and the most that it ever was.
pub struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that is ending has no counters any more, and nobody who asks.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: both calls are the system allocator's, with the arguments as they came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `read` gives, and how many bytes this thread held at most while it ran, beyond what it held before.
///
/// # Panics
/// If [`Counting`] is not the program's allocator.
pub fn taken<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let found = read();
    let most = MOST.get() - before;
    drop(std::hint::black_box(Box::new(0u64)));
    assert!(MOST.get() >= NOW.get() + 8, "install warpsmith_damage::Counting as the global allocator");
    (found, most as usize)
}

/// What `read` gives of an input of `len` bytes.
///
/// # Panics
/// If it takes more than four times as much memory and a mebibyte.
pub fn fair<T>(len: usize, read: impl FnOnce() -> T) -> T {
    let (found, taken) = taken(read);
    assert!(taken <= 4 * len + (1 << 20), "{taken} bytes of memory for an input of {len}");
    found
}

/// Every file that begins as this one and is shorter.
pub fn cut_off(whole: &[u8], mut each: impl FnMut(&[u8])) {
    (0..whole.len()).for_each(|length| each(&whole[..length]));
}

/// Every file that differs in one bit of these bytes, with the number of the bit.
pub fn flipped(whole: &[u8], bytes: Range<usize>, mut each: impl FnMut(&[u8], usize)) {
    let mut file = whole.to_vec();
    for bit in 8 * bytes.start..8 * bytes.end {
        file[bit / 8] ^= 1 << (bit % 8);
        each(&file, bit);
        file[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Numbers without order (Marsaglia, *Xorshift RNGs*, 2003), the same for the same seed.
pub struct Series(u64);

impl Series {
    /// A series of its own for each seed but 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % bound.max(1)
    }
}

/// Files that differ from this one in up to four places of these bytes: bytes changed, doubled and left out, bits flipped, and
/// digits put where digits were, since a number that is another is the nastiest change.
pub fn edited(whole: &[u8], bytes: Range<usize>, rounds: usize, seed: u64, mut each: impl FnMut(&[u8])) {
    let mut series = Series::new(seed);
    let mut file = Vec::with_capacity(whole.len() + 4);
    for _ in 0..rounds {
        file.clear();
        file.extend_from_slice(whole);
        for _ in 0..=series.below(4) {
            let at = (bytes.start + series.below(bytes.len())).min(file.len().saturating_sub(1));
            match series.below(5) {
                0 => file[at] = series.below(256) as u8,
                1 => file.insert(at, file[at]),
                2 if file.len() > 1 => drop(file.remove(at)),
                3 => file[at] ^= 1 << series.below(8),
                _ if file[at].is_ascii_digit() => file[at] = b'0' + series.below(10) as u8,
                _ => file.insert(at, b'9'),
            }
        }
        each(&file);
    }
}

/// How many edits a test makes of each file: `rounds`, or what `WARPSMITH_EDITS` says.
pub fn rounds(rounds: usize) -> usize {
    std::env::var("WARPSMITH_EDITS").ok().and_then(|text| text.parse().ok()).unwrap_or(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn what_is_asked_for_and_given_back_is_counted_at_its_most() {
        let (kept, most) = taken(|| {
            drop(std::hint::black_box(vec![0u8; 3000]));
            std::hint::black_box(vec![0u8; 1000])
        });
        assert_eq!((kept.len(), most), (1000, 3000));
        assert_eq!(fair(1, || vec![0u8; (1 << 20) + 4]).len(), (1 << 20) + 4);
        assert!(std::panic::catch_unwind(|| fair(1, || vec![0u8; (1 << 20) + 5]).len()).is_err());
    }

    #[test]
    fn damage_is_whole_and_the_same_each_time() {
        let mut seen = Vec::new();
        cut_off(b"ab", |file| seen.push(file.to_vec()));
        assert_eq!(seen, [b"".to_vec(), b"a".to_vec()]);
        let mut bits = Vec::new();
        flipped(&[0, 0, 0], 1..2, |file, bit| bits.push((file[1], bit)));
        assert_eq!(bits, (0..8).map(|i| (1u8 << i, 8 + i)).collect::<Vec<_>>());
        let of = |seed| {
            let mut all = Vec::new();
            edited(b"n: 12", 0..5, 50, seed, |file| all.push(file.to_vec()));
            all
        };
        assert_eq!(of(3), of(3));
        assert!(of(3) != of(4) && of(3).iter().filter(|file| *file != b"n: 12").count() > 40);
        edited(b"x", 0..1, 50, 1, |file| assert!(!file.is_empty()));
    }
}
