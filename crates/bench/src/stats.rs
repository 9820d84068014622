//! Order statistics of times: no mean, since one page fault would move it.

/// What a list of samples says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many samples.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// Half of the samples lie below.
    pub median: f64,
    /// A quarter lies below.
    pub q1: f64,
    /// Three quarters lie below.
    pub q3: f64,
    /// The median distance from the median.
    pub mad: f64,
}

impl Summary {
    /// The summary of `samples`; `None` of no samples or of any that is not finite.
    pub fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() || samples.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let sorted = sorted(samples);
        let median = quantile(&sorted, 0.5);
        let distances: Vec<f64> = samples.iter().map(|s| (s - median).abs()).collect();
        let mad = quantile(&self::sorted(&distances), 0.5);
        let [q1, q3] = [0.25, 0.75].map(|q| quantile(&sorted, q));
        Some(Self { n: sorted.len(), min: sorted[0], median, q1, q3, mad })
    }

    /// Half the distance between the quartiles, as a share of the median.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.q3 - self.q1) / 2.0 / self.median }
    }
}

/// How many times as long `a` takes as `b`, with bounds that hold the true median ratio with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the paired ratios.
    pub median: f64,
    /// The lower bound; 0 if there are too few pairs to say.
    pub low: f64,
    /// The upper bound; ∞ if there are too few pairs to say.
    pub high: f64,
}

impl Ratio {
    /// From samples taken side by side: pair i is of round i. `None` of no pairs, or if any is not a positive number.
    ///
    /// The bounds are order statistics of the paired ratios: whatever the distribution, the true median lies between the
    /// k-th smallest and the k-th largest unless fewer than k of n fair coins fall on one side.
    /// Source: Conover, *Practical Nonparametric Statistics*, 1999, §3.2.
    pub fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        if ratios.is_empty() || ratios.iter().any(|r| !r.is_finite() || *r <= 0.0) {
            return None;
        }
        let sorted = sorted(&ratios);
        let median = quantile(&sorted, 0.5);
        let Interval { low, high } =
            Interval::of(&ratios).unwrap_or(Interval { low: 0.0, high: f64::INFINITY });
        Some(Self { median, low, high })
    }

    /// Whether the difference is more than the noise: 1 lies outside the bounds.
    pub fn is_clear(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// Bounds that hold the true median with 95 % confidence, by the same order statistics as [`Ratio`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Interval {
    /// Fewer samples bound nothing: with 95 % confidence the median lies between the ends of so many.
    pub const FEWEST: usize = 6;

    /// Of samples; `None` of fewer than [`Interval::FEWEST`].
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let k = rank(sorted.len(), 0.05).checked_sub(1)?;
        Some(Self { low: sorted[k], high: sorted[sorted.len() - 1 - k] })
    }
}

/// The largest k for which both tails together, fewer than k heads of n fair coins or more than n - k, are rarer than
/// `level`; 0 if there is none.
fn rank(n: usize, level: f64) -> usize {
    if n > 1000 {
        // 2⁻ⁿ is no f64 any more; the binomial distribution is the normal one by then.
        return (n as f64 / 2.0 - 0.98 * (n as f64).sqrt()).floor() as usize;
    }
    // C(n, i)/2ⁿ, from i = 0 up.
    let mut term = 0.5f64.powi(n as i32);
    let mut tail = 0.0;
    for k in 1..=n / 2 {
        tail += term;
        if 2.0 * tail > level {
            return k - 1;
        }
        term *= (n - k + 1) as f64 / k as f64;
    }
    n / 2
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The share `q` of the way through sorted values, between neighbours in proportion.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_order_and_not_of_size() {
        let summary = Summary::of(&[3.0, 1.0, 2.0, 1000.0, 4.0]).unwrap();
        assert_eq!((summary.n, summary.min, summary.median), (5, 1.0, 3.0));
        assert_eq!((summary.q1, summary.q3, summary.mad), (2.0, 4.0, 1.0));
        assert!((summary.spread() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Summary::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    /// Critical values of the sign test at 5 %, two-sided, from the published tables.
    #[test]
    fn ranks_are_those_of_the_sign_test() {
        assert_eq!(rank(1001, 0.05), 469);
        for (n, k) in [(5, 0), (6, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (50, 18), (1000, 469)] {
            assert_eq!(rank(n, 0.05), k, "{n} pairs");
        }
        assert!(Interval::of(&[1.0; Interval::FEWEST]).is_some());
        assert!(Interval::of(&[1.0; Interval::FEWEST - 1]).is_none());
    }

    #[test]
    fn a_ratio_follows_the_pairs_and_not_the_drift() {
        // Both slow down five times over the run; in each round a takes 1.2 times as long as b.
        let b: Vec<f64> = (0..12).map(|i| 1.0 + i as f64 / 3.0).collect();
        let a: Vec<f64> = b.iter().enumerate().map(|(i, b)| b * (1.19 + 0.02 * (i % 2) as f64)).collect();
        let ratio = Ratio::of(&a, &b).unwrap();
        assert!((ratio.median - 1.2).abs() < 1e-9 && ratio.low > 1.18 && ratio.high < 1.22, "{ratio:?}");
        assert!(ratio.is_clear());
        assert!(!Ratio::of(&b, &b).unwrap().is_clear());
    }

    #[test]
    fn few_pairs_say_nothing_sure() {
        let ratio = Ratio::of(&[2.0; 5], &[1.0; 5]).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (2.0, 0.0, f64::INFINITY));
        assert!(!ratio.is_clear());
        assert_eq!(Ratio::of(&[], &[]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
    }
}
