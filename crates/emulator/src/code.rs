//! The decoded form of an entry: what the executor runs.

use crate::convert::Conversion;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, FileSizes, Registers};
use crate::exec::warp::Warp;
use crate::tensor_core::{Matrix, Mma, Wmma};

/// No guard before an instruction, or no register in a place that may hold one.
pub(crate) const NONE: u32 = u32::MAX;

/// Works on registers alone.
pub(crate) type Pure = fn(&mut Registers, &Args, u32);
/// Works on memory or on lanes across the warp.
pub(crate) type Effect = fn(&mut Block<'_>, &mut Warp, &Instr, u32) -> Result<(), Trouble>;

/// What an instruction does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// On registers.
    Pure(Pure),
    /// On memory.
    Effect(Effect),
    /// Once all lanes named by the 32-bit register `args.e` are there, or all live lanes if that is [`NONE`].
    Collective(Effect),
    /// Jumps to a pc.
    Branch(u32),
    /// Jumps to one of the pcs in `list`, by the 32-bit register `args.a`.
    BranchTable,
    /// Keeps the next pc in the 32-bit register `args.d` and jumps.
    Call(u32),
    /// Jumps to the pc in the 32-bit register `args.a`.
    Return,
    /// Ends the lanes.
    Exit,
    /// Ends the launch.
    Trap,
    /// Waits for the block.
    Barrier(BarrierKind),
}

/// The forms of `barrier`. The barrier's number is `args.a`, the count of threads `args.b` or [`NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarrierKind {
    Sync,
    Arrive,
    /// Counts the threads where the predicate `args.c` holds into the 32-bit register `args.d`.
    CountTrue,
    /// Whether it holds for all threads, into the predicate `args.d`.
    All,
    /// Whether it holds for any thread, into the predicate `args.d`.
    Any,
}

/// Registers of an instruction, as indices into the files that its types name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Args {
    pub(crate) d: u32,
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) c: u32,
    pub(crate) e: u32,
    /// A number that some instruction families keep for themselves.
    pub(crate) mode: u32,
}

impl Default for Args {
    fn default() -> Self {
        Args { d: NONE, a: NONE, b: NONE, c: NONE, e: NONE, mode: 0 }
    }
}

/// The space of an access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AccessSpace {
    #[default]
    Generic,
    /// Of `.global` and `.const`.
    Global,
    Shared,
    Local,
    Param,
}

/// How an instruction touches memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) space: AccessSpace,
    /// Bytes of one element.
    pub(crate) width: u8,
    /// Elements of each lane, in a row.
    pub(crate) count: u8,
    /// Loads extend the sign.
    pub(crate) is_signed: bool,
    /// The file of the address register: 32 or 64 bits.
    pub(crate) has_wide_address: bool,
    /// Added to the address.
    pub(crate) offset: i64,
}

/// What an instruction counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Integer,
    Float,
    Memory,
    Control,
    Warp,
    Matrix,
}

/// What only some instructions need.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extra {
    None,
    Convert(Conversion),
    Multiply(Mma),
    /// What `wmma` loads or stores.
    Matrix(Matrix),
    Wmma(Wmma),
    /// A call of `vprintf`.
    Print,
}

/// A decoded instruction.
#[derive(Debug, Clone)]
pub(crate) struct Instr {
    pub(crate) action: Action,
    /// A predicate, perhaps negated, or [`NONE`].
    pub(crate) guard: u32,
    pub(crate) args: Args,
    /// Further registers: elements of vectors, fragments of matrices.
    pub(crate) list: Box<[u32]>,
    /// The file of the data that memory instructions move.
    pub(crate) file: File,
    pub(crate) access: Access,
    /// What the access means to other threads.
    pub(crate) effect: crate::check::Effect,
    pub(crate) extra: Extra,
    pub(crate) class: Class,
    /// The line of the PTX.
    pub(crate) line: u32,
    /// File number and line of the source, or zeros.
    pub(crate) source: (u32, u32),
}

/// A value that is known before the first instruction runs; it fills a register of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Constant {
    Bits(u64),
    /// The address of a variable of the program, plus a number of bytes.
    Global(usize, i64),
    /// The first byte of dynamic shared memory, plus a number of bytes.
    DynamicShared(i64),
    Special(Special),
}

/// A special register. The number is the axis: x, y, z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    Lane,
    Warp,
    Warps,
    LanesEqual,
    LanesBelow,
    LanesUpTo,
    LanesAbove,
    LanesFrom,
    DynamicSharedBytes,
    TotalSharedBytes,
    /// Reads as zero: one multiprocessor, one grid, one cluster.
    Zero,
    One,
}

/// An entry with every function that it calls.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) instrs: Vec<Instr>,
    /// The pc of the entry's first instruction.
    pub(crate) start: u32,
    pub(crate) sizes: FileSizes,
    pub(crate) constants: Vec<(File, u32, Constant)>,
    /// The offset of dynamic shared memory, behind the static.
    pub(crate) dynamic_shared: u32,
    pub(crate) local_bytes: u32,
}

impl Code {
    /// Whether a thread may print.
    pub(crate) fn prints(&self) -> bool {
        self.instrs.iter().any(|instr| matches!(instr.extra, Extra::Print))
    }

    /// Whether blocks may meet in global memory, at atomics or other strong accesses, and so be ordered.
    pub(crate) fn blocks_meet(&self) -> bool {
        let is_global = |access: &Access| matches!(access.space, AccessSpace::Global | AccessSpace::Generic);
        self.instrs.iter().any(|instr| instr.effect.is_strong() && is_global(&instr.access))
    }
}
