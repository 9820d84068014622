//! Whether a model is as often right as it says.
//!
//! Source: Guo et al., "On calibration of modern neural networks", ICML 2017; Brier, "Verification of forecasts expressed
//! in terms of probability", 1950.

use crate::error::same_length;
use crate::{Error, Result};

/// Predictions whose confidence lies in one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The interval is open below, but for the first.
    pub low: f64,
    /// The interval is closed above.
    pub high: f64,
    /// How many predictions lie in it.
    pub count: usize,
    /// Their mean confidence; NaN if there are none.
    pub confidence: f64,
    /// The share that came true; NaN if there are none.
    pub accuracy: f64,
}

/// Sorts predictions into `bins` intervals of equal width: `confidence[i]` was given to what came true, or not, by
/// `came_true[i]`.
///
/// # Errors
/// If the lengths differ, there are no predictions or no bins, or a confidence is no probability.
pub fn reliability(confidence: &[f64], came_true: &[bool], bins: usize) -> Result<Vec<Bin>> {
    check(confidence, came_true)?;
    if bins == 0 {
        return Err(Error::Zero { what: "the number of bins" });
    }
    let edge = |i: usize| i as f64 / bins as f64;
    let mut sums = vec![(0_usize, 0.0, 0_usize); bins];
    for (&p, &came) in confidence.iter().zip(came_true) {
        // The product may be off by one where p is an edge.
        let guess = ((p * bins as f64).ceil() as usize).clamp(1, bins);
        let bin = (guess.saturating_sub(1)..=bins).find(|&i| p <= edge(i)).unwrap_or(bins).max(1) - 1;
        let (count, total, right) = &mut sums[bin];
        *count += 1;
        *total += p;
        *right += usize::from(came);
    }
    let made = sums.into_iter().enumerate().map(|(i, (count, total, right))| {
        let mean = |sum: f64| if count > 0 { sum / count as f64 } else { f64::NAN };
        Bin { low: edge(i), high: edge(i + 1), count, confidence: mean(total), accuracy: mean(right as f64) }
    });
    Ok(made.collect())
}

/// Expected calibration error: the distance between confidence and accuracy, averaged over predictions. NaN if all bins
/// are empty.
pub fn expected_error(bins: &[Bin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.count).sum();
    let filled = bins.iter().filter(|bin| bin.count > 0);
    filled.map(|bin| bin.count as f64 * (bin.confidence - bin.accuracy).abs()).sum::<f64>() / total as f64
}

/// Brier score of forecasts of one event: the mean of (p − outcome)². 0 is best.
///
/// # Errors
/// As [`reliability`].
pub fn brier(probability: &[f64], came_true: &[bool]) -> Result<f64> {
    check(probability, came_true)?;
    let square = |(p, &came): (&f64, &bool)| (p - f64::from(u8::from(came))).powi(2);
    Ok(probability.iter().zip(came_true).map(square).sum::<f64>() / probability.len() as f64)
}

fn check(probability: &[f64], came_true: &[bool]) -> Result<()> {
    same_length(("probabilities", probability.len()), ("outcomes", came_true.len()))?;
    if probability.is_empty() {
        return Err(Error::Empty { what: "probabilities" });
    }
    match probability.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(index) => Err(Error::Probability { index, value: probability[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below_it() {
        for bins in [1, 3, 10, 15, 49] {
            for i in 0..=bins {
                let p = i as f64 / bins as f64;
                let found = reliability(&[p], &[true], bins).unwrap();
                let bin = found.iter().position(|bin| bin.count == 1).unwrap();
                assert_eq!(bin, i.max(1) - 1, "{i} of {bins}");
            }
        }
    }

    #[test]
    fn a_forecaster_who_is_right_as_often_as_he_says_has_no_error() {
        let p = [0.75, 0.75, 0.75, 0.75, 0.5, 0.5];
        let came = [true, true, false, true, false, true];
        let bins = reliability(&p, &came, 10).unwrap();
        assert_eq!(expected_error(&bins), 0.0);
        assert_eq!(brier(&p, &came).unwrap(), (3.0 * 0.0625 + 0.5625 + 0.5) / 6.0);
    }

    #[test]
    fn what_is_no_forecast_is_refused() {
        let why = |p: &[f64], came: &[bool], bins| reliability(p, came, bins).unwrap_err().to_string();
        assert_eq!(why(&[0.5], &[], 2), "1 probabilities and 0 outcomes: there must be one for each");
        assert_eq!(why(&[], &[], 2), "there are no probabilities to score");
        assert_eq!(why(&[0.5, 1.5], &[true; 2], 2), "probability 1 is 1.5: it must lie in 0..=1");
        assert!(why(&[f64::NAN], &[true], 2).contains("NaN"));
        assert_eq!(why(&[0.5], &[true], 0), "the number of bins must be at least 1");
        assert!(brier(&[-0.1], &[true]).is_err());
    }
}
