//! What can be wrong with a file.

/// A result whose error is [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong with a file, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it begins with {0:02x?}, not with `GGUF`")]
    Magic([u8; 4]),
    /// A version that is not known.
    #[error("GGUF version {0} is not known; versions 2 and 3 are")]
    Version(u32),
    /// The file ends too early, or a length in it is wrong.
    #[error("{what} needs {needed} bytes at byte {at}, but the file has {there} more: is it cut off?")]
    Short {
        /// What was being read.
        what: &'static str,
        /// How many bytes it needs.
        needed: u64,
        /// Where.
        at: usize,
        /// How many there are.
        there: usize,
    },
    /// Bytes that could not be read.
    #[error("{needed} bytes at byte {at} could not be read: {why}")]
    Read {
        /// Where.
        at: u64,
        /// How many.
        needed: usize,
        /// What the system says.
        why: String,
    },
    /// Something that is against the format.
    #[error("byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// A tensor kind that is not known here.
    #[error(
        "{name}: tensor kind {kind} is not known; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K and Q6_K are"
    )]
    Kind {
        /// The tensor.
        name: String,
        /// The number that stands in the file.
        kind: u32,
    },
    /// Numbers that do not make whole blocks, or bytes that are none.
    #[error("{kind}: {what}")]
    Blocks {
        /// The kind of tensor.
        kind: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A metadata entry that is missing or of another type.
    #[error("metadata `{key}`: {what}")]
    Metadata {
        /// The entry.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}
