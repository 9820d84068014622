//! `manifest.json`: what a complete checkpoint folder holds, and the check that it does.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The manifest's file name; written last.
pub(super) const MANIFEST: &str = "manifest.json";

/// What a checkpoint folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Optimiser steps taken; the number in the folder's name.
    pub step: usize,
    /// The files, in the order in which they were written.
    pub files: Vec<Entry>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Plain file name, no folders.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// The one text that stands for this manifest. No newline ends it, so that no cut goes unseen.
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers alone always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// What is wrong with it, in words: absent, not byte for byte what [`Manifest::to_json`] writes, or listing a file
    /// twice or outside the folder.
    pub(super) fn read(folder: &Path) -> Result<Manifest, String> {
        let bytes = std::fs::read(folder.join(MANIFEST)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{MANIFEST} is missing, so the save was not finished"),
            _ => format!("{MANIFEST}: {error}"),
        })?;
        let damaged = || format!("{MANIFEST} is damaged");
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let mut names = HashSet::new();
        let plain = manifest.files.iter().all(|file| is_plain(&file.name) && names.insert(&file.name));
        if plain && manifest.to_json().as_bytes() == bytes { Ok(manifest) } else { Err(damaged()) }
    }
}

/// True for a file name that stays in its folder.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', ':', '\0'])
        && name != MANIFEST
}

/// Checks a checkpoint folder against its manifest: every file there, of its size, with its SHA-256.
///
/// # Errors
/// [`Error::BadCheckpoint`] naming the first file that is missing, cut or changed.
pub fn verify(folder: &Path) -> Result<Manifest> {
    check(folder, |path, entry| {
        let digest = digest_of(path).map_err(|error| format!("{}: {error}", entry.name))?;
        if digest == entry.sha256 {
            Ok(())
        } else {
            Err(format!("{} has changed since it was saved (SHA-256 differs)", entry.name))
        }
    })
}

/// [`verify`] without reading the files: presence and sizes only.
pub(super) fn verify_sizes(folder: &Path) -> Result<Manifest> {
    check(folder, |_, _| Ok(()))
}

fn check(folder: &Path, content: impl Fn(&Path, &Entry) -> Result<(), String>) -> Result<Manifest> {
    let checked = Manifest::read(folder).and_then(|manifest| {
        for entry in &manifest.files {
            let path = folder.join(&entry.name);
            check_size(&path, entry)?;
            content(&path, entry)?;
        }
        Ok(manifest)
    });
    checked.map_err(|problem| Error::BadCheckpoint { path: folder.to_path_buf(), problem })
}

fn check_size(path: &Path, entry: &Entry) -> Result<(), String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{} is missing", entry.name)),
        Err(error) => Err(format!("{}: {error}", entry.name)),
        Ok(file) if file.len() != entry.size => {
            Err(format!("{} has {} bytes, {} were saved", entry.name, file.len(), entry.size))
        }
        Ok(_) => Ok(()),
    }
}

/// SHA-256 of a file's content, 64 lower-case hexadecimal digits.
///
/// # Errors
/// If it cannot be read.
pub fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sha = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hexadecimal(&sha.finalize())),
            count => sha.update(&block[..count]),
        }
    }
}

/// SHA-256 of pieces, one after the other, 64 lower-case hexadecimal digits.
pub(crate) fn digest_of_pieces(pieces: impl Iterator<Item = Vec<u8>>) -> String {
    let mut sha = Sha256::new();
    pieces.for_each(|piece| sha.update(&piece));
    hexadecimal(&sha.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A writer that counts and hashes what passes through it.
pub(super) struct Hashing<'w> {
    out: &'w mut dyn Write,
    sha: Sha256,
    size: u64,
}

impl<'w> Hashing<'w> {
    pub(super) fn new(out: &'w mut dyn Write) -> Self {
        Hashing { out, sha: Sha256::new(), size: 0 }
    }

    /// The entry for what has been written so far.
    pub(super) fn entry(self, name: &str) -> Entry {
        Entry { name: name.to_string(), size: self.size, sha256: hexadecimal(&self.sha.finalize()) }
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sha.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_the_standard_test_message() -> io::Result<()> {
        let mut out = Vec::new();
        let mut hashing = Hashing::new(&mut out);
        hashing.write_all(b"ab")?;
        hashing.write_all(b"c")?;
        let entry = hashing.entry("abc.txt");
        // FIPS 180-2, appendix B.1.
        assert_eq!(entry.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((entry.size, out.as_slice()), (3, b"abc".as_slice()));
        Ok(())
    }

    #[test]
    fn names_that_leave_the_folder_are_not_plain() {
        for name in ["", ".", "..", "../x", "a/b", "/x", "a\\b", "c:x", MANIFEST] {
            assert!(!is_plain(name), "{name}");
        }
        assert!(is_plain("model.safetensors"));
    }

    #[test]
    fn a_manifest_that_points_elsewhere_or_twice_is_refused() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let entry = |name: &str| Entry { name: name.to_string(), size: 0, sha256: String::new() };
        for files in [vec![entry("../x")], vec![entry("a"), entry("a")]] {
            std::fs::write(folder.path().join(MANIFEST), Manifest { step: 1, files }.to_json())?;
            assert_eq!(Manifest::read(folder.path()), Err("manifest.json is damaged".to_string()));
        }
        Ok(())
    }
}
