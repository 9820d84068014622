//! The files of prepared data, written as checkpoints are.

use std::io::{self, Write};
use std::path::Path;

use warpsmith_data::Files;
use warpsmith_train::atomic::{digest_of, write_atomic};

/// Files that are old or new and never half: what [`warpsmith_data::prepare::Preparation::run`] wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct PreparedFiles;

impl Files for PreparedFiles {
    fn write(
        &self,
        path: &Path,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), String> {
        write_atomic(path, content).map_err(|error| error.to_string())
    }

    fn sha256(&self, path: &Path) -> io::Result<String> {
        digest_of(path)
    }
}
