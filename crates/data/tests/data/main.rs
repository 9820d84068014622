//! The whole way from files to a prepared folder, and what is said when something on it is wrong.

mod bad_input;
mod golden;
mod planted;
mod prepared;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use warpsmith_data::Files;
use warpsmith_data::prepare::Preparation;

/// Files without care for crashes: plain writes, and FNV in place of SHA-256. `fail_at` is the number of the write that
/// leaves half a file and fails.
#[derive(Default)]
struct Plain {
    fail_at: Option<usize>,
    writes: AtomicUsize,
}

impl Files for Plain {
    fn write(
        &self,
        path: &Path,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), String> {
        let mut bytes = Vec::new();
        content(&mut bytes).map_err(|error| error.to_string())?;
        if self.fail_at == Some(self.writes.fetch_add(1, Ordering::Relaxed)) {
            return Err(format!("cannot write {}: the disk is full", path.display()));
        }
        fs::write(path, bytes).map_err(|error| error.to_string())
    }

    fn sha256(&self, path: &Path) -> io::Result<String> {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        Ok(format!("{:064x}", fs::read(path)?.iter().fold(0xCBF2_9CE4_8422_2325, hash)))
    }
}

/// A folder that is thrown away at the end.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder can be made");
        fs::write(&path, bytes).expect("a file can be written");
        path
    }

    /// The usual preparation of a file that is written first.
    fn job(&self, name: &str, bytes: impl AsRef<[u8]>) -> Preparation {
        Preparation::new(vec![self.write(name, bytes)], self.path("out"))
    }
}

/// All files of a folder with their bytes.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: Vec<(String, Vec<u8>)> =
        names.map(|name| (name.clone(), fs::read(folder.join(&name)).expect("a file"))).collect();
    files.sort();
    files
}
