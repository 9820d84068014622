//! Reading numbers and strings off bytes that may end anywhere.

use crate::{Error, Result};

/// A place in a file.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! numbers {
    ($($name:ident $type:ty),*) => {$(
        pub(crate) fn $name(&mut self, what: &'static str) -> Result<$type> {
            const N: usize = size_of::<$type>();
            let mut bytes = [0; N];
            bytes.copy_from_slice(self.take(N as u64, what)?);
            Ok(<$type>::from_le_bytes(bytes))
        }
    )*};
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8]> {
        match usize::try_from(count) {
            Ok(n) if n <= self.left() => {
                let taken = &self.bytes[self.at..self.at + n];
                self.at += n;
                Ok(taken)
            }
            _ => Err(Error::Short { what, needed: count, at: self.at, there: self.left() }),
        }
    }

    numbers!(u8 u8, i8 i8, u16 u16, i16 i16, u32 u32, i32 i32, u64 u64, i64 i64, f32 f32, f64 f64);

    /// How many things of at least `size` bytes each follow: no more than there is room for.
    pub(crate) fn count(&mut self, size: u64, what: &'static str) -> Result<usize> {
        let at = self.at;
        let count = self.u64(what)?;
        let needed = count.saturating_mul(size);
        match usize::try_from(needed) {
            Ok(n) if n <= self.left() => Ok(count as usize),
            _ => Err(Error::Short { what, needed, at, there: self.left() }),
        }
    }

    /// Text: its length, then its bytes.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str> {
        let at = self.at;
        let length = self.u64(what)?;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong(at, format!("{what} is not UTF-8")))
    }

    /// A truth value: 0 or 1.
    pub(crate) fn truth(&mut self, what: &'static str) -> Result<bool> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.wrong(self.at - 1, format!("{what} is {other}, a truth value is 0 or 1"))),
        }
    }

    pub(crate) fn wrong(&self, at: usize, what: impl Into<String>) -> Error {
        Error::Malformed { at, what: what.into() }
    }
}
