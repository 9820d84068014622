//! BLEU: how many runs of one to four words a translation shares with its references.
//!
//! BLEU = BP · exp(1/4 · Σₙ ln pₙ), n = 1…4, where pₙ is the share of the hypotheses' n-grams that are in a reference
//! (each counted at most as often as there), added up over the corpus, and BP = exp(1 − r/h) if the hypotheses have h words
//! and the references r > h, else 1. Source: Papineni et al., "BLEU: a method for automatic evaluation of machine
//! translation", ACL 2002; numbers and signature as by the package sacrebleu (Post, WMT 2018).

mod tokenize;

use std::collections::HashMap;

pub use tokenize::Tokenizer;

use crate::error::same_length;
use crate::ngrams::{ngrams, overlap};
use crate::{Error, Result};

/// The longest n-grams that count.
pub const ORDER: usize = 4;

/// The release of sacrebleu whose numbers these are; a signature names it.
pub const SACREBLEU: &str = "2.6.0";

/// What to do about an order of n-grams that has none in common (Chen and Cherry, WMT 2014).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// The k-th order without a match counts as 1 / 2ᵏ of one match. NIST's and sacrebleu's choice.
    #[default]
    Exp,
    /// It counts as this many matches.
    Floor(f64),
    /// This many are added to matches and n-grams of the orders above one.
    AddK(f64),
}

/// How to compute BLEU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bleu {
    /// How texts become words.
    pub tokenizer: Tokenizer,
    /// What to do about orders without matches.
    pub smoothing: Smoothing,
    /// Compare in lower case.
    pub lowercase: bool,
    /// Leave out orders for which the hypothesis is too short. For single sentences.
    pub effective_order: bool,
}

/// The score, and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// 0 to 100.
    pub score: f64,
    /// pₙ in percent, smoothed.
    pub precisions: [f64; ORDER],
    /// BP.
    pub brevity_penalty: f64,
    /// Words of the hypotheses.
    pub hypothesis_length: u64,
    /// Words of the references, for each hypothesis of the one nearest to it in length.
    pub reference_length: u64,
}

impl Bleu {
    /// The score of a corpus. `references[k]` is the k-th set of references, one for each hypothesis.
    ///
    /// # Errors
    /// If there are no hypotheses or references, or a set of references is longer or shorter.
    pub fn corpus<H: AsRef<str>, R: AsRef<str>>(
        &self,
        hypotheses: &[H],
        references: &[Vec<R>],
    ) -> Result<Score> {
        if hypotheses.is_empty() {
            return Err(Error::Empty { what: "hypotheses" });
        }
        if references.is_empty() {
            return Err(Error::Empty { what: "references" });
        }
        for set in references {
            same_length(("hypotheses", hypotheses.len()), ("references", set.len()))?;
        }
        let mut sum = Counts::default();
        for (i, hypothesis) in hypotheses.iter().enumerate() {
            let references: Vec<&str> = references.iter().map(|set| set[i].as_ref()).collect();
            sum.add(&self.counts(hypothesis.as_ref(), &references));
        }
        Ok(self.of_counts(&sum))
    }

    /// The score of one sentence. Set [`Bleu::effective_order`], or whatever has no four words in a row in common is
    /// near 0.
    pub fn sentence(&self, hypothesis: &str, references: &[&str]) -> Score {
        self.of_counts(&self.counts(hypothesis, references))
    }

    /// What must be said beside a score for it to mean something: references, case, tokenizer, smoothing, and the release
    /// of sacrebleu that gives the same.
    pub fn signature(&self, references: usize) -> String {
        let yes = |flag| if flag { "yes" } else { "no" };
        // Python writes 1.0 for a float and 1 for the default of add-k, an integer.
        let smooth = match self.smoothing {
            Smoothing::None => "none".to_string(),
            Smoothing::Exp => "exp".to_string(),
            Smoothing::Floor(value) => format!("floor[{value:.2}]"),
            Smoothing::AddK(value) => format!("add-k[{value:.2}]"),
        };
        format!(
            "nrefs:{references}|case:{}|eff:{}|tok:{}|smooth:{smooth}|version:{SACREBLEU}",
            if self.lowercase { "lc" } else { "mixed" },
            yes(self.effective_order),
            self.tokenizer.name(),
        )
    }

    fn words(&self, text: &str) -> Vec<String> {
        match self.lowercase {
            true => self.tokenizer.split(&text.to_lowercase()),
            false => self.tokenizer.split(text),
        }
    }

    /// What the score of a corpus adds up of a sentence.
    pub fn counts(&self, hypothesis: &str, references: &[&str]) -> Counts {
        let hypothesis = self.words(hypothesis);
        let references: Vec<Vec<String>> = references.iter().map(|text| self.words(text)).collect();
        let nearest =
            references.iter().map(Vec::len).min_by_key(|&len| (len.abs_diff(hypothesis.len()), len));
        let mut counts = Counts {
            hypothesis: hypothesis.len() as u64,
            reference: nearest.unwrap_or(0) as u64,
            ..Counts::default()
        };
        for n in 1..=ORDER {
            let mut allowed: HashMap<&[String], u64> = HashMap::new();
            for (gram, count) in references.iter().flat_map(|words| ngrams(words, n)) {
                let most = allowed.entry(gram).or_default();
                *most = count.max(*most);
            }
            counts.matched[n - 1] = overlap(&ngrams(&hypothesis, n), &allowed);
            counts.total[n - 1] = (hypothesis.len() + 1).saturating_sub(n) as u64;
        }
        counts
    }

    /// The score of the sentences whose counts were added up.
    pub fn of_counts(&self, counts: &Counts) -> Score {
        let (h, r) = (counts.hypothesis, counts.reference);
        let brevity_penalty = match (h < r, h) {
            (false, _) => 1.0,
            (true, 0) => 0.0,
            (true, _) => (1.0 - r as f64 / h as f64).exp(),
        };
        let mut precisions = [0.0; ORDER];
        let mut score = 0.0;
        if counts.matched.iter().any(|&count| count > 0) {
            let order = self.precisions(counts, &mut precisions);
            let logs = precisions[..order].iter().map(|p| p.ln()).sum::<f64>();
            score = brevity_penalty * (logs / order as f64).exp();
        }
        Score { score, precisions, brevity_penalty, hypothesis_length: h, reference_length: r }
    }

    /// Fills in the precisions; returns how many of them the score is the mean of.
    fn precisions(&self, counts: &Counts, precisions: &mut [f64; ORDER]) -> usize {
        let (mut order, mut unmatched) = (ORDER, 0);
        for n in 0..ORDER {
            let added = match self.smoothing {
                Smoothing::AddK(k) if n > 0 => k,
                _ => 0.0,
            };
            let (matched, total) = (counts.matched[n] as f64 + added, counts.total[n] as f64 + added);
            if total == 0.0 {
                break;
            }
            if self.effective_order {
                order = n + 1;
            }
            let matched = match self.smoothing {
                _ if matched > 0.0 => matched,
                Smoothing::Exp => {
                    unmatched += 1;
                    0.5_f64.powi(unmatched)
                }
                Smoothing::Floor(value) => value,
                Smoothing::None | Smoothing::AddK(_) => 0.0,
            };
            precisions[n] = 100.0 * matched / total;
        }
        order
    }
}

/// The n-grams of sentences, and how many of them their references have: see [`Bleu::counts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    hypothesis: u64,
    reference: u64,
    matched: [u64; ORDER],
    total: [u64; ORDER],
}

impl Counts {
    /// Adds those of another sentence.
    pub fn add(&mut self, other: &Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        for n in 0..ORDER {
            self.matched[n] += other.matched[n];
            self.total[n] += other.total[n];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_example_of_the_paper() {
        // Section 2.1: "the" seven times against two references of which one has it twice: 2/7.
        let none = Bleu { smoothing: Smoothing::None, lowercase: true, ..Bleu::default() };
        let references = ["The cat is on the mat.", "There is a cat on the mat."];
        let found = none.sentence("the the the the the the the", &references);
        assert_eq!((found.precisions[0], found.score), (200.0 / 7.0, 0.0));
        assert_eq!((found.hypothesis_length, found.reference_length), (7, 7));
    }

    #[test]
    fn a_corpus_is_not_the_mean_of_its_sentences() {
        let (h, r) = (["a b c d e", "x y"], vec!["a b c d e", "x z"]);
        let bleu = Bleu::default();
        let corpus = bleu.corpus(&h, std::slice::from_ref(&r)).unwrap().score;
        let mean = (bleu.sentence(h[0], &r[..1]).score + bleu.sentence(h[1], &r[1..]).score) / 2.0;
        assert!((corpus - mean).abs() > 10.0, "{corpus} {mean}");
    }

    #[test]
    fn references_and_hypotheses_must_be_as_many() {
        let why = Bleu::default().corpus(&["a", "b"], &[vec!["a", "b"], vec!["a"]]).unwrap_err().to_string();
        assert_eq!(why, "2 hypotheses and 1 references: there must be one for each");
        assert!(Bleu::default().corpus::<&str, &str>(&[], &[vec![]]).is_err());
        assert!(Bleu::default().corpus::<&str, &str>(&["a"], &[]).is_err());
    }
}
