//! Bytes of any encoding to UTF-8, as they come.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// What to do about bytes that mean nothing in the encoding of their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Stop, and say where they are.
    #[default]
    Refuse,
    /// Put U+FFFD in their place.
    Replace,
    /// Leave them out.
    Remove,
}

/// Bytes that mean nothing: what [`Broken::Refuse`] stops at.
#[derive(Debug, thiserror::Error)]
#[error("{count} bytes that are no {encoding}")]
pub struct Malformed {
    /// How many.
    pub count: usize,
    /// The encoding they were read as.
    pub encoding: &'static str,
    /// The line they are on, counted from 1.
    pub line: u64,
}

/// A reader of UTF-8, whatever the encoding underneath. A byte order mark decides before `encoding` does, and is dropped.
pub struct Decoded<R> {
    raw: R,
    decoder: Decoder,
    encoding: &'static Encoding,
    broken: Broken,
    input: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    is_at_end: bool,
    lines: u64,
    malformed: u64,
}

const BLOCK: usize = 1 << 16;

impl<R: Read> Decoded<R> {
    /// Reads `raw` as `encoding`, or UTF-8.
    pub fn new(raw: R, encoding: Option<&'static Encoding>, broken: Broken) -> Self {
        let encoding = encoding.unwrap_or(UTF_8);
        Self {
            raw,
            decoder: encoding.new_decoder(),
            encoding,
            broken,
            input: Vec::new(),
            output: Vec::with_capacity(BLOCK),
            given: 0,
            is_at_end: false,
            lines: 0,
            malformed: 0,
        }
    }

    /// How many sequences of bytes meant nothing so far.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn refill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.is_at_end {
            let mut block = [0; BLOCK / 4];
            let count = self.raw.read(&mut block)?;
            self.input.extend_from_slice(&block[..count]);
            self.is_at_end = count == 0;
            self.decode(self.is_at_end)?;
        }
        Ok(())
    }

    /// Decodes all input there is; an unfinished character stays in the decoder.
    fn decode(&mut self, last: bool) -> io::Result<()> {
        let mut at = 0;
        loop {
            let (rest, mut out) = (&self.input[at..], [0; 4096]);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(rest, &mut out, last);
            at += read;
            self.lines += out[..written].iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.output.extend_from_slice(&out[..written]);
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(count, _) => self.meet_malformed(usize::from(count))?,
            }
        }
        self.input.clear();
        Ok(())
    }

    fn meet_malformed(&mut self, count: usize) -> io::Result<()> {
        self.malformed += 1;
        match self.broken {
            Broken::Refuse => {
                let encoding = self.encoding.name();
                let malformed = Malformed { count, encoding, line: self.lines + 1 };
                return Err(io::Error::new(io::ErrorKind::InvalidData, malformed));
            }
            Broken::Replace => self.output.extend_from_slice("\u{FFFD}".as_bytes()),
            Broken::Remove => {}
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.refill()?;
        }
        let count = buffer.len().min(self.output.len() - self.given);
        buffer[..count].copy_from_slice(&self.output[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives one byte at a time, so that every character comes in pieces.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn decoded(bytes: &[u8], label: &str, broken: Broken) -> io::Result<(String, u64)> {
        let encoding = Encoding::for_label(label.as_bytes());
        let (mut whole, mut drops) = (String::new(), String::new());
        let mut reader = Decoded::new(bytes, encoding, broken);
        reader.read_to_string(&mut whole)?;
        Decoded::new(Drops(bytes), encoding, broken).read_to_string(&mut drops)?;
        assert_eq!(whole, drops);
        Ok((whole, reader.malformed()))
    }

    #[test]
    fn chinese_comes_out_of_each_encoding() {
        for (bytes, label) in [
            ("中文".as_bytes(), "utf-8"),
            ("\u{FEFF}中文".as_bytes(), "utf-8"),
            (b"\xD6\xD0\xCE\xC4", "gb18030"),
            (b"\xD6\xD0\xCE\xC4", "gbk"),
            (b"\xA4\xA4\xA4\xE5", "big5"),
            (b"\xFF\xFE\x2D\x4E\x87\x65", "utf-8"),
            (b"\xFE\xFF\x4E\x2D\x65\x87", "utf-8"),
        ] {
            assert_eq!(decoded(bytes, label, Broken::Refuse).unwrap(), ("中文".into(), 0), "{label}");
        }
    }

    #[test]
    fn broken_bytes_are_replaced_removed_or_refused_with_their_line() {
        // A GBK line in a UTF-8 file, and a character cut off at the end.
        let bytes = b"caf\xC3\xA9\n\xD6\xD0\nend \xE4\xBD";
        let found = |broken| decoded(bytes, "utf-8", broken);
        assert_eq!(found(Broken::Replace).unwrap(), ("café\n\u{FFFD}\u{FFFD}\nend \u{FFFD}".into(), 3));
        assert_eq!(found(Broken::Remove).unwrap(), ("café\n\nend ".into(), 3));
        let error = found(Broken::Refuse).unwrap_err();
        let malformed = error.get_ref().and_then(|e| e.downcast_ref::<Malformed>()).unwrap();
        assert_eq!((malformed.line, malformed.count, malformed.encoding), (2, 1, "UTF-8"));
    }

    #[test]
    fn long_text_passes_in_blocks() {
        let text = "数据 data\n".repeat(30_000);
        assert_eq!(decoded(text.as_bytes(), "utf-8", Broken::Refuse).unwrap().0, text);
    }
}
