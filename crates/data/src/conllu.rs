//! CoNLL-U: sentences as tables of words, whose columns become features.
//!
//! Ten columns between tabs; `#` lines are comments, a blank line ends a sentence. Format: universaldependencies.org/format.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::read::{Broken, Decoded, Lines};
use crate::{Error, Result};

/// A column of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The word as it is written.
    Form = 1,
    /// Its dictionary form.
    Lemma = 2,
    /// Its universal part of speech.
    Upos = 3,
    /// Its part of speech by a language's own list.
    Xpos = 4,
    /// Its morphological features.
    Feats = 5,
    /// How it hangs on its head.
    Deprel = 7,
}

/// A word of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    fields: Vec<String>,
    /// Number of the word it hangs on, counted from 1; 0 is the root. `None` if the file leaves it open.
    pub head: Option<usize>,
}

impl Word {
    /// The value of a column; `_` stands for nothing, but as a form for itself.
    pub fn get(&self, column: Column) -> Option<&str> {
        let value = self.fields.get(column as usize)?;
        (column == Column::Form || value != "_").then_some(value)
    }
}

/// A sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The comment lines, without `#`.
    pub comments: Vec<String>,
    /// The words that the tree is over: numbers 1, 2, 3 … Ranges (`1-2`) and empty nodes (`1.1`) are left out.
    pub words: Vec<Word>,
}

impl Sentence {
    /// One column of all words, with `_` where there is nothing.
    pub fn column(&self, column: Column) -> Vec<&str> {
        self.words.iter().map(|word| word.get(column).unwrap_or("_")).collect()
    }
}

/// Reads a file.
///
/// # Errors
/// With the line: another number of columns than ten, word numbers that do not count up, a head that is no word of the
/// sentence; or a file without sentences.
pub fn read(path: &Path, max_bytes: usize) -> Result<Vec<Sentence>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut lines = Lines::new(Decoded::new(file, None, Broken::Refuse), path, max_bytes);
    let (mut sentences, mut open) = (Vec::new(), Sentence::default());
    while let Some(line) = lines.next_line()? {
        let number = lines.number();
        let wrong = |problem: String| Error::line(path, number, problem);
        if let Some(comment) = line.strip_prefix('#').filter(|_| open.words.is_empty()) {
            open.comments.push(comment.trim().into());
        } else if line.trim().is_empty() {
            finish(&mut open, &mut sentences).map_err(wrong)?;
        } else {
            open.words.extend(word(&line, open.words.len() + 1).map_err(wrong)?);
        }
    }
    let last = lines.number();
    finish(&mut open, &mut sentences).map_err(|problem| Error::line(path, last, problem))?;
    match sentences.is_empty() {
        true => Err(Error::path(path, "holds no sentence")),
        false => Ok(sentences),
    }
}

fn word(line: &str, expected: usize) -> Result<Option<Word>, String> {
    let fields: Vec<String> = line.split('\t').map(str::to_string).collect();
    if fields.len() != 10 {
        return Err(format!("{} columns, expected 10 between tabs", fields.len()));
    }
    let id = &fields[0];
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if id.split_once(['-', '.']).is_some_and(|(a, b)| is_number(a) && is_number(b)) {
        return Ok(None);
    }
    if id.parse() != Ok(expected) {
        return Err(format!("word number {id}, expected {expected}"));
    }
    let head = match fields[6].as_str() {
        "_" => None,
        head => Some(head.parse().map_err(|_| format!("head `{head}` is no word number"))?),
    };
    Ok(Some(Word { fields, head }))
}

fn finish(open: &mut Sentence, sentences: &mut Vec<Sentence>) -> Result<(), String> {
    let count = open.words.len();
    if let Some(head) = open.words.iter().filter_map(|word| word.head).find(|&head| head > count) {
        return Err(format!("the sentence that ends here has {count} words, and one hangs on word {head}"));
    }
    let sentence = std::mem::take(open);
    sentences.extend((count > 0).then_some(sentence));
    Ok(())
}

/// Numbers of the values of a column: 0 for those not seen, then the values in order. What a classical model takes as a
/// feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    column: Column,
    ids: BTreeMap<String, usize>,
}

impl Values {
    /// The values that a column has in sentences.
    pub fn of(sentences: &[Sentence], column: Column) -> Self {
        let mut ids: BTreeMap<String, usize> = BTreeMap::new();
        for value in sentences.iter().flat_map(|sentence| sentence.column(column)) {
            ids.entry(value.into()).or_default();
        }
        ids.values_mut().enumerate().for_each(|(index, id)| *id = index + 1);
        Self { column, ids }
    }

    /// How many numbers there are, that of the unseen included.
    pub fn count(&self) -> usize {
        self.ids.len() + 1
    }

    /// The numbers of a sentence's words.
    pub fn ids(&self, sentence: &Sentence) -> Vec<usize> {
        sentence
            .column(self.column)
            .into_iter()
            .map(|value| self.ids.get(value).copied().unwrap_or(0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Sentence>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conllu");
        std::fs::write(&path, text).unwrap();
        read(&path, 1 << 20)
    }

    fn row(id: &str, form: &str, upos: &str, head: &str) -> String {
        format!("{id}\t{form}\t_\t{upos}\t_\t_\t{head}\tdep\t_\t_\n")
    }

    #[test]
    fn columns_become_features() {
        let text = format!(
            "# text = 我爱编程\n{}{}{}{}{}\n\n{}",
            row("1", "我", "PRON", "2"),
            row("2-3", "爱编程", "_", "_"),
            row("2", "爱", "VERB", "0"),
            row("2.1", "empty", "X", "_"),
            row("3", "编程", "NOUN", "2"),
            row("1", "_", "PUNCT", "_"),
        );
        let found = parsed(&text).unwrap();
        assert_eq!((found.len(), found[0].comments[0].as_str()), (2, "text = 我爱编程"));
        assert_eq!(found[0].column(Column::Form), ["我", "爱", "编程"]);
        assert_eq!(
            found[0].words.iter().map(|word| word.head).collect::<Vec<_>>(),
            [Some(2), Some(0), Some(2)]
        );
        assert_eq!(
            (found[1].words[0].get(Column::Form), found[1].words[0].get(Column::Lemma)),
            (Some("_"), None)
        );
        let values = Values::of(&found[..1], Column::Upos);
        // NOUN 1, PRON 2, VERB 3; PUNCT was not seen.
        assert_eq!(
            (values.count(), values.ids(&found[0]), values.ids(&found[1])),
            (4, vec![2, 3, 1], vec![0])
        );
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let why = |text: &str| parsed(text).unwrap_err().to_string();
        assert!(why("# a\n1\tx\n").ends_with("a.conllu, line 2: 2 columns, expected 10 between tabs"));
        assert!(why(&row("2", "x", "X", "0")).ends_with("line 1: word number 2, expected 1"));
        assert!(
            why(&(row("1", "x", "X", "3") + "\n"))
                .contains("line 2: the sentence that ends here has 1 words")
        );
        assert!(why(&row("1", "x", "X", "y")).contains("head `y` is no word number"));
        assert!(why("# nothing\n\n").ends_with("holds no sentence"));
    }
}
