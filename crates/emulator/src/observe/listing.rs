//! The code of an entry as it was written: names of registers, their kinds, lines of PTX and of the source.

use std::collections::{BTreeSet, HashMap};

use super::kind::Kind;
use super::live::Live;
use crate::decode::decoder::{Decoder, Type};
use crate::decode::link::listed;
use crate::decode::names::Meaning;
use crate::exec::registers::File;
use crate::fault::SourceLine;
use crate::program::{Program, build};
use crate::ptx::parser;
use crate::ptx::syntax::Operand;

/// A register by its name in the PTX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The name as written, such as `%f12`.
    pub name: String,
    /// What its bits mean.
    pub kind: Kind,
    pub(crate) file: File,
    pub(crate) index: u32,
}

impl Register {
    /// Its width in bits; 1 for a predicate.
    pub fn bits(&self) -> u32 {
        if self.file == File::Pred { 1 } else { 8 * self.file.bytes() as u32 }
    }
}

/// One instruction of an entry.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// The line of the PTX text, from 1.
    pub ptx_line: u32,
    /// The instruction as written.
    pub text: String,
    /// Its first word: the operation with its modifiers, without a guard.
    pub opcode: String,
    /// The line of the source, if the PTX names it.
    pub source: Option<SourceLine>,
    /// Registers that it writes, in the order of its operands.
    pub writes: Vec<Register>,
    /// Registers that it reads, in the order of its operands; the guard comes last.
    pub reads: Vec<Register>,
    /// Whether a guard decides lane by lane if it runs.
    pub is_guarded: bool,
}

/// The instructions of one entry, by pc.
#[derive(Debug)]
pub struct Listing {
    lines: Vec<Line>,
    live: Live,
}

/// What the decoder knows of one instruction.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) pc: u32,
    opcode: String,
    is_guarded: bool,
    writes: Vec<Register>,
    reads: Vec<Register>,
}

impl Listing {
    /// Lists an entry of a program.
    ///
    /// Nothing, if there is no such entry. The text is read again, since running it does not need the names.
    pub fn of(program: &Program, entry: usize) -> Option<Listing> {
        let name = &program.entries.get(entry)?.name;
        let module = parser::parse(&program.text).ok()?;
        let (globals, functions) = (build::variables(&module), build::functions(&module));
        let (code, notes) = listed(&module, &globals, &functions, *functions.get(name.as_str())?).ok()?;
        // Indices are given out in the order of the text, so they are those of the program that runs.
        debug_assert_eq!(code.sizes, program.entries[entry].code.sizes);
        let text: Vec<&str> = program.text.lines().collect();
        let mut lines: Vec<Line> = code
            .instrs
            .iter()
            .map(|instr| Line {
                ptx_line: instr.line,
                text: text
                    .get((instr.line as usize).wrapping_sub(1))
                    .map_or("", |line| line.trim())
                    .to_owned(),
                source: program.source(instr.source).map(|source| *source),
                ..Line::default()
            })
            .collect();
        for note in with_kinds(notes) {
            let Some(line) = lines.get_mut(note.pc as usize) else { continue };
            (line.opcode, line.is_guarded) = (note.opcode, note.is_guarded);
            (line.writes, line.reads) = (note.writes, note.reads);
        }
        let live = Live::of(&code, &lines);
        Some(Listing { lines, live })
    }

    /// The instruction at a pc.
    pub fn line(&self, pc: u32) -> Option<&Line> {
        self.lines.get(pc as usize)
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether what a register holds before the instruction at a pc may be read there or later.
    pub fn is_live(&self, pc: u32, register: &Register) -> bool {
        self.live.holds(pc, register)
    }

    /// How many registers hold something before the instruction at a pc that may still be read.
    pub fn live_count(&self, pc: u32) -> usize {
        self.live.count(pc)
    }

    /// The lines of a source file that this entry has instructions for. A file is named by the end of its path.
    pub fn source_lines(&self, file: &str) -> BTreeSet<u32> {
        let sources = self.lines.iter().filter_map(|line| line.source.as_ref());
        sources.filter(|source| is_file(&source.file, file)).map(|source| source.line).collect()
    }

    /// The source files that this entry has instructions for.
    pub fn files(&self) -> BTreeSet<&str> {
        self.lines.iter().filter_map(|line| line.source.as_ref()).map(|source| source.file.as_str()).collect()
    }
}

/// Whether a path is the file that a name means: the path itself, or whole folders from its end.
pub(crate) fn is_file(path: &str, name: &str) -> bool {
    path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'))
}

/// Notes which registers an instruction reads and writes.
pub(crate) fn note<'a>(decoder: &mut Decoder<'_, '_, 'a>, pc: u32) -> Note {
    let written = decoder.written;
    let writes_first = writes_first(decoder.base, written.opcode);
    let mut note = Note {
        pc,
        opcode: written.opcode.to_owned(),
        is_guarded: written.guard.is_some(),
        writes: Vec::new(),
        reads: Vec::new(),
    };
    for (position, operand) in written.operands.iter().enumerate() {
        let kind = type_of(decoder, position);
        let mut found = Vec::new();
        registers(decoder, operand, kind, &mut found);
        if position == 0 && writes_first { &mut note.writes } else { &mut note.reads }.extend(found);
    }
    if let Some((name, _)) = written.guard {
        registers(decoder, &Operand::Name(name, 0), None, &mut note.reads);
    }
    note
}

/// Whether the first operand is where the result goes.
fn writes_first(base: &str, opcode: &str) -> bool {
    match base {
        "st" | "stmatrix" | "red" | "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "membar" | "fence"
        | "cp" | "prefetch" | "prefetchu" | "discard" | "applypriority" | "nanosleep" | "pmevent" => false,
        "bar" | "barrier" => opcode.contains(".red."),
        _ => true,
    }
}

/// The type that an opcode gives to the operand at a position.
fn type_of(decoder: &Decoder<'_, '_, '_>, position: usize) -> Option<Type> {
    let at = match (decoder.base, decoder.kinds()) {
        (_, 0) => return None,
        ("mma", 4) => position.min(3),
        (_, 1) => 0,
        (_, _) => position.min(1),
    };
    decoder.kind(at).ok()
}

fn registers<'a>(
    decoder: &mut Decoder<'_, '_, 'a>,
    operand: &Operand<'a>,
    kind: Option<Type>,
    found: &mut Vec<Register>,
) {
    let mut add = |name: &'a str, kind: Option<Type>, is_address: bool| {
        let Ok(Meaning::Register(file, index)) = decoder.meaning(name) else { return };
        let kind = match kind {
            _ if is_address => Kind::Address,
            _ if file == File::Pred => Kind::Truth,
            Some(kind) => Kind::of(kind, file),
            None => Kind::Bits,
        };
        found.push(Register { name: name.to_owned(), kind, file, index });
    };
    match operand {
        Operand::Name("_", _) => {}
        Operand::Name(name, _) | Operand::Not(name) => add(name, kind, false),
        Operand::Address(Some(name), _) => add(name, None, true),
        Operand::Vector(all) | Operand::List(all) => {
            all.iter().for_each(|one| registers(decoder, one, kind, found));
        }
        Operand::Pair(both) => both.iter().for_each(|one| registers(decoder, one, kind, found)),
        _ => {}
    }
}

/// Gives each register the most telling kind that any instruction gives it.
fn with_kinds(mut notes: Vec<Note>) -> Vec<Note> {
    let mut best: HashMap<(File, u32), Kind> = HashMap::new();
    for register in notes.iter().flat_map(|note| note.writes.iter().chain(&note.reads)) {
        let kind = best.entry((register.file, register.index)).or_insert(register.kind);
        *kind = (*kind).max(register.kind);
    }
    for register in notes.iter_mut().flat_map(|note| note.writes.iter_mut().chain(&mut note.reads)) {
        register.kind = best[&(register.file, register.index)];
    }
    notes
}
