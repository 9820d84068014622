//! How much a text says again.

use std::collections::HashSet;
use std::hash::Hash;

/// Distinct-n: the share of different n-grams among all n-grams of all texts (Li et al., "A diversity-promoting objective
/// function for neural conversation models", NAACL 2016). `None` if no text has `n` tokens, or `n` is zero.
///
/// ```
/// use warpsmith_metrics::diversity::distinct;
/// assert_eq!(distinct(&[&["a", "b"][..], &["a", "c"]], 1), Some(0.75));
/// ```
pub fn distinct<T: Eq + Hash>(texts: &[&[T]], n: usize) -> Option<f64> {
    let grams = || texts.iter().flat_map(|text| grams(text, n));
    share(grams().collect::<HashSet<_>>().len(), grams().count())
}

/// The share of n-grams that have occurred before in the same text, over all texts: rep-n without a window (Welleck et al.,
/// "Neural text generation with unlikelihood training", ICLR 2020). 0 when nothing is said twice. `None` as for
/// [`distinct`].
pub fn repeated<T: Eq + Hash>(texts: &[&[T]], n: usize) -> Option<f64> {
    let different = texts.iter().map(|text| grams(text, n).collect::<HashSet<_>>().len()).sum();
    let total = texts.iter().map(|text| grams(text, n).count()).sum();
    share(different, total).map(|share| 1.0 - share)
}

fn grams<T>(text: &[T], n: usize) -> impl Iterator<Item = &[T]> {
    // No text has n-grams of no tokens.
    text.windows(n.max(1)).filter(move |_| n > 0)
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_is_counted_inside_a_text_and_distinctness_across() {
        let texts: [&[u8]; 2] = [b"abab", b"ab"];
        // ab, ba, ab | ab
        assert_eq!(distinct(&texts, 2), Some(0.5));
        assert_eq!(repeated(&texts, 2), Some(0.25));
        assert_eq!(repeated(&[b"aaaa"], 1), Some(0.75));
        assert_eq!(repeated(&[b"abcd"], 2), Some(0.0));
    }

    #[test]
    fn what_has_no_ngrams_has_no_share() {
        let texts: [&[u8]; 2] = [b"ab", b""];
        assert_eq!(distinct(&texts, 3), None);
        assert_eq!(distinct(&texts, 0), None);
        assert_eq!(repeated::<u8>(&[], 1), None);
        assert_eq!(distinct(&texts, 2), Some(1.0));
    }
}
