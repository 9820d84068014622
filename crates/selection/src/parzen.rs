//! Densities from few observations (Parzen 1962), on a stretch of a line: Gaussians cut off at its ends, and the uniform prior.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use crate::Draws;

/// An equal mixture of the uniform density and of a Gaussian, cut off at the ends, for each observation.
pub(crate) struct Parzen {
    low: f64,
    high: f64,
    bumps: Vec<Bump>,
}

/// A Gaussian on the stretch.
#[derive(Clone, Copy, Debug)]
struct Bump {
    centre: f64,
    width: f64,
    /// The share of the whole Gaussian that lies on the stretch.
    inside: f64,
}

impl Parzen {
    /// The estimate from observations between `low` and `high`.
    ///
    /// The standard deviation of each Gaussian is the greater of the distances to its neighbours, the ends of the stretch being
    /// neighbours too (Bergstra et al. 2011, §4). It is kept between the stretch and a share of it that shrinks with the number
    /// of observations, down to a hundredth: points that coincide would else be needles that nothing gets away from.
    pub fn new(low: f64, high: f64, mut places: Vec<f64>) -> Self {
        places.sort_by(f64::total_cmp);
        let range = high - low;
        let least = range / (places.len() as f64 + 1.0).min(100.0);
        let bump = |(i, &centre): (usize, &f64)| {
            let before = if i == 0 { low } else { places[i - 1] };
            let behind = places.get(i + 1).copied().unwrap_or(high);
            let width = (centre - before).max(behind - centre).clamp(least, range);
            Bump { centre, width, inside: mass(centre, width, low, high) }
        };
        Self { low, high, bumps: places.iter().enumerate().map(bump).collect() }
    }

    /// A place drawn from the estimate.
    pub fn draw(&self, draws: &mut Draws) -> f64 {
        let component = draws.below(self.bumps.len() + 1);
        let Some(bump) = component.checked_sub(1).map(|i| self.bumps[i]) else {
            return self.low + draws.unit() * (self.high - self.low);
        };
        // The centre lies on the stretch, and no Gaussian is wider than that: a third of the draws at least are inside.
        for _ in 0..200 {
            let place = bump.centre + bump.width * draws.normal();
            if (self.low..=self.high).contains(&place) {
                return place;
            }
        }
        bump.centre
    }

    /// The density at a place.
    pub fn density(&self, place: f64) -> f64 {
        let gauss = |bump: &Bump| {
            let z = (place - bump.centre) / bump.width;
            libm::exp(-0.5 * z * z) / (TAU.sqrt() * bump.width * bump.inside)
        };
        let sum: f64 = self.bumps.iter().map(gauss).sum();
        (1.0 / (self.high - self.low) + sum) / (self.bumps.len() as f64 + 1.0)
    }

    /// The probability of a stretch.
    pub fn probability(&self, from: f64, to: f64) -> f64 {
        let of = |bump: &Bump| mass(bump.centre, bump.width, from, to) / bump.inside;
        let sum: f64 = self.bumps.iter().map(of).sum();
        ((to - from) / (self.high - self.low) + sum) / (self.bumps.len() as f64 + 1.0)
    }
}

/// The share of a Gaussian between two places.
fn mass(centre: f64, width: f64, from: f64, to: f64) -> f64 {
    let upto = |place: f64| 0.5 * libm::erf((place - centre) / width * FRAC_1_SQRT_2);
    upto(to) - upto(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_add_up_to_one_and_probabilities_are_their_integrals() {
        for places in [vec![], vec![0.0], vec![-1.0, -1.0, 2.5], vec![-0.9, 0.1, 0.11, 2.9]] {
            let parzen = Parzen::new(-1.0, 3.0, places.clone());
            let steps = 4000;
            let mid = |i: i32| -1.0 + 4.0 * (f64::from(i) + 0.5) / f64::from(steps);
            let area = |from: i32, to: i32| {
                (from..to).map(|i| parzen.density(mid(i))).sum::<f64>() * 4.0 / f64::from(steps)
            };
            assert!((area(0, steps) - 1.0).abs() < 1e-5, "{places:?}: {}", area(0, steps));
            assert!((parzen.probability(-1.0, 3.0) - 1.0).abs() < 1e-12);
            assert!((parzen.probability(0.0, 1.0) - area(1000, 2000)).abs() < 1e-5, "{places:?}");
        }
    }

    #[test]
    fn widths_are_the_farther_neighbour_and_have_a_floor() {
        let widths = |places: Vec<f64>| -> Vec<f64> {
            Parzen::new(0.0, 10.0, places).bumps.iter().map(|bump| bump.width).collect()
        };
        assert_eq!(widths(vec![5.0]), [5.0]);
        assert_eq!(widths(vec![9.0, 1.0]), [8.0, 8.0]);
        // Neighbours at 0, 4, 4 and 10: the first 4 is 4 from the end, the second 6 from the other.
        assert_eq!(widths(vec![4.0, 4.0]), [4.0, 6.0]);
        let needles = widths(vec![10.0; 20]);
        assert!(needles[1..].iter().all(|width| (width - 10.0 / 21.0).abs() < 1e-12), "{needles:?}");
    }

    #[test]
    fn draws_follow_the_density() {
        let parzen = Parzen::new(0.0, 1.0, vec![0.1, 0.12, 0.2]);
        let (n, mut draws) = (20_000, Draws::new(1, 1));
        let mut counts = [0.0; 10];
        for _ in 0..n {
            let place = parzen.draw(&mut draws);
            assert!((0.0..=1.0).contains(&place));
            counts[((place * 10.0) as usize).min(9)] += 1.0 / f64::from(n);
        }
        for (i, share) in counts.iter().enumerate() {
            let expected = parzen.probability(i as f64 / 10.0, (i + 1) as f64 / 10.0);
            // Six standard errors of a share.
            let bound = 6.0 * (expected * (1.0 - expected) / f64::from(n)).sqrt();
            assert!((share - expected).abs() < bound, "{i}: {share} for {expected}");
        }
    }
}
