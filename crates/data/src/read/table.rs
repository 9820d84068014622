//! CSV, and TSV as GLUE has it: a header line, no quoting.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::lines::{read_error, too_long};
use super::{Decoded, Sink};
use crate::{Error, Result};

pub(super) fn read(sink: &mut Sink, delimiter: u8) -> Result<()> {
    let decoded = sink.open()?;
    let mut rows =
        Rows::new(decoded, sink.path, delimiter, sink.options.max_bytes, sink.options.columns.clone())?;
    let text = rows.column(&sink.options.text, "--text")?;
    let label = sink.options.label.as_ref().map(|name| rows.column(name, "--label")).transpose()?;
    while let Some((line, row)) = rows.next_row()? {
        let cell = |index: usize| row.get(index).unwrap_or("").to_string();
        sink.push(cell(text), label.map(cell), line)?;
    }
    sink.reading.malformed += rows.malformed();
    Ok(())
}

/// Rows of a table, which all have as many fields.
pub(super) struct Rows<'p, R> {
    reader: csv::Reader<Gauge<R>>,
    taken: Rc<Cell<usize>>,
    limit: usize,
    path: &'p Path,
    columns: Vec<String>,
    /// Whether the names are the user's, not the header's.
    is_named: bool,
}

impl<'p, R: Read> Rows<'p, R> {
    /// The rows behind the header line, or all of them if `columns` names the fields. Fields between tabs are never quoted.
    pub fn new(
        raw: Decoded<R>,
        path: &'p Path,
        delimiter: u8,
        limit: usize,
        columns: Option<Vec<String>>,
    ) -> Result<Self> {
        let taken = Rc::new(Cell::new(0));
        let gauge = Gauge { raw, taken: taken.clone(), limit };
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).quoting(delimiter != b'\t').has_headers(columns.is_none());
        let mut rows = Self {
            reader: builder.from_reader(gauge),
            taken,
            limit,
            path,
            is_named: columns.is_some(),
            columns: columns.unwrap_or_default(),
        };
        if rows.columns.is_empty() {
            let header = rows.reader.headers().cloned();
            let header = header.map_err(|error| rows.problem(error))?;
            rows.columns = header.iter().map(str::to_string).collect();
        }
        Ok(rows)
    }

    /// The index of a column; an error lists those there are and names the flag to say it by.
    pub fn column(&self, name: &str, flag: &str) -> Result<usize> {
        let mut places = self.columns.iter().enumerate().filter(|(_, known)| *known == name);
        let problem = match (places.next(), places.next()) {
            (Some((index, _)), None) => return Ok(index),
            (Some(_), Some(_)) => format!("two columns are called `{name}`: give each a name of its own"),
            (None, _) => {
                let known = self.columns.join(", ");
                format!(
                    "no column `{name}`: there are {known}; name the right one by {flag}, or all by --columns"
                )
            }
        };
        Err(Error::line(self.path, 1, problem))
    }

    /// The next row, and the line it begins on.
    pub fn next_row(&mut self) -> Result<Option<(u64, StringRecord)>> {
        let mut row = StringRecord::new();
        self.taken.set(0);
        let more = self.reader.read_record(&mut row).map_err(|error| self.problem(error))?;
        let line = row.position().map_or(0, |position| position.line());
        let (got, expected) = (row.len() as u64, self.columns.len() as u64);
        if more && got != expected {
            return Err(match self.is_named {
                true => misnamed(self.path, line, got, expected),
                false => ragged(self.path, line, got, expected),
            });
        }
        Ok(more.then_some((line, row)))
    }

    /// How many sequences of bytes meant nothing so far.
    pub fn malformed(&self) -> u64 {
        self.reader.get_ref().raw.malformed()
    }

    fn problem(&self, error: csv::Error) -> Error {
        // Where the reader stands: behind the record before.
        let line = self.reader.position().line();
        match error.into_kind() {
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                ragged(self.path, pos.map_or(line, |pos| pos.line()), len, expected_len)
            }
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Error::line(self.path, line, too_long("the row", self.limit))
            }
            ErrorKind::Io(error) => read_error(self.path)(error),
            other => Error::line(self.path, line, format!("{other:?}")),
        }
    }
}

/// Rows agree with each other, or [`ragged`] says so first: the list of names does not agree with them.
fn misnamed(path: &Path, line: u64, got: u64, named: u64) -> Error {
    Error::line(path, line, format!("{got} fields, and --columns has {named} names: give one for each field"))
}

fn ragged(path: &Path, line: u64, got: u64, expected: u64) -> Error {
    let problem =
        format!("{got} fields where the first row has {expected}: quote the separator, or mend the row");
    Error::line(path, line, problem)
}

/// Counts what is read for one row and stops a row without end.
struct Gauge<R> {
    raw: Decoded<R>,
    taken: Rc<Cell<usize>>,
    limit: usize,
}

impl<R: Read> Read for Gauge<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken.get() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.raw.read(buffer)?;
        self.taken.set(self.taken.get() + count);
        Ok(count)
    }
}
