//! Counter-based random numbers: Philox4x32-10 (Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*,
//! SC 2011). Number `i` of stream `s` is a pure function of (seed, s, i), so any device can compute any part
//! of a stream in any order, and the whole state of a generator is three integers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seed of a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

/// Ten rounds of Philox: four 32-bit words for one 128-bit counter under one 64-bit key.
#[inline(always)]
pub fn philox(key: u64, stream: u64, counter: u64) -> [u32; 4] {
    const MULTIPLIER: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    // The golden ratio and √3 − 1 in 32 bits: the Weyl sequence that changes the key each round.
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let mut c = [counter as u32, (counter >> 32) as u32, stream as u32, (stream >> 32) as u32];
    let mut k = [key as u32, (key >> 32) as u32];
    for _ in 0..10 {
        let (p0, p1) = (MULTIPLIER[0] * c[0] as u64, MULTIPLIER[1] * c[2] as u64);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// Number `index` of a stream as 32 random bits: word `index % 4` of block `index / 4`.
#[inline(always)]
pub fn bits(seed: Seed, stream: u64, index: u64) -> u32 {
    philox(seed.0, stream, index / 4)[(index % 4) as usize]
}

/// Numbers `first` to `first + 63` of a stream: those of [`bits`], sixteen blocks side by side in vector registers if they
/// begin with the first word of a block. Call inside [`dispatch`](crate::cpu::dispatch).
#[inline(always)]
pub fn bits_of_64(seed: Seed, stream: u64, first: u64) -> [u32; 64] {
    const BLOCKS: usize = 16;
    let mut drawn = [0; 4 * BLOCKS];
    if !first.is_multiple_of(4) {
        for (i, drawn) in (first..).zip(&mut drawn) {
            *drawn = bits(seed, stream, i);
        }
        return drawn;
    }
    // Words apart, so that the rounds of all blocks are the same steps of 16 lanes.
    let mut words = [[0; BLOCKS]; 4];
    for i in 0..BLOCKS {
        let [a, b, c, d] = philox(seed.0, stream, first / 4 + i as u64);
        (words[0][i], words[1][i], words[2][i], words[3][i]) = (a, b, c, d);
    }
    for i in 0..BLOCKS {
        for (word, words) in words.iter().enumerate() {
            drawn[4 * i + word] = words[i];
        }
    }
    drawn
}

/// 32 random bits as a number in [0, 1): a multiple of 2⁻²⁴, so that it is exact in f32.
#[inline(always)]
pub fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Streams of one round of a generator: see [`Rng::round`].
const STREAMS_PER_ROUND: u64 = 1 << 32;

/// A generator: hands out streams. Cloning shares it, so all layers of a model can draw from one.
///
/// Its state is (seed, next stream): saved in checkpoints, set again on resume.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: Seed,
    next: Arc<AtomicU64>,
}

impl Rng {
    /// A generator at its first stream.
    pub fn new(seed: Seed) -> Self {
        Self::restore(seed, 0)
    }

    /// A generator in a saved state.
    pub fn restore(seed: Seed, next_stream: u64) -> Self {
        Self { seed, next: Arc::new(AtomicU64::new(next_stream)) }
    }

    /// The seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The number of the stream that the next call of [`Rng::stream`] hands out.
    pub fn next_stream(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// A stream of its own for one use: one dropout mask, one initialised weight, one sampled token.
    pub fn stream(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A generator of the same seed for round `number` of work that is done again and again: stream i of a round is stream
    /// i of round 0 plus 2³² for each round, for its children too. So a device that has recorded one round can draw the
    /// numbers of any other.
    pub fn round(&self, number: u64) -> Self {
        Self::restore(self.seed, number.wrapping_mul(STREAMS_PER_ROUND))
    }

    /// A generator of its own, with a seed drawn from this one: for a part of the model that may run twice.
    pub fn child(&self) -> Self {
        let stream = self.stream();
        let number = stream % STREAMS_PER_ROUND;
        // The last counter of the stream: no stream is long enough to use it for numbers.
        let [a, b, ..] = philox(self.seed.0, number, u64::MAX);
        Self::restore(Seed(((a as u64) << 32) | b as u64), stream - number)
    }

    /// A generator of the same seed, at the first stream of its round: it hands out the same streams once more.
    pub fn restart(&self) -> Self {
        let next = self.next_stream();
        Self::restore(self.seed, next - next % STREAMS_PER_ROUND)
    }

    /// `n` numbers, uniform in [0, 1).
    pub fn uniform(&self, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        self.fill_uniform(&mut out);
        out
    }

    /// Overwrites `out` with numbers, uniform in [0, 1).
    pub fn fill_uniform(&self, out: &mut [f32]) {
        let stream = self.stream();
        for (i, out) in (0..).zip(out) {
            *out = unit(bits(self.seed, stream, i));
        }
    }

    /// `n` numbers of the standard normal distribution, by Box and Muller's transform in f64.
    pub fn normal(&self, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        self.fill_normal(&mut out);
        out
    }

    /// Overwrites `out` with numbers of the standard normal distribution: those of [`Rng::normal`].
    pub fn fill_normal(&self, out: &mut [f32]) {
        let stream = self.stream();
        for (block, out) in (0..).zip(out.chunks_mut(2)) {
            let [a, b, c, _] = philox(self.seed.0, stream, block);
            // 53 bits for the radius, so that the tails reach beyond 8σ; +1 keeps the logarithm's argument above 0.
            let u = ((((a as u64) << 21) | (b as u64 >> 11)) + 1) as f64 / (1u64 << 53) as f64;
            let radius = (-2.0 * u.ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * (c as f64 / 4_294_967_296.0)).sin_cos();
            out.iter_mut().zip([radius * cos, radius * sin]).for_each(|(out, drawn)| *out = drawn as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_the_numbers_one_by_one() {
        for first in [0, 1, 4, 63, 1 << 34, (1 << 34) + 2] {
            let alone: Vec<u32> = (first..first + 64).map(|i| bits(Seed(5), 9, i)).collect();
            assert_eq!(bits_of_64(Seed(5), 9, first)[..], alone);
        }
    }

    /// The known answers that the authors' Random123 library ships for philox4x32-10.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox(0, 0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox(u64::MAX, u64::MAX, u64::MAX),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        // counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0
        assert_eq!(
            philox(0x299f_31d0_a409_3822, 0x0370_7344_1319_8a2e, 0x85a3_08d3_243f_6a88),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let n = 200_000;
        let x = Rng::new(Seed(7)).normal(n);
        let moment = |k: i32| x.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / n as f64;
        // Five standard errors of each sample moment.
        let band = |variance: f64| 5.0 * (variance / n as f64).sqrt();
        assert!(moment(1).abs() < band(1.0));
        assert!((moment(2) - 1.0).abs() < band(2.0));
        assert!(moment(3).abs() < band(15.0));
        assert!((moment(4) - 3.0).abs() < band(96.0));
    }

    #[test]
    fn streams_differ_and_a_restored_generator_goes_on_where_it_was() {
        let rng = Rng::new(Seed(1));
        let first = rng.uniform(8);
        let state = rng.next_stream();
        let second = rng.uniform(8);
        assert_ne!(first, second);
        assert_eq!(Rng::restore(Seed(1), state).uniform(8), second);
        assert!(first.iter().all(|u| (0.0..1.0).contains(u)));
    }

    #[test]
    fn rounds_differ_by_a_fixed_step_in_children_too() {
        let rng = Rng::new(Seed(9));
        let (first, later) = (rng.round(0), rng.round(5));
        for _ in 0..3 {
            assert_eq!(later.stream(), first.stream() + (5 << 32));
            let (a, b) = (first.child(), later.child());
            assert_eq!(a.seed(), b.seed());
            assert_eq!((a.stream(), b.stream()), (0, 5 << 32));
            assert_eq!((a.restart().stream(), b.restart().stream()), (0, 5 << 32));
        }
        assert_eq!(rng.stream(), 0, "a round leaves its generator alone");
    }
}
