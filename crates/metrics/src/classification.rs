//! How well classes are told apart: the confusion matrix and what follows from it, by the definitions of scikit-learn.
//!
//! Of class c: tp pairs are c and were called c, fp were called c and are not, fn are c and were not called so.
//! precision = tp / (tp + fp), recall = tp / (tp + fn), F1 = 2·tp / (2·tp + fp + fn).

use crate::error::same_length;
use crate::{Error, Result};

/// What a share of nothing is: the precision of a class that was never predicted, the recall of one that never occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroDivision {
    /// 0, the strict reading.
    #[default]
    Zero,
    /// 1.
    One,
    /// NaN, and left out of averages.
    Undefined,
}

/// Precision, recall and F1 of a class, or an average of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// How much of what was called so is so.
    pub precision: f64,
    /// How much of what is so was called so.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// How the scores of classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// Each class counts the same.
    Macro,
    /// Each pair counts the same: tp, fp and fn are added up first. With one label a pair all three are the accuracy.
    Micro,
    /// Each class counts as often as it occurs.
    Weighted,
}

/// How often a class was taken for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts pairs of what is and what was predicted, of `classes` classes numbered from 0.
    ///
    /// # Errors
    /// If the lengths differ, there are no pairs, or a class is out of range.
    pub fn of(truth: &[usize], predicted: &[usize], classes: usize) -> Result<Self> {
        same_length(("labels", truth.len()), ("predictions", predicted.len()))?;
        if truth.is_empty() {
            return Err(Error::Empty { what: "labels" });
        }
        let mut counts = vec![0; classes * classes];
        for (index, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            let class = t.max(p);
            if class >= classes {
                return Err(Error::Class { index, class, classes });
            }
            counts[t * classes + p] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many pairs of class `truth` were called `predicted`; 0 out of range.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        let is_inside = truth < self.classes && predicted < self.classes;
        if is_inside { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// How many pairs are of a class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    /// How many pairs were called so.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.count(t, class)).sum()
    }

    /// The share of pairs that were called what they are.
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.counts.iter().sum::<u64>() as f64
    }

    /// The scores of one class.
    pub fn scores(&self, class: usize, rule: ZeroDivision) -> Scores {
        scores(self.count(class, class), self.predicted(class), self.support(class), rule)
    }

    /// The scores of all classes as one.
    pub fn average(&self, average: Average, rule: ZeroDivision) -> Scores {
        let total = self.counts.iter().sum();
        let weight = |class| match average {
            Average::Weighted => self.support(class) as f64,
            _ => 1.0,
        };
        if average == Average::Micro {
            return scores(self.right(), total, total, rule);
        }
        let all: Vec<(f64, Scores)> =
            (0..self.classes).map(|class| (weight(class), self.scores(class, rule))).collect();
        let mean = |part: fn(&Scores) -> f64| {
            let defined = || all.iter().map(|(w, s)| (*w, part(s))).filter(|(_, x)| !x.is_nan());
            let weights: f64 = defined().map(|(w, _)| w).sum();
            // Where only classes that never occur have a score, all of them count the same.
            match weights > 0.0 {
                true => defined().map(|(w, x)| w * x).sum::<f64>() / weights,
                false => defined().map(|(_, x)| x).sum::<f64>() / defined().count() as f64,
            }
        };
        Scores { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f1: mean(|s| s.f1) }
    }

    fn right(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }
}

fn scores(right: u64, predicted: u64, support: u64, rule: ZeroDivision) -> Scores {
    let share = |part: u64, whole: u64| match (whole, rule) {
        (0, ZeroDivision::Zero) => 0.0,
        (0, ZeroDivision::One) => 1.0,
        (0, ZeroDivision::Undefined) => f64::NAN,
        _ => part as f64 / whole as f64,
    };
    Scores {
        precision: share(right, predicted),
        recall: share(right, support),
        f1: share(2 * right, predicted + support),
    }
}

/// Names of classes as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
}

impl Labels {
    /// All different names, sorted; if all are whole numbers, by their value.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(str::to_string).collect();
        names.sort();
        names.dedup();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
        }
        Self { names }
    }

    /// The names, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_never_predicted_follows_the_rule() {
        let found = Confusion::of(&[0, 0, 1, 2], &[0, 1, 1, 1], 4).unwrap();
        let scores = |class, rule| found.scores(class, rule);
        assert_eq!(scores(1, ZeroDivision::Zero), Scores { precision: 1.0 / 3.0, recall: 1.0, f1: 0.5 });
        // Class 2 occurs and is never predicted, so only its precision divides by zero.
        assert_eq!(scores(2, ZeroDivision::One), Scores { precision: 1.0, recall: 0.0, f1: 0.0 });
        assert!(scores(2, ZeroDivision::Undefined).precision.is_nan());
        // Class 3 is in neither list.
        assert_eq!(scores(3, ZeroDivision::One), Scores { precision: 1.0, recall: 1.0, f1: 1.0 });
        let average = found.average(Average::Macro, ZeroDivision::Undefined);
        assert_eq!(average.recall, (0.5 + 1.0 + 0.0) / 3.0);
    }

    #[test]
    fn micro_averages_are_the_accuracy() {
        let found = Confusion::of(&[0, 1, 2, 2], &[0, 2, 2, 1], 3).unwrap();
        let Scores { precision, recall, f1 } = found.average(Average::Micro, ZeroDivision::Zero);
        assert_eq!([precision, recall, f1], [found.accuracy(); 3]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let why = |t: &[usize], p: &[usize]| Confusion::of(t, p, 2).unwrap_err().to_string();
        assert_eq!(why(&[0], &[0, 1]), "1 labels and 2 predictions: there must be one for each");
        assert_eq!(why(&[], &[]), "there are no labels to score");
        assert_eq!(why(&[0, 1], &[0, 2]), "class 2 of pair 1 is out of range: there are 2 classes");
    }

    #[test]
    fn labels_are_sorted_numbers_by_value() {
        assert_eq!(Labels::of(["b", "a", "b"]).names(), ["a", "b"]);
        let labels = Labels::of(["10", "9", "-1"]);
        assert_eq!(labels.names(), ["-1", "9", "10"]);
        assert_eq!((labels.index("10"), labels.index("x")), (Some(2), None));
    }
}
