//! The checker against the definition of happens-before, on random events.

use super::{ALL, Effect, Machine, Place};

const THREADS: usize = 64;
const WORDS: usize = 2;

/// A full vector clock for each thread of one block, and every access to each word.
struct Plain {
    clocks: Vec<[u32; THREADS]>,
    accesses: Vec<Vec<(usize, u32, bool)>>,
}

impl Plain {
    fn new() -> Self {
        let mut clocks = vec![[0; THREADS]; THREADS];
        (0..THREADS).for_each(|thread| clocks[thread][thread] = 1);
        Plain { clocks, accesses: vec![Vec::new(); WORDS] }
    }

    fn join(&mut self, threads: &[usize]) {
        let mut sum = [0; THREADS];
        for &thread in threads {
            for (sum, clock) in sum.iter_mut().zip(&self.clocks[thread]) {
                *sum = clock.max(sum).to_owned();
            }
        }
        for &thread in threads {
            self.clocks[thread] = sum;
            self.clocks[thread][thread] += 1;
        }
    }

    /// True if the access races with an earlier one.
    fn races(&mut self, thread: usize, word: usize, writes: bool) -> bool {
        let clocks = &self.clocks[thread];
        let unordered = |&(other, at, wrote): &(usize, u32, bool)| {
            other != thread && at > clocks[other] && (wrote || writes)
        };
        let racing = self.accesses[word].iter().any(unordered);
        self.accesses[word].push((thread, clocks[thread], writes));
        racing
    }
}

/// Numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One random kernel, until its first race. Partial warp barriers only if `partial`. True if it raced.
fn kernel(seed: u64, partial: bool) -> bool {
    let mut random = Random(seed);
    let (mut m, mut plain) = (Machine::new(), Plain::new());
    let lanes = |warp: u32, mask: u32| -> Vec<usize> {
        (0..32).filter(|lane| mask >> lane & 1 == 1).map(|lane| (warp * 32 + lane) as usize).collect()
    };
    for step in 0..300 {
        let warp = random.below(2) as u32;
        match random.below(20) {
            0..=4 => {
                m.blocks[0].barrier();
                plain.join(&(0..THREADS).collect::<Vec<_>>());
            }
            5..=8 => {
                m.blocks[0].warp_barrier(&mut m.races, warp, ALL, ALL);
                plain.join(&lanes(warp, ALL));
            }
            9..=12 if partial => {
                let mask = 1 << random.below(4) | 1 << random.below(4);
                m.blocks[0].warp_barrier(&mut m.races, warp, mask, ALL);
                plain.join(&lanes(warp, mask));
            }
            kind => {
                // Few lanes and few words, so that they meet; mostly reads, so that many readers gather.
                let thread = warp * 32 + random.below(3) as u32;
                let word = random.below(WORDS as u64);
                let writes = kind == 19;
                let effect = if writes { Effect::WRITE } else { Effect::READ };
                let got = m.thread(0, thread, Place::Shared, effect, 4 * word, step).is_err();
                let expected = plain.races(thread as usize, word as usize, writes);
                assert_eq!(
                    got, expected,
                    "seed {seed} step {step}: thread {thread} word {word} writes {writes}"
                );
                if expected {
                    return true;
                }
            }
        }
    }
    false
}

pub(super) fn compare() {
    for partial in [false, true] {
        let raced = (0..500).filter(|&seed| kernel(seed, partial)).count();
        assert!(raced > 100, "few of the random kernels raced: {raced}");
    }
}
