//! Documents from files and folders: JSONL, CSV, TSV, and plain text.

pub mod columns;
mod decode;
mod jsonl;
mod lines;
pub mod parallel;
mod table;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use decode::{Broken, Decoded, Malformed};
pub use encoding_rs::Encoding;
pub use lines::Lines;
use serde::{Deserialize, Serialize};
use warpsmith_text::list_files;

use crate::manifest::Manifest;
use crate::{Error, Files, Result};

/// A text, its class, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Its class, if the data has classes.
    pub label: Option<String>,
    /// Index of its file in [`Reading::files`].
    pub file: usize,
    /// The line it begins on, counted from 1.
    pub line: u64,
}

/// What a document of a plain text file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// The whole file.
    #[default]
    File,
    /// Lines up to a blank one.
    Paragraph,
    /// A line.
    Line,
}

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The field or column that holds the text.
    pub text: String,
    /// The field or column that holds the class.
    pub label: Option<String>,
    /// Names of the columns of tables that have no header line.
    pub columns: Option<Vec<String>>,
    /// What a document of a plain text file is.
    pub unit: Unit,
    /// The encoding of files without a byte order mark; UTF-8 if not given.
    pub encoding: Option<&'static Encoding>,
    /// What to do about bytes that mean nothing.
    pub broken: Broken,
    /// Whether documents without a character are left out. If not they are errors.
    pub drop_empty: bool,
    /// The longest line, record or document, in bytes of UTF-8.
    pub max_bytes: usize,
    /// A folder that is not read though it lies in one that is.
    pub except: Option<PathBuf>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            text: "text".into(),
            label: None,
            columns: None,
            unit: Unit::File,
            encoding: None,
            broken: Broken::Refuse,
            drop_empty: false,
            max_bytes: 64 << 20,
            except: None,
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its path: the one given, or below the one given.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
    /// How many documents it gave.
    pub documents: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// The documents, in the order of the files and of the lines in them.
    pub documents: Vec<Document>,
    /// The files, in the order in which they were given, those of a folder by path.
    pub files: Vec<Source>,
    /// Files with a NUL byte near their beginning, which were passed over in folders.
    pub binary: usize,
    /// Entries whose name begins with a dot, passed over in folders.
    pub hidden: usize,
    /// Documents without a character that were left out, and files of folders that are empty.
    pub empty: usize,
    /// Sequences of bytes that meant nothing.
    pub malformed: u64,
}

/// The files that `inputs` name: themselves, or those below a folder, with size and hash. Nothing is decoded.
///
/// # Errors
/// If a path is missing or unreadable, or names nothing to read.
pub fn sources(inputs: &[PathBuf], options: &ReadOptions, files: &dyn Files) -> Result<Reading> {
    let mut reading = Reading::default();
    for input in inputs {
        let is_folder = std::fs::metadata(input).map_err(Error::io("read", input))?.is_dir();
        let mut paths = vec![input.clone()];
        if is_folder {
            paths.clear();
            let mut skipped = warpsmith_text::Skipped::default();
            list_files(input, &mut paths, &mut skipped)?;
            paths.sort();
            reading.hidden += skipped.hidden;
        }
        if is_folder {
            let except = options.except.as_ref().and_then(|path| path.canonicalize().ok());
            let is_own = |path: &PathBuf| Some(path.canonicalize().ok()?.starts_with(except.as_ref()?));
            paths.retain(|path| is_own(path) != Some(true));
            refuse_prepared(&paths)?;
        }
        for path in paths {
            add_source(&mut reading, path, is_folder, files)?;
        }
    }
    match reading.files.is_empty() {
        false => Ok(reading),
        true => Err(Error::Request(format!(
            "no text found in {} ({} binary, {} hidden and {} empty entries passed over)",
            list(inputs),
            reading.binary,
            reading.hidden,
            reading.empty
        ))),
    }
}

/// An error if a folder of these files is one that a preparation has made or begun: its card and its manifest are no documents.
fn refuse_prepared(paths: &[PathBuf]) -> Result<()> {
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    match folders.into_iter().find(|folder| Manifest::is_or_was_in(folder)) {
        None => Ok(()),
        Some(folder) => {
            let file = folder.join("train.jsonl");
            let problem =
                format!("is prepared data: name the file in it that is to be read ({}, say)", file.display());
            Err(Error::path(folder, problem))
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Counts what folders hold besides text; given by name it is an error.
fn add_source(reading: &mut Reading, path: PathBuf, is_in_folder: bool, files: &dyn Files) -> Result<()> {
    let mut start = Vec::new();
    let file = File::open(&path).map_err(Error::io("read", &path))?;
    let bytes = file.metadata().map_err(Error::io("read", &path))?.len();
    file.take(1 << 13).read_to_end(&mut start).map_err(Error::io("read", &path))?;
    let is_utf16 = start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]);
    let nul = start.iter().position(|&byte| byte == 0).filter(|_| !is_utf16);
    match (start.is_empty(), nul, is_in_folder) {
        (true, _, true) => reading.empty += 1,
        (true, _, false) => {
            return Err(Error::path(&path, "is empty: give a file with at least one document"));
        }
        (_, Some(_), true) => reading.binary += 1,
        (_, Some(offset), false) => {
            return Err(Error::path(&path, format!("looks binary: NUL byte at offset {offset}; give text")));
        }
        _ => {
            let sha256 = files.sha256(&path).map_err(Error::io("read", &path))?;
            reading.files.push(Source { path, bytes, sha256, documents: 0 });
        }
    }
    Ok(())
}

/// Reads all documents of `inputs`. What a file holds is told by its name: `.jsonl` and `.ndjson`, `.csv`, `.tsv`, or else
/// plain text.
///
/// # Errors
/// As [`sources`]; and, with file and line: JSON or tables that are not what they should be, missing fields, bytes that
/// are refused, documents that are empty or too long.
pub fn read(inputs: &[PathBuf], options: &ReadOptions, files: &dyn Files) -> Result<Reading> {
    read_sources(sources(inputs, options, files)?, options)
}

/// As [`read`], of files that [`sources`] has found.
///
/// # Errors
/// As [`read`].
pub fn read_sources(mut reading: Reading, options: &ReadOptions) -> Result<Reading> {
    for file in 0..reading.files.len() {
        let path = reading.files[file].path.clone();
        let before = reading.documents.len();
        let mut sink = Sink { reading: &mut reading, options, path: &path, file };
        match path.extension().and_then(|ext| ext.to_str()).unwrap_or("").to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => jsonl::read(&mut sink)?,
            "csv" => table::read(&mut sink, b',')?,
            "tsv" => table::read(&mut sink, b'\t')?,
            _ => plain(&mut sink)?,
        }
        reading.files[file].documents = reading.documents.len() - before;
    }
    if reading.documents.is_empty() {
        let paths: Vec<PathBuf> = reading.files.iter().map(|file| file.path.clone()).collect();
        return Err(Error::Request(format!("{}: no documents", list(&paths))));
    }
    Ok(reading)
}

/// Where the documents of one file go.
struct Sink<'a> {
    reading: &'a mut Reading,
    options: &'a ReadOptions,
    path: &'a Path,
    file: usize,
}

impl Sink<'_> {
    fn open(&self) -> Result<Decoded<File>> {
        let file = File::open(self.path).map_err(Error::io("read", self.path))?;
        Ok(Decoded::new(file, self.options.encoding, self.options.broken))
    }

    fn lines(&self) -> Result<Lines<File>> {
        Ok(Lines::new(self.open()?, self.path, self.options.max_bytes))
    }

    fn push(&mut self, text: String, label: Option<String>, line: u64) -> Result<()> {
        if text.is_empty() {
            if !self.options.drop_empty {
                let problem = "the document is empty: remove it, or choose --empty drop";
                return Err(Error::line(self.path, line, problem));
            }
            self.reading.empty += 1;
            return Ok(());
        }
        self.reading.documents.push(Document { text, label, file: self.file, line });
        Ok(())
    }
}

fn plain(sink: &mut Sink) -> Result<()> {
    if sink.options.label.is_some() {
        let problem = "plain text has no labels: give JSONL, CSV or TSV, or leave --label out";
        return Err(Error::path(sink.path, problem));
    }
    let mut lines = sink.lines()?;
    match sink.options.unit {
        Unit::File => {
            let text = lines.rest()?;
            sink.push(text, None, 1)?;
        }
        Unit::Line => {
            while let Some(line) = lines.next_line()? {
                if !line.trim().is_empty() {
                    sink.push(line, None, lines.number())?;
                }
            }
        }
        Unit::Paragraph => paragraphs(sink, &mut lines)?,
    }
    sink.reading.malformed += lines.malformed();
    Ok(())
}

fn paragraphs(sink: &mut Sink, lines: &mut Lines<File>) -> Result<()> {
    let (mut text, mut begin) = (String::new(), 0);
    loop {
        let line = lines.next_line()?;
        match line.as_deref().filter(|line| !line.trim().is_empty()) {
            Some(line) if text.is_empty() => (text, begin) = (line.to_string(), lines.number()),
            Some(line) => {
                text.push('\n');
                text.push_str(line);
                if text.len() > sink.options.max_bytes {
                    let problem = lines::too_long("the paragraph", sink.options.max_bytes);
                    return Err(Error::line(sink.path, begin, problem));
                }
            }
            None if text.is_empty() => {}
            None => sink.push(std::mem::take(&mut text), None, begin)?,
        }
        if line.is_none() {
            return Ok(());
        }
    }
}
