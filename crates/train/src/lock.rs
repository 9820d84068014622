//! One process at a time in a run folder: two would write each other's checkpoints and log over.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::{Error, Result};

/// A folder that this process writes to and no other; given back when dropped, and by the system if the process is killed.
pub(crate) struct Lock {
    /// The folder itself is what is locked, so that no file is left behind.
    _folder: Option<File>,
}

impl Lock {
    /// Takes the folder, which is made if it is not there. Where folders cannot be locked (Windows, some network drives)
    /// nothing is.
    ///
    /// # Errors
    /// If another process has it, or it cannot be made.
    pub fn take(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let Ok(folder) = File::open(dir) else { return Ok(Self { _folder: None }) };
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Run(format!(
                "{} is in use: another process trains there; wait for it, or choose another --out",
                dir.display()
            ))),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _folder: Some(folder) }),
        }
    }

    /// Whether a process trains in the folder now.
    pub fn is_taken(dir: &Path) -> bool {
        let folder = File::open(dir);
        folder.is_ok_and(|folder| matches!(folder.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_given_back() -> Result<()> {
        let place = tempfile::tempdir().map_err(Error::io("create", Path::new("tmp")))?;
        let dir = place.path().join("a/run");
        assert!(!Lock::is_taken(&dir));
        let lock = Lock::take(&dir)?;
        assert!(Lock::is_taken(&dir));
        let told = Lock::take(&dir).map(drop).map_err(|error| error.to_string());
        assert!(told.is_err_and(|told| told.starts_with(&format!("{} is in use", dir.display()))));
        drop(lock);
        assert!(!Lock::is_taken(&dir));
        drop(Lock::take(&dir)?);
        assert_eq!(std::fs::read_dir(&dir).map(Iterator::count).ok(), Some(0), "nothing is left behind");
        Ok(())
    }
}
