//! The few operations of a file system that saving needs, behind a trait so that tests can make each of them fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// An open file that can be pushed down to the medium.
pub(crate) trait Sink: Write {
    /// Returns once the content would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

/// What saving does to the disk. Reading needs no trait: a damaged file is damaged for every reader.
pub(crate) trait Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Returns once the names in a folder would survive a power cut.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
pub(crate) struct RealDisk;

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(File::create(path)?))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Windows cannot open a folder as a file, and needs no such step for its own journal.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }
}

#[cfg(test)]
pub(crate) mod faulty {
    //! A disk that runs full, or is switched off, at a chosen operation.

    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// What happens at the chosen operation.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) enum Mode {
        /// It fails, and all later ones work: a disk that was full for a moment.
        FailOnce,
        /// It and all later ones fail, cleaning up included: the process was killed there.
        Crash,
    }

    /// Counts operations; the one with number `at`, from 0, fails. A failing write leaves half of its bytes behind.
    pub(crate) struct FaultyDisk {
        count: Rc<Cell<usize>>,
        at: usize,
        mode: Mode,
    }

    impl FaultyDisk {
        pub(crate) fn new(at: usize, mode: Mode) -> Self {
            FaultyDisk { count: Rc::default(), at, mode }
        }

        fn step(&self) -> io::Result<()> {
            step(&self.count, self.at, self.mode)
        }
    }

    fn step(count: &Cell<usize>, at: usize, mode: Mode) -> io::Result<()> {
        let now = count.replace(count.get() + 1);
        let fails = if mode == Mode::Crash { now >= at } else { now == at };
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    struct FaultySink {
        file: File,
        count: Rc<Cell<usize>>,
        at: usize,
        mode: Mode,
    }

    impl Write for FaultySink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Err(full) = step(&self.count, self.at, self.mode) {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                return Err(full);
            }
            self.file.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Sink for FaultySink {
        fn sync(&mut self) -> io::Result<()> {
            step(&self.count, self.at, self.mode)?;
            self.file.sync()
        }
    }

    impl Disk for FaultyDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
            self.step()?;
            let (count, at, mode) = (self.count.clone(), self.at, self.mode);
            Ok(Box::new(FaultySink { file: File::create(path)?, count, at, mode }))
        }

        fn create_folder(&self, path: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.create_folder(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.rename(from, to)
        }

        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.remove_file(path)
        }

        fn remove_folder(&self, path: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.remove_folder(path)
        }

        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.sync_folder(path)
        }
    }
}
