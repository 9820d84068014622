//! The tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl, *Algorithms for Hyper-Parameter Optimization*,
//! NIPS 2011, §4).
//!
//! What was seen is split at the quantile γ of the loss. l is the density of the points below it, g that of the others, and the
//! expected improvement of a point x grows with l(x) / g(x): so candidates are drawn from l, and that of the largest ratio is
//! proposed. The settings of a point are treated as independent of each other, so that its density is a product.
//!
//! γ and the number of candidates were chosen on four other functions and other seeds than those of the test.

use crate::parzen::Parzen;
use crate::sampler::{Observation, random};
use crate::space::{Axis, Domain, Space, Value};
use crate::{Draws, Error, Result};

/// Streams of proposals, apart from those of random points of the same seed.
const STREAMS: u64 = 1 << 40;

/// The settings of the estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tpe {
    /// Random points before the first that is chosen.
    pub startup: usize,
    /// γ: the share of the points that count as good; rounded up to whole points.
    pub gamma: f64,
    /// Points drawn from l for each proposal.
    pub candidates: usize,
}

impl Default for Tpe {
    fn default() -> Self {
        Self { startup: 10, gamma: 0.25, candidates: 24 }
    }
}

impl Tpe {
    /// The settings, checked.
    ///
    /// # Errors
    /// Unless 0 < γ < 1 and there are candidates.
    pub fn new(startup: usize, gamma: f64, candidates: usize) -> Result<Self> {
        if !(gamma > 0.0 && gamma < 1.0) {
            return Err(Error::Number { what: "gamma", expected: "above 0 and below 1" });
        }
        if candidates == 0 {
            return Err(Error::Number { what: "candidates", expected: "at least 1" });
        }
        Ok(Self { startup, gamma, candidates })
    }

    /// The point to try after `past`. The first ones are those of a random search of the same seed.
    pub fn propose(&self, space: &Space, seed: u64, past: &[Observation]) -> Vec<Value> {
        // If nothing has a loss yet, nothing is better than anything else.
        if past.len() < self.startup || past.iter().all(|seen| seen.finite_loss().is_none()) {
            return random(space, seed, past.len());
        }
        let (good, bad) = self.split(past);
        let mut draws = Draws::new(seed, STREAMS + past.len() as u64);
        let of_setting = |i: usize, domain| {
            let values = |seen: &[&Observation]| -> Vec<Value> {
                seen.iter().filter_map(|seen| seen.point.get(i).cloned()).collect()
            };
            [Estimate::new(domain, &values(&good)), Estimate::new(domain, &values(&bad))]
        };
        let settings = space.parameters().iter().enumerate();
        let estimates: Vec<_> = settings.map(|(i, (_, domain))| of_setting(i, domain)).collect();
        best(&estimates, self.candidates, &mut draws)
    }

    /// The points that did best, and the others; what has no loss is among the others.
    fn split<'a>(&self, past: &'a [Observation]) -> (Vec<&'a Observation>, Vec<&'a Observation>) {
        let mut order: Vec<&Observation> = past.iter().collect();
        let loss = |seen: &Observation| seen.finite_loss().unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        let scored = order.iter().filter(|seen| seen.finite_loss().is_some()).count();
        let good = ((self.gamma * past.len() as f64).ceil() as usize).clamp(1, scored.max(1));
        let bad = order.split_off(good);
        (order, bad)
    }
}

/// Of the points drawn from l, the one for which l / g is largest; the first of those that tie.
fn best(estimates: &[[Estimate<'_>; 2]], candidates: usize, draws: &mut Draws) -> Vec<Value> {
    let (mut chosen, mut largest) = (Vec::new(), f64::NEG_INFINITY);
    for candidate in 0..candidates {
        let point: Vec<Value> = estimates.iter().map(|[l, _]| l.draw(draws)).collect();
        let ratio = |([l, g], value): (&[Estimate<'_>; 2], &Value)| {
            libm::log(l.likelihood(value)) - libm::log(g.likelihood(value))
        };
        let sum: f64 = estimates.iter().zip(&point).map(ratio).sum();
        if sum > largest || candidate == 0 {
            (chosen, largest) = (point, sum);
        }
    }
    chosen
}

/// How likely the values of one setting are.
enum Estimate<'d> {
    /// On a line.
    Numbers(Axis<'d>, Parzen),
    /// Of a list: its values, how often each was seen, and one more.
    Counts(&'d [Value], Vec<usize>),
}

impl<'d> Estimate<'d> {
    fn new(domain: &'d Domain, seen: &[Value]) -> Self {
        match (Axis::of(domain), domain) {
            (Some(axis), _) => {
                let places = seen.iter().map(|value| axis.place(value));
                let places = places.filter(|place| (axis.low..=axis.high).contains(place)).collect();
                Self::Numbers(axis, Parzen::new(axis.low, axis.high, places))
            }
            (None, Domain::Choice(values)) => {
                let count = |value| 1 + seen.iter().filter(|seen| *seen == value).count();
                Self::Counts(values, values.iter().map(count).collect())
            }
            (None, _) => Self::Counts(&[], Vec::new()),
        }
    }

    fn draw(&self, draws: &mut Draws) -> Value {
        match self {
            Self::Numbers(axis, parzen) => axis.value(parzen.draw(draws)),
            Self::Counts(values, counts) => {
                let mut left = draws.below(counts.iter().sum());
                let chosen = values.iter().zip(counts).find(|(_, count)| {
                    let here = left < **count;
                    left = left.saturating_sub(**count);
                    here
                });
                chosen.map_or(Value::Word(String::new()), |(value, _)| value.clone())
            }
        }
    }

    /// A density for real numbers, a probability for the others.
    fn likelihood(&self, value: &Value) -> f64 {
        match self {
            Self::Numbers(axis, parzen) => match axis.stretch(value) {
                Some((from, to)) => parzen.probability(from, to),
                None => parzen.density(axis.place(value)),
            },
            Self::Counts(values, counts) => {
                let count = values.iter().position(|own| own == value).map_or(0, |i| counts[i]);
                count as f64 / counts.iter().sum::<usize>().max(1) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests;
