//! What the instruction families decode with: the parts of an opcode, and operands as register indices.

use std::collections::HashMap;

use super::layout::{Frame, Layout};
use super::names::{Meaning, Names, Pools};
use crate::check::Effect;
use crate::code::{Access, AccessSpace, Action, Args, Class, Constant, Extra, Instr, NONE, Pure};
use crate::exec::registers::{File, NEGATED, Value};
use crate::ptx::Mistake;
use crate::ptx::syntax::{Instruction, Module, Operand};

/// The type of an opcode, `.s32` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Pred,
    B8,
    U8,
    S8,
    B16,
    U16,
    S16,
    B32,
    U32,
    S32,
    B64,
    U64,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    Tf32,
    F64,
}

impl Type {
    fn of(name: &str) -> Option<Type> {
        Some(match name {
            "pred" => Type::Pred,
            "b8" => Type::B8,
            "u8" => Type::U8,
            "s8" => Type::S8,
            "b16" => Type::B16,
            "u16" => Type::U16,
            "s16" => Type::S16,
            "b32" => Type::B32,
            "u32" => Type::U32,
            "s32" => Type::S32,
            "b64" => Type::B64,
            "u64" => Type::U64,
            "s64" => Type::S64,
            "f16" => Type::F16,
            "f16x2" => Type::F16x2,
            "bf16" => Type::Bf16,
            "bf16x2" => Type::Bf16x2,
            "f32" => Type::F32,
            "tf32" => Type::Tf32,
            "f64" => Type::F64,
            _ => return None,
        })
    }

    /// Its size in bytes.
    pub(crate) fn bytes(self) -> u8 {
        match self {
            Type::Pred | Type::B8 | Type::U8 | Type::S8 => 1,
            Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => 2,
            Type::B64 | Type::U64 | Type::S64 | Type::F64 => 8,
            _ => 4,
        }
    }

    /// The narrowest file whose registers hold it.
    pub(crate) fn file(self) -> File {
        match (self, self.bytes()) {
            (Type::Pred, _) => File::Pred,
            (_, 1 | 2) => File::B16,
            (_, 4) => File::B32,
            _ => File::B64,
        }
    }

    /// True for signed integers.
    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64)
    }
}

/// A function that has been emitted already.
#[derive(Debug, Clone)]
pub(crate) struct Emitted {
    pub(crate) start: u32,
    /// The 32-bit register that keeps where to return to.
    pub(crate) return_slot: u32,
    pub(crate) frame: Frame,
}

/// What all instructions of a function share while they are decoded.
pub(crate) struct Surroundings<'d, 'a> {
    pub(crate) module: &'d Module<'a>,
    pub(crate) globals: &'d HashMap<&'a str, usize>,
    pub(crate) functions: &'d HashMap<&'a str, usize>,
    pub(crate) emitted: &'d HashMap<usize, Emitted>,
    /// Where this function keeps its return pc; [`NONE`] in an entry.
    pub(crate) return_slot: u32,
    pub(crate) function: usize,
    pub(crate) names: Names<'a>,
    pub(crate) pools: &'d mut Pools,
    pub(crate) layout: &'d mut Layout<'a>,
}

/// One instruction on its way.
pub(crate) struct Decoder<'d, 'e, 'a> {
    pub(crate) around: &'e mut Surroundings<'d, 'a>,
    pub(crate) written: &'e Instruction<'a>,
    /// The opcode up to its first dot.
    pub(crate) base: &'a str,
    modifiers: Vec<&'a str>,
    taken: u64,
    types: Vec<Type>,
    /// The instruction so far.
    pub(crate) out: Instr,
    /// Instructions to put before and behind it.
    pub(crate) before: Vec<Instr>,
    pub(crate) behind: Vec<Instr>,
}

type Decoded<T> = Result<T, Mistake>;

impl<'d, 'e, 'a> Decoder<'d, 'e, 'a> {
    pub(crate) fn new(around: &'e mut Surroundings<'d, 'a>, written: &'e Instruction<'a>) -> Self {
        let mut parts = written.opcode.split('.');
        let base = parts.next().unwrap_or("");
        let (mut types, mut modifiers) = (Vec::new(), Vec::new());
        for part in parts {
            match Type::of(part) {
                Some(found) => types.push(found),
                None => modifiers.push(part),
            }
        }
        let out = Instr {
            action: Action::Trap,
            guard: NONE,
            args: Args::default(),
            list: Box::default(),
            file: File::B32,
            access: Access::default(),
            effect: Effect::READ,
            extra: Extra::None,
            class: Class::Integer,
            line: written.line,
            source: written.source,
        };
        let (before, behind) = (Vec::new(), Vec::new());
        Decoder { around, written, base, modifiers, taken: 0, types, out, before, behind }
    }

    pub(crate) fn mistake<T>(&self, sentence: impl Into<String>) -> Decoded<T> {
        Err(Mistake::at(self.written.line, sentence))
    }

    /// The error for a form that the emulator does not know.
    pub(crate) fn unsupported<T>(&self) -> Decoded<T> {
        self.mistake(format!("unsupported instruction `{}`", self.written.opcode))
    }

    /// True if the opcode has this modifier.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.modifiers.iter().position(|&modifier| modifier == name) {
            Some(at) => {
                self.taken |= 1 << at.min(63);
                true
            }
            None => false,
        }
    }

    /// The first of these modifiers that the opcode has.
    pub(crate) fn choice(&mut self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.flag(name))
    }

    /// Takes every modifier that begins with one of these.
    pub(crate) fn flags_beginning(&mut self, beginnings: &[&str]) {
        for (at, modifier) in self.modifiers.iter().enumerate() {
            if beginnings.iter().any(|beginning| modifier.starts_with(beginning)) {
                self.taken |= 1 << at.min(63);
            }
        }
    }

    /// The modifiers nobody has asked for yet; asking takes them all.
    pub(crate) fn rest(&mut self) -> Vec<&'a str> {
        let left = (0..self.modifiers.len()).filter(|at| self.taken >> (*at).min(63) & 1 == 0);
        let left = left.map(|at| self.modifiers[at]).collect();
        self.taken = u64::MAX;
        left
    }

    /// Every modifier nobody understood is an error: it would change the meaning in silence.
    pub(crate) fn check_understood(&mut self) -> Decoded<()> {
        match self.rest().first() {
            Some(unknown) => {
                self.mistake(format!("unsupported modifier `.{unknown}` of `{}`", self.written.opcode))
            }
            None => Ok(()),
        }
    }

    /// The opcode's type of that index.
    pub(crate) fn kind(&self, index: usize) -> Decoded<Type> {
        match self.types.get(index) {
            Some(&kind) => Ok(kind),
            None => self.mistake(format!("`{}` lacks a type", self.written.opcode)),
        }
    }

    /// How many types the opcode has.
    pub(crate) fn kinds(&self) -> usize {
        self.types.len()
    }

    /// The operand of that index.
    pub(crate) fn operand(&self, index: usize) -> Decoded<&'e Operand<'a>> {
        match self.written.operands.get(index) {
            Some(operand) => Ok(operand),
            None => self.mistake(format!("`{}` lacks operand {}", self.written.opcode, index + 1)),
        }
    }

    /// How many operands there are.
    pub(crate) fn operands(&self) -> usize {
        self.written.operands.len()
    }

    /// What a name stands for here.
    pub(crate) fn meaning(&mut self, name: &'a str) -> Decoded<Meaning> {
        let around = &mut *self.around;
        if let Some(found) = around.names.find(self.written.scope, name, around.pools) {
            return Ok(found);
        }
        if let Some(&index) = around.globals.get(name) {
            return Ok(Meaning::Constant(Constant::Global(index, 0)));
        }
        if let Some(shared) = around.module.variables.iter().find(|variable| variable.name == name) {
            return around.layout.module_shared(shared);
        }
        if let Some(&index) = around.functions.get(name) {
            return Ok(Meaning::Function(index));
        }
        match name {
            "WARP_SZ" => Ok(Meaning::Constant(Constant::Bits(32))),
            _ => self.mistake(format!("the name `{name}` is not declared")),
        }
    }

    /// The file and index of a register.
    pub(crate) fn register(&mut self, name: &'a str) -> Decoded<(File, u32)> {
        match self.meaning(name)? {
            Meaning::Register(file, index) => Ok((file, index)),
            _ => self.mistake(format!("`{name}` is no register")),
        }
    }

    fn wrong_width<T>(&self, name: &str, found: File, wanted: File) -> Decoded<T> {
        let say = |file: File| match file {
            File::Pred => "a predicate".to_owned(),
            file => format!("{} bits", file.bytes() * 8),
        };
        self.mistake(format!("`{name}` has {}, the instruction wants {}", say(found), say(wanted)))
    }

    /// A register of that file that is written; `_` takes one that nobody reads.
    pub(crate) fn target_of(&mut self, operand: &Operand<'a>, file: File) -> Decoded<u32> {
        match *operand {
            Operand::Name("_", 0) => Ok(self.around.pools.register(file)),
            Operand::Name(name, 0) => match self.register(name)? {
                (found, index) if found == file => Ok(index),
                (found, _) => self.wrong_width(name, found, file),
            },
            _ => self.mistake("the result is no register"),
        }
    }

    /// A register, or a constant in a register, that is read as that file's.
    pub(crate) fn source_of(&mut self, operand: &Operand<'a>, file: File) -> Decoded<u32> {
        let constant = match *operand {
            Operand::Name(name, offset) => match self.meaning(name)? {
                Meaning::Register(found, index) if found == file && offset == 0 => return Ok(index),
                Meaning::Register(found, _) if found != file => return self.wrong_width(name, found, file),
                Meaning::Constant(Constant::Global(index, _)) => Constant::Global(index, offset),
                Meaning::Constant(Constant::DynamicShared(_)) => Constant::DynamicShared(offset),
                Meaning::Constant(constant) if offset == 0 => constant,
                Meaning::Shared(at) | Meaning::Local(at) | Meaning::Param(at) => {
                    Constant::Bits(i64::from(at).wrapping_add(offset) as u64)
                }
                _ => return self.mistake(format!("`{name}` cannot be read here")),
            },
            Operand::Not(name) if file == File::Pred => {
                return match self.register(name)? {
                    (File::Pred, index) => Ok(index | NEGATED),
                    (found, _) => self.wrong_width(name, found, file),
                };
            }
            Operand::Integer(value) if file == File::Pred => Constant::Bits(if value == 0 { 0 } else { 1 }),
            Operand::Integer(value) => Constant::Bits(value),
            Operand::Float32(bits) if file == File::B64 => {
                Constant::Bits(f64::from(f32::from_bits(bits)).to_bits())
            }
            Operand::Float32(bits) => Constant::Bits(bits.into()),
            Operand::Float64(bits) if file == File::B32 => {
                Constant::Bits((f64::from_bits(bits) as f32).to_bits().into())
            }
            Operand::Float64(bits) => Constant::Bits(bits),
            _ => return self.mistake("expected a register or a number"),
        };
        Ok(self.around.pools.constant(file, constant))
    }

    /// The target at an index, as a type's register.
    pub(crate) fn target<T: Value>(&mut self, index: usize) -> Decoded<u32> {
        let operand = self.operand(index)?;
        self.target_of(operand, T::FILE)
    }

    /// The source at an index, as a type's register.
    pub(crate) fn source<T: Value>(&mut self, index: usize) -> Decoded<u32> {
        let operand = self.operand(index)?;
        self.source_of(operand, T::FILE)
    }

    /// A source of whatever file its register has; numbers are of the file `otherwise`.
    pub(crate) fn source_any(&mut self, index: usize, otherwise: File) -> Decoded<(File, u32)> {
        let operand = self.operand(index)?;
        self.any_of(operand, otherwise)
    }

    /// A source of whatever file its register has.
    pub(crate) fn any_of(&mut self, operand: &Operand<'a>, otherwise: File) -> Decoded<(File, u32)> {
        if let Operand::Name(name, 0) = *operand
            && let Meaning::Register(file, index) = self.meaning(name)?
        {
            return Ok((file, index));
        }
        Ok((otherwise, self.source_of(operand, otherwise)?))
    }

    /// A target of whatever file its register has.
    pub(crate) fn target_any(&mut self, operand: &Operand<'a>, otherwise: File) -> Decoded<(File, u32)> {
        match *operand {
            Operand::Name("_", _) => Ok((otherwise, self.around.pools.register(otherwise))),
            Operand::Name(name, 0) => self.register(name),
            _ => self.mistake("the result is no register"),
        }
    }

    /// An integer known while decoding.
    pub(crate) fn immediate(&self, index: usize) -> Decoded<u64> {
        match *self.operand(index)? {
            Operand::Integer(value) => Ok(value),
            _ => self.mistake(format!("operand {} of `{}` must be a number", index + 1, self.written.opcode)),
        }
    }

    /// The elements of a vector operand; a single operand counts as a vector of one.
    pub(crate) fn elements(&self, index: usize) -> Decoded<&'e [Operand<'a>]> {
        Ok(match self.operand(index)? {
            Operand::Vector(elements) => elements,
            single => std::slice::from_ref(single),
        })
    }

    /// Reads `[base + offset]` into `args.a` and the access. A name of a variable also fixes the space.
    pub(crate) fn address(&mut self, index: usize) -> Decoded<()> {
        let &Operand::Address(base, offset) = self.operand(index)? else {
            return self.mistake(format!("operand {} must be an address in brackets", index + 1));
        };
        let found = self.address_of(base, offset)?;
        (self.out.args.a, self.out.access.has_wide_address, self.out.access.offset) = found;
        Ok(())
    }

    /// The register, its width and the offset of an address; for addresses beside the one of the access.
    pub(crate) fn address_of(&mut self, base: Option<&'a str>, offset: i64) -> Decoded<(u32, bool, i64)> {
        let constant = match base {
            None => Constant::Bits(offset as u64),
            Some(name) => match self.meaning(name)? {
                Meaning::Register(File::B32, index) => return Ok((index, false, offset)),
                Meaning::Register(File::B64, index) => return Ok((index, true, offset)),
                Meaning::Constant(Constant::Global(variable, _)) => Constant::Global(variable, offset),
                Meaning::Constant(Constant::DynamicShared(_)) => {
                    self.settle(AccessSpace::Shared);
                    Constant::DynamicShared(offset)
                }
                Meaning::Shared(at) => {
                    self.settle(AccessSpace::Shared);
                    Constant::Bits(i64::from(at).wrapping_add(offset) as u64)
                }
                Meaning::Local(at) => {
                    // Parameters of calls and device functions lie in local memory here.
                    self.out.access.space = AccessSpace::Local;
                    Constant::Bits(i64::from(at).wrapping_add(offset) as u64)
                }
                Meaning::Param(at) => Constant::Bits(i64::from(at).wrapping_add(offset) as u64),
                _ => return self.mistake(format!("`{name}` has no address")),
            },
        };
        Ok((self.around.pools.constant(File::B64, constant), true, 0))
    }

    /// A generic access through the name of a variable goes where the variable lies.
    fn settle(&mut self, space: AccessSpace) {
        if self.out.access.space == AccessSpace::Generic {
            self.out.access.space = space;
        }
    }

    /// The statement that a label names.
    pub(crate) fn label(&mut self, name: &'a str) -> Decoded<u32> {
        match self.meaning(name)? {
            Meaning::Label(at) => Ok(at as u32),
            _ => self.mistake(format!("`{name}` is no label")),
        }
    }

    pub(crate) fn unary<A: Value, R: Value>(&mut self, pure: Pure) -> Decoded<Option<Action>> {
        self.out.args.a = self.source::<A>(1)?;
        self.out.args.d = self.target::<R>(0)?;
        Ok(Some(Action::Pure(pure)))
    }

    pub(crate) fn binary<A: Value, B: Value, R: Value>(&mut self, pure: Pure) -> Decoded<Option<Action>> {
        self.out.args.b = self.source::<B>(2)?;
        self.unary::<A, R>(pure)
    }

    pub(crate) fn ternary<A: Value, B: Value, C: Value, R: Value>(
        &mut self,
        pure: Pure,
    ) -> Decoded<Option<Action>> {
        self.out.args.c = self.source::<C>(3)?;
        self.binary::<A, B, R>(pure)
    }
}
