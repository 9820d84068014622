//! One column of a file: what labels and sentences are scored from.

use std::fs::File;
use std::path::Path;

use super::table::Rows;
use super::{Broken, Decoded, Lines};
use crate::{Error, Result};

/// The lines of a text file, each with the number of its line.
///
/// # Errors
/// As [`Lines::next_line`]; if the file is missing or has no line.
pub fn lines(path: &Path, max_bytes: usize) -> Result<Vec<(u64, String)>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut lines = Lines::new(Decoded::new(file, None, Broken::Refuse), path, max_bytes);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line()? {
        found.push((lines.number(), line));
    }
    some(path, found)
}

/// A column of a TSV or CSV file by the name in its header line, as GLUE's files have one, or a field of JSONL; each value with its
/// line.
///
/// # Errors
/// If the file is missing, has no such column or no rows, a row has another number of fields, or a line is no JSON.
pub fn column(path: &Path, name: &str, max_bytes: usize) -> Result<Vec<(u64, String)>> {
    let is = |wanted: &str| path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(wanted));
    let (is_csv, is_json) = (is("csv"), is("jsonl") || is("ndjson"));
    let file = File::open(path).map_err(Error::io("read", path))?;
    let decoded = Decoded::new(file, None, Broken::Refuse);
    if is_json {
        return some(path, super::jsonl::column(&mut Lines::new(decoded, path, max_bytes), path, name)?);
    }
    let mut rows = Rows::new(decoded, path, if is_csv { b',' } else { b'\t' }, max_bytes, None)?;
    let index = rows.column(name, "its header")?;
    let mut found = Vec::new();
    while let Some((line, row)) = rows.next_row()? {
        found.push((line, row.get(index).unwrap_or("").to_string()));
    }
    some(path, found)
}

fn some(path: &Path, found: Vec<(u64, String)>) -> Result<Vec<(u64, String)>> {
    match found.is_empty() {
        true => Err(Error::path(path, "is empty: give a file with at least one line")),
        false => Ok(found),
    }
}
