//! A program: what one PTX text declares.

pub(crate) mod build;

use std::fmt;
use std::sync::Arc;

use crate::code::Code;
use crate::fault::SourceLine;

/// Why a PTX text was refused. Its display is the log of the just-in-time compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line of the text, from 1.
    pub line: u32,
    /// The line as written.
    pub text: String,
    /// The line of the CUDA source that it comes from, if the text says so.
    pub source: Option<SourceLine>,
    /// What was expected and what came.
    pub sentence: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ptx line {}", self.line)?;
        if let Some(source) = &self.source {
            write!(f, ", from {}:{}", source.file, source.line)?;
        }
        write!(f, ": {}\n    {}", self.sentence, self.text.trim())
    }
}

impl std::error::Error for ParseError {}

/// The space of a variable that outlives a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// `.global`: kernels may write it.
    Global,
    /// `.const`: kernels only read it.
    Const,
}

/// A `.global` or `.const` variable. Whoever loads the program allocates it and writes its first value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// The symbol.
    pub name: String,
    /// Where it lives.
    pub space: Space,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its alignment in bytes.
    pub align: u64,
    /// Its first value, zeros included; `bytes` long, or empty if it has none.
    pub init: Vec<u8>,
    /// Addresses of other variables inside the first value: (offset, index of the variable, addend), 8 bytes each.
    pub relocations: Vec<(usize, usize, u64)>,
}

/// One parameter of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The symbol.
    pub name: String,
    /// Where it starts in the parameters, in bytes.
    pub offset: usize,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its alignment in bytes.
    pub align: usize,
}

/// A kernel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The symbol.
    pub name: String,
    /// The parameters in order.
    pub params: Vec<Param>,
    /// The size of all parameters with their padding.
    pub param_bytes: usize,
    /// Static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Local memory of a thread, in bytes.
    pub local_bytes: u32,
    /// Registers of 32 bits that the PTX declares, a bound and not what an assembler would allot.
    pub registers: u32,
    /// `.maxntid`: the most threads of a block that the kernel was compiled for.
    pub max_threads: Option<u32>,
    pub(crate) code: Arc<Code>,
}

/// What one PTX text declares, decoded and ready to run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Program {
    /// `.version`: major, minor.
    pub version: (u32, u32),
    /// `.target`, such as `sm_80`.
    pub target: String,
    /// The kernels in the order of the text.
    pub entries: Vec<Entry>,
    /// The variables in the order of the text.
    pub globals: Vec<Global>,
    pub(crate) files: Vec<(u32, String)>,
    pub(crate) text: Arc<str>,
}

impl Program {
    /// Reads and decodes a PTX text.
    ///
    /// # Errors
    ///
    /// The first line that is not PTX, or is PTX that the emulator cannot run.
    pub fn parse(text: &str) -> Result<Program, ParseError> {
        build::program(text).map_err(|mistake| {
            let line = text.lines().nth(mistake.line.saturating_sub(1) as usize).unwrap_or("");
            let source = declared_source(text, mistake.line);
            ParseError { line: mistake.line, text: line.to_owned(), source, sentence: mistake.sentence }
        })
    }

    /// The index of the entry of that name in [`Program::entries`].
    pub fn entry(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == name)
    }

    /// A line of the text, from 1, without its margins.
    pub(crate) fn line(&self, line: u32) -> &str {
        let index = (line as usize).wrapping_sub(1);
        self.text.lines().nth(index).map_or("", str::trim)
    }

    /// The line of the source behind a file number and a line.
    pub(crate) fn source(&self, (file, line): (u32, u32)) -> Option<Box<SourceLine>> {
        let path = self.files.iter().find(|(number, _)| *number == file).map(|(_, path)| path.clone())?;
        (line != 0).then(|| Box::new(SourceLine { file: path, line }))
    }
}

/// What the last `.loc` before a line of a text says, within the line's function. The text may not be PTX, so it is read by
/// lines.
fn declared_source(text: &str, line: u32) -> Option<SourceLine> {
    let mut last = None;
    for text in text.lines().take(line as usize).map(str::trim) {
        if text.contains(".entry ") || text.contains(".func ") {
            last = None;
        }
        if let Some(place) = text.strip_prefix(".loc") {
            let mut numbers = place.split_whitespace();
            last = numbers.next().zip(numbers.next());
        }
    }
    let (file, line) = last?;
    let files = text.lines().filter_map(|text| text.trim().strip_prefix(".file"));
    let names = files.filter_map(|declared| declared.trim().strip_prefix(file)?.trim().strip_prefix('"'));
    let name = names.filter_map(|name| name.split('"').next()).next()?;
    Some(SourceLine { file: name.to_owned(), line: line.parse().ok()? })
}
