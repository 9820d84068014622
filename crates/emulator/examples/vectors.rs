//! Records the instruction-level vectors on the GPU of this machine: `cargo run --example vectors -- FILE.json`, or, with
//! `--emulated` before the file, on the emulator.
//!
//! What a GPU gave belongs in `crates/emulator/vectors/`, named after it; the tests then hold the emulator to it.
#![forbid(unsafe_code)]

use warpsmith_emulator::vectors::{families, record};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--emulated") {
        arguments.remove(0);
        warpsmith_emulator::install()?;
    }
    let recording = record(&families())?;
    eprintln!("{} vectors of {} on {}", recording.vectors(), recording.outputs.len(), recording.device);
    match arguments.first() {
        Some(path) => std::fs::write(path, recording.json())?,
        None => print!("{}", recording.json()),
    }
    Ok(())
}
