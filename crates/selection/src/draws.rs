//! Random numbers in order, from a stream of a seed.

use std::f64::consts::TAU;

use warpsmith_tensor::rng::philox;

/// The numbers of one stream of a seed, one after the other: the engine's Philox, in double precision.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: u64,
    stream: u64,
    next: u64,
}

impl Draws {
    /// Stream number `stream` of a seed, at its first number.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, next: 0 }
    }

    /// 64 random bits.
    fn bits(&mut self) -> u64 {
        let [low, high, ..] = philox(self.seed, self.stream, self.next);
        self.next += 1;
        u64::from(high) << 32 | u64::from(low)
    }

    /// A number in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A whole number in `0..bound`, 0 if that is empty. Its bias is below `bound / 2⁶⁴`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number of the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 - u lies in (0, 1], so that its logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(TAU * self.unit())
    }

    /// Puts a list in a random order (Fisher and Yates; Knuth, *Seminumerical Algorithms*, 3.4.2 P).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (n, mut draws) = (40_000, Draws::new(3, 1));
        let units: Vec<f64> = (0..n).map(|_| draws.unit()).collect();
        let normals: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let square = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64;
        // Six standard errors: sd of u is 0.289, of u² 0.298, of z 1, of z² 1.414.
        let bound = |sd: f64| 6.0 * sd / (n as f64).sqrt();
        assert!((mean(&units) - 0.5).abs() < bound(0.289) && units.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((square(&units) - 1.0 / 3.0).abs() < bound(0.298));
        assert!(mean(&normals).abs() < bound(1.0) && (square(&normals) - 1.0).abs() < bound(1.414));
    }

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let first = |seed, stream| Draws::new(seed, stream).unit();
        assert_eq!(first(1, 2), first(1, 2));
        assert!(first(1, 2) != first(1, 3) && first(1, 2) != first(2, 2));
        let mut order: Vec<usize> = (0..50).collect();
        Draws::new(1, 0).shuffle(&mut order);
        assert!(order != (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
