//! What went wrong, and which exit code it earns.

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use warpsmith::train::Error;

use super::print::{plain, unwritten};

/// Why a command failed.
pub enum Failure {
    /// clap's own message: a usage error, or the text of `--help` or `--version`.
    Clap(clap::Error),
    /// Words that do not fit together: exit code 2.
    Usage(String),
    /// Nobody reads on: exit code 0, and nothing to say.
    Closed,
    /// Anything else: exit code 1.
    Failed(String),
}

impl Failure {
    /// Prints one line (or the help that was asked for) and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Clap(error) if error.kind() == ErrorKind::UnknownArgument => {
                Self::Usage(unknown(&error)).report()
            }
            Self::Clap(error) if !is_help(error.kind()) => Self::Usage(in_a_line(&error)).report(),
            Self::Clap(error) => match error.print().and_then(|()| std::io::stdout().flush()) {
                Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
                Err(error) => unwritten(&error).report(),
            },
            Self::Usage(message) => {
                note!("error: {}", readable(&message));
                ExitCode::from(2)
            }
            Self::Closed => ExitCode::SUCCESS,
            Self::Failed(message) => {
                note!("error: {}", readable(&message));
                ExitCode::FAILURE
            }
        }
    }
}

/// Bytes of a message that are told.
const LONGEST: usize = 16 << 10;

/// A message without what terminals obey, and not too long to be read: it may hold names of files that somebody else made. Lines
/// and tabs stay, since a compiler's log and a line of PTX have some.
fn readable(message: &str) -> String {
    let mut ends = (0..=LONGEST.min(message.len())).rev();
    let told = &message[..ends.find(|&end| message.is_char_boundary(end)).unwrap_or(0)];
    let line = |line: &str| line.split('\t').map(plain).collect::<Vec<_>>().join("\t");
    let lines = told.lines().map(line).collect::<Vec<_>>().join("\n");
    match message.len() - told.len() {
        0 => lines,
        more => format!("{lines}… and {more} bytes more"),
    }
}

/// An error if what a model says of one of the texts is no number: there is no nearest text and no likeliest label then.
///
/// # Errors
/// Shows how the text begins.
pub fn require_numbers<'a>(mut found: impl Iterator<Item = (&'a &'a str, &'a [f32])>) -> Result<(), Failure> {
    let Some((text, _)) = found.find(|(_, numbers)| !numbers.iter().all(|number| number.is_finite())) else {
        return Ok(());
    };
    let start: String = text.chars().take(40).collect();
    Err(Failure::Failed(format!(
        "what the model says of `{start}` is not finite (its weights are broken, or training diverged)"
    )))
}

/// Whether clap answers with a text to read, and not with what is wrong.
fn is_help(kind: ErrorKind) -> bool {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    matches!(kind, DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion)
}

/// What clap says in paragraphs: what is wrong and what it takes to be meant, without the usage.
fn in_a_line(error: &clap::Error) -> String {
    let text =
        error.to_string().replace("invalid digit found in string", "expected a whole number, 0 or more");
    let paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let (wrong, tips): (Vec<_>, Vec<_>) = paragraphs.enumerate().partition(|(i, _)| *i == 0);
    let wrong = wrong.into_iter().map(|(_, part)| part.trim_start_matches("error: ").to_owned());
    let tips = tips.into_iter().filter_map(|(_, part)| part.strip_prefix("tip: ").map(str::to_owned));
    wrong.chain(tips).chain([see_help(error)]).collect::<Vec<_>>().join("; ")
}

/// A flag or a word that a command does not take: clap's own message repeats every flag that was given.
fn unknown(error: &clap::Error) -> String {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    let given = word(ContextKind::InvalidArg).unwrap_or_default();
    let what = if given.starts_with('-') { "flag" } else { "word" };
    let near = word(ContextKind::SuggestedArg).map_or(String::new(), |near| format!(", perhaps {near}"));
    format!("unknown {what} {given}{near}; {}", see_help(error))
}

/// Where to read on, by the usage that clap gives with most errors.
fn see_help(error: &clap::Error) -> String {
    let usage = error.get(ContextKind::Usage).map_or(String::new(), ToString::to_string);
    // `Usage: warpsmith train [OPTIONS]`
    let is_name = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_lowercase());
    let command: Vec<&str> = usage.split_whitespace().skip(1).take_while(is_name).collect();
    match command[..] {
        [] => "see --help".into(),
        _ => format!("see `{} --help`", command.join(" ")),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownKey { .. }
            | Error::BadValue { .. }
            | Error::BadFlag { .. }
            | Error::Invalid { .. }
            | Error::ConfigFile { .. } => Self::Usage(error.to_string()),
            Error::Tensor(error) => error.into(),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<warpsmith::tensor::Error> for Failure {
    /// With what the emulator has to say of it, if the GPU is emulated: it knows the thread and the line.
    fn from(error: warpsmith::tensor::Error) -> Self {
        // What it said last is about this error only if the driver gave one.
        let of_device = error.to_string().contains("CUDA_ERROR");
        let fault = of_device.then(warpsmith_emulator_loader::last_fault).flatten();
        Self::Failed(match fault {
            Some(fault) => format!("{error}; the emulator says: {fault}"),
            None => error.to_string(),
        })
    }
}

impl From<warpsmith::text::Error> for Failure {
    fn from(error: warpsmith::text::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<warpsmith::data::Error> for Failure {
    fn from(error: warpsmith::data::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<warpsmith::metrics::Error> for Failure {
    fn from(error: warpsmith::metrics::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
