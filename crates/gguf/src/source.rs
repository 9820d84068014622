//! Where the bytes of a file are: in memory, or wherever they are read from when they are wanted.

use std::ops::Range;
use std::{fmt, io};

use crate::{Error, Result};

/// A file, whether it lies in memory or not.
pub trait Source {
    /// How many bytes it has.
    fn size(&self) -> u64;

    /// Fills `to` with the bytes from `at` on.
    ///
    /// # Errors
    /// If they cannot be read, or the file ends before.
    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let there = rest.and_then(|rest| rest.get(..to.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        to.copy_from_slice(there);
        Ok(())
    }
}

/// The bytes of a file.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'a> {
    Here(&'a [u8]),
    There(&'a dyn Source),
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size())
    }
}

/// Bytes that are looked at together.
pub(crate) const PIECE: usize = 1 << 16;

impl Bytes<'_> {
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::There(source) => source.size(),
        }
    }

    /// Fills `to` with the bytes from `at` on.
    pub(crate) fn read(self, at: u64, to: &mut [u8]) -> Result<()> {
        match self {
            Self::Here(bytes) => bytes.read(at, to),
            Self::There(source) => source.read(at, to),
        }
        .map_err(|e| Error::Read { at, needed: to.len(), why: e.to_string() })
    }

    /// Gives `take` these bytes, in pieces of [`PIECE`] rounded up to whole multiples of `unit`.
    pub(crate) fn pieces(
        self,
        range: Range<u64>,
        unit: usize,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut at, piece) = (range.start, PIECE.next_multiple_of(unit) as u64);
        let mut buffer = vec![0; piece.min(range.end.saturating_sub(at)) as usize];
        while at < range.end {
            let piece = &mut buffer[..piece.min(range.end - at) as usize];
            self.read(at, piece)?;
            take(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Whether these bytes are all zero.
    pub(crate) fn is_zero(self, range: Range<u64>) -> Result<bool> {
        let mut is_zero = true;
        self.pieces(range, 1, |bytes| {
            is_zero &= bytes.iter().all(|&byte| byte == 0);
            Ok(())
        })?;
        Ok(is_zero)
    }
}
