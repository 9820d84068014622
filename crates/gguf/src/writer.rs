//! Writing: metadata as it comes, tensors as F32, F16, BF16 or Q8_0.

use half::{bf16, f16};

use crate::{Error, Kind, Result};

/// The alignment of tensors where a file names none.
const ALIGNMENT: usize = 32;

/// Collects metadata and tensors; [`Writer::finish`] makes a file of them.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    entries: u64,
    metadata: Vec<u8>,
    tensors: Vec<(String, Vec<usize>, Kind, usize)>,
    data: Vec<u8>,
}

impl Writer {
    /// A file with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.entries += 1;
        put_text(&mut self.metadata, key);
        self.metadata.extend(kind.to_le_bytes());
        self.metadata.extend(value);
    }

    /// Adds a whole number of 32 bits.
    pub fn unsigned(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    /// Adds a number of 32 bits.
    pub fn real(&mut self, key: &str, value: f32) {
        self.entry(key, 6, &value.to_le_bytes());
    }

    /// Adds a truth value.
    pub fn truth(&mut self, key: &str, value: bool) {
        self.entry(key, 7, &[u8::from(value)]);
    }

    /// Adds whole numbers of 32 bits.
    pub fn integers(&mut self, key: &str, values: &[i32]) {
        let mut bytes = [&5u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.entry(key, 9, &bytes);
    }

    /// Adds a text.
    pub fn text(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        put_text(&mut bytes, value);
        self.entry(key, 8, &bytes);
    }

    /// Adds texts.
    pub fn texts<'a>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        let mut bytes = [&8u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.for_each(|text| put_text(&mut bytes, text));
        self.entry(key, 9, &bytes);
    }

    /// Adds numbers of 32 bits.
    pub fn reals(&mut self, key: &str, values: &[f32]) {
        let mut bytes = [&6u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.entry(key, 9, &bytes);
    }

    /// Adds a tensor of `shape`, in row-major order, as `kind`.
    ///
    /// # Errors
    /// If the kind is none of F32, F16, BF16 and Q8_0, there is no axis or more than four, the shape has not as many numbers, a row
    /// makes no whole blocks, or for Q8_0 a number is not finite or beyond 127 times the largest f16.
    pub fn tensor(&mut self, name: &str, shape: &[usize], kind: Kind, numbers: &[f32]) -> Result<()> {
        let wrong = |what: String| Err(Error::Blocks { kind: kind.name(), what: format!("{name}: {what}") });
        if !(1..=4).contains(&shape.len()) || shape.iter().product::<usize>() != numbers.len() {
            return wrong(format!("{} numbers for the shape {shape:?}", numbers.len()));
        }
        if !shape.last().unwrap_or(&1).is_multiple_of(kind.block_len()) {
            return wrong(format!("rows of {shape:?} make no whole blocks"));
        }
        // Beyond it a block's scale would be no finite f16.
        let largest = 127.0 * f16::MAX.to_f32();
        let is_none = |n: &&f32| n.is_nan() || n.abs() > largest;
        if let Some(number) = numbers.iter().find(|n| kind == Kind::Q8_0 && is_none(n)) {
            return wrong(format!("{number} has no 8-bit form"));
        }
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        self.tensors.push((name.into(), shape.into(), kind, self.data.len()));
        match kind {
            Kind::F32 => self.data.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
            Kind::F16 => self.data.extend(numbers.iter().flat_map(|&n| f16::from_f32(n).to_le_bytes())),
            Kind::Bf16 => self.data.extend(numbers.iter().flat_map(|&n| bf16::from_f32(n).to_le_bytes())),
            Kind::Q8_0 => numbers.chunks_exact(32).for_each(|block| put_q8_0(&mut self.data, block)),
            _ => {
                self.tensors.pop();
                return wrong("only F32, F16, BF16 and Q8_0 are written".into());
            }
        }
        Ok(())
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend(self.entries.to_le_bytes());
        file.extend(self.metadata);
        for (name, shape, kind, offset) in &self.tensors {
            put_text(&mut file, name);
            file.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|&n| file.extend((n as u64).to_le_bytes()));
            file.extend(kind.number().to_le_bytes());
            file.extend((*offset as u64).to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(self.data);
        file
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The scale is the largest size over 127, in f32 for the quotients and rounded to f16 in the file, as ggml has it.
fn put_q8_0(bytes: &mut Vec<u8>, block: &[f32]) {
    let scale = block.iter().fold(0.0f32, |m, n| m.max(n.abs())) / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    bytes.extend(f16::from_f32(scale).to_le_bytes());
    bytes.extend(block.iter().map(|n| (n * inverse).round() as i8 as u8));
}
