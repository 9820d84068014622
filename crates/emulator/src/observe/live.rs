//! Which registers are still read: the usual data flow, backwards over the code, until nothing changes.

use super::listing::{Line, Register};
use crate::code::{Action, Code};
use crate::exec::registers::{File, FileSizes};

/// For each pc, a bit per register that holds something before it which may still be read.
#[derive(Debug)]
pub(crate) struct Live {
    words: usize,
    before: Vec<u64>,
    sizes: FileSizes,
}

impl Live {
    pub(crate) fn of(code: &Code, lines: &[Line]) -> Live {
        let sizes = code.sizes;
        let registers = (sizes.pred + sizes.b16 + sizes.b32 + sizes.b64) as usize;
        let words = registers.div_ceil(64);
        let mut live = Live { words, before: vec![0; words * lines.len()], sizes };
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for pc in (0..lines.len()).rev() {
                let mut row = vec![0; words];
                for next in successors(code, pc) {
                    let from = live.before.get(next * words..(next + 1) * words).unwrap_or(&[]);
                    row.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
                }
                // A guarded write leaves other lanes as they were.
                if !lines[pc].is_guarded {
                    lines[pc].writes.iter().for_each(|one| live.set(&mut row, one, false));
                }
                lines[pc].reads.iter().for_each(|one| live.set(&mut row, one, true));
                let to = &mut live.before[pc * words..(pc + 1) * words];
                has_changed |= *to != row[..];
                to.copy_from_slice(&row);
            }
        }
        live
    }

    fn bit(&self, register: &Register) -> usize {
        let FileSizes { pred, b16, b32, .. } = self.sizes;
        let first = match register.file {
            File::Pred => 0,
            File::B16 => pred,
            File::B32 => pred + b16,
            File::B64 => pred + b16 + b32,
        };
        (first + register.index) as usize
    }

    fn set(&self, row: &mut [u64], register: &Register, is_live: bool) {
        let bit = self.bit(register);
        let word = &mut row[bit / 64];
        *word = (*word & !(1 << (bit % 64))) | u64::from(is_live) << (bit % 64);
    }

    pub(crate) fn holds(&self, pc: u32, register: &Register) -> bool {
        let bit = self.bit(register);
        let word = self.before.get(pc as usize * self.words + bit / 64);
        word.is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    pub(crate) fn count(&self, pc: u32) -> usize {
        let row = self.before.get(pc as usize * self.words..(pc as usize + 1) * self.words).unwrap_or(&[]);
        row.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Where lanes may be after the instruction at a pc. A call goes into the function and, when that is through, on.
fn successors(code: &Code, pc: usize) -> Vec<usize> {
    let instr = &code.instrs[pc];
    let is_guarded = instr.guard != crate::code::NONE;
    let mut next = match instr.action {
        Action::Branch(target) => vec![target as usize],
        Action::BranchTable => instr.list.iter().map(|&target| target as usize).collect(),
        Action::Call(target) => vec![target as usize, pc + 1],
        Action::Return | Action::Exit | Action::Trap => Vec::new(),
        _ => vec![pc + 1],
    };
    if is_guarded && !next.contains(&(pc + 1)) {
        next.push(pc + 1);
    }
    next
}
