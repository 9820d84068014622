//! Random draws addressed by number: draw `i` of seed `s` is a pure function of `(s, i)`.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
//! read at an arbitrary place: its state after `i` steps is `start + i · γ`, so no state has to be kept, and the
//! position in the data of a training run is one integer.

/// γ, the odd constant closest to 2⁶⁴ divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection in which each input bit flips each output bit half of the time.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// One seeded sequence of 2⁶⁴ draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    start: u64,
}

impl Draws {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        // Mixed, because the plain seeds 0, γ, 2γ … would be the same sequence shifted.
        Self { start: mix(seed ^ GAMMA) }
    }

    /// The sequence number `index` below this one, for draws that need draws of their own.
    pub fn child(self, index: u64) -> Self {
        Self::new(self.at(index))
    }

    /// Draw `index`: 64 uniform bits.
    pub fn at(self, index: u64) -> u64 {
        mix(self.start.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// Draw `index` scaled to `0..bound` by the high half of a product; the bias is below `bound / 2⁶⁴`.
    pub fn below(self, index: u64, bound: u64) -> u64 {
        let product = u128::from(self.at(index)) * u128::from(bound);
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // First outputs of the published C program for seed 1234567.
        let published = Draws { start: 1_234_567 };
        let want = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([0, 1, 2].map(|i| published.at(i)), want);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let draws = Draws::new(7);
        let mut seen = [0_u32; 10];
        for index in 0..10_000 {
            seen[draws.below(index, 10) as usize] += 1;
        }
        // 1000 expected with a standard deviation of 30; 6 of them either way.
        assert!(seen.iter().all(|&count| (820..1180).contains(&count)), "{seen:?}");
    }

    #[test]
    fn seeds_and_children_differ() {
        assert_ne!(Draws::new(0).at(0), Draws::new(1).at(0));
        assert_ne!(Draws::new(0).at(1), Draws::new(GAMMA).at(0));
        assert_ne!(Draws::new(0).child(0).at(0), Draws::new(0).child(1).at(0));
    }
}
