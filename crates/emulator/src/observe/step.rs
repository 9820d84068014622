//! One instruction of one warp, as an observer is shown it.

use super::listing::Register;
use crate::code::{AccessSpace, Action, Class, Extra, Instr};
use crate::exec::access::parts;
use crate::exec::address::addresses;
use crate::exec::block::Block;
use crate::exec::registers::LANES;
use crate::exec::warp::Warp;
use crate::tensor_core::Mma;

/// An instruction of a warp, and the warp as it is at that moment.
#[derive(Debug, Clone, Copy)]
pub struct Step<'s> {
    pub(crate) block: [u32; 3],
    pub(crate) warp: &'s Warp,
    pub(crate) instr: &'s Instr,
    pub(crate) pc: u32,
    pub(crate) mask: u32,
}

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Global and constant memory.
    Global,
    /// Shared memory.
    Shared,
    /// A thread's own memory.
    Local,
    /// The kernel's parameters.
    Param,
}

/// What the lanes of one instruction touch in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The space.
    pub space: Space,
    /// The lanes that name an address.
    pub lanes: u32,
    /// The address of each of these lanes: of global memory as the program sees it, else an offset.
    pub addresses: [u64; 32],
    /// Bytes of each lane.
    pub bytes: u64,
    /// Whether it writes. An atomic does.
    pub is_write: bool,
}

impl Step<'_> {
    /// `blockIdx`.
    pub fn block(&self) -> [u32; 3] {
        self.block
    }

    /// The warp's place in its block.
    pub fn warp(&self) -> u32 {
        self.warp.index
    }

    /// The lanes that take part: a bit for each. None, if the instruction's guard holds nowhere.
    pub fn lanes(&self) -> u32 {
        self.mask
    }

    /// The lanes that have not left the kernel.
    pub fn live(&self) -> u32 {
        self.warp.live
    }

    /// The instruction's place in the code of its entry.
    pub fn pc(&self) -> u32 {
        self.pc
    }

    /// Instructions that the warp has issued in this block, this one included.
    pub fn count(&self) -> u64 {
        self.warp.steps
    }

    /// What a register holds in each lane, in the low bits.
    pub fn value(&self, register: &Register) -> [u64; 32] {
        self.warp.registers.wide(register.file, register.index)
    }

    /// The product that the instruction is, if it is one.
    pub fn product(&self) -> Option<Mma> {
        if let Extra::Multiply(form) = self.instr.extra { Some(form) } else { None }
    }

    /// What the instruction touches. Ask before it runs: it may write the register that holds the address.
    pub fn accesses(&self, opcode: &str) -> Vec<Access> {
        let base = opcode.split('.').next().unwrap_or("");
        let touches = matches!(self.instr.action, Action::Effect(_) | Action::Collective(_));
        if !touches || !matches!(self.instr.class, Class::Memory | Class::Matrix) || self.mask == 0 {
            return Vec::new();
        }
        match base {
            "ld" | "ldu" => self.plain(false),
            "st" | "atom" | "red" => self.plain(true),
            "ldmatrix" => vec![self.tiles(false)],
            "stmatrix" => vec![self.tiles(true)],
            "cp" if !self.instr.list.is_empty() => self.copies(),
            _ => Vec::new(),
        }
    }

    fn plain(&self, is_write: bool) -> Vec<Access> {
        let access = &self.instr.access;
        let bytes = u64::from(access.width) * u64::from(access.count.max(1));
        let mut at = addresses(&self.warp.registers, self.instr.args.a, access);
        let found = parts(access.space, self.mask, &mut at);
        let touched = found.into_iter().filter(|(_, lanes)| *lanes != 0);
        touched
            .map(|(space, lanes)| Access { space: public(space), lanes, addresses: at, bytes, is_write })
            .collect()
    }

    fn tiles(&self, is_write: bool) -> Access {
        let named = addresses(&self.warp.registers, self.instr.args.a, &self.instr.access);
        let lanes = u32::MAX >> (LANES - 8 * self.instr.list.len());
        let addresses = named.map(Block::shared_offset);
        Access { space: Space::Shared, lanes, addresses, bytes: 16, is_write }
    }

    fn copies(&self) -> Vec<Access> {
        let (access, args) = (&self.instr.access, &self.instr.args);
        let bytes = u64::from(access.width);
        let targets = addresses(&self.warp.registers, args.a, access).map(Block::shared_offset);
        let offset = u64::from(self.instr.list[0]) | u64::from(self.instr.list[1]) << 32;
        let sources = self.warp.registers.b64[args.b as usize].map(|at| at.wrapping_add(offset));
        let to = |space, addresses, is_write| Access { space, lanes: self.mask, addresses, bytes, is_write };
        vec![to(Space::Global, sources, false), to(Space::Shared, targets, true)]
    }
}

fn public(space: AccessSpace) -> Space {
    match space {
        AccessSpace::Global | AccessSpace::Generic => Space::Global,
        AccessSpace::Shared => Space::Shared,
        AccessSpace::Local => Space::Local,
        AccessSpace::Param => Space::Param,
    }
}
