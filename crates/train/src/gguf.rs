//! GGUF files on the disk: the head is read, and then each tensor into the place where it stays, so that a model needs little
//! more memory than its weights.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use warpsmith_gguf::{Gguf, Head, Source};

use crate::{Error, Result};

/// A file that is open, and its head.
pub struct GgufFile {
    path: PathBuf,
    head: Head,
    tensors: OnDisk,
}

struct OnDisk {
    file: RefCell<File>,
    size: u64,
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

impl GgufFile {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// If it cannot be read, or is no GGUF file or a damaged one.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("look at", path))?.len();
        let tensors = OnDisk { file: RefCell::new(file), size };
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
