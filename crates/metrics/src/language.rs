//! How well a language model predicts a text.

use std::collections::HashMap;
use std::f64::consts::LN_2;

/// Entropy of the token frequencies, in nats per token: the loss of the best model that ignores context, and so the
/// first mark a training run has to pass. Zero for an empty slice.
///
/// ```
/// let entropy = warpsmith_metrics::language::unigram_entropy(&[0, 1, 0, 1]);
/// assert!((entropy - 2_f64.ln()).abs() < 1e-15);
/// ```
pub fn unigram_entropy(tokens: &[u32]) -> f64 {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for &token in tokens {
        *counts.entry(token).or_default() += 1;
    }
    // Sorted, so that the sum is rounded alike in every run.
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable();
    let total = tokens.len() as f64;
    counts.iter().map(|&count| count as f64 / total).map(|p| -p * p.ln()).sum::<f64>().max(0.0)
}

/// Mean loss in nats per token to perplexity per token.
pub fn perplexity(loss_nats: f64) -> f64 {
    loss_nats.exp()
}

/// Mean loss in nats per token, over `tokens` scored tokens that stand for `bytes` bytes of text, to bits per byte,
/// which compares models of different vocabularies. `None` if `bytes` is zero.
pub fn bits_per_byte(loss_nats: f64, tokens: usize, bytes: usize) -> Option<f64> {
    (bytes > 0).then(|| loss_nats * tokens as f64 / bytes as f64 / LN_2)
}

/// Mean loss in nats per token to perplexity per some other unit (word, byte, character), of which the scored text has
/// `units`: e to the loss of the whole text over its units. `None` if there are none.
///
/// Models of different vocabularies compare by it, but only over the same units: say which they are
/// ([`tokens::words`](crate::tokens::words), for one).
pub fn perplexity_per(loss_nats: f64, tokens: usize, units: usize) -> Option<f64> {
    (units > 0).then(|| (loss_nats * tokens as f64 / units as f64).exp())
}

/// The share of answers that are right to the last character. `None` if there are none.
pub fn exact_match(right: impl IntoIterator<Item = bool>) -> Option<f64> {
    let (mut total, mut hits) = (0_usize, 0_usize);
    for hit in right {
        total += 1;
        hits += usize::from(hit);
    }
    (total > 0).then(|| hits as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_distributions() {
        let eight: Vec<u32> = (0..8).collect();
        assert!((unigram_entropy(&eight) - 8_f64.ln()).abs() < 1e-14);
        // H(1/4) = 0.811278124459133 bits.
        assert!((unigram_entropy(&[5, 9, 9, 9]) / LN_2 - 0.811_278_124_459_133).abs() < 1e-14);
        assert_eq!(unigram_entropy(&[3, 3, 3]), 0.0);
        assert_eq!(unigram_entropy(&[]), 0.0);
    }

    #[test]
    fn a_uniform_byte_model_has_eight_bits_per_byte() {
        let loss = 256_f64.ln();
        assert!((bits_per_byte(loss, 1000, 1000).unwrap() - 8.0).abs() < 1e-14);
        // The same text in tokens of four bytes each, at four times the loss per token.
        assert!((bits_per_byte(4.0 * loss, 250, 1000).unwrap() - 8.0).abs() < 1e-14);
        assert_eq!(bits_per_byte(loss, 0, 0), None);
        assert!((perplexity(loss) - 256.0).abs() < 1e-10);
        assert!((perplexity_per(4.0 * loss, 250, 1000).unwrap() - 256.0).abs() < 1e-10);
        assert_eq!(perplexity_per(loss, 0, 0), None);
    }

    #[test]
    fn exact_match_counts_whole_answers() {
        assert_eq!(exact_match([true, false, true, true]), Some(0.75));
        assert_eq!(exact_match([]), None);
    }
}
