//! ROUGE: how much of a reference a summary says, by words, pairs of words, and their order.
//!
//! For n-grams R and H of reference and hypothesis: recall = |R ∩ H| / |R|, precision = |R ∩ H| / |H|, counted with
//! multiplicity; ROUGE-L puts the longest common subsequence in place of the intersection. Source: Lin, "ROUGE: a package
//! for automatic evaluation of summaries", 2004; numbers as by the package rouge-score.

use std::hash::Hash;

use crate::error::same_length;
use crate::ngrams::{ngrams, overlap};
use crate::{Error, Result, tokens};

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The share of the hypothesis that is in the reference.
    pub precision: f64,
    /// The share of the reference that is in the hypothesis.
    pub recall: f64,
    /// 2·precision·recall / (precision + recall), 0 if both are 0.
    pub f1: f64,
}

impl Score {
    /// Of so many tokens in common.
    pub(crate) fn of(common: u64, hypothesis: usize, reference: usize) -> Self {
        let precision = common as f64 / hypothesis.max(1) as f64;
        let recall = common as f64 / reference.max(1) as f64;
        let f1 = if common == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        Self { precision, recall, f1 }
    }
}

/// ROUGE-N of tokens.
pub fn rouge_n<T: Eq + Hash>(hypothesis: &[T], reference: &[T], n: usize) -> Score {
    let common = overlap(&ngrams(hypothesis, n), &ngrams(reference, n));
    let count = |tokens: &[T]| if n == 0 { 0 } else { (tokens.len() + 1).saturating_sub(n) };
    Score::of(common, count(hypothesis), count(reference))
}

/// ROUGE-L of tokens.
pub fn rouge_l<T: Eq>(hypothesis: &[T], reference: &[T]) -> Score {
    Score::of(common_subsequence(hypothesis, reference), hypothesis.len(), reference.len())
}

/// Length of the longest common subsequence, in O(|a|·|b|) steps and O(|b|) memory.
fn common_subsequence<T: Eq>(a: &[T], b: &[T]) -> u64 {
    let mut row = vec![0_u64; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// How a text becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// Words of any script in lower case, a Han character or kana each by itself: [`tokens::lower_words`].
    #[default]
    Unicode,
    /// Runs of a-z and 0-9 after lower-casing; all else separates. What rouge-score does, and nothing for Chinese.
    English,
}

impl Words {
    /// The tokens of a text.
    pub fn split(self, text: &str) -> Vec<String> {
        match self {
            Self::Unicode => tokens::lower_words(text),
            Self::English => {
                let lower = text.to_lowercase();
                let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
                words.filter(|word| !word.is_empty()).map(str::to_string).collect()
            }
        }
    }
}

/// ROUGE-1, ROUGE-2 and ROUGE-L.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rouge {
    /// By words.
    pub one: Score,
    /// By pairs of words.
    pub two: Score,
    /// By the longest common subsequence of words.
    pub l: Score,
}

/// The scores of one text.
pub fn rouge(hypothesis: &str, reference: &str, words: Words) -> Rouge {
    let (hypothesis, reference) = (words.split(hypothesis), words.split(reference));
    Rouge {
        one: rouge_n(&hypothesis, &reference, 1),
        two: rouge_n(&hypothesis, &reference, 2),
        l: rouge_l(&hypothesis, &reference),
    }
}

/// The mean over all pairs of each number, as summarisation tables give it.
///
/// # Errors
/// If the lengths differ, or there are no texts.
pub fn mean<T: AsRef<str>>(hypotheses: &[T], references: &[T], words: Words) -> Result<Rouge> {
    same_length(("hypotheses", hypotheses.len()), ("references", references.len()))?;
    if hypotheses.is_empty() {
        return Err(Error::Empty { what: "hypotheses" });
    }
    let pairs = hypotheses.iter().zip(references);
    let all: Vec<Rouge> = pairs.map(|(h, r)| rouge(h.as_ref(), r.as_ref(), words)).collect();
    let average = |part: fn(&Rouge) -> Score| {
        let number = |of: fn(&Score) -> f64| all.iter().map(|r| of(&part(r))).sum::<f64>() / all.len() as f64;
        Score { precision: number(|s| s.precision), recall: number(|s| s.recall), f1: number(|s| s.f1) }
    };
    Ok(Rouge { one: average(|r| r.one), two: average(|r| r.two), l: average(|r| r.l) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_lins_paper() {
        // S1: police killed the gunman; S2: police kill the gunman; S3: the gunman kill police (section 3.1).
        let score = |h: &str| rouge(h, "police killed the gunman", Words::Unicode).l.f1;
        assert_eq!((score("police kill the gunman"), score("the gunman kill police")), (0.75, 0.5));
    }

    #[test]
    fn chinese_is_counted_by_characters_and_english_words_alone_miss_it() {
        let (h, r) = ("我今天去了公园", "今天我去公园");
        let found = rouge(h, r, Words::Unicode);
        assert_eq!(found.one, Score::of(6, 7, 6));
        // 今天, 公园
        assert_eq!(found.two, Score::of(2, 6, 5));
        // 今天去公园
        assert_eq!(found.l, Score::of(5, 7, 6));
        assert_eq!(rouge(h, r, Words::English), Rouge::default());
    }

    #[test]
    fn nothing_has_nothing_in_common() {
        assert_eq!(rouge("", "", Words::Unicode), Rouge::default());
        assert_eq!(rouge_n(&[1], &[1], 0), Score::default());
        let why = mean(&["a"], &["a", "b"], Words::Unicode).unwrap_err().to_string();
        assert_eq!(why, "1 hypotheses and 2 references: there must be one for each");
        assert!(mean::<&str>(&[], &[], Words::Unicode).is_err());
    }
}
