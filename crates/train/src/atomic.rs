//! Files that are either the old ones or the new ones, whatever happens in between.
//!
//! One file: a temporary file in the same folder, written, fsynced, renamed onto the old one, and the folder fsynced.
//! One checkpoint: the same with a folder, whose manifest (name, size, SHA-256 of each file) is written last. A reader
//! accepts a folder only if all of that agrees, so a killed save, a full disk or a flipped bit costs at most the newest
//! checkpoint, never an earlier one.

mod disk;
mod folder;
mod manifest;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use disk::{Disk, RealDisk, Sink};
pub use folder::{
    CheckpointFiles, Found, Latest, find_latest, holds_checkpoints, prune, remove_checkpoints,
    write_checkpoint,
};
pub(crate) use manifest::digest_of_pieces;
pub use manifest::{Entry, Manifest, digest_of, verify};

/// Writes a file by way of a temporary one beside it. Afterwards `path` holds either all of the new content or all of
/// the old. What is no file (a device, a pipe) is written to as it is: a file must not take its place.
///
/// # Errors
/// [`Error::Io`] with the path and the step that failed, for errors that `write` returns too. The temporary file is
/// removed then.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_atomic_on(&RealDisk, path, write)
}

fn write_atomic_on(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    // A link counts as what it leads to.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return write_through(disk, path, write).map_err(Error::io("write", path));
    }
    let temporary = beside(path, "tmp");
    let written = write_synced(disk, &temporary, write)
        .map_err(Error::io("write", path))
        .and_then(|()| disk.rename(&temporary, path).map_err(Error::io("replace", path)));
    if written.is_err() {
        // The first error is the one to report; a file that cannot be removed either does no harm.
        let _ = disk.remove_file(&temporary);
    }
    written?;
    let folder = parent(path);
    disk.sync_folder(folder).map_err(Error::io("flush", folder))
}

/// Writes to what is there; a pipe has no medium to wait for.
fn write_through(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::new(disk.create(path)?);
    write(&mut buffered)?;
    buffered.flush()
}

/// Creates a file, fills it, and returns once it is on the disk.
fn write_synced(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 18, disk.create(path)?);
    write(&mut buffered)?;
    let mut sink: Box<dyn Sink> = buffered.into_inner().map_err(|error| error.into_error())?;
    sink.sync()
}

/// `folder/name` to `folder/name.TAG-PID-N`: in the same folder, since a rename does not cross file systems.
fn beside(path: &Path, tag: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{tag}-{}-{count}", std::process::id()));
    PathBuf::from(name)
}

/// The folder that a path's name stands in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::disk::faulty::{FaultyDisk, Mode};

    fn fill(text: &'static str) -> impl FnOnce(&mut dyn Write) -> io::Result<()> {
        move |out| text.bytes().try_for_each(|byte| out.write_all(&[byte]))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder can be listed");
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into()).collect();
        names.sort();
        names
    }

    #[test]
    fn creates_and_replaces() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.txt");
        write_atomic(&path, fill("old"))?;
        assert_eq!(std::fs::read_to_string(&path)?, "old");
        write_atomic(&path, fill("new and longer"))?;
        assert_eq!(std::fs::read_to_string(&path)?, "new and longer");
        assert_eq!(names(folder.path()), ["a.txt"]);
        Ok(())
    }

    #[test]
    fn a_writer_that_gives_up_leaves_the_old_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.txt");
        write_atomic(&path, fill("old"))?;
        let failed = write_atomic(&path, |out| {
            out.write_all(b"half of it")?;
            Err(io::Error::other("no tensor of that name"))
        });
        let message = failed.map_err(|error| error.to_string()).expect_err("the writer failed");
        assert_eq!(message, format!("cannot write {}: no tensor of that name", path.display()));
        assert_eq!(std::fs::read_to_string(&path)?, "old");
        assert_eq!(names(folder.path()), ["a.txt"]);
        Ok(())
    }

    /// Only what the test made itself is written to: if this went wrong, a device of the machine would be replaced.
    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_written_to_and_not_replaced() -> Result<(), Box<dyn std::error::Error>> {
        use std::io::Read;
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                std::fs::File::open(pipe)?.read_to_string(&mut text)?;
                Ok::<String, io::Error>(text)
            })
        };
        write_atomic(&pipe, fill("through"))?;
        assert!(std::fs::symlink_metadata(&pipe)?.file_type().is_fifo());
        assert_eq!(names(folder.path()), ["pipe"]);
        assert_eq!(reader.join().expect("the reader ends")?, "through");
        let message = write_atomic(folder.path(), fill("x")).map_err(|error| error.to_string());
        assert!(message.expect_err("it is a folder").contains("cannot write"));
        Ok(())
    }

    #[test]
    fn a_missing_folder_is_an_error_with_the_path() {
        let message = write_atomic(Path::new("no/such/a.txt"), fill("x")).map_err(|error| error.to_string());
        let message = message.expect_err("no such folder");
        assert!(message.starts_with("cannot write no/such/a.txt: "), "{message}");
    }

    #[test]
    fn whichever_operation_fails_the_file_is_whole() -> Result<(), Box<dyn std::error::Error>> {
        for mode in [Mode::FailOnce, Mode::Crash] {
            let mut points = 0;
            loop {
                let folder = tempfile::tempdir()?;
                let path = folder.path().join("a.txt");
                write_atomic(&path, fill("old"))?;
                let result = write_atomic_on(&FaultyDisk::new(points, mode), &path, fill("new"));
                let content = std::fs::read_to_string(&path)?;
                match result {
                    Ok(()) => {
                        assert_eq!(content, "new");
                        break;
                    }
                    Err(error) => {
                        assert!(["old", "new"].contains(&content.as_str()), "{content:?} at {points}");
                        assert!(error.to_string().contains("free space"), "{error}");
                        if mode == Mode::FailOnce {
                            assert_eq!(names(folder.path()), ["a.txt"], "at {points}");
                        }
                    }
                }
                points += 1;
            }
            // create, write, sync, rename, sync of the folder
            assert_eq!(points, 5);
        }
        Ok(())
    }
}
