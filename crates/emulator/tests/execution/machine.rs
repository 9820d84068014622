//! A memory and one program, so that a test says only what it launches.

use warpsmith_emulator::{Checks, Counts, Fault, Launch, Memory, Options, Program, Schedule, run};

/// The schedules under which every kernel must give the same bits.
pub const SCHEDULES: [Schedule; 4] =
    [Schedule::Forward, Schedule::Reverse, Schedule::Seeded(1), Schedule::Seeded(2)];

/// A loaded program.
pub struct Machine {
    pub program: Program,
    pub memory: Memory,
    pub options: Options,
    globals: Vec<u64>,
}

impl Machine {
    pub fn new(ptx: &str) -> Machine {
        let program = Program::parse(ptx).unwrap_or_else(|error| panic!("{error}"));
        let mut memory = Memory::new(1 << 30);
        let globals: Vec<u64> =
            program.globals.iter().map(|global| memory.alloc(global.bytes).unwrap()).collect();
        for (global, &address) in program.globals.iter().zip(&globals) {
            memory.fill(address, global.bytes, &[0]).unwrap();
            memory.write(address, &global.init).unwrap();
            for &(offset, target, addend) in &global.relocations {
                let value = globals[target] + addend;
                memory.write(address + offset as u64, &value.to_le_bytes()).unwrap();
            }
        }
        Machine { program, memory, options: Options::default(), globals }
    }

    /// Copies values into an allocation of their own.
    pub fn put<T: Bytes>(&mut self, values: &[T]) -> u64 {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.bytes()).collect();
        let address = self.memory.alloc(bytes.len() as u64).unwrap();
        self.memory.write(address, &bytes).unwrap();
        address
    }

    /// Room that nobody has written.
    pub fn room(&mut self, bytes: u64) -> u64 {
        self.memory.alloc(bytes).unwrap()
    }

    pub fn get<T: Bytes>(&self, address: u64, count: usize) -> Vec<T> {
        let mut bytes = vec![0; count * T::SIZE];
        self.memory.read(address, &mut bytes).unwrap();
        bytes.chunks(T::SIZE).map(T::of).collect()
    }

    /// Launches `grid` blocks of `block` threads.
    pub fn launch(
        &mut self,
        name: &str,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        params: &[u64],
    ) -> Result<Counts, Fault> {
        let entry = self.program.entry(name).unwrap();
        // Every kernel of the tests takes eight bytes a parameter, or has padding at the end.
        let bytes: Vec<u8> = params.iter().flat_map(|param| param.to_le_bytes()).collect();
        let params = &bytes[..self.program.entries[entry].param_bytes];
        let (program, globals, options) = (&self.program, &self.globals[..], &self.options);
        let launch = Launch { program, entry, grid, block, shared_bytes, params, globals, options };
        run(&launch, &mut self.memory)
    }
}

/// Runs a test under each schedule, with and without checks.
pub fn under_every_schedule(ptx: &str, test: impl Fn(&mut Machine)) {
    for schedule in SCHEDULES {
        for checks in [Checks { init: true, races: true }, Checks { init: false, races: false }] {
            let mut machine = Machine::new(ptx);
            machine.options.schedule = schedule;
            machine.options.checks = checks;
            test(&mut machine);
        }
    }
}

/// A value with a size in the memory of the device.
pub trait Bytes {
    const SIZE: usize;
    fn bytes(&self) -> Vec<u8>;
    fn of(bytes: &[u8]) -> Self;
}

macro_rules! bytes {
    ($($type:ty),*) => {$(
        impl Bytes for $type {
            const SIZE: usize = size_of::<$type>();

            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn of(bytes: &[u8]) -> Self {
                <$type>::from_le_bytes(bytes.try_into().unwrap())
            }
        }
    )*};
}

bytes!(u16, i32, u32, f32, i64, u64, f64, half::f16, half::bf16);
