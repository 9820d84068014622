//! Lane operations per second on one core, with and without checks: `cargo run --example speed`.
//!
//! Three kernels of the tests: one of arithmetic, one of loads and stores, one of shuffles and barriers.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use warpsmith_emulator::{Checks, Launch, Memory, Options, Program, run};

const MATH: &str = include_str!("../tests/execution/kernels/math.ptx");
const BLOCK: &str = include_str!("../tests/execution/kernels/block.ptx");
/// Threads of each launch.
const THREADS: u32 = 1 << 14;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (text, name, block) in
        [(MATH, "math32", 128), (BLOCK, "scale_vectors", 128), (BLOCK, "block_sum", 128)]
    {
        for checks in [Checks { init: false, races: false }, Checks { init: true, races: true }] {
            let rate = measure(text, name, block, checks)?;
            println!("{name:14} {checks:?}: {:6.1} M lane operations/s", rate / 1e6);
        }
    }
    Ok(())
}

fn measure(text: &str, name: &str, block: u32, checks: Checks) -> Result<f64, Box<dyn std::error::Error>> {
    let program = Program::parse(text)?;
    let mut memory = Memory::new(1 << 28);
    let (input, output) = (memory.alloc(u64::from(THREADS) * 32)?, memory.alloc(u64::from(THREADS) * 96)?);
    memory.fill(input, u64::from(THREADS) * 32, &1.25f32.to_le_bytes())?;
    let globals: Vec<u64> =
        program.globals.iter().map(|global| memory.alloc(global.bytes)).collect::<Result<_, _>>()?;
    for (global, &address) in program.globals.iter().zip(&globals) {
        memory.fill(address, global.bytes, &[0])?;
        memory.write(address, &global.init)?;
    }
    let entry = program.entry(name).ok_or("no such entry")?;
    let params: Vec<u8> = [input, output, u64::from(THREADS), 0x4000_0000]
        .iter()
        .flat_map(|param| param.to_le_bytes())
        .collect();
    let options = Options { checks, parallel: false, ..Options::default() };
    let (grid, block) = ([THREADS / block, 1, 1], [block, 1, 1]);
    let params = &params[..program.entries[entry].param_bytes];
    let launch = Launch {
        program: &program,
        entry,
        grid,
        block,
        shared_bytes: 0,
        params,
        globals: &globals,
        options: &options,
    };
    let (start, busy) = (Instant::now(), busy());
    let counts = run(&launch, &mut memory)?;
    let elapsed = match (busy, self::busy()) {
        (Some(before), Some(after)) => after - before,
        _ => start.elapsed(),
    };
    Ok(counts.lane_operations as f64 / elapsed.as_secs_f64())
}

/// Time that this process has had a core, where Linux tells: a busy machine then does not count.
fn busy() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}
