//! The text that the library carries along: this repository's own sources.

/// Sources, kernels and prose of this repository as of the build, at most 2 MB, nearly all ASCII. Files are in sorted
/// order, each after a line `=== path ===` with its path in the repository.
pub const EMBEDDED: &str = include_str!(concat!(env!("OUT_DIR"), "/corpus.txt"));
