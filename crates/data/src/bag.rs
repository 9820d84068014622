//! Texts as counts of words, for classical models: bag of words and TF-IDF by the definitions of scikit-learn.
//!
//! tf-idf(t, d) = count(t, d) · (ln((1 + N) / (1 + df(t))) + 1), then each text is scaled to length 1. N texts, of which df(t)
//! hold the term t.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use warpsmith_metrics::tokens::{lower_words, spans};

use crate::{Error, Result};

/// Words that are left out of bags. Not for language models, which need every word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopWords(BTreeSet<String>);

impl StopWords {
    /// Some words, in lower case.
    pub fn new(words: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(
            words
                .into_iter()
                .map(|word| word.as_ref().trim().to_lowercase())
                .filter(|w| !w.is_empty())
                .collect(),
        )
    }

    /// The most frequent function words of English.
    pub fn english() -> Self {
        const WORDS: &str = "a about after all also am an and any are as at be because been before being but by can could did do \
            does doing for from had has have having he her here hers him his how i if in into is it its just me more most my no \
            nor not of on once only or other our ours out over own same she should so some such than that the their theirs them \
            then there these they this those through to too under until up very was we were what when where which while who \
            whom why will with would you your yours";
        Self::new(WORDS.split_whitespace())
    }

    /// The most frequent function words of Chinese that are one character, which is what a word of a bag is.
    pub fn chinese() -> Self {
        const WORDS: &str = "的 了 是 在 和 与 及 也 就 都 而 着 之 于 或 被 把 这 那 吗 呢 吧 啊 地 得 個 个 們 们 與 這 著 於";
        Self::new(WORDS.split_whitespace())
    }

    /// Whether a word, in lower case, is left out.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// A text without these words, and without the spaces that stood between them.
    pub fn strip(&self, text: &str) -> String {
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        for (start, end) in
            spans(text).filter(|(start, end)| self.contains(&text[*start..*end].to_lowercase()))
        {
            out.push_str(&text[at..start]);
            at = end;
            if out.is_empty() || out.ends_with(char::is_whitespace) {
                at += text[at..].len() - text[at..].trim_start_matches(' ').len();
            }
        }
        out.push_str(&text[at..]);
        out
    }
}

/// A text as index and value of the terms it holds, by rising index.
pub type Row = Vec<(usize, f64)>;

/// Which words and runs of words of a text are terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BagConfig {
    /// Shortest and longest run of words that is a term. (1, 1): words; (1, 2): and pairs, which is what tells Chinese words
    /// apart, whose characters are words here.
    pub runs: (usize, usize),
    /// Texts that must hold a term for it to count.
    pub min_texts: usize,
    /// How many terms at most: the most frequent.
    pub max_terms: Option<usize>,
    /// Words that are left out before runs are made.
    pub stop_words: StopWords,
    /// Whether rows are TF-IDF, or counts.
    pub tf_idf: bool,
}

impl Default for BagConfig {
    fn default() -> Self {
        Self { runs: (1, 1), min_texts: 1, max_terms: None, stop_words: StopWords::default(), tf_idf: true }
    }
}

/// A vocabulary learned from texts, which turns texts into rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bag {
    config: BagConfig,
    /// Term to index; indices are in the order of the terms.
    terms: BTreeMap<String, usize>,
    /// ln((1 + N) / (1 + df)) + 1 of each term.
    idf: Vec<f64>,
}

impl Bag {
    /// Learns terms and their frequencies.
    ///
    /// # Errors
    /// If runs are empty or backwards, or no term is left.
    pub fn fit(texts: &[impl AsRef<str>], config: BagConfig) -> Result<Self> {
        let (shortest, longest) = config.runs;
        if shortest == 0 || shortest > longest {
            return Err(Error::Request(format!(
                "runs of {shortest} to {longest} words: give 1 to 1, or more"
            )));
        }
        let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
        for text in texts {
            for (term, count) in config.count(text.as_ref()) {
                let (texts, total) = seen.entry(term).or_default();
                *texts += 1;
                *total += count;
            }
        }
        let mut found: Vec<(String, usize, usize)> =
            seen.into_iter().map(|(term, (texts, total))| (term, texts, total)).collect();
        found.retain(|(_, texts, _)| *texts >= config.min_texts);
        found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        found.truncate(config.max_terms.unwrap_or(usize::MAX));
        if found.is_empty() {
            return Err(Error::Request(format!(
                "the {} texts hold no term: stop words and min_texts leave none",
                texts.len()
            )));
        }
        found.sort();
        let idf = |df: usize| ((1 + texts.len()) as f64 / (1 + df) as f64).ln() + 1.0;
        let idf = found.iter().map(|(_, df, _)| idf(*df)).collect();
        let terms = found.into_iter().enumerate().map(|(index, (term, ..))| (term, index)).collect();
        Ok(Self { config, terms, idf })
    }

    /// The terms, by index.
    pub fn terms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.terms.keys().map(String::as_str)
    }

    /// A text as a row; terms that were not learned do not count.
    pub fn row(&self, text: &str) -> Row {
        let counts = self.config.count(text);
        let mut row: Row = counts
            .into_iter()
            .filter_map(|(term, count)| Some((*self.terms.get(&term)?, count as f64)))
            .collect();
        row.sort_by_key(|(index, _)| *index);
        if self.config.tf_idf {
            row.iter_mut().for_each(|(index, value)| *value *= self.idf[*index]);
            let length = row.iter().map(|(_, value)| value * value).sum::<f64>().sqrt();
            row.iter_mut().for_each(|(_, value)| *value /= length);
        }
        row
    }
}

impl BagConfig {
    fn count(&self, text: &str) -> HashMap<String, usize> {
        let mut words = lower_words(text);
        words.retain(|word| !self.stop_words.contains(word));
        let mut counts = HashMap::new();
        for length in self.runs.0..=self.runs.1 {
            for run in words.windows(length) {
                *counts.entry(run.join(" ")).or_insert(0) += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "This is the first document.",
        "This document is the second document.",
        "And this is the third one.",
        "Is this 文档?",
    ];

    #[test]
    fn counts_are_by_text() {
        let bag = Bag::fit(&TEXTS, BagConfig { tf_idf: false, ..BagConfig::default() }).unwrap();
        let terms: Vec<&str> = bag.terms().collect();
        assert_eq!(
            terms,
            ["and", "document", "first", "is", "one", "second", "the", "third", "this", "文", "档"]
        );
        assert_eq!(bag.row(TEXTS[1]), [(1, 2.0), (3, 1.0), (5, 1.0), (6, 1.0), (8, 1.0)]);
        assert_eq!(bag.row("unseen words 天"), []);
    }

    #[test]
    fn rows_of_tf_idf_have_length_one() {
        let bag = Bag::fit(&TEXTS, BagConfig { runs: (1, 2), ..BagConfig::default() }).unwrap();
        for text in TEXTS {
            let length: f64 = bag.row(text).iter().map(|(_, value)| value * value).sum();
            assert!((length - 1.0).abs() < 1e-12);
        }
        assert!(bag.terms().any(|term| term == "文 档"));
    }

    #[test]
    fn stop_words_and_rare_terms_are_left_out() {
        let stop_words = StopWords::english();
        let bag = Bag::fit(&TEXTS, BagConfig { stop_words, min_texts: 2, ..BagConfig::default() }).unwrap();
        assert_eq!(bag.terms().collect::<Vec<_>>(), ["document"]);
        let most = Bag::fit(&TEXTS, BagConfig { max_terms: Some(2), ..BagConfig::default() }).unwrap();
        assert_eq!(most.terms().collect::<Vec<_>>(), ["is", "this"]);
        assert_eq!(StopWords::english().strip("This is the first, and it was not the last"), "first, last");
        assert_eq!(StopWords::chinese().strip("我的书是在桌上的。"), "我书桌上。");
        let why = Bag::fit(&["的"], BagConfig { stop_words: StopWords::chinese(), ..BagConfig::default() });
        assert!(why.unwrap_err().to_string().starts_with("the 1 texts hold no term"));
        assert!(Bag::fit(&TEXTS, BagConfig { runs: (2, 1), ..BagConfig::default() }).is_err());
    }

    #[test]
    fn a_bag_is_saved_with_its_model() {
        let bag = Bag::fit(&TEXTS, BagConfig::default()).unwrap();
        let back: Bag = serde_json::from_str(&serde_json::to_string(&bag).unwrap()).unwrap();
        assert_eq!(back, bag);
    }
}
