//! What each name of a function stands for.

use std::collections::HashMap;

use crate::code::{Constant, Special};
use crate::exec::registers::{File, FileSizes};
use crate::ptx::Mistake;
use crate::ptx::syntax::{Function, Variable, VariableSpace};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Register(File, u32),
    Constant(Constant),
    /// An offset in shared memory.
    Shared(u32),
    /// An offset in local memory: a `.local` variable, or a `.param` of a device function or a call.
    Local(u32),
    /// An offset in the entry's parameters.
    Param(u32),
    /// The statement behind a label.
    Label(usize),
    /// A function of the module.
    Function(usize),
}

/// All that is laid out once for an entry and the functions that it calls.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) sizes: FileSizes,
    pub(crate) constants: Vec<(File, u32, Constant)>,
    known: HashMap<(File, Constant), u32>,
}

impl Pools {
    /// A register of its own.
    pub(crate) fn register(&mut self, file: File) -> u32 {
        let next = self.sizes.of(file);
        *next += 1;
        *next - 1
    }

    /// The register that holds a constant.
    pub(crate) fn constant(&mut self, file: File, constant: Constant) -> u32 {
        if let Some(&index) = self.known.get(&(file, constant)) {
            return index;
        }
        let index = self.register(file);
        self.known.insert((file, constant), index);
        self.constants.push((file, index, constant));
        index
    }
}

/// The names of one function.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    parents: Vec<usize>,
    scopes: Vec<HashMap<&'a str, Meaning>>,
    /// Registers of ranges such as `%r<8>`: their file and how many there are, by the name without its number.
    ranges: Vec<HashMap<&'a str, (File, u32)>>,
}

impl<'a> Names<'a> {
    /// The labels and register ranges of a function. Variables are added by the layout.
    ///
    /// # Errors
    ///
    /// A register of a type that no register can have.
    pub(crate) fn new(function: &Function<'a>) -> Result<Names<'a>, Mistake> {
        let mut names = Names {
            parents: function.scopes.iter().map(|scope| scope.parent).collect(),
            scopes: vec![HashMap::new(); function.scopes.len()],
            ranges: vec![HashMap::new(); function.scopes.len()],
        };
        for (index, scope) in function.scopes.iter().enumerate() {
            for &(label, at) in &scope.labels {
                names.scopes[index].insert(label, Meaning::Label(at));
            }
            for variable in &scope.variables {
                if variable.space == VariableSpace::Register {
                    let count = variable.count.unwrap_or(NO_RANGE);
                    names.ranges[index].insert(variable.name, (file_of(variable)?, count));
                }
            }
        }
        Ok(names)
    }

    /// Gives a name its meaning in a block.
    pub(crate) fn define(&mut self, scope: usize, name: &'a str, meaning: Meaning) {
        self.scopes[scope].insert(name, meaning);
    }

    /// What a name stands for in a block, the blocks around it included. Registers come to be at their first use.
    pub(crate) fn find(&mut self, scope: usize, name: &'a str, pools: &mut Pools) -> Option<Meaning> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name[stem.len()..].parse::<u32>().ok();
        let mut at = scope;
        loop {
            if let Some(&meaning) = self.scopes[at].get(name) {
                return Some(meaning);
            }
            let single = self.ranges[at].get(name).filter(|(_, count)| *count == NO_RANGE);
            let ranged = || self.ranges[at].get(stem).filter(|(_, count)| number.is_some_and(|n| n < *count));
            let ranged = single.or_else(|| ranged().filter(|(_, count)| *count != NO_RANGE));
            if let Some(&(file, _)) = ranged {
                let meaning = Meaning::Register(file, pools.register(file));
                self.scopes[at].insert(name, meaning);
                return Some(meaning);
            }
            if self.parents[at] == at {
                return special(name).map(|special| Meaning::Constant(Constant::Special(special)));
            }
            at = self.parents[at];
        }
    }
}

/// Marks a register declared alone, not as a range.
const NO_RANGE: u32 = u32::MAX;

fn file_of(variable: &Variable<'_>) -> Result<File, Mistake> {
    if variable.kind == "pred" {
        return Ok(File::Pred);
    }
    match variable.bytes {
        1 | 2 => Ok(File::B16),
        4 => Ok(File::B32),
        8 => Ok(File::B64),
        _ => Err(Mistake::at(variable.line, format!("registers of type .{} are unsupported", variable.kind))),
    }
}

fn special(name: &str) -> Option<Special> {
    let (stem, axis) = match name.rsplit_once('.') {
        Some((stem, "x")) => (stem, 0),
        Some((stem, "y")) => (stem, 1),
        Some((stem, "z")) => (stem, 2),
        Some(_) => return None,
        None => (name, 3),
    };
    Some(match (stem, axis) {
        ("%tid", 0..3) => Special::Tid(axis),
        ("%ntid", 0..3) => Special::Ntid(axis),
        ("%ctaid", 0..3) => Special::Ctaid(axis),
        ("%nctaid", 0..3) => Special::Nctaid(axis),
        ("%laneid", 3) => Special::Lane,
        ("%warpid", 3) => Special::Warp,
        ("%nwarpid", 3) => Special::Warps,
        ("%lanemask_eq", 3) => Special::LanesEqual,
        ("%lanemask_lt", 3) => Special::LanesBelow,
        ("%lanemask_le", 3) => Special::LanesUpTo,
        ("%lanemask_gt", 3) => Special::LanesAbove,
        ("%lanemask_ge", 3) => Special::LanesFrom,
        ("%dynamic_smem_size", 3) => Special::DynamicSharedBytes,
        ("%total_smem_size", 3) => Special::TotalSharedBytes,
        ("%smid" | "%gridid", 3) => Special::Zero,
        ("%nsmid", 3) => Special::One,
        _ => return None,
    })
}
