//! What can be wrong with data, one line each: where it is, what was expected, what to do.

use std::path::{Path, PathBuf};

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no data set.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong on a line of a file.
    #[error("{}, line {line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// Something is wrong with a file or folder.
    #[error("{}: {problem}", .path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Request(String),
    /// A tokenizer.
    #[error(transparent)]
    Text(#[from] warpsmith_text::Error),
    /// A file could not be written whole; see [`Files`](crate::Files).
    #[error("{0}")]
    Write(String),
}

warpsmith_text::debug_as_displayed!(Error);

impl Error {
    /// Something wrong on a line.
    pub(crate) fn line(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        Self::Line { path: path.to_path_buf(), line, problem: problem.into() }
    }

    /// Something wrong with a file or folder.
    pub(crate) fn path(path: &Path, problem: impl Into<String>) -> Self {
        Self::Path { path: path.to_path_buf(), problem: problem.into() }
    }

    /// For `map_err`: what cannot be done is said with the files or folders it was to be done with.
    pub fn about(paths: &[PathBuf]) -> impl FnOnce(Self) -> Self {
        /// More names than these help nobody.
        const MOST: usize = 3;
        move |error| match error {
            Self::Request(problem) => {
                let names: Vec<String> =
                    paths.iter().take(MOST).map(|path| path.display().to_string()).collect();
                let more = if paths.len() > MOST {
                    format!(" and {} more", paths.len() - MOST)
                } else {
                    String::new()
                };
                Self::Request(format!("{}{more}: {problem}", names.join(", ")))
            }
            placed => placed,
        }
    }

    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::path(path, "no such file or folder; check the path"),
            _ => Self::Io { action, path: path.to_path_buf(), source },
        }
    }
}
