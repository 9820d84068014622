//! How often each class occurs, and how to draw as if all occurred alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use warpsmith_text::Draws;

use crate::{Error, Result};

/// How often each class occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Documents of each class.
    pub counts: BTreeMap<String, usize>,
}

impl Balance {
    /// Counts labels.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts = BTreeMap::new();
        for label in labels {
            *counts.entry(label.to_string()).or_insert(0) += 1;
        }
        Self { counts }
    }

    /// The most frequent class over the least frequent; `None` if there are no classes.
    pub fn ratio(&self) -> Option<f64> {
        Some(*self.counts.values().max()? as f64 / *self.counts.values().min()? as f64)
    }

    /// The share of the most frequent class: the accuracy of always naming it. `None` if there are no classes.
    pub fn majority(&self) -> Option<f64> {
        Some(*self.counts.values().max()? as f64 / self.counts.values().sum::<usize>() as f64)
    }

    /// Weights for a loss: documents / (classes · documents of the class), scikit-learn's `balanced`.
    pub fn weights(&self) -> BTreeMap<String, f64> {
        let total: usize = self.counts.values().sum();
        let weight = |&count: &usize| total as f64 / (self.counts.len() * count) as f64;
        self.counts.iter().map(|(class, count)| (class.clone(), weight(count))).collect()
    }

    /// An error unless there are two classes at least.
    ///
    /// # Errors
    /// [`Error::Request`], saying what there is.
    pub fn check(&self) -> Result<()> {
        match (self.counts.len(), self.counts.first_key_value()) {
            (0, _) | (_, None) => {
                Err(Error::Request("there are no labels, so there is nothing to learn to tell apart".into()))
            }
            (1, Some((class, count))) => Err(Error::Request(format!(
                "all {count} documents are of class `{class}`: give documents of another class too"
            ))),
            _ => Ok(()),
        }
    }
}

/// Draws indices by weight, with replacement: draw i is a function of the seed and i.
#[derive(Clone, Debug)]
pub struct WeightedSampler {
    /// Sums of weights up to and with each index.
    sums: Vec<f64>,
    draws: Draws,
}

impl WeightedSampler {
    /// A sampler of indices of `weights`.
    ///
    /// # Errors
    /// If a weight is negative or not finite, or all are zero.
    pub fn new(weights: &[f64], seed: u64) -> Result<Self> {
        if let Some(index) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            let weight = weights[index];
            return Err(Error::Request(format!(
                "weight {index} is {weight}: weights are finite and not negative"
            )));
        }
        let mut sum = 0.0;
        let sums: Vec<f64> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        match sum > 0.0 && sum.is_finite() {
            true => Ok(Self { sums, draws: Draws::new(seed) }),
            false => Err(Error::Request("the weights add up to nothing that can be drawn from".into())),
        }
    }

    /// A sampler of documents by their labels, under which every class is drawn alike.
    ///
    /// # Errors
    /// If there are no labels.
    pub fn balanced(labels: &[&str], seed: u64) -> Result<Self> {
        let weights = Balance::of(labels.iter().copied()).weights();
        let weights: Vec<f64> =
            labels.iter().map(|label| weights.get(*label).copied().unwrap_or(0.0)).collect();
        Self::new(&weights, seed)
    }

    /// Draw `i`.
    pub fn at(&self, i: u64) -> usize {
        let last = self.sums.last().copied().unwrap_or(0.0);
        // 53 bits: every value in 0..1 that is a multiple of 2⁻⁵³.
        let point = (self.draws.at(i) >> 11) as f64 / (1_u64 << 53) as f64 * last;
        let index = self.sums.partition_point(|&sum| sum <= point);
        // Rounding may put the point on the last sum.
        index.min(self.sums.partition_point(|&sum| sum < last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_scikit_learn() {
        let balance = Balance::of(["a", "b", "a", "a", "c", "a"]);
        // compute_class_weight("balanced"): 6 / (3 · count)
        assert_eq!(balance.weights().into_values().collect::<Vec<_>>(), [0.5, 2.0, 2.0]);
        assert_eq!((balance.ratio(), balance.majority()), (Some(4.0), Some(4.0 / 6.0)));
        assert_eq!((Balance::default().ratio(), Balance::default().majority()), (None, None));
    }

    #[test]
    fn one_class_is_nothing_to_learn() {
        let why = |labels: &[&str]| Balance::of(labels.iter().copied()).check().unwrap_err().to_string();
        assert_eq!(why(&["x", "x"]), "all 2 documents are of class `x`: give documents of another class too");
        assert!(why(&[]).starts_with("there are no labels"));
        assert!(Balance::of(["x", "y"]).check().is_ok());
    }

    #[test]
    fn a_balanced_sampler_draws_every_class_alike() {
        let labels: Vec<&str> = (0..1000).map(|i| if i % 100 == 0 { "rare" } else { "frequent" }).collect();
        let sampler = WeightedSampler::balanced(&labels, 5).unwrap();
        let rare = (0..10_000).filter(|&i| labels[sampler.at(i)] == "rare").count();
        // Five standard deviations of a fair coin.
        assert!(rare.abs_diff(5000) < 250, "{rare}");
        assert_eq!(sampler.at(77), WeightedSampler::balanced(&labels, 5).unwrap().at(77));
    }

    #[test]
    fn weight_zero_is_never_drawn() {
        let sampler = WeightedSampler::new(&[0.0, 3.0, 0.0, 1.0, 0.0], 1).unwrap();
        let mut counts = [0; 5];
        (0..4000).for_each(|i| counts[sampler.at(i)] += 1);
        assert_eq!([counts[0], counts[2], counts[4]], [0; 3]);
        assert!(counts[1] > 2 * counts[3]);
        for weights in [&[][..], &[0.0], &[-1.0, 2.0], &[f64::NAN]] {
            assert!(WeightedSampler::new(weights, 0).is_err(), "{weights:?}");
        }
    }
}
