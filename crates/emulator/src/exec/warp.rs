//! One warp: groups of lanes, each group at its own pc.
//!
//! Nothing is assumed about where lanes meet again. The group with the lowest pc runs; groups at the same pc are
//! one. An instruction of several lanes waits until every lane it names is there or has left.

use super::block::{Block, Trouble};
use super::copies::Copies;
use super::registers::{LANES, Registers, Row, lanes};
use crate::code::{Action, Class, Code, Instr, NONE};
use crate::fault::FaultKind;
use crate::observe::{Moment, show};

/// Instructions that one group may issue while others could run: lanes that spin on a flag must not starve the
/// lane that sets it.
const PATIENCE: u64 = 4096;

/// What a group waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    /// These lanes, at the same instruction.
    Lanes(u32),
    Barrier,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    pc: u32,
    mask: u32,
    wait: Wait,
    /// How often it ran its patience out.
    turns: u32,
}

/// Why a warp stopped running for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It has issued as much as it was allowed.
    Quantum,
    /// All its lanes wait at the barrier at this pc.
    Barrier(u32),
    /// All its lanes have left.
    Done,
}

/// A broken rule, and the pc of the instruction that broke it.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) trouble: Trouble,
    pub(crate) pc: u32,
}

/// One warp.
#[derive(Debug, Default)]
pub(crate) struct Warp {
    /// Its place in the block.
    pub(crate) index: u32,
    pub(crate) registers: Registers,
    /// Local memory, lane after lane.
    pub(crate) local: Vec<u8>,
    /// For each byte of local memory: was it written?
    pub(crate) local_written: Vec<bool>,
    pub(crate) copies: Copies,
    /// Lanes that have not left.
    pub(crate) live: u32,
    /// Instructions issued since the launch began.
    pub(crate) steps: u64,
    groups: Vec<Group>,
}

impl Warp {
    /// A warp with room for what an entry needs.
    pub(crate) fn new(code: &Code) -> Warp {
        let local = code.local_bytes as usize * LANES;
        Warp {
            registers: Registers::new(code.sizes),
            local: vec![0; local],
            local_written: vec![false; local],
            ..Warp::default()
        }
    }

    /// Puts lanes at the start of an entry.
    pub(crate) fn begin(&mut self, index: u32, mask: u32, start: u32) {
        self.index = index;
        self.live = mask;
        self.steps = 0;
        self.copies = Copies::default();
        self.groups.clear();
        self.groups.push(Group { pc: start, mask, wait: Wait::Nothing, turns: 0 });
    }

    /// Lets the lanes go on that wait at a barrier.
    pub(crate) fn release(&mut self) {
        for group in &mut self.groups {
            group.pc += 1;
            group.wait = Wait::Nothing;
            group.turns = 0;
        }
    }

    /// Runs for at most `quantum` instructions, or until all lanes wait or have left.
    pub(crate) fn run(&mut self, block: &mut Block<'_>, code: &Code, quantum: u64) -> Result<Pause, Stop> {
        let end = self.steps.saturating_add(quantum);
        loop {
            if self.groups.len() > 1 {
                self.merge();
            }
            let Some(next) = self.pick() else { return self.stuck(code) };
            let mut group = self.groups.swap_remove(next);
            group.wait = Wait::Nothing;
            let is_alone = self.groups.is_empty();
            let pause = if is_alone { end } else { end.min(self.steps + PATIENCE) };
            let result = match block.observer {
                None => self.run_group::<false>(&mut group, block, code, pause),
                Some(_) => self.run_group::<true>(&mut group, block, code, pause),
            };
            if group.mask != 0 {
                if self.steps >= pause && !is_alone {
                    group.turns += 1;
                }
                self.groups.push(group);
            }
            result.map_err(|trouble| Stop { trouble, pc: group.pc })?;
            if self.steps >= end {
                return Ok(Pause::Quantum);
            }
        }
    }

    fn merge(&mut self) {
        self.groups.sort_unstable_by_key(|group| group.pc);
        self.groups.dedup_by(|next, first| {
            let is_same = next.pc == first.pc;
            if is_same {
                first.mask |= next.mask;
                first.turns = first.turns.max(next.turns);
                first.wait = match (first.wait, next.wait) {
                    (Wait::Barrier, Wait::Barrier) => Wait::Barrier,
                    _ => Wait::Nothing,
                };
            }
            is_same
        });
    }

    fn pick(&self) -> Option<usize> {
        let may_run = |group: &Group| match group.wait {
            Wait::Nothing => true,
            Wait::Lanes(wanted) => wanted & self.live & !group.mask == 0,
            Wait::Barrier => false,
        };
        let ready = self.groups.iter().enumerate().filter(|(_, group)| may_run(group));
        ready.min_by_key(|(_, group)| (group.turns, group.pc)).map(|(index, _)| index)
    }

    /// No group can run: all lanes have left, wait at one barrier, or wait for each other.
    fn stuck(&self, code: &Code) -> Result<Pause, Stop> {
        let [first, others @ ..] = &self.groups[..] else { return Ok(Pause::Done) };
        if others.is_empty() && first.wait == Wait::Barrier {
            return Ok(Pause::Barrier(first.pc));
        }
        let where_is = |group: &Group| {
            let line = code.instrs.get(group.pc as usize).map_or(0, |instr| instr.line);
            match group.wait {
                Wait::Lanes(wanted) => {
                    let missing = wanted & self.live & !group.mask;
                    format!("lanes {:#010x} wait at PTX line {line} for lanes {missing:#010x}", group.mask)
                }
                _ => format!("lanes {:#010x} wait at the barrier at PTX line {line}", group.mask),
            }
        };
        let is_barrier = |group: &Group| group.wait == Wait::Barrier;
        let kind = if self.groups.iter().all(is_barrier) {
            FaultKind::BarrierDivergence
        } else {
            FaultKind::Deadlock
        };
        let places: Vec<String> = self.groups.iter().map(where_is).collect();
        let sentence = format!("the lanes of one warp wait at different places: {}", places.join("; "));
        let lane = first.mask.trailing_zeros() as usize;
        Err(Stop { trouble: Trouble { kind, lane, sentence }, pc: first.pc })
    }

    /// Runs one group until it meets, splits, waits, leaves or has used its time.
    fn run_group<const OBSERVED: bool>(
        &mut self,
        group: &mut Group,
        block: &mut Block<'_>,
        code: &Code,
        end: u64,
    ) -> Result<(), Trouble> {
        let others = self.groups.iter().map(|other| other.pc);
        let limit = others.clone().filter(|&pc| pc > group.pc).min().unwrap_or(u32::MAX);
        let lowest = others.min().map_or(0, |_| group.pc);
        loop {
            let Some(instr) = code.instrs.get(group.pc as usize) else {
                return Err(Trouble::undefined(group.mask, "a jump to nowhere".to_owned()));
            };
            let mut mask = group.mask;
            if instr.guard != NONE {
                mask &= self.registers.pred(instr.guard);
            }
            self.steps += 1;
            count(block, instr, mask);
            let pc = group.pc;
            if OBSERVED {
                show(Moment::Before, block, self, instr, pc, mask);
            }
            match instr.action {
                Action::Pure(work) => {
                    if mask != 0 {
                        work(&mut self.registers, &instr.args, mask);
                    }
                    group.pc += 1;
                }
                Action::Effect(work) => {
                    if mask != 0 {
                        work(block, self, instr, mask)?;
                    }
                    group.pc += 1;
                }
                _ => {
                    let has_moved = self.turn(group, block, instr, mask)?;
                    // A collective instruction that moved lanes has parked them and not run.
                    if OBSERVED && !(has_moved && matches!(instr.action, Action::Collective(_))) {
                        show(Moment::After, block, self, instr, pc, mask);
                    }
                    if has_moved {
                        return Ok(());
                    }
                }
            }
            if OBSERVED && matches!(instr.action, Action::Pure(_) | Action::Effect(_)) {
                show(Moment::After, block, self, instr, pc, mask);
            }
            if group.pc >= limit || group.pc < lowest || self.steps >= end {
                return Ok(());
            }
        }
    }

    /// An instruction that moves or stops lanes. True if the scheduler must look again.
    fn turn(
        &mut self,
        group: &mut Group,
        block: &mut Block<'_>,
        instr: &Instr,
        mask: u32,
    ) -> Result<bool, Trouble> {
        if mask == 0 {
            group.pc += 1;
            return Ok(false);
        }
        match instr.action {
            Action::Branch(target) => return Ok(self.jump(group, mask, target)),
            Action::Call(target) => {
                let next = group.pc + 1;
                let slot = &mut self.registers.b32[instr.args.d as usize];
                lanes(mask).for_each(|lane| slot[lane] = next);
                return Ok(self.jump(group, mask, target));
            }
            Action::Return => {
                let targets = self.registers.b32[instr.args.a as usize];
                self.scatter(group, mask, &targets);
            }
            Action::BranchTable => {
                let wanted = self.registers.b32[instr.args.a as usize];
                let mut targets = [0; LANES];
                for lane in lanes(mask) {
                    let Some(&target) = instr.list.get(wanted[lane] as usize) else {
                        let (index, count) = (wanted[lane], instr.list.len());
                        let sentence = format!("index {index} into a table of {count} branch targets");
                        return Err(Trouble { kind: FaultKind::Undefined, lane, sentence });
                    };
                    targets[lane] = target;
                }
                self.scatter(group, mask, &targets);
            }
            Action::Exit => {
                self.live &= !mask;
                group.mask &= !mask;
                group.pc += 1;
            }
            Action::Trap => return Err(Trouble::new(FaultKind::Trap, mask, "`trap` was reached".to_owned())),
            Action::Barrier(_) => self.wait(group, mask, Wait::Barrier),
            Action::Collective(work) => {
                let wanted = self.members(instr, mask)?;
                if wanted & self.live & !mask == 0 {
                    work(block, self, instr, mask)?;
                    group.pc += 1;
                    return Ok(false);
                }
                self.wait(group, mask, Wait::Lanes(wanted));
            }
            Action::Pure(_) | Action::Effect(_) => group.pc += 1,
        }
        Ok(true)
    }

    /// All lanes that a collective instruction names.
    fn members(&self, instr: &Instr, mask: u32) -> Result<u32, Trouble> {
        if instr.args.e == NONE {
            return Ok(self.live);
        }
        let named: &Row<u32> = &self.registers.b32[instr.args.e as usize];
        let mut all = 0;
        for lane in lanes(mask) {
            if named[lane] >> lane & 1 == 0 {
                let sentence = format!("lane {lane} is not in its own member mask {:#010x}", named[lane]);
                return Err(Trouble { kind: FaultKind::Undefined, lane, sentence });
            }
            all |= named[lane];
        }
        Ok(all)
    }

    /// Sends the lanes of `mask` to `target` and the others on. True if they part.
    fn jump(&mut self, group: &mut Group, mask: u32, target: u32) -> bool {
        if mask == group.mask {
            group.pc = target;
            return false;
        }
        self.groups.push(Group { pc: target, mask, ..*group });
        group.mask &= !mask;
        group.pc += 1;
        true
    }

    /// Sends each lane of `mask` to its own target and the others on.
    fn scatter(&mut self, group: &mut Group, mask: u32, targets: &Row<u32>) {
        let mut left = mask;
        while left != 0 {
            let target = targets[left.trailing_zeros() as usize];
            let same =
                lanes(left).filter(|&lane| targets[lane] == target).fold(0, |all, lane| all | 1 << lane);
            self.groups.push(Group { pc: target, mask: same, ..*group });
            left &= !same;
        }
        group.mask &= !mask;
        group.pc += 1;
    }

    /// Parks the lanes of `mask` at this instruction and sends the others on.
    fn wait(&mut self, group: &mut Group, mask: u32, wait: Wait) {
        self.groups.push(Group { mask, wait, ..*group });
        group.mask &= !mask;
        group.pc += 1;
    }
}

#[inline]
fn count(block: &mut Block<'_>, instr: &Instr, mask: u32) {
    let counts = &mut block.counts;
    counts.instructions += 1;
    counts.lane_operations += u64::from(mask.count_ones());
    match instr.class {
        Class::Integer => counts.integer += 1,
        Class::Float => counts.float += 1,
        Class::Memory => counts.memory += 1,
        Class::Control => counts.control += 1,
        Class::Warp => counts.warp += 1,
        Class::Matrix => counts.matrix += 1,
    }
}
