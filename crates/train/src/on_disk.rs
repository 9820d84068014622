//! Files that are read in parts: the head, and then each tensor into the memory where it stays, so that a model needs little
//! more than its weights.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use warpsmith_gguf::{Gguf, Head, Source};

use crate::{Error, Result};

/// Opens a file of a model. A pipe would keep its reader waiting, and a device may give bytes without an end.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let kind = std::fs::metadata(path).map_err(Error::io("open", path))?.file_type();
    // Who reads a folder is told so by the system.
    if !kind.is_file() && !kind.is_dir() {
        return Err(Error::io("open", path)(io::Error::other("it is a pipe or a device, and no file")));
    }
    File::open(path).map_err(Error::io("open", path))
}

/// A file that is open.
pub(crate) struct OnDisk {
    file: RefCell<File>,
    size: u64,
}

impl OnDisk {
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_file(path)?;
        let size = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Self { file: RefCell::new(file), size })
    }
}

impl Source for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(to)
    }
}

/// A GGUF file that is open, and its head.
pub struct GgufFile {
    path: PathBuf,
    head: Head,
    tensors: OnDisk,
}

impl GgufFile {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// If it cannot be read, or is no GGUF file or a damaged one.
    pub fn open(path: &Path) -> Result<Self> {
        let tensors = OnDisk::open(path)?;
        let head = Head::read(&tensors).map_err(Error::at(path))?;
        Ok(Self { path: path.to_owned(), head, tensors })
    }

    /// What it holds; the tensors are still on the disk.
    ///
    /// # Errors
    /// As [`GgufFile::open`], if somebody has written to the file since.
    pub fn parse(&self) -> Result<Gguf<'_>> {
        self.head.parse(&self.tensors).map_err(Error::at(&self.path))
    }
}
