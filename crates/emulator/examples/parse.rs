//! Reads PTX files and says what each declares, or why it cannot run: `cargo run --example parse -- FILE…`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use warpsmith_emulator::Program;

fn main() -> ExitCode {
    let mut failures = 0;
    for path in std::env::args().skip(1) {
        let parsed = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        match parsed.and_then(|text| Program::parse(&text).map_err(|error| error.to_string())) {
            Ok(program) => {
                println!("{path}: {} entries, {} variables", program.entries.len(), program.globals.len())
            }
            Err(error) => {
                failures += 1;
                println!("{path}: {error}");
            }
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
