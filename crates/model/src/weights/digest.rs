//! A note in the metadata of a weight file of what its numbers were when it was written, so that a bit that the disk or the
//! way has lost is noticed. Files of others have none, and other readers pass it over.
//!
//! The note is a CRC-32 of names, dtypes, shapes and numbers, in the order of the names: it says the same wherever the
//! tensors lie in the file. It finds every error of up to 32 bits in a row and misses any other once in 2³²; it is no
//! protection against somebody who wants to be missed.

use std::collections::HashMap;

use crc32fast::Hasher;
use safetensors::tensor::TensorView;
use warpsmith_tensor::Result;

/// The key of the note.
const KEY: &str = "warpsmith.crc32";

/// The metadata of a file that holds these tensors, with the note; they come in the order of their names.
pub(super) fn noted<'t>(
    metadata: &[(&str, &str)],
    tensors: impl Iterator<Item = (&'t str, &'t TensorView<'t>)>,
) -> HashMap<String, String> {
    let note = digest(tensors);
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

/// An error if the metadata has a note and the tensors are others.
pub(super) fn check<'t>(
    metadata: Option<&HashMap<String, String>>,
    tensors: impl Iterator<Item = (&'t str, &'t TensorView<'t>)>,
) -> Result<()> {
    match metadata.and_then(|metadata| metadata.get(KEY)) {
        Some(note) if *note != digest(tensors) => {
            Err(super::file("damaged: the numbers are not those that were written (their CRC-32 differs)")
                .hint("copy the file again, or take an earlier checkpoint"))
        }
        _ => Ok(()),
    }
}

fn digest<'t>(tensors: impl Iterator<Item = (&'t str, &'t TensorView<'t>)>) -> String {
    let mut crc = Hasher::new();
    for (name, tensor) in tensors {
        crc.update(format!("{name}:{:?}{:?}", tensor.dtype(), tensor.shape()).as_bytes());
        crc.update(tensor.data());
    }
    format!("{:08x}", crc.finalize())
}
