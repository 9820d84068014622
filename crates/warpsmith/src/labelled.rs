//! Texts with classes, from files: what classifiers learn from and are judged by.

use std::path::Path;

use warpsmith_data::balance::Balance;
use warpsmith_data::read::{Document, ReadOptions, Source, read};
use warpsmith_data::split::{Shares, stratified};
use warpsmith_data::{Error, Result};
use warpsmith_metrics::classification::Labels;

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
        let parts = stratified(&self.documents, Shares([1.0 - share, share, 0.0]), seed)?;
        let part = |wanted: usize| {
            let own = self.documents.iter().zip(&parts).filter(|(_, part)| **part == wanted);
            Self { documents: own.map(|(document, _)| document.clone()).collect(), files: self.files.clone() }
        };
        Ok((part(0), part(1)))
    }
}
