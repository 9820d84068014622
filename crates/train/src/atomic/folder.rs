//! Checkpoint folders: `checkpoint-STEP`, whole or not there.
//!
//! A save writes `checkpoint-STEP.tmp-…`, its manifest last, and renames it. When `checkpoint-STEP` exists already, it
//! becomes `checkpoint-STEP.old-…` first and is removed at the end; readers accept that name too, so there is no moment
//! at which a crash leaves nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk::{Disk, RealDisk};
use super::manifest::{self, Hashing, MANIFEST, Manifest};
use super::{beside, parent, write_synced};
use crate::error::{Error, Result};

const PREFIX: &str = "checkpoint-";

/// Receives the files of a checkpoint that is being saved.
pub struct CheckpointFiles<'d> {
    disk: &'d dyn Disk,
    folder: PathBuf,
    manifest: Manifest,
}

impl CheckpointFiles<'_> {
    /// Writes one file, hashes it on its way, and returns once it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the path, for errors that `write` returns too and for a name that is not a plain file name.
    pub fn write(&mut self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let path = self.folder.join(name);
        let taken = self.manifest.files.iter().any(|file| file.name == name);
        if taken || !manifest::is_plain(name) {
            let refused = io::Error::new(io::ErrorKind::InvalidInput, "not a new plain file name");
            return Err(Error::io("write", &path)(refused));
        }
        let mut entry = None;
        let written = write_synced(self.disk, &path, |out| {
            let mut hashing = Hashing::new(out);
            write(&mut hashing)?;
            entry = Some(hashing.entry(name));
            Ok(())
        });
        written.map_err(Error::io("write", &path))?;
        self.manifest.files.extend(entry);
        Ok(())
    }
}

/// Saves `dir/checkpoint-STEP` with the files that `write` gives, and returns its path once it would survive a power
/// cut. `dir` is created if missing. A checkpoint of the same step is replaced.
///
/// # Errors
/// [`Error::Io`] with the path, and whatever `write` returns. Every earlier checkpoint is intact then, and what was
/// begun is removed if the disk allows.
pub fn write_checkpoint(
    dir: &Path,
    step: usize,
    write: impl FnOnce(&mut CheckpointFiles) -> Result<()>,
) -> Result<PathBuf> {
    write_checkpoint_on(&RealDisk, dir, step, write)
}

fn write_checkpoint_on(
    disk: &dyn Disk,
    dir: &Path,
    step: usize,
    write: impl FnOnce(&mut CheckpointFiles) -> Result<()>,
) -> Result<PathBuf> {
    let target = dir.join(format!("{PREFIX}{step}"));
    let temporary = beside(&target, "tmp");
    let saved = fill(disk, &temporary, step, write).and_then(|()| put_in_place(disk, &temporary, &target));
    if saved.is_err() {
        // The first error is the one to report; readers pass over what cannot be removed.
        let _ = disk.remove_folder(&temporary);
    }
    saved.map(|()| target)
}

fn fill(
    disk: &dyn Disk,
    temporary: &Path,
    step: usize,
    write: impl FnOnce(&mut CheckpointFiles) -> Result<()>,
) -> Result<()> {
    // Process numbers come again: a killed run may have left a folder of this very name.
    if temporary.exists() {
        disk.remove_folder(temporary).map_err(Error::io("remove", temporary))?;
    }
    disk.create_folder(temporary).map_err(Error::io("create", temporary))?;
    let manifest = Manifest { step, files: Vec::new() };
    let mut files = CheckpointFiles { disk, folder: temporary.to_path_buf(), manifest };
    write(&mut files)?;
    let path = temporary.join(MANIFEST);
    write_synced(disk, &path, |out| out.write_all(files.manifest.to_json().as_bytes()))
        .map_err(Error::io("write", &path))?;
    disk.sync_folder(temporary).map_err(Error::io("flush", temporary))
}

fn put_in_place(disk: &dyn Disk, temporary: &Path, target: &Path) -> Result<()> {
    let old = target.exists().then(|| beside(target, "old"));
    if let Some(old) = &old {
        disk.rename(target, old).map_err(Error::io("rename", target))?;
    }
    if let Err(error) = disk.rename(temporary, target) {
        if let Some(old) = &old {
            // If this fails too, readers still find the old one under its other name.
            let _ = disk.rename(old, target);
        }
        return Err(Error::io("rename", temporary)(error));
    }
    let dir = parent(target);
    disk.sync_folder(dir).map_err(Error::io("flush", dir))?;
    old.map_or(Ok(()), |old| disk.remove_folder(&old).map_err(Error::io("remove", &old)))
}

/// A complete checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds, checked.
    pub manifest: Manifest,
}

/// What [`find_latest`] saw.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest complete checkpoint, if there is one.
    pub found: Option<Found>,
    /// The newer ones that are not complete, newest first, each with what is wrong with it.
    pub skipped: Vec<Error>,
}

/// How far the save of a folder got, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Unfinished,
    Replaced,
    Done,
}

/// The checkpoint folders in `dir`, newest first; of one step, the one in place first. None if there is no `dir`.
fn list(dir: &Path) -> Result<Vec<(usize, State, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("read", dir))?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let parsed = path.file_name().and_then(|name| parse(name.to_str()?));
        folders.extend(parsed.map(|(step, state)| (step, state, path)));
    }
    folders.sort_by(|a, b| b.cmp(a));
    Ok(folders)
}

/// Step and state from a folder's name; `None` if it is not a checkpoint's.
fn parse(name: &str) -> Option<(usize, State)> {
    let rest = name.strip_prefix(PREFIX)?;
    let (digits, suffix) = rest.split_once('.').unwrap_or((rest, ""));
    let state = match suffix.split('-').next() {
        Some("") => State::Done,
        Some("old") => State::Replaced,
        Some("tmp") => State::Unfinished,
        _ => return None,
    };
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?.map(|step| (step, state))
}

/// Finds the newest checkpoint in `dir` whose files are all there, with the sizes and hashes of its manifest.
///
/// # Errors
/// [`Error::Io`] if `dir` exists and cannot be read. A damaged checkpoint is no error: it is passed over and named in
/// [`Latest::skipped`].
pub fn find_latest(dir: &Path) -> Result<Latest> {
    let mut latest = Latest::default();
    for (step, state, path) in list(dir)? {
        match complete(step, state, &path) {
            Ok(manifest) => {
                latest.found = Some(Found { path, manifest });
                break;
            }
            Err(error) => latest.skipped.push(error),
        }
    }
    Ok(latest)
}

fn complete(step: usize, state: State, path: &Path) -> Result<Manifest> {
    let unusable = |problem: String| Error::BadCheckpoint { path: path.to_path_buf(), problem };
    if state == State::Unfinished {
        return Err(unusable("its save was not finished".to_string()));
    }
    let manifest = manifest::verify(path)?;
    if manifest.step == step {
        Ok(manifest)
    } else {
        Err(unusable(format!("its manifest is of step {}", manifest.step)))
    }
}

/// Whether a checkpoint lies in `dir`, whole or damaged; what a save that was not finished left is none.
///
/// # Errors
/// [`Error::Io`] if `dir` exists and cannot be read.
pub fn holds_checkpoints(dir: &Path) -> Result<bool> {
    Ok(list(dir)?.iter().any(|(_, state, _)| *state != State::Unfinished))
}

/// Removes all but the newest `keep_last` checkpoints (at least one) that are complete by name and size, and what
/// interrupted saves have left. Returns what was removed. To be called by the run that saves into `dir`, after a save.
///
/// # Errors
/// [`Error::Io`] if `dir` cannot be read or a folder not be removed.
pub fn prune(dir: &Path, keep_last: usize) -> Result<Vec<PathBuf>> {
    let mut kept: Vec<usize> = Vec::new();
    let mut removed = Vec::new();
    for (step, state, path) in list(dir)? {
        // A damaged checkpoint does not count, or it would push out a whole one.
        let whole = state != State::Unfinished && manifest::verify_sizes(&path).is_ok();
        let superseded = kept.contains(&step) || kept.len() >= keep_last.max(1);
        if superseded || state == State::Unfinished {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            removed.push(path);
        } else if whole {
            kept.push(step);
        }
    }
    Ok(removed)
}

/// Removes all checkpoints of a run that will not go on: what is best of it lies beside them.
///
/// # Errors
/// [`Error::Io`] if `dir` cannot be read or a folder not be removed.
pub fn remove_checkpoints(dir: &Path) -> Result<()> {
    for (_, _, path) in list(dir)? {
        std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
