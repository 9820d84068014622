#![no_main]

#[path = "../read/safetensors.rs"]
mod safetensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| safetensors::read(bytes));
