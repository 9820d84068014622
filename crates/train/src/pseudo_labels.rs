//! Pseudo-labels (Lee, *Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks*, ICML 2013
//! workshop): what a classifier is sure of, among examples without a label, is learned as if it were true.

use crate::{Error, Result};

/// An example without a label, and the class that is taken for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PseudoLabel {
    /// Number of the example.
    pub example: usize,
    /// Its likeliest class, the first of those that tie.
    pub class: usize,
    /// The probability of that class.
    pub confidence: f64,
}

/// Labels for the examples whose likeliest class has at least the probability `threshold`, the surest first; with `per_class` at most
/// so many of each class, so that a class that is easy to be sure of does not crowd out the others. `probabilities` holds a row for
/// each example.
///
/// # Errors
/// If the threshold is not in 0..=1, or a row is empty, of another length than the first, or holds what is no probability.
pub fn pseudo_labels(
    probabilities: &[Vec<f64>],
    threshold: f64,
    per_class: Option<usize>,
) -> Result<Vec<PseudoLabel>> {
    let problem = |what: String| Error::Run(format!("pseudo-labels: {what}"));
    if !(0.0..=1.0).contains(&threshold) {
        return Err(problem(format!("the threshold must lie in 0..=1, not {threshold}")));
    }
    let classes = probabilities.first().map_or(0, Vec::len);
    let mut found = Vec::new();
    for (example, row) in probabilities.iter().enumerate() {
        if row.is_empty() || row.len() != classes {
            return Err(problem(format!(
                "example {example} has {} classes, the first has {classes}",
                row.len()
            )));
        }
        if let Some(wrong) = row.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(problem(format!("example {example}: {wrong} is no probability")));
        }
        let (class, confidence) =
            row.iter().enumerate().fold((0, row[0]), |best, (i, &p)| if p > best.1 { (i, p) } else { best });
        if confidence >= threshold {
            found.push(PseudoLabel { example, class, confidence });
        }
    }
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.example.cmp(&b.example)));
    let Some(limit) = per_class else { return Ok(found) };
    let mut taken = vec![0; classes];
    found.retain(|label| {
        taken[label.class] += 1;
        taken[label.class] <= limit
    });
    Ok(found)
}

/// How much the loss of pseudo-labels counts at a step: 0 before `begin`, then along a line up to `full` at `end` (Lee 2013, eq. 16).
/// A classifier that has just begun is sure of nothing, or of the wrong things.
pub fn weight(step: usize, begin: usize, end: usize, full: f64) -> f64 {
    match step {
        _ if step < begin => 0.0,
        _ if step >= end => full,
        _ => full * (step - begin) as f64 / (end - begin) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<f64>> {
        vec![vec![0.9, 0.1], vec![0.4, 0.6], vec![0.05, 0.95], vec![0.99, 0.01], vec![0.5, 0.5]]
    }

    fn told(labels: Vec<PseudoLabel>) -> Vec<(usize, usize)> {
        labels.into_iter().map(|label| (label.example, label.class)).collect()
    }

    #[test]
    fn the_sure_ones_are_labelled_the_surest_first() -> Result<()> {
        assert_eq!(told(pseudo_labels(&rows(), 0.9, None)?), [(3, 0), (2, 1), (0, 0)]);
        assert_eq!(told(pseudo_labels(&rows(), 0.0, None)?), [(3, 0), (2, 1), (0, 0), (1, 1), (4, 0)]);
        assert_eq!(told(pseudo_labels(&rows(), 0.9, Some(1))?), [(3, 0), (2, 1)]);
        assert_eq!(told(pseudo_labels(&[], 0.9, Some(1))?), []);
        Ok(())
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for (rows, threshold, mention) in [
            (rows(), 1.5, "threshold must lie in 0..=1"),
            (rows(), f64::NAN, "threshold"),
            (vec![vec![0.5, 0.5], vec![1.0]], 0.5, "example 1 has 1 classes, the first has 2"),
            (vec![vec![]], 0.5, "example 0 has 0 classes"),
            (vec![vec![0.5, f64::NAN]], 0.5, "example 0: NaN is no probability"),
        ] {
            let message = pseudo_labels(&rows, threshold, None).unwrap_err().to_string();
            assert!(message.contains(mention), "{message}");
        }
    }

    #[test]
    fn the_weight_rises_along_a_line() {
        let at = |step| weight(step, 100, 600, 3.0);
        assert_eq!([at(0), at(99), at(100), at(350), at(600), at(9999)], [0.0, 0.0, 0.0, 1.5, 3.0, 3.0]);
        assert_eq!([weight(4, 5, 5, 1.0), weight(5, 5, 5, 1.0)], [0.0, 1.0]);
    }
}
