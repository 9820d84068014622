//! Texts with classes, from files: what classifiers learn from and are judged by.

use std::path::{Path, PathBuf};

use warpsmith_data::balance::Balance;
use warpsmith_data::read::{Document, ReadOptions, Source, read};
use warpsmith_data::split::{Shares, same_texts, stratified};
use warpsmith_data::{Error, Result};
use warpsmith_metrics::classification::Labels;
use warpsmith_selection::folds;

use crate::PreparedFiles;

/// Texts of one file or folder, each with its class.
#[derive(Clone, Debug)]
pub struct LabelledTexts {
    documents: Vec<Document>,
    files: Vec<Source>,
}

impl LabelledTexts {
    /// Reads JSONL, CSV or TSV; `options` names the fields.
    ///
    /// # Errors
    /// As [`warpsmith_data::read::read`]; if a label is empty, with file and line.
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Self> {
        let reading = read(&[path.to_path_buf()], options, &PreparedFiles)?;
        let found = Self { documents: reading.documents, files: reading.files };
        match found.documents.iter().position(|d| d.label.as_ref().is_some_and(String::is_empty)) {
            None => Ok(found),
            Some(index) => Err(found.problem(index, "the label is empty: write one, or remove the row")),
        }
    }

    /// The texts.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.documents.iter().map(|document| document.text.as_str())
    }

    /// The classes that occur, sorted; if all are whole numbers, by their value.
    ///
    /// # Errors
    /// If there are less than two.
    pub fn labels(&self) -> Result<Vec<String>> {
        let labels = || self.documents.iter().filter_map(|document| document.label.as_deref());
        Balance::of(labels()).check().map_err(|error| match self.files.first() {
            Some(file) => Error::Path { path: file.path.clone(), problem: error.to_string() },
            None => error,
        })?;
        Ok(Labels::of(labels()).names().to_vec())
    }

    /// The number of each text's class in `labels`.
    ///
    /// # Errors
    /// If a class is not among them, with file and line.
    pub fn numbers(&self, labels: &[String]) -> Result<Vec<usize>> {
        let number = |(index, document): (usize, &Document)| {
            let label = document.label.as_deref().unwrap_or("");
            let place = labels.iter().position(|known| known == label);
            place.ok_or_else(|| {
                let problem = format!("the label `{label}` is none of those learned: {}", labels.join(", "));
                self.problem(index, problem)
            })
        };
        self.documents.iter().enumerate().map(number).collect()
    }

    /// Something wrong with a text, by its index: with its file and line.
    pub fn problem(&self, index: usize, problem: impl Into<String>) -> Error {
        let document = &self.documents[index];
        let path = self.files.get(document.file).map(|file| file.path.clone()).unwrap_or_default();
        Error::Line { path, line: document.line, problem: problem.into() }
    }

    /// Texts to learn from, and a share of each class that is kept back to judge by. Equal texts stay together.
    ///
    /// # Errors
    /// If the texts are too few, or the same text has two classes.
    pub fn hold_out(self, share: f64, seed: u64) -> Result<(Self, Self)> {
        let shares = Shares([1.0 - share, share, 0.0]);
        let parts = stratified(&self.documents, shares, seed).map_err(Error::about(&self.paths()))?;
        let part = |wanted: usize| self.only(|index| parts[index] == wanted);
        Ok((part(0), part(1)))
    }

    /// k folds, each as the texts to learn from and those to judge by: every text is judged by once, each fold has its share of
    /// each class, and equal texts stay together.
    ///
    /// # Errors
    /// Unless 2 ≤ k, and each class has k different texts; if there are less than two classes, or the same text has two.
    pub fn folds(&self, k: usize, seed: u64) -> Result<Vec<(Self, Self)>> {
        let labels = self.labels()?;
        let same = same_texts(&self.documents).map_err(Error::about(&self.paths()))?;
        let (numbers, same) = (self.numbers(&labels)?, same.into_values().collect::<Vec<_>>());
        let classes: Vec<usize> = same.iter().map(|group| numbers[group[0]]).collect();
        let folds = folds::stratified(&classes, k, seed).map_err(|error| {
            let problem = match error {
                warpsmith_selection::Error::Class { class, count, k } => {
                    let label = &labels[class];
                    format!("the class `{label}` has {count} different texts, fewer than {k} folds: no fold of each could hold one")
                }
                other => other.to_string(),
            };
            Error::about(&self.paths())(Error::Request(problem))
        })?;
        let part = |groups: &[usize]| {
            let mut is_in = vec![false; numbers.len()];
            groups.iter().flat_map(|&group| &same[group]).for_each(|&index| is_in[index] = true);
            self.only(|index| is_in[index])
        };
        Ok(folds.iter().map(|fold| (part(&fold.train), part(&fold.test))).collect())
    }

    fn only(&self, is_wanted: impl Fn(usize) -> bool) -> Self {
        let own = self.documents.iter().enumerate().filter(|(index, _)| is_wanted(*index));
        Self { documents: own.map(|(_, document)| document.clone()).collect(), files: self.files.clone() }
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }
}
