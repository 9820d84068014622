//! A launch: its constants, its blocks, and the fault of whoever broke a rule.

use super::block::{Block, Trouble};
use super::registers::{LANES, Registers, Row};
use super::turns::{Order, run_warps};
use super::warp::{Stop, Warp};
use crate::code::{Code, Constant, Instr, Special};
use crate::counts::Counts;
use crate::fault::{Fault, FaultKind};
use crate::launch::{Launch, Schedule};
use crate::memory::{Memory, Writer};
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
    let order = grid.order();
    // What is printed comes in the order of the blocks, and once.
    let may_share = launch.options.parallel && observer.is_none() && !entry.code.prints();
    if may_share && order.len() > 1 && rayon::current_num_threads() > 1 {
        if !launch.options.checks.races {
            return grid.run_together(memory, &order);
        }
        if let Some(counts) = grid.run_watched_together(memory, &order) {
            return Ok(counts);
        }
    }
    let mut worker = grid.worker(memory, None);
    worker.block.observer = observer;
    for block in order {
        grid.run_block(&mut worker, block)?;
    }
    Ok(worker.counts)
}

pub(super) struct Grid<'l, 'm> {
    launch: &'l Launch<'m>,
    entry: &'l Entry,
    pub(super) code: &'l Code,
}

/// What one thread of the host runs blocks with.
pub(super) struct Worker<'m> {
    pub(super) block: Block<'m>,
    warps: Vec<Warp>,
    /// What all its blocks did. The block's own counts begin at zero, so that its clock does.
    pub(super) counts: Counts,
}

impl<'m> Grid<'_, 'm> {
    fn threads(&self) -> u32 {
        self.launch.block.iter().product()
    }

    /// The blocks in the order in which they are begun.
    fn order(&self) -> Vec<u64> {
        let blocks = self.launch.grid.iter().map(|&count| u64::from(count)).product();
        if let Some(only) = self.launch.options.only {
            return vec![only];
        }
        match self.launch.options.schedule {
            Schedule::Forward => (0..blocks).collect(),
            Schedule::Reverse => (0..blocks).rev().collect(),
            Schedule::Seeded(_) => {
                let mut drawn = Order::new(self.launch.options.schedule, u64::MAX);
                let mut left: Vec<u64> = (0..blocks).collect();
                (0..blocks).map(|_| left.swap_remove(drawn.draw(left.len()))).collect()
            }
        }
    }

    /// A worker, which keeps what global memory held if it has a writer.
    pub(super) fn worker<'b>(&self, memory: &'b Memory, writer: Option<Writer<'b>>) -> Worker<'b>
    where
        'm: 'b,
    {
        let warps = self.threads().div_ceil(LANES as u32);
        let warp = |_| {
            let mut warp = Warp::new(self.code);
            warp.registers.nudge = self.launch.options.approximation.seed();
            warp
        };
        let block = Block::new(self.launch, self.code, memory, writer);
        Worker { block, warps: (0..warps).map(warp).collect(), counts: Counts::default() }
    }

    pub(super) fn run_block(&self, worker: &mut Worker<'_>, number: u64) -> Result<(), Fault> {
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
        let ran = run_warps(&mut worker.block, &mut worker.warps, self.code, order, max_steps);
        worker.counts += std::mem::take(&mut worker.block.counts);
        ran.map_err(|(warp, stop)| self.fault(warp as u32, index, stop))
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
