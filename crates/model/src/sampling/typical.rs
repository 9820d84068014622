//! Locally typical sampling: tokens neither too likely nor too unlikely.
//!
//! Source: Meister et al., *Locally Typical Sampling*, 2022, arXiv 2202.00666, §3.

/// Leaves the logits of the tokens whose surprise -ln p is nearest to its mean, as few as reach the probability `mass`
/// together and all that are no farther off than the last of them; the others become -∞. Logits of which one is NaN, or
/// none or several are infinite, stay as they are.
pub(super) fn keep(logits: &mut [f32], temperature: f64, mass: f64) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !top.is_finite() || logits.iter().any(|l| l.is_nan()) {
        return;
    }
    let scaled = |l: f32| f64::from(l - top) / temperature;
    let log_sum = logits.iter().map(|&l| scaled(l).exp()).sum::<f64>().ln();
    let surprises: Vec<f64> = logits.iter().map(|&l| log_sum - scaled(l)).collect();
    // A token of probability 0 has no part in the mean, however large its surprise.
    let mean: f64 = surprises.iter().filter(|s| s.is_finite()).map(|s| s * (-s).exp()).sum();
    let mut nearest: Vec<(f64, f64)> = surprises.iter().map(|s| ((s - mean).abs(), (-s).exp())).collect();
    nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
    let reaches = |sum: &mut f64, &(distance, p): &(f64, f64)| {
        // Past the mass: no more are needed.
        let is_needed = *sum < mass;
        *sum += p;
        is_needed.then_some(distance)
    };
    let farthest = nearest.iter().scan(0.0, reaches).last().unwrap_or(0.0);
    for (logit, surprise) in logits.iter_mut().zip(surprises) {
        if (surprise - mean).abs() > farthest {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(probabilities: &[f32], mass: f64) -> Vec<usize> {
        let mut logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
        keep(&mut logits, 1.0, mass);
        (0..logits.len()).filter(|&i| logits[i].is_finite()).collect()
    }

    /// Surprises 0.69, 1.39, 2.08, 2.08, mean 1.21: the second is nearest (0.17), then the first (0.52), then both others
    /// (0.87). transformers' `TypicalLogitsWarper` keeps the same.
    #[test]
    fn the_nearest_to_the_mean_surprise_stay() {
        let p = [0.5, 0.25, 0.125, 0.125];
        assert_eq!(kept(&p, 0.2), [1]);
        assert_eq!(kept(&p, 0.3), [0, 1]);
        assert_eq!(kept(&p, 0.74), [0, 1]);
        assert_eq!(kept(&p, 0.8), [0, 1, 2, 3], "equals stay together");
        assert_eq!(kept(&[1.0, 0.0], 0.5), [0], "what cannot be drawn has no part");
    }

    #[test]
    fn what_has_no_mean_is_left_alone() {
        for broken in [[f32::NAN, 0.0], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            let mut logits = broken;
            keep(&mut logits, 1.0, 0.5);
            assert_eq!(logits.map(f32::to_bits), broken.map(f32::to_bits));
        }
    }
}
