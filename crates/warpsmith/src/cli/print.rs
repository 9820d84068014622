//! How every command prints. A reader that went away (`| head`) has what it wanted: the command ends, quietly and with 0. What
//! cannot be written for another reason, as on a full disk, is a failure. What a long run tells on its way stops it for neither.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Failure;

/// A line of what was asked for, on standard output: `say!("{} runs", n)?`.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::print::line(format_args!($($words)*)) };
}

/// The same without the end of the line: for texts that have their own.
macro_rules! put {
    ($($words:tt)*) => { $crate::cli::print::piece(format_args!($($words)*)) };
}

/// A line of progress on standard output, of a run that goes on whether somebody reads it or not.
macro_rules! show {
    ($($words:tt)*) => { $crate::cli::print::progress(format_args!($($words)*)) };
}

/// A line beside what was asked for, on standard error.
macro_rules! note {
    ($($words:tt)*) => { $crate::cli::print::aside(format_args!("{}\n", format_args!($($words)*))) };
}

/// The same without the end of the line.
macro_rules! murmur {
    ($($words:tt)*) => { $crate::cli::print::aside(format_args!($($words)*)) };
}

/// A text of a file that somebody else made, in one line: what terminals obey is written out (`\u{1b}`).
pub fn plain(text: &str) -> String {
    let written = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(written).collect()
}

/// What [`say!`] does.
pub fn line(words: Arguments<'_>) -> Result<(), Failure> {
    piece(format_args!("{words}\n"))
}

/// What [`put!`] does.
pub fn piece(words: Arguments<'_>) -> Result<(), Failure> {
    write(words).map_err(|error| unwritten(&error))
}

/// Why standard output takes no more.
pub fn unwritten(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Failed(format!("cannot write to standard output: {error}")),
    }
}

/// What [`show!`] does.
pub fn progress(words: Arguments<'_>) {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    if let Err(error) = write(format_args!("{words}\n"))
        && error.kind() != ErrorKind::BrokenPipe
        && !IS_TOLD.swap(true, Ordering::Relaxed)
    {
        note!("note: cannot write to standard output: {error}; the run goes on");
    }
}

/// What [`note!`] and [`murmur!`] do.
pub fn aside(words: Arguments<'_>) {
    // There is nobody left to be told; the exit code says how it went.
    let _ = stderr().write_fmt(words);
}

/// Flushed each time: what stays in a buffer until the end is lost there without a word.
fn write(words: Arguments<'_>) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_fmt(words)?;
    out.flush()
}
