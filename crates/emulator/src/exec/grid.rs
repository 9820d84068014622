//! A launch: its constants, its blocks, and the fault of whoever broke a rule.

use rayon::prelude::*;

use super::block::{Block, Trouble};
use super::registers::{LANES, Registers, Row};
use super::turns::{Order, run_warps};
use super::warp::{Stop, Warp};
use crate::code::{Code, Constant, Instr, Special};
use crate::counts::Counts;
use crate::fault::{Fault, FaultKind};
use crate::launch::Launch;
use crate::memory::Memory;
use crate::observe::Observer;
use crate::program::Entry;

/// Runs all blocks of a launch that has been found possible.
pub(crate) fn run_blocks<'m>(
    launch: &Launch<'m>,
    entry: &Entry,
    memory: &'m Memory,
    observer: Option<&'m mut (dyn Observer + 'm)>,
) -> Result<Counts, Fault> {
    let grid = Grid { launch, entry, code: &entry.code };
    let blocks: u64 = launch.grid.iter().map(|&count| u64::from(count)).product();
    // Blocks that are checked for races against each other are told apart by their turns.
    let one_by_one = launch.options.checks.races || observer.is_some();
    if launch.options.parallel && !one_by_one && blocks > 1 {
        let worker = || grid.worker(memory);
        let run = |worker: &mut Worker<'m>, block| {
            grid.run_block(worker, block)?;
            Ok(std::mem::take(&mut worker.block.counts))
        };
        return (0..blocks).into_par_iter().map_init(worker, run).try_reduce(
            Counts::default,
            |mut sum, counts| {
                sum += counts;
                Ok(sum)
            },
        );
    }
    let mut worker = grid.worker(memory);
    worker.block.observer = observer;
    let mut order = Order::new(launch.options.schedule, u64::MAX);
    let mut left: Vec<u64> = (0..blocks).rev().collect();
    while !left.is_empty() {
        // `left` runs downwards, so that the first to be drawn is at its end.
        let drawn = left.len() - 1 - order.draw(left.len());
        let block = left.remove(drawn);
        grid.run_block(&mut worker, block)?;
    }
    Ok(worker.block.counts)
}

struct Grid<'l, 'm> {
    launch: &'l Launch<'m>,
    entry: &'l Entry,
    code: &'l Code,
}

/// What one thread of the host runs blocks with.
struct Worker<'m> {
    block: Block<'m>,
    warps: Vec<Warp>,
}

impl<'m> Grid<'_, 'm> {
    fn threads(&self) -> u32 {
        self.launch.block.iter().product()
    }

    fn worker(&self, memory: &'m Memory) -> Worker<'m> {
        let warps = self.threads().div_ceil(LANES as u32);
        let warp = |_| Warp::new(self.code);
        Worker { block: Block::new(self.launch, self.code, memory), warps: (0..warps).map(warp).collect() }
    }

    fn run_block(&self, worker: &mut Worker<'m>, number: u64) -> Result<(), Fault> {
        let [gx, gy, _] = self.launch.grid.map(u64::from);
        let index = [number % gx, number / gx % gy, number / gx / gy].map(|at| at as u32);
        worker.block.begin(index, number);
        for (at, warp) in worker.warps.iter_mut().enumerate() {
            let left = self.threads() - (at * LANES) as u32;
            let mask = if left >= LANES as u32 { u32::MAX } else { (1 << left) - 1 };
            warp.begin(at as u32, mask, self.code.start);
            warp.local_written.fill(false);
            self.fill(&mut warp.registers, at as u32, index);
        }
        let order = Order::new(self.launch.options.schedule, number);
        let max_steps = self.launch.options.max_steps;
        run_warps(&mut worker.block, &mut worker.warps, self.code, order, max_steps)
            .map_err(|(warp, stop)| self.fault(warp as u32, index, stop))
    }

    /// Sets every register that stands for a constant, and all others to zero.
    fn fill(&self, registers: &mut Registers, warp: u32, block: [u32; 3]) {
        registers.pred.fill(0);
        registers.b16.fill([0; LANES]);
        registers.b32.fill([0; LANES]);
        registers.b64.fill([0; LANES]);
        registers.carry = 0;
        for &(file, index, constant) in &self.code.constants {
            let row = match constant {
                Constant::Bits(bits) => [bits; LANES],
                Constant::Global(variable, offset) => {
                    [self.launch.globals[variable].wrapping_add(offset as u64); LANES]
                }
                Constant::DynamicShared(offset) => {
                    [u64::from(self.code.dynamic_shared).wrapping_add(offset as u64); LANES]
                }
                Constant::Special(special) => self.special(special, warp, block),
            };
            registers.put_wide(file, index, u32::MAX, &row);
        }
    }

    fn special(&self, special: Special, warp: u32, block: [u32; 3]) -> Row<u64> {
        let axis = |of: [u32; 3], axis: u8| [u64::from(of[usize::from(axis)]); LANES];
        let mask = |of: fn(u64) -> u64| std::array::from_fn(|lane| of(1 << lane) & u64::from(u32::MAX));
        let all = |value: u32| [u64::from(value); LANES];
        match special {
            Special::Tid(at) => std::array::from_fn(|lane| self.thread(warp, lane)[usize::from(at)].into()),
            Special::Ntid(at) => axis(self.launch.block, at),
            Special::Ctaid(at) => axis(block, at),
            Special::Nctaid(at) => axis(self.launch.grid, at),
            Special::Lane => std::array::from_fn(|lane| lane as u64),
            Special::Warp => all(warp),
            Special::Warps => all(self.threads().div_ceil(LANES as u32)),
            Special::LanesEqual => mask(|bit| bit),
            Special::LanesBelow => mask(|bit| bit - 1),
            Special::LanesUpTo => mask(|bit| bit * 2 - 1),
            Special::LanesAbove => mask(|bit| !(bit * 2 - 1)),
            Special::LanesFrom => mask(|bit| !(bit - 1)),
            Special::DynamicSharedBytes => all(self.launch.shared_bytes),
            Special::TotalSharedBytes => all(self.entry.shared_bytes + self.launch.shared_bytes),
            Special::Zero => all(0),
            Special::One => all(1),
        }
    }

    /// `threadIdx` of a lane.
    fn thread(&self, warp: u32, lane: usize) -> [u32; 3] {
        let [bx, by, _] = self.launch.block;
        let at = warp * LANES as u32 + lane as u32;
        [at % bx, at / bx % by, at / bx / by]
    }

    fn fault(&self, warp: u32, block: [u32; 3], stop: Stop) -> Fault {
        let Stop { trouble: Trouble { kind, lane, sentence }, pc } = stop;
        let instr: Option<&Instr> = self.code.instrs.get(pc as usize);
        let program = self.launch.program;
        let (line, source) = instr.map_or((0, (0, 0)), |instr| (instr.line, instr.source));
        Fault {
            kind,
            kernel: self.entry.name.clone(),
            block,
            thread: self.thread(warp, lane),
            ptx_line: line,
            instruction: program.line(line).to_owned(),
            source: program.source(source),
            sentence,
        }
    }
}

/// A fault of the launch itself.
pub(crate) fn refusal(kernel: &str, sentence: String) -> Fault {
    Fault {
        kind: FaultKind::InvalidLaunch,
        kernel: kernel.to_owned(),
        block: [0; 3],
        thread: [0; 3],
        ptx_line: 0,
        instruction: String::new(),
        source: None,
        sentence,
    }
}
