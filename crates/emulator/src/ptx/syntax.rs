//! Statements as written: names are not resolved, opcodes not understood.

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand<'a> {
    /// A register, variable, label or function, plus a number of bytes.
    Name(&'a str, i64),
    /// `!%p`.
    Not(&'a str),
    /// An integer, in two's complement.
    Integer(u64),
    /// The bits of a 32-bit float.
    Float32(u32),
    /// The bits of a 64-bit float.
    Float64(u64),
    /// `[base + offset]`; without a base, the offset is the address.
    Address(Option<&'a str>, i64),
    /// `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// `a|b`: two results.
    Pair(Box<[Operand<'a>; 2]>),
    /// `(a, b)`: the arguments or results of a call.
    List(Vec<Operand<'a>>),
}

/// An instruction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instruction<'a> {
    /// The predicate before it, and whether it is negated.
    pub(crate) guard: Option<(&'a str, bool)>,
    pub(crate) opcode: &'a str,
    pub(crate) operands: Vec<Operand<'a>>,
    pub(crate) line: u32,
    /// File number and line of the source, or zeros.
    pub(crate) source: (u32, u32),
    /// The block in braces that it stands in: an index into [`Function::scopes`].
    pub(crate) scope: usize,
}

/// The space of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableSpace {
    Register,
    Param,
    Local,
    Shared,
    Global,
    Const,
}

/// A declared variable or range of registers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable<'a> {
    pub(crate) name: &'a str,
    pub(crate) space: VariableSpace,
    /// The type without its dot, such as `b32`.
    pub(crate) kind: &'a str,
    pub(crate) align: u64,
    /// Size in bytes; for `.extern .shared` arrays 0.
    pub(crate) bytes: u64,
    /// Registers `%r0` to `%r(count-1)` for `%r<count>`.
    pub(crate) count: Option<u32>,
    pub(crate) is_extern: bool,
    pub(crate) init: Vec<u8>,
    /// Addresses inside the first value: offset, symbol, addend.
    pub(crate) addresses: Vec<(usize, &'a str, u64)>,
    pub(crate) line: u32,
}

/// The names of one block in braces.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scope<'a> {
    /// The block around it; the outermost names itself.
    pub(crate) parent: usize,
    pub(crate) variables: Vec<Variable<'a>>,
    /// Labels with the index of the instruction behind them.
    pub(crate) labels: Vec<(&'a str, usize)>,
    /// `.branchtargets` and `.calltargets` by label.
    pub(crate) targets: Vec<(&'a str, Vec<&'a str>)>,
}

/// An entry or a device function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_entry: bool,
    pub(crate) results: Vec<Variable<'a>>,
    pub(crate) params: Vec<Variable<'a>>,
    pub(crate) max_threads: Option<u32>,
    /// Blocks in braces; the first is the body. Empty for a mere declaration.
    pub(crate) scopes: Vec<Scope<'a>>,
    pub(crate) instructions: Vec<Instruction<'a>>,
    pub(crate) line: u32,
}

/// A whole text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Module<'a> {
    pub(crate) version: (u32, u32),
    pub(crate) target: String,
    /// `.file` lines: number and path.
    pub(crate) files: Vec<(u32, &'a str)>,
    pub(crate) variables: Vec<Variable<'a>>,
    pub(crate) functions: Vec<Function<'a>>,
}
