//! What is asked of a GGUF file from anywhere: an error, or as many numbers as it says.

use warpsmith_gguf::Gguf;

/// Reads all that a file has.
pub fn read_all(file: &Gguf<'_>) {
    for (_, value) in file.metadata() {
        if let Some(array) = value.as_array() {
            assert_eq!(array.iter().count(), array.len());
        }
    }
    for info in file.tensors() {
        let numbers = info.numbers().expect("the head was held against the data");
        assert_eq!(numbers.len(), info.shape().iter().product::<usize>());
    }
}

/// The whole question.
pub fn read(bytes: &[u8]) {
    if let Ok(file) = Gguf::parse(bytes) {
        read_all(&file);
    }
}
