//! GGUF, the file format of llama.cpp: metadata, a tokenizer and quantised tensors in one file.
//!
//! [`Gguf::parse`] reads the head of a file that lies in memory, [`Head::read`] that of one that does not. They take nothing on
//! trust: sizes and counts are held against the bytes that are there before any memory is asked for, so that parsing needs at
//! most four times the input and a mebibyte. Tensors stay in the file until they are read, one by one, as they are
//! ([`TensorInfo::read`]) or as numbers ([`TensorInfo::read_numbers`]).
//! [`Writer`] writes files of F32, F16 and Q8_0 tensors.
//!
//! Layout, all little endian: magic `GGUF`, version (2 or 3), number of tensors, number of metadata entries; the entries
//! (key, type, value); for each tensor its name, its extents (the fastest first), its kind and its offset; padding up to the
//! alignment; the data.
//!
//! Source: ggml's description of the format, `docs/gguf.md` of the repository ggml-org/ggml.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod blocks;
mod error;
mod file;
mod kind;
mod reader;
mod source;
mod value;
mod writer;

pub use blocks::Unit;
pub use error::{Error, Result};
pub use file::{Gguf, Head, TensorInfo};
pub use kind::Kind;
pub use source::Source;
pub use value::{Array, Value};
pub use writer::Writer;
