//! Whether one model is better than another on the same documents, or only luckier: the paired bootstrap (Efron 1979; Koehn,
//! *Statistical Significance Tests for Machine Translation Evaluation*, 2004).
//!
//! Documents are drawn with replacement, as many as there are, and both models are scored on the same draw. How the difference
//! moves from draw to draw is how it would move from test set to test set.

use crate::{Draws, Error, Result};

/// Streams of resamples, apart from those of samplers and folds of the same seed.
const STREAM: u64 = 1 << 42;

/// One model's score of one document, as a share of a whole: the score of several is Σ sum / Σ weight. For bits per byte these
/// are bits and bytes, for accuracy right answers and answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What adds up.
    pub sum: f64,
    /// Over how much.
    pub weight: f64,
}

/// What the bootstrap says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The score of the first model.
    pub first: f64,
    /// The score of the second.
    pub second: f64,
    /// First less second.
    pub difference: f64,
    /// The 2.5th and the 97.5th percentile of the differences of the draws.
    pub interval: (f64, f64),
    /// How likely a difference as large as this, of whichever sign, would be if there were none: the share of draws in which the
    /// difference lies at least as far from that of all documents as this does from 0, the documents themselves counted as one.
    pub p: f64,
    /// The share of draws in which the first score is below the second; half of those that tie.
    pub first_below: f64,
    /// How many documents.
    pub documents: usize,
    /// How many draws.
    pub draws: usize,
}

/// Compares two models by their scores of the same documents, in the same order.
///
/// # Errors
/// If the lists differ in length or hold fewer than two, a sum is not finite, a weight is not above 0, or `draws` is 0.
pub fn paired(first: &[Part], second: &[Part], draws: usize, seed: u64) -> Result<Comparison> {
    check(first, second)?;
    let score = |chosen: &[usize], parts: &[Part]| {
        let add = |(s, w): (f64, f64), &i: &usize| (s + parts[i].sum, w + parts[i].weight);
        let (sum, weight) = chosen.iter().fold((0.0, 0.0), add);
        sum / weight
    };
    paired_by(first.len(), draws, seed, |chosen| [score(chosen, first), score(chosen, second)])
}

/// As [`paired`], by scores that are no such share, as BLEU and the macro average of F1 are none: `scores` gives those of both models
/// on the documents with these numbers, of which some stand there several times.
///
/// # Errors
/// If there are fewer than two documents, `draws` is 0, or a score is not finite.
pub fn paired_by(
    documents: usize,
    draws: usize,
    seed: u64,
    mut scores: impl FnMut(&[usize]) -> [f64; 2],
) -> Result<Comparison> {
    let n = documents;
    if n < 2 {
        return Err(Error::Few { n });
    }
    if draws == 0 {
        return Err(Error::Number { what: "the number of draws", expected: "at least 1" });
    }
    let mut of = |chosen: &[usize]| {
        let [first, second] = scores(chosen);
        let is_finite = first.is_finite() && second.is_finite();
        if is_finite { Ok([first, second]) } else { Err(NOT_FINITE) }
    };
    let all = of(&(0..n).collect::<Vec<_>>())?;
    let difference = all[0] - all[1];
    let mut rng = Draws::new(seed, STREAM);
    let (mut differences, mut below, mut extreme) = (Vec::with_capacity(draws), 0.0, 0);
    for _ in 0..draws {
        let chosen: Vec<usize> = (0..n).map(|_| rng.below(n)).collect();
        let [first, second] = of(&chosen)?;
        let drawn = first - second;
        below += if drawn < 0.0 {
            1.0
        } else if drawn == 0.0 {
            0.5
        } else {
            0.0
        };
        extreme += usize::from((drawn - difference).abs() >= difference.abs());
        differences.push(drawn);
    }
    differences.sort_by(f64::total_cmp);
    Ok(Comparison {
        first: all[0],
        second: all[1],
        difference,
        interval: (percentile(&differences, 0.025), percentile(&differences, 0.975)),
        p: (extreme + 1) as f64 / (draws + 1) as f64,
        first_below: below / draws as f64,
        documents: n,
        draws,
    })
}

/// What is said of a score that is no number.
const NOT_FINITE: Error = Error::Number { what: "every score", expected: "finite" };

fn check(first: &[Part], second: &[Part]) -> Result<()> {
    if first.len() != second.len() {
        return Err(Error::Lengths { first: first.len(), second: second.len() });
    }
    let all = || first.iter().chain(second);
    if all().any(|part| !part.sum.is_finite()) {
        return Err(NOT_FINITE);
    }
    if all().any(|part| !(part.weight > 0.0 && part.weight.is_finite())) {
        return Err(Error::Number { what: "every weight", expected: "finite and above 0" });
    }
    Ok(())
}

/// The value below which a share of a sorted list lies, between neighbours by a straight line.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let next = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + rest * (next - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of documents of one unit each.
    fn plain(scores: impl IntoIterator<Item = f64>) -> Vec<Part> {
        scores.into_iter().map(|sum| Part { sum, weight: 1.0 }).collect()
    }

    #[test]
    fn the_interval_is_that_of_the_normal_law() {
        // Paired differences with standard deviation s: the mean's is s / √n, and 95 % lie within 1.96 of those.
        let mut draws = Draws::new(2, 0);
        let noise: Vec<f64> = (0..400).map(|_| draws.normal()).collect();
        let second: Vec<f64> = (0..400).map(|_| 5.0 + 3.0 * draws.normal()).collect();
        let first: Vec<f64> = second.iter().zip(&noise).map(|(score, z)| score + 0.3 + z).collect();
        let mean = noise.iter().sum::<f64>() / 400.0;
        let sd = (noise.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 400.0).sqrt() / 20.0;
        let found = paired(&plain(first), &plain(second), 4000, 1).unwrap();
        assert!((found.difference - (0.3 + mean)).abs() < 1e-12);
        let (low, high) = (found.difference - 1.96 * sd, found.difference + 1.96 * sd);
        // A percentile of 4000 draws is known to a twentieth of that deviation or so: √(0.025 · 0.975 / 4000) / 0.058.
        let near = |a: f64, b: f64| (a - b).abs() < 6.0 * 0.042 * sd;
        assert!(near(found.interval.0, low) && near(found.interval.1, high), "{found:?} for {low}..{high}");
        assert!(found.p < 0.001 && found.first_below < 0.001, "{found:?}");
    }

    #[test]
    fn equal_models_do_not_differ() {
        let mut draws = Draws::new(4, 0);
        let scores: Vec<f64> = (0..50).map(|_| draws.normal()).collect();
        let same = paired(&plain(scores.clone()), &plain(scores.clone()), 500, 1).unwrap();
        assert_eq!((same.difference, same.interval, same.p, same.first_below), (0.0, (0.0, 0.0), 1.0, 0.5));
        let other: Vec<f64> = scores.iter().map(|score| score + draws.normal()).collect();
        let (a, b) = (plain(scores), plain(other));
        let (there, back) = (paired(&a, &b, 500, 1).unwrap(), paired(&b, &a, 500, 1).unwrap());
        assert_eq!(there.difference, -back.difference);
        assert!((there.interval.0 + back.interval.1).abs() < 1e-12 && there.p == back.p);
        assert!((there.first_below + back.first_below - 1.0).abs() < 1e-12);
    }

    #[test]
    fn under_no_difference_small_p_are_rare() {
        // 200 pairs of equal models: p < 0.05 should come about 10 times; 22 would be four standard deviations off.
        let mut draws = Draws::new(6, 0);
        let mut rare = 0;
        for seed in 0..200 {
            let mut scores = || plain((0..40).map(|_| draws.normal()).collect::<Vec<_>>());
            let (a, b) = (scores(), scores());
            rare += usize::from(paired(&a, &b, 200, seed).unwrap().p < 0.05);
        }
        assert!((1..=22).contains(&rare), "{rare} of 200");
    }

    #[test]
    fn scores_are_weighed() {
        let parts = |list: &[(f64, f64)]| -> Vec<Part> {
            list.iter().map(|&(sum, weight)| Part { sum, weight }).collect()
        };
        let found = paired(&parts(&[(8.0, 1.0), (1.0, 8.0)]), &parts(&[(4.0, 1.0), (4.0, 3.0)]), 10, 1);
        let found = found.unwrap();
        assert_eq!((found.first, found.second, found.difference), (1.0, 2.0, -1.0));
    }

    #[test]
    fn a_score_of_documents_together_is_compared_as_a_share_is() {
        let mut draws = Draws::new(8, 0);
        let mut scores = || (0..30).map(|_| draws.normal()).collect::<Vec<f64>>();
        let (a, b) = (scores(), scores());
        let mean =
            |all: &[f64], chosen: &[usize]| chosen.iter().fold(0.0, |s, &i| s + all[i]) / chosen.len() as f64;
        let found = paired_by(30, 200, 3, |chosen| [mean(&a, chosen), mean(&b, chosen)]).unwrap();
        assert_eq!(found, paired(&plain(a.clone()), &plain(b.clone()), 200, 3).unwrap());
        // The largest of the documents is no sum of anything.
        let most = |all: &[f64], chosen: &[usize]| chosen.iter().map(|&i| all[i]).fold(f64::MIN, f64::max);
        let found = paired_by(30, 200, 3, |chosen| [most(&a, chosen), most(&b, chosen)]).unwrap();
        let all: Vec<usize> = (0..30).collect();
        assert_eq!((found.first, found.second), (most(&a, &all), most(&b, &all)));
        assert!(
            paired_by(1, 10, 1, |_| [0.0; 2]).is_err() && paired_by(2, 10, 1, |_| [f64::NAN; 2]).is_err()
        );
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (one, two, three) = (plain([1.0]), plain([1.0, 2.0]), plain([1.0, 2.0, 3.0]));
        assert_eq!(paired(&two, &three, 10, 1), Err(Error::Lengths { first: 2, second: 3 }));
        assert_eq!(paired(&one, &one, 10, 1), Err(Error::Few { n: 1 }));
        assert!(paired(&two, &two, 0, 1).is_err());
        assert!(paired(&two, &plain([1.0, f64::NAN]), 10, 1).is_err());
        let weightless = [Part { sum: 1.0, weight: 0.0 }; 2];
        assert!(paired(&two, &weightless, 10, 1).is_err());
    }
}
