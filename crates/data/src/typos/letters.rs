//! How likely letters are to be a word: what tells a slip (`brwn`) from a rare word (`brawn`).
//!
//! The probability of a letter after the three before it, each context interpolated with the next shorter one by how many different
//! letters it has been followed by (Witten and Bell, *The zero-frequency problem*, IEEE Trans. Inf. Theory 37, 1991, method C), down
//! to all letters alike. Words count once each, not as often as they occur: a new word is drawn from the words there are.

use std::collections::{HashMap, HashSet};

/// How many letters before a letter tell of it.
const CONTEXT: usize = 3;
/// What stands before a word, and behind it.
const EDGE: char = '\0';

/// A model of spelling.
#[derive(Default)]
pub(super) struct Letters {
    words: HashSet<String>,
    /// What followed each run of up to [`CONTEXT`] letters.
    after: HashMap<Vec<char>, Followed>,
    letters: usize,
}

/// How often which letters came.
#[derive(Default)]
struct Followed {
    counts: HashMap<char, usize>,
    total: usize,
}

impl Letters {
    /// Learns from different words.
    pub fn of<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let (mut found, mut letters) = (Self::default(), HashSet::new());
        for word in words {
            if !found.words.insert(word.to_string()) {
                continue;
            }
            letters.extend(word.chars());
            for (before, next) in steps(&framed(word)) {
                for length in 0..=CONTEXT {
                    let followed = found.after.entry(before[CONTEXT - length..].to_vec()).or_default();
                    *followed.counts.entry(next).or_default() += 1;
                    followed.total += 1;
                }
            }
        }
        Self { letters: letters.len().max(1), ..found }
    }

    /// How many different letters there are.
    pub fn count(&self) -> usize {
        self.letters
    }

    /// The natural logarithm of the probability that a word is these letters and ends behind them, as who has not seen this word
    /// would say.
    pub fn log_probability(&self, word: &str) -> f64 {
        let own = if self.words.contains(word) { Self::of([word]) } else { Self::default() };
        steps(&framed(word)).map(|(before, next)| self.probability(&own, before, next).ln()).sum()
    }

    /// Without what was learned from the words of `own`.
    fn probability(&self, own: &Self, before: &[char], next: char) -> f64 {
        // Any letter and the end alike.
        let mut probability = 1.0 / (self.letters + 1) as f64;
        for length in 0..=before.len() {
            let context = &before[before.len() - length..];
            let (Some(all), own) = (self.after.get(context), own.after.get(context)) else {
                break;
            };
            let seen = all.total - own.map_or(0, |own| own.total);
            if seen == 0 {
                break;
            }
            let count = |of: &Followed, letter| of.counts.get(&letter).copied().unwrap_or(0);
            let only_own = |own: &Followed| own.counts.iter().filter(|(c, n)| count(all, **c) == **n).count();
            let times = (count(all, next) - own.map_or(0, |own| count(own, next))) as f64;
            let different = (all.counts.len() - own.map_or(0, only_own)) as f64;
            probability = (times + different * probability) / (seen as f64 + different);
        }
        probability
    }
}

/// A word with its edges.
fn framed(word: &str) -> Vec<char> {
    let before = std::iter::repeat_n(EDGE, CONTEXT);
    before.chain(word.chars()).chain([EDGE]).collect()
}

/// Each letter with those before it, the end too.
fn steps(framed: &[char]) -> impl Iterator<Item = (&[char], char)> {
    framed.windows(CONTEXT + 1).map(|window| (&window[..CONTEXT], window[CONTEXT]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_what_may_follow_add_up_to_one() {
        let letters = Letters::of(["brown", "brow", "crown", "own", "own"]);
        assert_eq!(letters.count(), 6);
        for own in [Letters::default(), Letters::of(["brown"])] {
            for before in [['\0'; 3], ['\0', 'b', 'r'], ['r', 'o', 'w'], ['x', 'y', 'z']] {
                let sum: f64 = "brownc\0".chars().map(|next| letters.probability(&own, &before, next)).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{before:?}: {sum}");
            }
        }
        // `o` is 4 of 21 letters and ends, of 7 kinds, and came 3 times after `r`, which nothing else did.
        let alike = 1.0 / 7.0;
        let single = (4.0 + 7.0 * alike) / (21.0 + 7.0);
        let pair = (3.0 + single) / 4.0;
        let found = letters.probability(&Letters::default(), &['r'], 'o');
        assert!((found - pair).abs() < 1e-12, "{found}, not {pair}");
    }

    #[test]
    fn a_word_says_nothing_for_itself() {
        let others = ["crown", "crawl", "drawn", "down", "dawn", "bran", "bow"];
        let (with, without) = (Letters::of(others.into_iter().chain(["brown"])), Letters::of(others));
        assert_eq!(with.count(), without.count());
        assert_eq!(with.log_probability("brown"), without.log_probability("brown"));
        assert!(with.log_probability("brawn") > without.log_probability("brawn"));
    }

    #[test]
    fn what_looks_like_the_words_there_are_is_likelier() {
        let letters =
            Letters::of(["brown", "brawl", "crown", "crawl", "drawn", "down", "dawn", "bran", "bow"]);
        for slip in ["brwn", "brqwn", "barwn"] {
            assert!(letters.log_probability("brawn") > letters.log_probability(slip) + 2.0, "{slip}");
        }
    }
}
