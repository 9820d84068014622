//! Lines and whole files, of which neither may be longer than memory allows.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::decode::{Decoded, Malformed};
use crate::{Error, Result};

/// Lines of a file of any encoding, numbered from 1, without their ends (`\n` or `\r\n`).
pub struct Lines<R> {
    reader: BufReader<Decoded<R>>,
    path: PathBuf,
    limit: usize,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `limit` bytes of UTF-8.
    pub fn new(reader: Decoded<R>, path: &Path, limit: usize) -> Self {
        Self { reader: BufReader::new(reader), path: path.to_path_buf(), limit, number: 0 }
    }

    /// The number of the line that came last.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many sequences of bytes meant nothing so far.
    pub fn malformed(&self) -> u64 {
        self.reader.get_ref().malformed()
    }

    /// The next line.
    ///
    /// # Errors
    /// [`Error::Line`] if it is longer than the limit or holds bytes that are refused, [`Error::Io`] if it cannot be read.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        let number = self.number + 1;
        // Room for the end of the line.
        let room = self.limit as u64 + 2;
        let mut bytes = Vec::new();
        (&mut self.reader).take(room).read_until(b'\n', &mut bytes).map_err(read_error(&self.path))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number = number;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            bytes.pop_if(|byte| *byte == b'\r');
        }
        if bytes.len() > self.limit {
            return Err(Error::line(&self.path, number, too_long("the line", self.limit)));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| Error::line(&self.path, number, "no UTF-8"))
    }

    /// The rest of the file, at most as long as a line may be.
    ///
    /// # Errors
    /// As [`Lines::next_line`].
    pub fn rest(&mut self) -> Result<String> {
        let mut text = String::new();
        let limit = self.limit as u64 + 1;
        let read = (&mut self.reader).take(limit).read_to_string(&mut text);
        // A limit may fall inside a character, which is no UTF-8 then.
        let is_cut =
            |error: &io::Error| error.kind() == io::ErrorKind::InvalidData && error.get_ref().is_none();
        match read {
            Ok(count) if count <= self.limit => Ok(text),
            Err(error) if !is_cut(&error) => Err(read_error(&self.path)(error)),
            _ => Err(Error::path(&self.path, too_long("the document", self.limit))),
        }
    }
}

/// What is said of text that is longer than allowed. Commands without the flag read what `data prepare` has written.
pub(super) fn too_long(what: &str, limit: usize) -> String {
    format!(
        "{what} is longer than {limit} bytes: cut it, or let `data prepare` read it, by smaller units or a larger --max_bytes"
    )
}

/// For `map_err`: bytes that are refused have a line, other trouble has a file.
pub(super) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<Malformed>()) {
        Some(malformed) => Error::line(
            path,
            malformed.line,
            format!(
                "{malformed}: let `data prepare` read it, by its --encoding (gb18030, say), or with --broken replace or remove"
            ),
        ),
        None => Error::io("read", path)(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Broken;

    fn lines(bytes: &[u8], limit: usize) -> Lines<&[u8]> {
        Lines::new(Decoded::new(bytes, None, Broken::Refuse), Path::new("a.txt"), limit)
    }

    #[test]
    fn ends_of_lines_are_dropped_and_lines_counted() {
        let mut found = lines("一\r\n\nthree".as_bytes(), 9);
        let mut next = || found.next_line().unwrap();
        assert_eq!(
            [next(), next(), next(), next()],
            [Some("一".into()), Some("".into()), Some("three".into()), None]
        );
        assert_eq!(found.number(), 3);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        // Two hundred megabytes, of which not more than the limit and some blocks may be taken.
        struct Counting(u64, std::rc::Rc<std::cell::Cell<u64>>);
        impl Read for Counting {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.0.min(buffer.len() as u64);
                buffer[..count as usize].fill(b'x');
                self.0 -= count;
                self.1.set(self.1.get() + count);
                Ok(count as usize)
            }
        }
        let taken = std::rc::Rc::new(std::cell::Cell::new(0));
        let raw = io::Read::chain(&b"first\n"[..], Counting(200 << 20, taken.clone()));
        let mut found = Lines::new(Decoded::new(raw, None, Broken::Refuse), Path::new("big.jsonl"), 1 << 20);
        assert_eq!(found.next_line().unwrap().unwrap(), "first");
        let message = found.next_line().unwrap_err().to_string();
        assert!(message.starts_with("big.jsonl, line 2: the line is longer than 1048576 bytes"), "{message}");
        assert!(taken.get() < 2 << 20, "{} bytes were read", taken.get());
    }

    #[test]
    fn the_limit_is_on_the_text_without_its_end() {
        assert!(lines(b"12345\n", 5).next_line().is_ok());
        assert!(lines(b"12345", 5).next_line().is_ok());
        assert!(lines(b"123456\n", 5).next_line().is_err());
        assert!(lines(b"123456", 5).next_line().is_err());
        assert_eq!(lines("好好".as_bytes(), 6).rest().unwrap(), "好好");
        for limit in [3, 4, 5] {
            let message = lines("好好".as_bytes(), limit).rest().unwrap_err().to_string();
            assert!(message.starts_with("a.txt: the document is longer than"), "{message}");
        }
    }

    #[test]
    fn refused_bytes_have_a_line() {
        let mut found = lines(b"ok\n\xFFbad\n", 100);
        // Decoding goes on ahead of the lines: the first may already be refused for the second.
        let message =
            (0..2).find_map(|_| found.next_line().err()).map(|error| error.to_string()).unwrap_or_default();
        assert!(
            message.starts_with("a.txt, line 2: 1 bytes that are no UTF-8: let `data prepare` read it"),
            "{message}"
        );
    }
}
