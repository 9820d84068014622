//! Files of token ids: nanoGPT's (no header, 16 bits an id) and llm.c's (256 words of header, then ids), both ways.

pub mod choices;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::{Error, Result};

/// How a file of ids is laid out. All numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// nanoGPT's: u16 ids and nothing else.
    NanoGpt,
    /// llm.c's for vocabularies up to 65536: 256 × i32 (20240520, 1, number of ids, 0 …), then u16 ids.
    LlmC16,
    /// llm.c's for larger ones: 256 × i32 (20240801, 7, number of ids, 0 …), then u32 ids.
    LlmC32,
}

/// Words of a header of llm.c.
const HEADER_WORDS: usize = 256;
/// The most ids of one file of llm.c, whose count is an i32.
const MOST: usize = i32::MAX as usize;
/// The longest file: as many ids, of 32 bits, and their header.
const MOST_BYTES: u64 = 4 * (HEADER_WORDS + MOST) as u64;

impl Layout {
    /// Magic number and version of the header.
    fn magic(self) -> Option<(i32, i32)> {
        match self {
            Self::NanoGpt => None,
            Self::LlmC16 => Some((20_240_520, 1)),
            Self::LlmC32 => Some((20_240_801, 7)),
        }
    }

    fn id_bytes(self) -> usize {
        if self == Self::LlmC32 { 4 } else { 2 }
    }

    /// An error if ids below `vocab_size` do not fit.
    ///
    /// # Errors
    /// [`Error::Request`], saying what fits.
    pub fn check(self, vocab_size: usize) -> Result<()> {
        match self.id_bytes() == 2 && vocab_size > 1 << 16 {
            true => Err(Error::Request(format!(
                "{vocab_size} token ids do not fit 16 bits, which this layout has: choose --format llmc"
            ))),
            false => Ok(()),
        }
    }

    /// Writes ids with their header.
    ///
    /// # Errors
    /// Those of the writer; and `InvalidInput` if an id or the number of ids does not fit.
    pub fn write(self, ids: &[u32], out: &mut dyn Write) -> io::Result<()> {
        if let Some((magic, version)) = self.magic() {
            let count = i32::try_from(ids.len())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many ids"))?;
            let mut header = [0_i32; HEADER_WORDS];
            header[..3].copy_from_slice(&[magic, version, count]);
            out.write_all(&header.map(i32::to_le_bytes).concat())?;
        }
        for block in ids.chunks(1 << 14) {
            let mut bytes = Vec::with_capacity(block.len() * self.id_bytes());
            for &id in block {
                if self == Self::LlmC32 {
                    bytes.extend_from_slice(&id.to_le_bytes());
                } else {
                    let id = u16::try_from(id).map_err(|_| {
                        io::Error::new(io::ErrorKind::InvalidInput, format!("id {id} does not fit 16 bits"))
                    })?;
                    bytes.extend_from_slice(&id.to_le_bytes());
                }
            }
            out.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// Reads a file of ids of any of the layouts: by its magic number, or else as nanoGPT's. Memory: 4 bytes an id.
///
/// # Errors
/// If the file is missing, cut, or longer than its header says.
pub fn read(path: &Path) -> Result<Vec<u32>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    // Of the length that the file says, so that one that is too long is not read for nothing.
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length <= MOST_BYTES {
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    }
    if length.max(bytes.len() as u64) > MOST_BYTES {
        let problem = format!("more than {MOST_BYTES} bytes are not read at once: cut the file into shards");
        return Err(Error::path(path, problem));
    }
    parse(&bytes).map_err(|problem| Error::path(path, problem))
}

fn parse(bytes: &[u8]) -> Result<Vec<u32>, String> {
    let word = |i: usize| bytes.get(4 * i..4 * i + 4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let head = (word(0), word(1));
    let headed = [Layout::LlmC16, Layout::LlmC32]
        .into_iter()
        .find(|layout| layout.magic().map(|m| Some(m.0)) == Some(head.0));
    let (layout, ids) = match headed {
        None => (Layout::NanoGpt, bytes),
        Some(layout) => {
            let (_, version) = layout.magic().unwrap_or_default();
            if head.1 != Some(version) {
                return Err(format!(
                    "version {} of llm.c's layout is not known: expected {version}",
                    head.1.unwrap_or(0)
                ));
            }
            let ids = bytes.get(4 * HEADER_WORDS..).ok_or("the file is cut inside its header")?;
            let count = word(2)
                .and_then(|count| usize::try_from(count).ok())
                .ok_or("the number of ids is negative")?;
            if ids.len() != count * layout.id_bytes() {
                let found = ids.len() / layout.id_bytes();
                return Err(format!(
                    "the header says {count} ids, the file has {found}: it is cut or was written over"
                ));
            }
            (layout, ids)
        }
    };
    if ids.len() % layout.id_bytes() != 0 {
        return Err(format!("{} bytes are no whole number of 16-bit ids", ids.len()));
    }
    Ok(match layout {
        Layout::LlmC32 => ids.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        _ => ids.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: Layout, ids: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        layout.write(ids, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_reads_back() {
        let ids: Vec<u32> = (0..40_000).map(|i| i * 7 % 65_536).collect();
        for layout in [Layout::NanoGpt, Layout::LlmC16, Layout::LlmC32] {
            assert_eq!(parse(&written(layout, &ids)).unwrap(), ids, "{layout:?}");
        }
        assert_eq!(parse(&written(Layout::LlmC32, &[70_000])).unwrap(), [70_000]);
    }

    #[test]
    fn the_bytes_are_those_of_numpy() {
        // numpy: np.array([1, 515], dtype=np.uint16).tobytes()
        assert_eq!(written(Layout::NanoGpt, &[1, 515]), [1, 0, 3, 2]);
        let headed = written(Layout::LlmC16, &[1, 515]);
        assert_eq!(headed.len(), 1028);
        assert_eq!(headed[..12], [0x88, 0xD8, 0x34, 0x01, 1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(headed[1024..], [1, 0, 3, 2]);
        assert_eq!(written(Layout::LlmC32, &[1])[..8], [0xA1, 0xD9, 0x34, 0x01, 7, 0, 0, 0]);
    }

    #[test]
    fn a_file_of_too_many_ids_is_refused_and_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.bin");
        // A hole, which takes no room on the disk.
        File::create(&path).unwrap().set_len(MOST_BYTES + 2).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("train.bin") && error.contains("cut the file into shards"), "{error}");
    }

    #[test]
    fn cut_files_are_refused() {
        let whole = written(Layout::LlmC16, &[1, 2, 3]);
        for (bytes, why) in [
            (&whole[..whole.len() - 2], "the header says 3 ids, the file has 2"),
            (&whole[..100], "cut inside its header"),
            (&[1, 2, 3][..], "3 bytes are no whole number"),
        ] {
            assert!(parse(bytes).unwrap_err().contains(why), "{why}");
        }
        let mut other = whole.clone();
        other[4] = 9;
        assert!(parse(&other).unwrap_err().starts_with("version 9"));
        assert!(Layout::NanoGpt.write(&[65_536], &mut Vec::new()).is_err());
        assert!(Layout::NanoGpt.check(65_537).is_err() && Layout::LlmC32.check(65_537).is_ok());
    }
}
