//! The head of a file: metadata and where its tensors lie.

use std::ops::Range;

use crate::reader::Reader;
use crate::source::{Bytes, Source};
use crate::{Error, Kind, Result, Value};

/// What stands before each tensor's data in the head: a name's length, a number of extents, a kind and an offset.
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;
/// A key's length, a type, and a value of one byte.
const LEAST_ENTRY: u64 = 8 + 4 + 1;
/// ggml knows no more.
const MOST_EXTENTS: u32 = 4;
/// Bytes of a tensor's name: ggml keeps it in 64 with a zero behind it.
const LONGEST_NAME: usize = 63;

/// So much of a file is read at first to find its head; most heads are larger, by their tokens.
const FIRST: u64 = 1 << 20;

/// The bytes of a file up to the end of its head, and maybe some more: what stays in memory while its tensors are read one by
/// one.
#[derive(Clone, Debug)]
pub struct Head(Vec<u8>);

impl Head {
    /// Reads as much of a file as it takes.
    ///
    /// # Errors
    /// As [`Gguf::parse`], or if the file cannot be read.
    pub fn read(source: &dyn Source) -> Result<Self> {
        let (mut wanted, size) = (FIRST, source.size());
        loop {
            let mut head = vec![0; wanted.min(size) as usize];
            Bytes::There(source).read(0, &mut head)?;
            match Gguf::with(&head, Bytes::There(source)) {
                Err(Error::Short { .. }) if wanted < size => wanted = wanted.saturating_mul(2),
                result => return result.map(drop).map(|()| Self(head)),
            }
        }
    }

    /// The file, whose tensors stay in `source`, which the head is of.
    ///
    /// # Errors
    /// As [`Head::read`]: none, if nobody writes to the file.
    pub fn parse<'a>(&'a self, source: &'a dyn Source) -> Result<Gguf<'a>> {
        Gguf::with(&self.0, Bytes::There(source))
    }
}

/// A file whose head was read in place.
#[derive(Clone, Debug)]
pub struct Gguf<'a> {
    /// By key. Flat, since a tree of small entries would need more memory than the file may ask for.
    metadata: Vec<(&'a str, Value<'a>)>,
    /// By name.
    tensors: Vec<TensorInfo<'a>>,
}

/// A tensor of a file.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    name: &'a str,
    kind: Kind,
    rank: u8,
    extents: [u64; MOST_EXTENTS as usize],
    /// Of the first byte in the data; once it is placed, in the file.
    offset: u64,
    file: Bytes<'a>,
}

impl<'a> Gguf<'a> {
    /// Reads the head of a file that lies in memory. One that does not is read by [`Head::read`].
    ///
    /// # Errors
    /// If it is no GGUF file of version 2 or 3, is cut off, or holds anything that is against the format: a key or name that
    /// comes twice, a tensor of a kind that is not known or that does not lie where it must.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::with(bytes, Bytes::Here(bytes))
    }

    /// Reads `head`, which is the start of `file`.
    fn with(head: &'a [u8], file: Bytes<'a>) -> Result<Self> {
        let mut reader = Reader::new(head);
        let magic = reader.take(4, "the magic number")?;
        if magic != b"GGUF" {
            return Err(Error::Magic([magic[0], magic[1], magic[2], magic[3]]));
        }
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(Error::Version(version));
        }
        let tensors = reader.count(LEAST_TENSOR, "the number of tensors")?;
        let entries = reader.count(LEAST_ENTRY, "the number of metadata entries")?;
        let metadata = read_metadata(&mut reader, entries)?;
        let mut tensors = read_infos(&mut reader, tensors, file)?;
        let alignment = alignment(&metadata)?;
        let end = reader.at() as u64;
        let start = end.next_multiple_of(alignment).min(file.size());
        if !file.is_zero(end..start)? {
            return Err(reader.wrong(reader.at(), "what stands between the head and the data is not zero"));
        }
        place(&mut tensors, file, start, alignment)?;
        tensors.sort_unstable_by_key(|info| info.name);
        match tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(reader.wrong(reader.at(), format!("the tensor {} comes twice", pair[0].name))),
            None => Ok(Self { metadata, tensors }),
        }
    }

    /// The metadata, in the order of keys.
    pub fn metadata(&self) -> &[(&'a str, Value<'a>)] {
        &self.metadata
    }

    /// The tensors, in the order of names.
    pub fn tensors(&self) -> &[TensorInfo<'a>] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo<'a>> {
        let at = self.tensors.binary_search_by(|info| info.name.cmp(name)).ok()?;
        self.tensors.get(at)
    }

    /// The metadata entry `key`, if `read` finds in it what it looks for.
    ///
    /// # Errors
    /// If there is no such entry, or it is of another type.
    pub fn get<T>(&self, key: &str, read: impl Fn(&Value<'a>) -> Option<T>) -> Result<T> {
        let wrong = |what: String| Error::Metadata { key: key.into(), what };
        let value = find(&self.metadata, key).ok_or_else(|| wrong("is missing".into()))?;
        read(value).ok_or_else(|| wrong("is not of the type it should have".into()))
    }
}

fn find<'m, 'a>(metadata: &'m [(&'a str, Value<'a>)], key: &str) -> Option<&'m Value<'a>> {
    let at = metadata.binary_search_by(|(known, _)| (*known).cmp(key)).ok()?;
    metadata.get(at).map(|(_, value)| value)
}

/// The entries, in the order of keys. There is room for `count` of them in the file.
fn read_metadata<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Vec<(&'a str, Value<'a>)>> {
    let mut metadata = Vec::with_capacity(count);
    for _ in 0..count {
        let key = reader.text("a metadata key")?;
        let kind = reader.u32("a metadata type")?;
        metadata.push((key, Value::read(reader, kind)?));
    }
    metadata.sort_unstable_by_key(|(key, _)| *key);
    match metadata.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Error::Metadata { key: pair[0].0.into(), what: "comes twice".into() }),
        None => Ok(metadata),
    }
}

/// The tensors, in the order of the file, without their data. There is room for `count` of them in the file.
fn read_infos<'a>(reader: &mut Reader<'a>, count: usize, file: Bytes<'a>) -> Result<Vec<TensorInfo<'a>>> {
    let mut tensors = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.at();
        let name = reader.text("a tensor's name")?;
        if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            let what = format!("{name:?} is no name of a tensor: at most {LONGEST_NAME} bytes of text are");
            return Err(reader.wrong(at, what));
        }
        let rank = reader.u32("a tensor's number of extents")?;
        if !(1..=MOST_EXTENTS).contains(&rank) {
            let what = format!("{name} has {rank} extents, 1 to {MOST_EXTENTS} are known");
            return Err(reader.wrong(at, what));
        }
        let mut extents = [1; MOST_EXTENTS as usize];
        for extent in extents.iter_mut().take(rank as usize) {
            *extent = reader.u64("a tensor's extent")?;
        }
        let number = reader.u32("a tensor's kind")?;
        let kind =
            Kind::from_number(number).ok_or_else(|| Error::Kind { name: name.into(), kind: number })?;
        let offset = reader.u64("a tensor's offset")?;
        tensors.push(TensorInfo { name, kind, rank: rank as u8, extents, offset, file });
    }
    Ok(tensors)
}

/// `general.alignment`, or 32.
fn alignment(metadata: &[(&str, Value<'_>)]) -> Result<u64> {
    const KEY: &str = "general.alignment";
    let Some(value) = find(metadata, KEY) else { return Ok(32) };
    match value.as_unsigned() {
        Some(n) if n.is_power_of_two() && n <= 1 << 30 => Ok(n),
        _ => Err(Error::Metadata { key: KEY.into(), what: "is no power of two up to 2³⁰".into() }),
    }
}

/// Gives each tensor its part of the data, which begins at byte `start` of the file. As in ggml, each begins at the first multiple of the alignment behind the one
/// before, and nothing but zeros stands between them and behind the last. The format has no checksum, so that this is what
/// shows a wrong size or kind: one that takes at least an alignment more, or leaves out a number that is not zero.
fn place(tensors: &mut [TensorInfo<'_>], file: Bytes<'_>, start: u64, alignment: u64) -> Result<()> {
    let (mut next, length) = (0u64, file.size() - start);
    for info in tensors {
        let wrong = |what: String| {
            Err(Error::Blocks { kind: info.kind.name(), what: format!("{}: {what}", info.name) })
        };
        let Some(size) = info.needed() else {
            return wrong(format!("{:?} numbers make no whole blocks", info.extents()));
        };
        if info.offset != next {
            return wrong(format!("lies at {} of the data, the tensor before ends at {next}", info.offset));
        }
        let Some(end) = info.offset.checked_add(size).filter(|end| *end <= length) else {
            return wrong(format!("needs {size} bytes at {next} of the data, which has {length}"));
        };
        // No overflow: the end lies inside the file, whose length fits an i64.
        next = end.next_multiple_of(alignment);
        if !file.is_zero(start + end..start + next.min(length))? {
            return wrong(format!("it ends at {end} of the data, and what stands behind it is not zero"));
        }
        info.offset += start;
    }
    match length > next {
        true => Err(Error::Malformed {
            at: 0,
            what: format!("{} bytes stand behind the last tensor", length - next),
        }),
        false => Ok(()),
    }
}

impl<'a> TensorInfo<'a> {
    /// The name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// How the numbers are stored.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How far the tensor extends along each axis, the fastest first: the reverse of a shape in row-major order.
    pub fn extents(&self) -> &[u64] {
        &self.extents[..usize::from(self.rank)]
    }

    /// The shape in row-major order: the slowest axis first.
    pub fn shape(&self) -> Vec<usize> {
        // They fit, since their product does.
        self.extents().iter().rev().map(|&n| n as usize).collect()
    }

    /// Where its bytes are in the file.
    pub fn place(&self) -> Range<u64> {
        self.offset..self.offset + self.needed().unwrap_or(0)
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        // As the kind and the extents were held against the file.
        self.needed().unwrap_or(0) as usize
    }

    /// Reads its bytes, [`TensorInfo::size`] of them.
    ///
    /// # Errors
    /// If there is not as much room, or the file cannot be read.
    pub fn read(&self, to: &mut [u8]) -> Result<()> {
        match to.len() == self.size() {
            true => self.file.read(self.offset, to),
            false => Err(self.no_room(to.len(), "bytes")),
        }
    }

    /// The numbers, row after row.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn numbers(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.count()];
        self.read_numbers(&mut out)?;
        Ok(out)
    }

    /// Reads the numbers, row after row, with no more of the file in memory than a piece.
    ///
    /// # Errors
    /// If there is not as much room as there are numbers, or the file cannot be read.
    pub fn read_numbers(&self, to: &mut [f32]) -> Result<()> {
        if to.len() != self.count() {
            return Err(self.no_room(to.len(), "numbers"));
        }
        let (mut rest, block) = (to, self.kind.block_bytes());
        self.file.pieces(self.place(), block, |bytes| {
            let count = bytes.len() / block * self.kind.block_len();
            let (now, later) = std::mem::take(&mut rest).split_at_mut(count);
            rest = later;
            self.kind.dequantise(bytes, now)
        })
    }

    fn count(&self) -> usize {
        self.size() / self.kind.block_bytes() * self.kind.block_len()
    }

    fn no_room(&self, room: usize, what: &str) -> Error {
        let what = format!("{}: room for {room} {what}, it has {} bytes", self.name, self.size());
        Error::Blocks { kind: self.kind.name(), what }
    }

    /// How many bytes the numbers need; `None` if a row makes no whole blocks or the numbers are beyond counting.
    fn needed(&self) -> Option<u64> {
        let block = self.kind.block_len() as u64;
        if !self.extents[0].is_multiple_of(block) {
            return None;
        }
        let numbers = self.extents.iter().try_fold(1u64, |product, &n| product.checked_mul(n))?;
        // Row-major shapes are given out as they are, so that each extent must be one of this machine, empty ones too.
        self.extents.iter().try_for_each(|&n| usize::try_from(n).map(drop)).ok()?;
        (numbers / block).checked_mul(self.kind.block_bytes() as u64)
    }
}
