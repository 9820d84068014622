//! A note in the metadata of a weight file of what its numbers were when it was written, so that a bit that the disk or the
//! way has lost is noticed. Files of others have none, and other readers pass it over.
//!
//! The note is a CRC-32 of names, dtypes, shapes and numbers, in the order of the names: it says the same wherever the
//! tensors lie in the file. It finds every error of up to 32 bits in a row and misses any other once in 2³²; it is no
//! protection against somebody who wants to be missed.

use std::collections::HashMap;

use crc32fast::Hasher;
use safetensors::tensor::{Dtype, TensorView};
use warpsmith_tensor::Result;

/// The key of the note.
const KEY: &str = "warpsmith.crc32";

/// The note of tensors that are told one by one, in the order of their names.
pub(super) struct Digest {
    crc: Hasher,
    /// What the file says.
    expected: String,
}

impl Digest {
    /// If the metadata of a file have a note.
    pub fn wanted(metadata: Option<&HashMap<String, String>>) -> Option<Self> {
        let expected = metadata?.get(KEY)?.clone();
        Some(Self { crc: Hasher::new(), expected })
    }

    /// Takes the next tensor.
    pub fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
        add(&mut self.crc, name, dtype, shape, bytes);
    }

    /// An error if these were not the tensors that were written.
    pub fn check(self) -> Result<()> {
        match text(self.crc) == self.expected {
            true => Ok(()),
            false => Err(super::file(
                "damaged: the numbers are not those that were written (their CRC-32 differs)",
            )
            .hint("copy the file again, or take an earlier checkpoint")),
        }
    }
}

fn add(crc: &mut Hasher, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
    crc.update(format!("{name}:{dtype:?}{shape:?}").as_bytes());
    crc.update(bytes);
}

fn text(crc: Hasher) -> String {
    format!("{:08x}", crc.finalize())
}

/// The metadata of a file that holds these tensors, with the note; they come in the order of their names.
pub(super) fn noted(
    metadata: &[(&str, &str)],
    tensors: &[(&String, TensorView<'_>)],
) -> HashMap<String, String> {
    let mut crc = Hasher::new();
    tensors.iter().for_each(|(name, t)| add(&mut crc, name, t.dtype(), t.shape(), t.data()));
    let note = text(crc);
    let all = || metadata.iter().copied().chain([(KEY, note.as_str())]);
    // The header is written in the order of the map, which is another for each map, and the same tensors shall make the same
    // bytes: of the few keys there are, sooner or later one has them in order.
    loop {
        let map: HashMap<String, String> =
            all().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        if map.keys().is_sorted() {
            return map;
        }
    }
}
