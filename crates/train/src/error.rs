//! The one error type of this crate. Each message is one line: what was expected, what came, what to do.

use std::path::{Path, PathBuf};

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong outside the tensors: configuration, log files, checkpoints on disk.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A flag or a key of a configuration file that no field has.
    #[error("unknown setting `{key}`{}", suggestion(.nearest))]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The known key that is spelled most like it, if one is near.
        nearest: Option<&'static str>,
    },

    /// A value that cannot be read as the type of its field.
    #[error("{key}: expected {expected}, got `{value}`")]
    BadValue {
        /// The field's name.
        key: &'static str,
        /// What the field takes, in words.
        expected: String,
        /// The text that was given.
        value: String,
    },

    /// A flag without the value that should follow it, or a word where a flag should stand.
    #[error("expected `--key value` or `--key=value`, got `{found}`{advice}")]
    BadFlag {
        /// The word in question.
        found: String,
        /// What to do about it; empty or beginning with `: `.
        advice: &'static str,
    },

    /// A value of the right type that no training run can use.
    #[error("{key} = {value}: {problem}; {advice}")]
    Invalid {
        /// The field's name.
        key: &'static str,
        /// Its value as it would be printed in a configuration file.
        value: String,
        /// Why the value cannot be used.
        problem: String,
        /// What to write in its place.
        advice: String,
    },

    /// A configuration file that is not `key = value` TOML, or that holds a bad setting.
    #[error("{}, line {line}: {problem}", .path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What is wrong on that line.
        problem: String,
    },

    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] warpsmith_tensor::Error),

    /// The text, its tokenizer or its batches.
    #[error(transparent)]
    Text(#[from] warpsmith_text::Error),

    /// A run that cannot start or cannot go on.
    #[error("{0}")]
    Run(String),

    /// A run whose loss or gradients stopped being numbers.
    #[error("{0}")]
    Diverged(String),

    /// A study folder that cannot be gone on with.
    #[error("{}, line {line}: {problem}", .path.display())]
    BadStudy {
        /// The file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What is wrong there, and what to do.
        problem: String,
    },

    /// Folds, samplers or comparisons that cannot be.
    #[error(transparent)]
    Selection(#[from] warpsmith_selection::Error),

    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}{}", .path.display(), io_advice(.source))]
    Io {
        /// What was tried: `read`, `write`, `rename`, …
        action: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },

    /// A checkpoint folder that must not be loaded.
    #[error("checkpoint {} is not usable: {problem}", .path.display())]
    BadCheckpoint {
        /// The checkpoint folder.
        path: PathBuf,
        /// Which file is missing, cut or changed.
        problem: String,
    },

    /// A log file with a line, other than the last, that is not a record.
    #[error("{}, line {line}: not a log record ({problem}); move the file away to start a new log", .path.display())]
    BadLog {
        /// The log file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What the JSON reader said.
        problem: String,
    },
}

warpsmith_text::debug_as_displayed!(Error);

impl Error {
    /// For `map_err`: wraps what the operating system said about `action` on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_path_buf(), source }
    }

    /// Whether it is that no more can be written, to the disk or to a file.
    pub(crate) fn ends_all_writing(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let ends = |kind| matches!(kind, StorageFull | QuotaExceeded | FileTooLarge);
        matches!(self, Self::Io { source, .. } if ends(source.kind()))
    }

    /// What is wrong with a file or folder, with its path before it.
    pub(crate) fn at<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Error {
        move |problem| Error::Run(format!("{}: {problem}", path.display()))
    }
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; `--help` lists them all".to_string(),
    }
}

/// What a person can do about the refusals that a long run meets in practice.
fn io_advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::*;
    match source.kind() {
        StorageFull | QuotaExceeded => "; free space",
        FileTooLarge => "; raise the limit on the size of files (ulimit -f)",
        AlreadyExists | NotADirectory => "; a folder is needed there, and a file has its name",
        PermissionDenied | ReadOnlyFilesystem => "; choose a folder that you may write to",
        NotFound => "; check the path",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_names_the_nearest() {
        let near = Error::UnknownKey { key: "n_layers".into(), nearest: Some("n_layer") };
        assert_eq!(near.to_string(), "unknown setting `n_layers`; did you mean `n_layer`?");
        let far = Error::UnknownKey { key: "zzz".into(), nearest: None };
        assert_eq!(far.to_string(), "unknown setting `zzz`; `--help` lists them all");
    }

    #[test]
    fn a_full_disk_comes_with_advice_and_the_path() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let text = Error::io("write", Path::new("out/log.jsonl"))(full).to_string();
        assert!(text.starts_with("cannot write out/log.jsonl: "), "{text}");
        assert!(text.ends_with("; free space"), "{text}");
    }
}
