//! Counts of n-grams, on which BLEU, ROUGE and diversity rest.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` tokens occurs. Empty if there are fewer than `n` tokens, or `n` is zero.
pub fn ngrams<T: Eq + Hash>(tokens: &[T], n: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    if n > 0 {
        for gram in tokens.windows(n) {
            *counts.entry(gram).or_insert(0) += 1;
        }
    }
    counts
}

/// How many n-grams of `counts` are in `others` too, each as often as in the one that has it less often.
pub fn overlap<T: Eq + Hash>(counts: &HashMap<&[T], u64>, others: &HashMap<&[T], u64>) -> u64 {
    counts.iter().map(|(gram, &count)| count.min(others.get(gram).copied().unwrap_or(0))).sum()
}
