//! k-fold cross-validation (Stone 1974): each example is held out once.

use crate::{Draws, Error, Result};

/// Streams of folds, apart from those of samplers and resamples of the same seed.
const STREAM: u64 = 1 << 41;

/// One cut of the examples, by their numbers, which rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// To learn from.
    pub train: Vec<usize>,
    /// To judge by.
    pub test: Vec<usize>,
}

/// k folds of n examples in random order, of sizes that differ by at most one.
///
/// # Errors
/// Unless 2 ≤ k ≤ n.
pub fn shuffled(n: usize, k: usize, seed: u64) -> Result<Vec<Fold>> {
    check(k, n, "examples")?;
    let mut order: Vec<usize> = (0..n).collect();
    Draws::new(seed, STREAM).shuffle(&mut order);
    let mut fold_of = vec![0; n];
    order.iter().enumerate().for_each(|(place, &example)| fold_of[example] = place % k);
    Ok(cut(&fold_of, k))
}

/// As [`shuffled`], with as equal a share of each class in each fold as whole examples allow. `classes` holds the class of each
/// example.
///
/// # Errors
/// Unless 2 ≤ k ≤ n, and each class has at least k examples.
pub fn stratified(classes: &[usize], k: usize, seed: u64) -> Result<Vec<Fold>> {
    check(k, classes.len(), "examples")?;
    let mut order: Vec<usize> = (0..classes.len()).collect();
    Draws::new(seed, STREAM).shuffle(&mut order);
    // Stable: within a class the order stays random.
    order.sort_by_key(|&example| classes[example]);
    for group in order.chunk_by(|&a, &b| classes[a] == classes[b]) {
        if group.len() < k {
            return Err(Error::Class { class: classes[group[0]], count: group.len(), k });
        }
    }
    // Dealt out like cards, on from class to class, so that no fold gets all the odd ones.
    let mut fold_of = vec![0; classes.len()];
    order.iter().enumerate().for_each(|(place, &example)| fold_of[example] = place % k);
    Ok(cut(&fold_of, k))
}

/// k stretches of neighbours, for examples that are like their neighbours, such as the tokens of a text: at random places every
/// held-out token would stand between two that were learned.
///
/// # Errors
/// Unless 2 ≤ k ≤ n.
pub fn blocks(n: usize, k: usize) -> Result<Vec<std::ops::Range<usize>>> {
    check(k, n, "tokens")?;
    // In 128 bits, since n · k may not fit.
    let edge = |i: usize| (n as u128 * i as u128 / k as u128) as usize;
    Ok((0..k).map(|i| edge(i)..edge(i + 1)).collect())
}

fn check(k: usize, n: usize, what: &'static str) -> Result<()> {
    if (2..=n).contains(&k) { Ok(()) } else { Err(Error::Folds { k, n, what }) }
}

fn cut(fold_of: &[usize], k: usize) -> Vec<Fold> {
    let part = |held: usize| {
        let (test, train) = (0..fold_of.len()).partition(|&example| fold_of[example] == held);
        Fold { train, test }
    };
    (0..k).map(part).collect()
}

/// What the folds came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// One for each fold.
    pub each: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, of a sample (k - 1 in the denominator): how far folds lie apart, not how well the mean is known,
    /// since folds share most of what they learned from.
    pub sd: f64,
}

impl Scores {
    /// Mean and deviation of scores.
    pub fn of(each: Vec<f64>) -> Self {
        let n = each.len() as f64;
        let mean = each.iter().sum::<f64>() / n;
        let squares: f64 = each.iter().map(|score| (score - mean).powi(2)).sum();
        let sd = if each.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        Self { each, mean, sd }
    }
}

/// Learns and judges once for each fold: `score` is told the number of the fold and the fold.
///
/// # Errors
/// The first of `score`.
pub fn cross_validate<E>(
    folds: &[Fold],
    mut score: impl FnMut(usize, &Fold) -> Result<f64, E>,
) -> Result<Scores, E> {
    let each = folds.iter().enumerate().map(|(i, fold)| score(i, fold)).collect::<Result<_, E>>()?;
    Ok(Scores::of(each))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That each example is held out once, and learned from in all other folds.
    fn holds_each_out_once(folds: &[Fold], n: usize) {
        let mut held: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        held.sort_unstable();
        assert_eq!(held, (0..n).collect::<Vec<_>>());
        for fold in folds {
            let mut all = [fold.train.clone(), fold.test.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_example_is_held_out_once_in_folds_of_like_size() {
        for (n, k) in [(2, 2), (10, 3), (11, 11), (100, 7)] {
            let folds = shuffled(n, k, 5).unwrap();
            holds_each_out_once(&folds, n);
            assert!(folds.iter().all(|fold| [n / k, n.div_ceil(k)].contains(&fold.test.len())));
        }
        assert_eq!(shuffled(50, 5, 1), shuffled(50, 5, 1));
        assert_ne!(shuffled(50, 5, 1), shuffled(50, 5, 2));
    }

    #[test]
    fn classes_are_shared_out_evenly() {
        // 60 of class 0, 25 of class 1, 10 of class 2, mixed.
        let classes: Vec<usize> = (0..95).map(|i| [0, 0, 1, 0, 2, 0, 1, 0][i % 8]).collect();
        let folds = stratified(&classes, 4, 9).unwrap();
        holds_each_out_once(&folds, classes.len());
        for class in 0..3 {
            let total = classes.iter().filter(|own| **own == class).count();
            for fold in &folds {
                let here = fold.test.iter().filter(|example| classes[**example] == class).count();
                assert!([total / 4, total.div_ceil(4)].contains(&here), "{here} of {total}");
            }
        }
        assert!(folds.iter().all(|fold| [23, 24].contains(&fold.test.len())));
        assert_ne!(stratified(&classes, 4, 9), stratified(&classes, 4, 10));
    }

    #[test]
    fn blocks_lie_side_by_side() {
        assert_eq!(blocks(10, 3), Ok(vec![0..3, 3..6, 6..10]));
        assert_eq!(blocks(usize::MAX, 2).unwrap()[1].end, usize::MAX);
    }

    #[test]
    fn folds_that_cannot_be_are_refused() {
        let message = shuffled(3, 4, 1).unwrap_err().to_string();
        assert_eq!(message, "4 folds of 3 examples: k must be at least 2 and at most their number");
        assert!(shuffled(3, 1, 1).is_err() && shuffled(0, 2, 1).is_err());
        assert!(blocks(3, 4).is_err() && blocks(3, 0).is_err());
        assert!(stratified(&[0, 1], 3, 1).is_err());
        let message = stratified(&[0, 0, 0, 7], 2, 1).unwrap_err().to_string();
        assert!(message.starts_with("class 7 has 1 examples, fewer than 2 folds"), "{message}");
    }

    #[test]
    fn scores_have_mean_and_deviation() {
        let folds = shuffled(6, 3, 1).unwrap();
        let scores = cross_validate(&folds, |i, fold| {
            assert_eq!((fold.train.len(), fold.test.len()), (4, 2));
            Ok::<f64, Error>([2.0, 4.0, 9.0][i])
        });
        let scores = scores.unwrap();
        // Deviations -3, -1, 4: √(26 / 2).
        assert_eq!((scores.mean, scores.sd), (5.0, 13_f64.sqrt()));
        assert_eq!(Scores::of(vec![1.0]).sd, 0.0);
    }
}
