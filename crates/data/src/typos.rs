//! Misspelled words, put right where there is one right word to put.
//!
//! A word is repaired if it is rare, not known, at least four letters long and in lower case, and exactly one known word that
//! is much more frequent lies one edit away (a letter inserted, deleted, replaced, or two neighbours swapped; Damerau,
//! CACM 1964). The first letter and the ending are left alone: there most edits make another word (`bat`, `cats`). Known
//! words are found by their deletions, as SymSpell does.
//!
//! Chinese has no misspelled words, but wrong characters: a run of Han characters is repaired if it differs in one from
//! exactly one word of a lexicon that has four or more. Without a lexicon Chinese is left alone.

use std::collections::{BTreeSet, HashMap};

use warpsmith_metrics::tokens::{is_han, spans};

/// Shortest word that is repaired, in characters.
const SHORTEST: usize = 4;

/// When a word counts as known, and when as misspelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Words that are right, besides the frequent ones.
    pub lexicon: BTreeSet<String>,
    /// Occurrences from which on a word of the texts is known.
    pub known: usize,
    /// How many times as often the right word must occur, if it is not in the lexicon.
    pub ratio: usize,
}

impl Default for Repair {
    fn default() -> Self {
        Self { lexicon: BTreeSet::new(), known: 5, ratio: 20 }
    }
}

impl Repair {
    /// Each text with its words repaired, and how many were.
    pub fn texts(&self, texts: &[&str]) -> Vec<(String, usize)> {
        let known = Known::of(self, texts);
        texts.iter().map(|text| known.repair(text)).collect()
    }
}

/// The known words, by what is left of them when a letter goes.
struct Known<'r> {
    rule: &'r Repair,
    counts: HashMap<String, usize>,
    by_deletion: HashMap<String, Vec<String>>,
    han: HanWords,
}

impl<'r> Known<'r> {
    fn of(rule: &'r Repair, texts: &[&str]) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for text in texts {
            for (start, end) in spans(text) {
                *counts.entry(text[start..end].to_lowercase()).or_default() += 1;
            }
        }
        let mut by_deletion: HashMap<String, Vec<String>> = HashMap::new();
        let frequent = counts.iter().filter(|(_, count)| **count >= rule.known).map(|(word, _)| word);
        let words: BTreeSet<&String> =
            frequent.chain(&rule.lexicon).filter(|word| is_spelled(word)).collect();
        for word in words {
            for variant in deletions(word).chain([word.clone()]) {
                by_deletion.entry(variant).or_default().push(word.clone());
            }
        }
        Self { rule, counts, by_deletion, han: HanWords::of(&rule.lexicon) }
    }

    fn repair(&self, text: &str) -> (String, usize) {
        let (mut out, mut at, mut repaired) = (String::with_capacity(text.len()), 0, 0);
        for (start, end) in spans(text) {
            if start < at {
                continue;
            }
            let right = match self.han.right(&text[start..]) {
                Some((length, word)) => Some((start + length, word)),
                None => self.right(&text[start..end]).map(|word| (end, word)),
            };
            if let Some((end, word)) = right {
                out.push_str(&text[at..start]);
                out.push_str(word);
                at = end;
                repaired += 1;
            }
        }
        out.push_str(&text[at..]);
        (out, repaired)
    }

    /// The word that was meant, if there is just one.
    fn right(&self, word: &str) -> Option<&str> {
        let count = self.counts.get(word).copied().unwrap_or(0);
        let is_known = count >= self.rule.known || self.rule.lexicon.contains(word);
        let is_candidate = word.chars().all(char::is_lowercase) && word.chars().count() >= SHORTEST;
        if is_known || !is_candidate {
            return None;
        }
        let near =
            deletions(word).chain([word.to_string()]).filter_map(|variant| self.by_deletion.get(&variant));
        let near: BTreeSet<&str> = near.flatten().map(String::as_str).collect();
        let enough = |known: &str| {
            let often = self.counts.get(known).copied().unwrap_or(0);
            self.rule.lexicon.contains(known) || often >= self.rule.ratio * count.max(1)
        };
        let mut meant = near.into_iter().filter(|known| is_inner_edit(word, known) && enough(known));
        meant.next().filter(|_| meant.next().is_none())
    }
}

/// Letters alone, of a script that is spelled.
fn is_spelled(word: &str) -> bool {
    word.chars().count() >= SHORTEST && word.chars().all(|c| c.is_lowercase())
}

/// A word without each of its letters.
fn deletions(word: &str) -> impl Iterator<Item = String> + '_ {
    word.char_indices().map(|(at, c)| [&word[..at], &word[at + c.len_utf8()..]].concat())
}

/// Whether one edit lies between two words that neither changes the first letter nor adds or drops the last.
fn is_inner_edit(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    // Of equal neighbours the last counts as the one that is too many: `letterr` loses its end.
    let is_edit = match a.len().abs_diff(b.len()) {
        0 => a.len() > 1 && (a[1..] == b[1..] || a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..]),
        1 if a.len() > b.len() => !b.is_empty() && a[1..] == *b,
        1 => !a.is_empty() && b[1..] == *a,
        _ => false,
    };
    same > 0 && is_edit
}

/// Words of Han characters, by their length and by what is left of them when one character is not looked at.
#[derive(Default)]
struct HanWords {
    words: BTreeSet<Vec<char>>,
    lengths: BTreeSet<usize>,
    masked: HashMap<(Vec<char>, usize), Vec<String>>,
}

impl HanWords {
    fn of(lexicon: &BTreeSet<String>) -> Self {
        let mut found = Self::default();
        for word in lexicon {
            let chars: Vec<char> = word.chars().collect();
            if chars.len() < SHORTEST || !chars.iter().all(|c| is_han(*c)) {
                continue;
            }
            for at in 0..chars.len() {
                found.masked.entry(masked(&chars, at)).or_default().push(word.clone());
            }
            found.lengths.insert(chars.len());
            found.words.insert(chars);
        }
        found
    }

    /// The word that the beginning of `text` was meant to be, and the bytes that stand there: the longest that fits.
    fn right(&self, text: &str) -> Option<(usize, &str)> {
        self.lengths.iter().rev().find_map(|&length| {
            let chars: Vec<char> = text.chars().take(length).filter(|c| is_han(*c)).collect();
            if chars.len() < length || self.words.contains(&chars) {
                return None;
            }
            let meant = (0..length).filter_map(|at| self.masked.get(&masked(&chars, at))).flatten();
            let meant: BTreeSet<&str> = meant.map(String::as_str).collect();
            let bytes = chars.iter().map(|c| c.len_utf8()).sum();
            (meant.len() == 1).then(|| meant.into_iter().next()).flatten().map(|word| (bytes, word))
        })
    }
}

fn masked(chars: &[char], at: usize) -> (Vec<char>, usize) {
    let mut rest = chars.to_vec();
    rest.remove(at);
    (rest, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(rule: &Repair, text: &str) -> String {
        let frequent = "the quick brown letter separate their receive ".repeat(30);
        rule.texts(&[&frequent, text]).remove(1).0
    }

    #[test]
    fn each_edit_inside_a_word_is_undone() {
        let rule = Repair::default();
        for (wrong, right) in [
            ("quikc, brwn letetr!", "quick, brown letter!"),
            ("seperate lettter recieve", "separate letter receive"),
            ("quick Quikc QUIKC", "quick Quikc QUIKC"),
            // The ending, the first letter, short words and what is far away stay.
            ("letters browns fetter teh quack quiet", "letters browns fetter teh quack quiet"),
        ] {
            let right = right.replace("quack", "quick");
            assert_eq!(repaired(&rule, wrong), right, "{wrong}");
        }
    }

    #[test]
    fn two_right_words_are_none() {
        let rule =
            Repair { lexicon: BTreeSet::from(["causal".into(), "casual".into()]), ..Repair::default() };
        assert_eq!(repaired(&rule, "casal causal"), "casal causal");
        assert_eq!(repaired(&rule, "caasual"), "casual");
    }

    #[test]
    fn a_word_that_is_not_rare_is_a_word() {
        let text = "brawn ".repeat(5) + "brewn";
        assert_eq!(repaired(&Repair::default(), &text), "brawn ".repeat(5) + "brown");
    }

    #[test]
    fn a_wrong_character_is_put_right_by_a_lexicon() {
        let lexicon = ["人工智能", "机器学习", "深度神经网络"].map(String::from).into();
        let rule = Repair { lexicon, ..Repair::default() };
        let (text, count) = rule.texts(&["人工只能和机器学习，深度神精网络不是人工"]).remove(0);
        assert_eq!((text.as_str(), count), ("人工智能和机器学习，深度神经网络不是人工", 2));
        assert_eq!(Repair::default().texts(&["人工只能"]), [("人工只能".to_string(), 0)]);
    }
}
