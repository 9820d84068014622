//! Everything that can go wrong between a path and a batch, one line each.

use std::path::PathBuf;

/// The form in which a `main` prints the error that it returns is the one that is displayed.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_displayed {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

/// The result of every fallible call in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, what was expected, and what to do about it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing exists at the path.
    #[error("{path}: no such file or folder; check the path")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The path as given.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file has zero bytes.
    #[error("{} is empty: give a UTF-8 text with at least one character", name(.path))]
    Empty {
        /// The path as given, or `-` for standard input.
        path: PathBuf,
    },
    /// The folder has no readable text.
    #[error(
        "{path}: no text found ({binary} binary, {hidden} hidden and {empty} empty entries skipped); give a folder \
         that holds UTF-8 text files"
    )]
    NoText {
        /// The folder.
        path: PathBuf,
        /// Files skipped because they hold a NUL byte.
        binary: usize,
        /// Files and folders skipped because their name starts with a dot.
        hidden: usize,
        /// Files skipped because they hold no bytes.
        empty: usize,
    },
    /// The file holds a NUL byte, which text never does.
    #[error("{path} looks binary: NUL byte at offset {offset}; {hint}")]
    Binary {
        /// The file, or `-` for standard input.
        path: PathBuf,
        /// Position of the first NUL byte.
        offset: usize,
        /// What to do.
        hint: &'static str,
    },
    /// The file is not UTF-8.
    #[error(
        "{path} is not UTF-8: byte 0x{byte:02X} at offset {offset}; convert it first, for example with \
         `iconv -f LATIN1 -t UTF-8`"
    )]
    NotUtf8 {
        /// The file, or `-` for standard input.
        path: PathBuf,
        /// Position of the first byte that cannot be decoded.
        offset: usize,
        /// That byte.
        byte: u8,
    },
    /// The character tokenizer was fitted on a text without this character.
    #[error(
        "character {character:?} (U+{:04X}) at byte {offset} is not among the {vocab_size} characters of the \
         tokenizer: it did not occur in the training text; remove it, or train with the byte tokenizer",
        *character as u32
    )]
    UnknownChar {
        /// The character.
        character: char,
        /// Its position in the text to encode, in bytes.
        offset: usize,
        /// Number of characters the tokenizer knows.
        vocab_size: usize,
    },
    /// A stop string of no characters.
    #[error("a stop string is empty, so that every text would end at once: leave it out")]
    EmptyStop,
    /// The id names no token.
    #[error(
        "token id {id} at position {position} names no token: the {name} tokenizer has ids 0..{vocab_size}"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Its index in the slice to decode.
        position: usize,
        /// [`Tokenizer::name`](crate::Tokenizer::name).
        name: String,
        /// [`Tokenizer::vocab_size`](crate::Tokenizer::vocab_size).
        vocab_size: usize,
    },
    /// The file holds no tokenizer.
    #[error("{path} is not a usable tokenizer: {reason}")]
    InvalidTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A chat template is none, or refuses the messages.
    #[error("the chat template: {reason}")]
    ChatTemplate {
        /// What is wrong with it, or with them.
        reason: String,
    },
    /// A loaded tokenizer failed while at work.
    #[error("the {name} tokenizer cannot {action}: {reason}")]
    Tokenizer {
        /// [`Tokenizer::name`](crate::Tokenizer::name).
        name: String,
        /// What it was asked to do.
        action: &'static str,
        /// Its answer.
        reason: String,
    },
    /// A tokenizer was to be fitted on nothing.
    #[error("a {kind} tokenizer cannot be fitted on an empty text")]
    NothingToFit {
        /// The kind, as spelled by [`TokenizerSpec`](crate::TokenizerSpec).
        kind: &'static str,
    },
    /// The size asked for a byte-level BPE vocabulary is out of range.
    #[error(
        "bpe:{asked}: the vocabulary holds the 256 bytes and at most 16777216 tokens; ask for bpe:512, say"
    )]
    BpeSize {
        /// The size asked for.
        asked: usize,
    },
    /// The text is too long for the pair counts of the BPE trainer.
    #[error("the text has {bytes} bytes, and BPE training counts up to 2147483647: train on a part of it")]
    BpeText {
        /// Length of the text.
        bytes: usize,
    },
    /// The string is no tokenizer specification.
    #[error(
        "unknown tokenizer {given:?}: choose byte, char, bpe:N (such as bpe:512), or the path of a tokenizer.json"
    )]
    UnknownSpec {
        /// The string.
        given: String,
    },
    /// The string is no task.
    #[error("unknown task {given:?}: choose sort, reverse or add")]
    UnknownTask {
        /// The string.
        given: String,
    },
    /// The fraction of the text to train on is not inside (0, 1).
    #[error("the training fraction must lie between 0 and 1, got {fraction}")]
    Fraction {
        /// The fraction.
        fraction: f64,
    },
    /// There are fewer tokens than one crop needs.
    #[error(
        "the {part} text has {tokens} tokens, and block_size {block_size} needs at least {}: give a longer text or a \
         smaller block_size",
        block_size + 1
    )]
    TooShort {
        /// `train`, `val` or `whole`.
        part: &'static str,
        /// Tokens there are.
        tokens: usize,
        /// Tokens of one crop.
        block_size: usize,
    },
    /// A size that must be at least one is zero, or out of range.
    #[error("{what} must be {}, got {got}", range(*low, *high))]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Smallest allowed.
        low: usize,
        /// Largest allowed.
        high: usize,
        /// What was given.
        got: usize,
    },
    /// The prompt is not one of the task's.
    #[error("{prompt:?} is no prompt of the {task} task: expected {expected}")]
    Prompt {
        /// The task's name.
        task: &'static str,
        /// The prompt.
        prompt: String,
        /// The form of a prompt, by example.
        expected: &'static str,
    },
}

debug_as_displayed!(Error);

/// What an integer has to be; no more is said of an end that no integer reaches.
fn range(low: usize, high: usize) -> String {
    if high == usize::MAX { format!("at least {low}") } else { format!("in {low}..={high}") }
}

/// What a person calls the place of a text.
fn name(path: &std::path::Path) -> String {
    if path == "-" { "standard input".into() } else { path.display().to_string() }
}
