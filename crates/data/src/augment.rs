//! More documents out of those there are, whose class stays what it was.
//!
//! The four edits of Wei and Zou, "EDA: easy data augmentation techniques", EMNLP 2019, and joining two documents of one
//! class. Words that turn a meaning round (`not`, `不`) are never touched.

use std::collections::{BTreeMap, BTreeSet};

use warpsmith_metrics::tokens::spans;
use warpsmith_text::Draws;

use crate::read::Document;
use crate::{Error, Result};

/// A change that a class survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A word becomes a synonym of it.
    Synonym,
    /// Two words change places.
    Swap,
    /// A word goes.
    Delete,
    /// A synonym of a word is put somewhere.
    Insert,
    /// Another document of the class is put behind.
    Join,
}

/// How to make documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// What may be done; each new document has one kind of change.
    pub edits: Vec<Edit>,
    /// Synonyms of words, which may be of several characters each.
    pub synonyms: BTreeMap<String, Vec<String>>,
    /// Words that stay as and where they are, in lower case.
    pub protected: BTreeSet<String>,
    /// The share of words that are changed; at least one is.
    pub rate: f64,
    /// Decides everything.
    pub seed: u64,
}

impl Default for Augmentation {
    fn default() -> Self {
        const TURN_ROUND: &str = "not no nor never none nothing neither without isn don didn doesn won can cannot t hardly \
            不 没 沒 无 無 非 未 别 別 勿 莫 否";
        Self {
            edits: vec![Edit::Swap, Edit::Delete, Edit::Join],
            synonyms: BTreeMap::new(),
            protected: TURN_ROUND.split_whitespace().map(str::to_string).collect(),
            rate: 0.1,
            seed: 1337,
        }
    }
}

impl Augmentation {
    /// Up to `copies` new documents of each, with its class and place: fewer where an edit changes nothing, as in a text of
    /// one word. Document `i` depends on the seed, on `i` and on the documents of its class.
    ///
    /// # Errors
    /// If no edit is allowed, the rate is no share, or synonyms are wanted and there are none.
    pub fn make(&self, documents: &[Document], copies: usize) -> Result<Vec<Document>> {
        let needs_table = |edit: &Edit| matches!(edit, Edit::Synonym | Edit::Insert);
        if self.edits.is_empty() || !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::Request("augmentation needs an edit, and a rate in 0..=1".into()));
        }
        if self.synonyms.is_empty() && self.edits.iter().any(needs_table) {
            return Err(Error::Request("replacing and inserting synonyms needs a table of synonyms".into()));
        }
        let mut classes: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (index, document) in documents.iter().enumerate() {
            classes.entry(document.label.as_deref()).or_default().push(index);
        }
        let mut made = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            for copy in 0..copies {
                let draws = Draws::new(self.seed).child(index as u64).child(copy as u64);
                let edit = self.edits[draws.below(0, self.edits.len() as u64) as usize];
                let of_class = &classes[&document.label.as_deref()];
                let other = of_class[draws.below(1, of_class.len() as u64) as usize];
                let text = self.edit(edit, &document.text, &documents[other].text, draws);
                if text != document.text && !text.is_empty() {
                    made.push(Document { text, ..document.clone() });
                }
            }
        }
        Ok(made)
    }

    /// One change of `text`; `other` is what may be joined to it.
    fn edit(&self, edit: Edit, text: &str, other: &str, draws: Draws) -> String {
        if edit == Edit::Join {
            return if text == other { text.to_string() } else { format!("{text}\n{other}") };
        }
        let words: Vec<(usize, usize)> = spans(text).collect();
        let is_free =
            |&(start, end): &(usize, usize)| !self.protected.contains(&text[start..end].to_lowercase());
        let places: Vec<(usize, usize)> = match edit {
            Edit::Synonym | Edit::Insert => self.known(text),
            _ => words.iter().copied().filter(is_free).collect(),
        };
        let count = ((self.rate * words.len() as f64).round() as usize).max(1);
        let mut chosen = BTreeMap::new();
        for draw in 0..count as u64 {
            if places.is_empty() || edit == Edit::Delete && words.len() <= chosen.len() + 1 {
                break;
            }
            let place = draws.below(10 + 2 * draw, places.len() as u64) as usize;
            chosen.insert(place, draws.at(11 + 2 * draw));
        }
        match edit {
            Edit::Swap => swap(text, &places, &chosen),
            _ => self.replace(edit, text, &places, &chosen),
        }
    }

    /// Where words of the table stand, the longest first of those that begin at one place, none inside another.
    fn known(&self, text: &str) -> Vec<(usize, usize)> {
        let ends: BTreeSet<usize> = spans(text).map(|(_, end)| end).collect();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (start, _) in spans(text) {
            let fits = |word: &&String| {
                text[start..].starts_with(word.as_str()) && ends.contains(&(start + word.len()))
            };
            let longest = self.synonyms.keys().filter(fits).map(String::len).max();
            if let Some(length) = longest.filter(|_| found.last().is_none_or(|last| last.1 <= start)) {
                found.push((start, start + length));
            }
        }
        found
    }

    fn replace(
        &self,
        edit: Edit,
        text: &str,
        places: &[(usize, usize)],
        chosen: &BTreeMap<usize, u64>,
    ) -> String {
        let (mut out, mut at) = (String::with_capacity(2 * text.len()), 0);
        for (place, draw) in chosen {
            let (start, end) = places[*place];
            out.push_str(&text[at..start]);
            let word = &text[start..end];
            let synonyms = self.synonyms.get(word).map_or(&[][..], Vec::as_slice);
            let synonym =
                synonyms.get((draw % synonyms.len().max(1) as u64) as usize).map_or(word, String::as_str);
            at = end;
            match edit {
                Edit::Synonym => out.push_str(synonym),
                Edit::Insert => {
                    out.push_str(word);
                    if text.is_ascii() || word.is_ascii() {
                        out.push(' ');
                    }
                    out.push_str(synonym);
                }
                // With the space that would stand doubled.
                _ => {
                    at += usize::from(text[end..].starts_with(' ') && (out.is_empty() || out.ends_with(' ')))
                }
            }
        }
        out.push_str(&text[at..]);
        out
    }
}

/// Exchanges each chosen word with the next free one.
fn swap(text: &str, places: &[(usize, usize)], chosen: &BTreeMap<usize, u64>) -> String {
    let mut order: Vec<usize> = (0..places.len()).collect();
    for &place in chosen.keys().filter(|_| places.len() > 1) {
        order.swap(place, (place + 1) % places.len());
    }
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (&(start, end), &from) in places.iter().zip(&order) {
        out.push_str(&text[at..start]);
        out.push_str(&text[places[from].0..places[from].1]);
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(texts: &[(&str, &str)]) -> Vec<Document> {
        let document = |(text, label): &(&str, &str)| Document {
            text: text.to_string(),
            label: Some(label.to_string()),
            file: 0,
            line: 1,
        };
        texts.iter().map(document).collect()
    }

    fn made(edit: Edit, text: &str) -> Vec<String> {
        let synonyms = [("film", "movie"), ("good", "fine"), ("电影", "影片"), ("电", "電")];
        let synonyms = synonyms.map(|(word, other)| (word.to_string(), vec![other.to_string()])).into();
        let rule = Augmentation { edits: vec![edit], synonyms, ..Augmentation::default() };
        let mut texts: Vec<String> = rule
            .make(&documents(&[(text, "a")]), 30)
            .unwrap()
            .into_iter()
            .map(|document| document.text)
            .collect();
        texts.sort();
        texts.dedup();
        texts
    }

    #[test]
    fn each_edit_does_what_it_says() {
        assert_eq!(made(Edit::Synonym, "a good film"), ["a fine film", "a good movie"]);
        assert_eq!(made(Edit::Synonym, "这部电影好"), ["这部影片好"]);
        assert_eq!(made(Edit::Insert, "这部电影好"), ["这部电影影片好"]);
        assert_eq!(made(Edit::Insert, "film!"), ["film movie!"]);
        assert_eq!(made(Edit::Delete, "a good film"), ["a film", "a good ", "good film"]);
        assert_eq!(made(Edit::Swap, "a, good film"), ["a, film good", "film, good a", "good, a film"]);
        assert_eq!(made(Edit::Swap, "我爱你"), ["你爱我", "我你爱", "爱我你"]);
        assert_eq!(made(Edit::Delete, "one"), Vec::<String>::new());
    }

    #[test]
    fn what_turns_a_meaning_round_stays() {
        for edit in [Edit::Delete, Edit::Swap] {
            assert!(
                made(edit, "this is not good").iter().all(|text| text.split(' ').any(|word| word == "not"))
            );
            assert!(made(edit, "这不好看").iter().all(|text| text.chars().position(|c| c == '不').is_some()));
        }
        assert!(made(Edit::Swap, "is not good").iter().all(|text| text.split(' ').nth(1) == Some("not")));
    }

    #[test]
    fn classes_are_kept_and_joined_among_themselves() {
        let all = documents(&[("p one", "p"), ("n one", "n"), ("p two", "p"), ("n two", "n")]);
        let rule = Augmentation { edits: vec![Edit::Join], ..Augmentation::default() };
        let made = rule.make(&all, 10).unwrap();
        assert!(!made.is_empty());
        for document in &made {
            let label = document.label.clone().unwrap();
            assert!(document.text.lines().all(|line| line.starts_with(&label)), "{document:?}");
            assert_eq!(document.text.lines().count(), 2);
        }
        assert_eq!(rule.make(&all, 10).unwrap(), made);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for rule in [
            Augmentation { edits: vec![], ..Augmentation::default() },
            Augmentation { edits: vec![Edit::Synonym], ..Augmentation::default() },
            Augmentation { rate: 1.5, ..Augmentation::default() },
        ] {
            assert!(rule.make(&[], 1).is_err());
        }
    }
}
