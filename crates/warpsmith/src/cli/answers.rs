//! Answers in files, one a line or in a column: what is scored.

use std::path::{Path, PathBuf};

use warpsmith::data::read::columns;

use super::Failure;

/// Longest line of a file of answers or examples.
pub const LONGEST: usize = 16 << 20;

/// The lines of a file, or one of its columns, each with its number.
pub struct Answers {
    pub path: PathBuf,
    pub lines: Vec<(u64, String)>,
}

impl Answers {
    pub fn read(path: &Path, column: Option<&String>) -> Result<Self, Failure> {
        let lines = match column {
            Some(name) => columns::column(path, name, LONGEST)?,
            None => columns::lines(path, LONGEST)?,
        };
        Ok(Self { path: path.to_path_buf(), lines })
    }

    /// Without the numbers of their lines.
    pub fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Each line as something else; what is wrong with one is told with its place.
    pub fn map<T>(&self, value: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Failure> {
        let value = |(line, text): &(u64, String)| {
            let place = |problem| Failure::Failed(format!("{}, line {line}: {problem}", self.path.display()));
            value(text.trim()).map_err(place)
        };
        self.lines.iter().map(value).collect()
    }
}
