//! A device made of the emulator: memory, values of every dtype, and launches.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use half::{bf16, f16};
use warpsmith_emulator::{Counts, Memory, Options, Program, Schedule};
use warpsmith_kernels::{Entry, Float, Launch};

/// The unit roundoff of f32, in which all kernels compute.
pub const UNIT: f64 = 1.0 / 16_777_216.0;

/// Half the gap between 1 and the next number of a dtype.
fn roundoff(dtype: Float) -> f64 {
    match dtype {
        Float::F32 => UNIT,
        Float::F16 => 1.0 / 2048.0,
        Float::Bf16 => 1.0 / 256.0,
    }
}

/// Half the gap between the smallest numbers of a dtype: what rounding costs where it is absolute.
fn smallest(dtype: Float) -> f64 {
    match dtype {
        Float::F32 => 2f64.powi(-150),
        Float::F16 => 2f64.powi(-25),
        Float::Bf16 => 2f64.powi(-134),
    }
}

pub struct Gpu {
    memory: Memory,
    schedule: Schedule,
}

/// Where `cargo xtask mutants` says what takes the place of a built module: `<module>=<path of a PTX file>`. Entries that the
/// file lacks stay the built ones.
const PLANTED: &str = "WARPSMITH_PLANTED_PTX";

/// Instructions of one warp after which a launch of these tests, whose longest takes under 2¹⁴, is endless.
const MOST_STEPS: u64 = 1 << 18;

/// The program that holds an entry, and the entry's number in it. Modules are parsed once for all tests.
fn program(entry: &Entry) -> (&'static Program, usize) {
    static BUILT: OnceLock<Mutex<HashMap<&'static str, &'static Program>>> = OnceLock::new();
    let name = entry.module.name;
    if let Some(planted) = planted(name)
        && let Some(number) = planted.entry(entry.name)
    {
        return (planted, number);
    }
    let mut programs = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    let program: &'static Program = programs.entry(name).or_insert_with(|| parsed(name, entry.module.ptx()));
    (program, program.entry(entry.name).unwrap())
}

/// The program that stands in for a module, if there is one.
fn planted(module: &str) -> Option<&'static Program> {
    static PROGRAM: OnceLock<Option<(String, &'static Program)>> = OnceLock::new();
    let read = || {
        let text = std::env::var(PLANTED).ok()?;
        let (name, path) = text.split_once('=').unwrap();
        Some((name.to_owned(), parsed(name, &std::fs::read_to_string(path).unwrap())))
    };
    let (name, program) = PROGRAM.get_or_init(read).as_ref()?;
    (name == module).then_some(*program)
}

fn parsed(name: &str, ptx: &str) -> &'static Program {
    match Program::parse(ptx) {
        Ok(program) => Box::leak(Box::new(program)),
        Err(error) => panic!("{name}.ptx: {error}"),
    }
}

impl Gpu {
    pub fn new() -> Self {
        Self::with(Schedule::Forward)
    }

    /// With another order of blocks and warps.
    pub fn with(schedule: Schedule) -> Self {
        Self { memory: Memory::new(1 << 28), schedule }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let address = self.memory.alloc(bytes.len().max(1) as u64).unwrap();
        self.memory.write(address, bytes).unwrap();
        address
    }

    /// Room that nobody has written.
    pub fn room(&mut self, bytes: u64) -> u64 {
        self.memory.alloc(bytes.max(1)).unwrap()
    }

    /// Room for `count` elements.
    pub fn room_for(&mut self, dtype: Float, count: usize) -> u64 {
        self.room((count * dtype.size()) as u64)
    }

    pub fn pod<T: bytemuck::Pod>(&mut self, values: &[T]) -> u64 {
        self.bytes(bytemuck::cast_slice(values))
    }

    /// The values rounded to a dtype.
    pub fn floats(&mut self, dtype: Float, values: &[f64]) -> u64 {
        self.bytes(&encoded(dtype, values))
    }

    /// Writes the values, rounded to a dtype, where there is room.
    pub fn write_floats(&mut self, dtype: Float, address: u64, values: &[f64]) {
        self.memory.write(address, &encoded(dtype, values)).unwrap();
    }

    pub fn read<T: bytemuck::Pod>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::zeroed(); count];
        self.memory.read(address, bytemuck::cast_slice_mut(&mut values)).unwrap();
        values
    }

    pub fn read_floats(&self, dtype: Float, address: u64, count: usize) -> Vec<f64> {
        let wide = f64::from;
        match dtype {
            Float::F32 => self.read::<f32>(address, count).into_iter().map(wide).collect(),
            Float::F16 => {
                self.read::<u16>(address, count).into_iter().map(|b| f16::from_bits(b).to_f64()).collect()
            }
            Float::Bf16 => {
                self.read::<u16>(address, count).into_iter().map(|b| bf16::from_bits(b).to_f64()).collect()
            }
        }
    }

    /// Bytes in parts that begin `stride` bytes apart, a multiple of 256; nothing lies between them. The address of the first.
    pub fn bytes_apart(&mut self, stride: u64, parts: &[Vec<u8>]) -> u64 {
        let first = self.bytes(&parts[0]);
        for (i, part) in parts.iter().enumerate().skip(1) {
            let address = first + i as u64 * stride;
            self.memory.leave_out_until(address);
            assert_eq!(self.bytes(part), address);
        }
        first
    }

    /// Runs a launch; what it did.
    pub fn run(&mut self, launch: &Launch) -> Counts {
        self.run_part(launch, None)
    }

    /// Runs the last block of a launch and no other.
    pub fn run_last(&mut self, launch: &Launch) -> Counts {
        let blocks: u64 = launch.grid.iter().map(|&blocks| u64::from(blocks)).product();
        self.run_part(launch, Some(blocks - 1))
    }

    fn run_part(&mut self, launch: &Launch, only: Option<u64>) -> Counts {
        if launch.is_empty() {
            return Counts::default();
        }
        let (program, entry) = program(launch.entry);
        let globals: Vec<u64> = program.globals.iter().map(|g| self.bytes(&g.init)).collect();
        let checked = Options::from_environment().unwrap();
        let options = Options { schedule: self.schedule, max_steps: MOST_STEPS, only, ..checked };
        let launch = warpsmith_emulator::Launch {
            program,
            entry,
            grid: launch.grid,
            block: launch.block,
            shared_bytes: launch.shared_bytes,
            params: &launch.params,
            globals: &globals,
            options: &options,
        };
        match warpsmith_emulator::run(&launch, &mut self.memory) {
            Ok(counts) => counts,
            // The kind first: `cargo xtask mutants` reads it.
            Err(fault) => panic!("{:?}: {fault}", fault.kind),
        }
    }

    pub fn run_all(&mut self, launches: &[Launch]) {
        launches.iter().for_each(|launch| {
            self.run(launch);
        });
    }
}

pub fn encoded(dtype: Float, values: &[f64]) -> Vec<u8> {
    // By way of f32 where that loses nothing: the values of these tests have few digits.
    let narrow = |v: &f64| *v as f32;
    match dtype {
        Float::F32 => values.iter().flat_map(|v| narrow(v).to_le_bytes()).collect(),
        Float::F16 => values.iter().flat_map(|v| f16::from_f32(narrow(v)).to_le_bytes()).collect(),
        Float::Bf16 => values.iter().flat_map(|v| bf16::from_f32(narrow(v)).to_le_bytes()).collect(),
    }
}

/// The values as a dtype holds them.
pub fn rounded(dtype: Float, values: &[f64]) -> Vec<f64> {
    let one = |v: &f64| match dtype {
        Float::F32 => f64::from(*v as f32),
        Float::F16 => f16::from_f32(*v as f32).to_f64(),
        Float::Bf16 => bf16::from_f32(*v as f32).to_f64(),
    };
    values.iter().map(one).collect()
}

/// Numbers in [low, high), different for each seed, exact in every dtype after rounding.
pub fn numbers(dtype: Float, count: usize, seed: u64, low: f64, high: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        low + (high - low) * ((state >> 11) as f64 / (1u64 << 53) as f64)
    };
    rounded(dtype, &(0..count).map(|_| next()).collect::<Vec<f64>>())
}

/// One element of the oracle: the value, and what its rounding errors are measured against.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    pub value: f64,
    pub scale: f64,
}

impl Exact {
    /// Errors are measured against the value itself.
    pub fn of(value: f64) -> Self {
        Self { value, scale: value.abs() }
    }
}

/// Holds results to |error| ≤ u_out·|value| + roundings·2⁻²⁴·scale; NaN and infinities must agree.
pub fn check(what: &str, dtype: Float, found: &[f64], exact: &[Exact], roundings: f64) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
        let expected = rounded(dtype, &[exact.value])[0];
        let agrees = if expected.is_finite() {
            let own = if dtype == Float::F32 { 0.0 } else { roundoff(dtype) };
            let bound = own * exact.value.abs() + roundings * UNIT * exact.scale + smallest(dtype);
            (found - exact.value).abs() <= bound
        } else {
            *found == expected || (found.is_nan() && expected.is_nan())
        };
        assert!(agrees, "{what} {dtype:?}: element {i} is {found}, expected {}", exact.value);
    }
}
