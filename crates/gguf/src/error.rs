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
    #[error("{}", version(*.0))]
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
        "{name}: tensors of kind {} are not read; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K and Q6_K are",
        foreign(*.kind)
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

fn version(number: u32) -> String {
    match number.swap_bytes() {
        2 | 3 => "the file is big-endian, which is not read: convert the model to a little-endian one".into(),
        _ => format!("GGUF version {number} is not known; versions 2 and 3 are"),
    }
}

/// Kinds of llama.cpp that are not read here, to be called by their names.
const FOREIGN: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (13, "Q5_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// The name of such a kind, or its number if none is known.
fn foreign(kind: u32) -> String {
    let found = FOREIGN.iter().find(|(number, _)| *number == kind);
    found.map_or_else(|| kind.to_string(), |(_, name)| (*name).into())
}
