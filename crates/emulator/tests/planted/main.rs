//! Small kernels in PTX, each with a planted bug that must be reported, beside the correct twin that must run in silence.
//! In a kernel, a line `[bug] …` stands in the wrong version alone, a line `[twin] …` in the correct one alone.

mod blocks;
mod copies;
mod lanes;
mod tiles;
mod written;

use warpsmith_emulator::{Entry, Fault, FaultKind, Launch, Memory, Options, Program, Schedule, run};

/// Words of the kernel's only buffer, whose address is its only parameter.
const WORDS: usize = 256;

/// A kernel with its launch.
struct Planted {
    /// Instructions. `%out` holds the buffer, `%tid`, `%block` and `%lane` what they say, `%shared` and `%mine` the
    /// start of 4 KiB of shared memory and this thread's word there, `%global` this thread's word of the buffer.
    /// Free are `%a` to `%d` (32 bits), `%w` and `%x` (64 bits) and `%p` and `%q`.
    body: &'static str,
    blocks: u32,
    threads: u32,
    /// Bytes of the buffer that the host writes (with word i = i) before the launch.
    filled: usize,
}

impl Planted {
    fn new(body: &'static str) -> Self {
        Planted { body, blocks: 1, threads: 64, filled: 4 * WORDS }
    }

    fn text(&self, dropped: &str, kept: &str) -> String {
        let lines = self.body.lines().map(str::trim).filter(|line| !line.starts_with(dropped));
        let body: Vec<&str> =
            lines.map(|line| line.strip_prefix(kept).unwrap_or(line).trim_start()).collect();
        format!(
            ".version 8.4\n.target sm_80\n.address_size 64\n\
             .visible .entry k(.param .u64 k_param_0)\n{{\n\
             .reg .pred %p, %q;\n.reg .b32 %tid, %block, %lane, %shared, %mine, %a, %b, %c, %d;\n\
             .reg .b64 %out, %global, %w, %x;\n.shared .align 16 .b8 tile[4096];\n\
             ld.param.u64 %out, [k_param_0];\ncvta.to.global.u64 %out, %out;\n\
             mov.u32 %tid, %tid.x;\nmov.u32 %block, %ctaid.x;\nand.b32 %lane, %tid, 31;\n\
             mov.u32 %shared, tile;\nshl.b32 %a, %tid, 2;\nadd.u32 %mine, %shared, %a;\n\
             mul.wide.u32 %global, %tid, 4;\nadd.u64 %global, %out, %global;\n{}\nret;\n}}\n",
            body.join("\n")
        )
    }

    fn run(&self, text: &str, schedule: Schedule) -> Result<Vec<u32>, Fault> {
        let program = Program::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut memory = Memory::new(1 << 20);
        let out = memory.alloc(4 * WORDS as u64).unwrap();
        let words: Vec<u8> = (0..WORDS as u32).flat_map(u32::to_le_bytes).collect();
        memory.write(out, &words[..self.filled]).unwrap();
        let options = Options { schedule, max_steps: 100_000, ..Options::default() };
        let launch = Launch {
            program: &program,
            entry: program.entries.iter().position(|entry: &Entry| entry.name == "k").unwrap(),
            grid: [self.blocks, 1, 1],
            block: [self.threads, 1, 1],
            shared_bytes: 0,
            params: &out.to_le_bytes(),
            globals: &[],
            options: &options,
        };
        run(&launch, &mut memory)?;
        let mut bytes = vec![0; 4 * WORDS];
        memory.read(out, &mut bytes).unwrap();
        Ok(bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
    }

    /// Under each schedule, the bug is a fault of one of these kinds at an instruction that begins so, and the twin is silent and
    /// computes the same. Returns the sentences of the faults.
    fn check(&self, kinds: &[FaultKind], instructions: &[&str]) -> Vec<String> {
        let (bug, twin) = (self.text("[twin]", "[bug]"), self.text("[bug]", "[twin]"));
        assert_ne!(bug, twin, "nothing is planted");
        let schedules = [Schedule::Forward, Schedule::Reverse, Schedule::Seeded(1), Schedule::Seeded(2)];
        let results: Vec<Vec<u32>> = schedules
            .iter()
            .map(|&schedule| {
                self.run(&twin, schedule).unwrap_or_else(|fault| panic!("{schedule:?}: {fault}\n{twin}"))
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]), "the result depends on the schedule");
        let report = |schedule| match self.run(&bug, schedule) {
            Ok(_) => panic!("{schedule:?}: the bug was not reported\n{bug}"),
            Err(fault) => {
                assert!(kinds.contains(&fault.kind), "{schedule:?}: {:?}, {fault}\n{bug}", fault.kind);
                let begins = |text: &&str| fault.instruction.trim().starts_with(text);
                assert!(instructions.iter().any(begins), "{schedule:?}: {fault}");
                let line = bug.lines().nth(fault.ptx_line as usize - 1).unwrap();
                assert_eq!(line.trim(), fault.instruction.trim(), "the line and the text belong together");
                fault.sentence
            }
        };
        schedules.into_iter().map(report).collect()
    }
}

#[test]
fn the_report_in_the_readme_is_what_a_user_sees() {
    let mut planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         xor.b32 %b, %a, 124;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    let fault = planted.run(&planted.text("[twin]", "[bug]"), Schedule::Forward).unwrap_err();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(include_str!("../../README.md"));
    assert!(page.contains(&words(&fault.to_string())), "the README must show this:\n{fault}");
}
