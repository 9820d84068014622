//! Answers that are spans of a text: how many are exactly those expected (EM), and how much of the others is right (F1).
//!
//! Each answer counts by the reference that suits it best. Two rules are in use:
//!
//! - SQuAD's (Rajpurkar, Jia and Liang, *Know What You Don't Know: Unanswerable Questions for SQuAD*, 2018, arXiv 1806.03822,
//!   and its script): in lower case, without ASCII punctuation and the articles; F1 over the words between white space, counted
//!   with multiplicity. No answer is right where none is expected.
//! - CMRC's (Cui et al., *A Span-Extraction Dataset for Chinese Machine Reading Comprehension*, 2019, arXiv 1810.07366, and its
//!   script): in lower case, without its own list of punctuation; F1 over the longest run of tokens that both have, where a token
//!   is a Chinese character, or a word of the rest. The script asks NLTK for those words; here marks are cut off as it does it, but
//!   not the ends of English contractions.

use crate::error::same_length;
use crate::ngrams::{ngrams, overlap};
use crate::{Error, Result, rouge};

/// How an answer is held against a reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// That of SQuAD, for languages with spaces.
    #[default]
    Squad,
    /// That of CMRC 2018, for Chinese.
    Cmrc,
}

/// Both numbers, of one answer or the mean of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// EM: the share of answers that are a reference, 0 to 1.
    pub exact: f64,
    /// F1 of the words that answer and reference share, 0 to 1.
    pub f1: f64,
}

impl Rule {
    /// The score of one answer against references of which the best counts. No reference is the same as an empty one.
    pub fn score(self, answer: &str, references: &[&str]) -> Score {
        let references = if references.is_empty() { &[""] } else { references };
        let against = |reference: &&str| match self {
            Self::Squad => squad(answer, reference),
            Self::Cmrc => cmrc(answer, reference),
        };
        references.iter().map(against).fold(Score::default(), |best, score| Score {
            exact: best.exact.max(score.exact),
            f1: best.f1.max(score.f1),
        })
    }

    /// The mean of all answers, each against references of its own.
    ///
    /// # Errors
    /// If there are no answers, or not as many lists of references.
    pub fn mean<A: AsRef<str>, R: AsRef<str>>(self, answers: &[A], references: &[Vec<R>]) -> Result<Score> {
        same_length(("answers", answers.len()), ("lists of references", references.len()))?;
        if answers.is_empty() {
            return Err(Error::Empty { what: "answers" });
        }
        let mut sum = Score::default();
        for (answer, references) in answers.iter().zip(references) {
            let references: Vec<&str> = references.iter().map(AsRef::as_ref).collect();
            let score = self.score(answer.as_ref(), &references);
            sum = Score { exact: sum.exact + score.exact, f1: sum.f1 + score.f1 };
        }
        let count = answers.len() as f64;
        Ok(Score { exact: sum.exact / count, f1: sum.f1 / count })
    }
}

fn one_if(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Of so many words in common.
fn f1(common: u64, answer: usize, reference: usize) -> f64 {
    rouge::Score::of(common, answer, reference).f1
}

fn squad(answer: &str, reference: &str) -> Score {
    let [answer, reference] = [answer, reference].map(plain);
    let [a, r] = [&answer, &reference].map(|text| text.split_whitespace().collect::<Vec<_>>());
    if a.is_empty() || r.is_empty() {
        let both = one_if(a == r);
        return Score { exact: both, f1: both };
    }
    let common = overlap(&ngrams(&a, 1), &ngrams(&r, 1));
    Score { exact: one_if(a == r), f1: f1(common, a.len(), r.len()) }
}

/// Lower case, without ASCII punctuation and articles.
fn plain(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let (mut found, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_alphanumeric() != first.is_alphanumeric()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        found.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = behind;
    }
    found
}

fn cmrc(answer: &str, reference: &str) -> Score {
    let [a, r] = [answer, reference].map(without_marks);
    let [answer, reference] = [&a, &r].map(|text| characters_and_words(text));
    let common = common_run(&answer, &reference);
    Score { exact: one_if(a == r), f1: f1(common, answer.len(), reference.len()) }
}

/// Lower case, without the punctuation that CMRC's script removes.
fn without_marks(text: &str) -> String {
    const MARKS: &str = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』";
    text.to_lowercase().trim().chars().filter(|c| !MARKS.contains(*c)).collect()
}

/// Each Chinese character of the first block by itself, and the words of what stands between them.
fn characters_and_words(text: &str) -> Vec<String> {
    let is_alone = |c: char| matches!(c, '\u{4E00}'..='\u{9FA5}');
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        if is_alone(first) {
            found.push(first.to_string());
            rest = &rest[first.len_utf8()..];
        } else {
            let (run, behind) = rest.split_at(rest.find(is_alone).unwrap_or(rest.len()));
            found.extend(words(run));
            rest = behind;
        }
    }
    found
}

/// What stands between white space, marks apart: commas but before a digit, and the point behind all.
fn words(run: &str) -> Vec<String> {
    let (mut apart, mut rest) = (String::with_capacity(2 * run.len()), run.chars().peekable());
    while let Some(c) = rest.next() {
        let is_mark = match c {
            ',' => !rest.peek().is_some_and(char::is_ascii_digit),
            '.' => rest.clone().all(char::is_whitespace) && !apart.ends_with('.'),
            _ => ";@#$%&?!()[]{}<>\"—…«»‘„".contains(c),
        };
        if is_mark { apart.extend([' ', c, ' ']) } else { apart.push(c) }
    }
    apart.split_whitespace().map(str::to_string).collect()
}

/// Length of the longest run that both have, in O(|a|·|b|) steps and O(|b|) memory.
fn common_run<T: Eq>(a: &[T], b: &[T]) -> u64 {
    let (mut row, mut longest) = (vec![0; b.len() + 1], 0);
    for x in a {
        for j in (0..b.len()).rev() {
            row[j + 1] = if *x == b[j] { row[j] + 1 } else { 0 };
            longest = longest.max(row[j + 1]);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_case_and_punctuation_are_not_asked_for() {
        let score = Rule::Squad.score("The Eiffel-Tower!", &["an eiffeltower"]);
        assert_eq!(score, Score { exact: 1.0, f1: 1.0 });
        // One of two words, all of one: 2·½·1 / 1½.
        let score = Rule::Squad.score("in Paris", &["Rome", "paris."]);
        assert_eq!(score, Score { exact: 0.0, f1: 2.0 / 3.0 });
        // A word twice is shared as often as in the text that has it less often.
        assert_eq!(Rule::Squad.score("no no", &["no"]).f1, 2.0 / 3.0);
    }

    #[test]
    fn no_answer_is_right_where_none_is_expected() {
        assert_eq!(Rule::Squad.score("", &[]).exact, 1.0);
        assert_eq!(Rule::Squad.score("the", &[""]), Score { exact: 1.0, f1: 1.0 });
        assert_eq!(Rule::Squad.score("Paris", &[]), Score::default());
        assert_eq!(Rule::Squad.score("", &["Paris"]), Score::default());
    }

    #[test]
    fn chinese_is_held_together_by_its_longest_run() {
        // 光荣和波 are four of six and of six characters.
        let score = Rule::Cmrc.score("《光荣》和波士顿", &["光荣和波斯顿"]);
        assert_eq!(score, Score { exact: 0.0, f1: f1(4, 6, 6) });
        assert_eq!(Rule::Cmrc.score("“2.5 GB”", &["2.5 gb"]), Score { exact: 1.0, f1: 1.0 });
        assert_eq!(Rule::Cmrc.score("甲乙丙丁", &["丙丁甲乙"]).f1, 0.5);
    }

    #[test]
    fn there_must_be_references_for_each_answer() {
        let why = Rule::Squad.mean(&["a"], &[vec!["a"], vec!["b"]]).unwrap_err().to_string();
        assert_eq!(why, "1 answers and 2 lists of references: there must be one for each");
        assert!(Rule::Squad.mean::<&str, &str>(&[], &[]).is_err());
        let mean = Rule::Squad.mean(&["x", "y z"], &[vec!["x"], vec!["y"]]).unwrap();
        assert_eq!(mean, Score { exact: 0.5, f1: (1.0 + 2.0 / 3.0) / 2.0 });
    }
}
