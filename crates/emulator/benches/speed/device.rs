//! A memory with the programs that ran on it.

use std::collections::HashMap;

use warpsmith_emulator::{Checks, Counts, Launch, Memory, Options, Program, run};
use warpsmith_kernels::Launch as Kernel;

/// One launch, ready to run again and again.
struct Prepared {
    program: usize,
    entry: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    params: Vec<u8>,
}

/// Launches in a row, and the memory they work on.
pub struct Device {
    memory: Memory,
    programs: Vec<(Program, Vec<u64>)>,
    by_name: HashMap<&'static str, usize>,
    launches: Vec<Prepared>,
}

impl Device {
    pub fn new() -> Device {
        let memory = Memory::new(1 << 30);
        Device { memory, programs: Vec::new(), by_name: HashMap::new(), launches: Vec::new() }
    }

    /// Room that nobody has written.
    pub fn room(&mut self, bytes: usize) -> u64 {
        self.memory.alloc(bytes as u64).expect("room")
    }

    /// `count` floats between -1 and 1.
    pub fn singles(&mut self, count: usize) -> u64 {
        self.bytes(&numbers(count).flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
    }

    /// `count` bf16 between -1 and 1: the upper halves of floats.
    pub fn brains(&mut self, count: usize) -> u64 {
        let upper = |number: f32| ((number.to_bits() >> 16) as u16).to_le_bytes();
        self.bytes(&numbers(count).flat_map(upper).collect::<Vec<_>>())
    }

    fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let address = self.room(bytes.len());
        self.memory.write(address, bytes).expect("just allocated");
        address
    }

    fn load(&mut self, name: &'static str, ptx: &str) -> usize {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let program = Program::parse(ptx).unwrap_or_else(|error| panic!("{name}: {error}"));
        let globals = program.globals.iter().map(|global| {
            let address = self.memory.alloc(global.bytes).expect("room");
            self.memory.fill(address, global.bytes, &[0]).expect("just allocated");
            self.memory.write(address, &global.init).expect("just allocated");
            address
        });
        let globals = globals.collect();
        self.programs.push((program, globals));
        self.by_name.insert(name, self.programs.len() - 1);
        self.programs.len() - 1
    }

    /// Adds a launch of a shipped kernel.
    pub fn add(&mut self, kernel: &Kernel) {
        let program = self.load(kernel.entry.module.name, kernel.entry.module.ptx());
        self.push(
            program,
            kernel.entry.name,
            kernel.grid,
            kernel.block,
            kernel.shared_bytes,
            kernel.params.clone(),
        );
    }

    /// Adds a launch of a kernel from a text; its parameters take eight bytes each.
    pub fn add_text(&mut self, ptx: &'static str, name: &'static str, grid: u32, block: u32, params: &[u64]) {
        let program = self.load(name, ptx);
        let params: Vec<u8> = params.iter().flat_map(|param| param.to_le_bytes()).collect();
        self.push(program, name, [grid, 1, 1], [block, 1, 1], 0, params);
    }

    fn push(
        &mut self,
        program: usize,
        name: &str,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        mut params: Vec<u8>,
    ) {
        let entry = self.programs[program].0.entry(name).expect("an entry of the text");
        params.truncate(self.programs[program].0.entries[entry].param_bytes);
        self.launches.push(Prepared { program, entry, grid, block, shared_bytes, params });
    }

    /// Runs all launches, one block after another, and sums what they counted.
    pub fn run(&mut self, checks: Checks) -> Counts {
        let options = Options { checks, parallel: false, ..Options::default() };
        let mut sum = Counts::default();
        for prepared in &self.launches {
            let (program, globals) = &self.programs[prepared.program];
            let launch = Launch {
                program,
                entry: prepared.entry,
                grid: prepared.grid,
                block: prepared.block,
                shared_bytes: prepared.shared_bytes,
                params: &prepared.params,
                globals,
                options: &options,
            };
            sum += run(&launch, &mut self.memory).unwrap_or_else(|fault| panic!("{fault}"));
        }
        sum
    }
}

/// Numbers between -1 and 1 (Marsaglia's xorshift).
fn numbers(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}
