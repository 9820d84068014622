#![no_main]

#[path = "../read/gguf.rs"]
mod gguf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gguf::read(bytes));
