//! What this crate asks of whoever keeps files safe. It writes none on its own account.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Writes files whole and tells what is in them. `warpsmith::PreparedFiles` is the one that programs want; tests have one
/// that fails when they say.
pub trait Files {
    /// Writes a file such that it has either all of the new content or all of the old, whatever happens.
    ///
    /// # Errors
    /// In words, with the path.
    fn write(
        &self,
        path: &Path,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> std::result::Result<(), String>;

    /// SHA-256 of a file's content, 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// If it cannot be read.
    fn sha256(&self, path: &Path) -> io::Result<String>;
}

/// A file by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Plain file name, no folders.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: String,
}

pub(crate) fn write_bytes(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<()> {
    files.write(path, &mut |out| out.write_all(bytes)).map_err(Error::Write)
}
