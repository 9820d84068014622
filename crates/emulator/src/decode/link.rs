//! An entry with all that it calls, as one run of instructions.

use std::collections::HashMap;

use super::decoder::{Decoder, Emitted, Surroundings};
use super::layout::Layout;
use super::names::{Names, Pools};
use crate::check::Effect;
use crate::code::{Action, Args, Class, Code, Extra, Instr, NONE};
use crate::exec::registers::{File, NEGATED};
use crate::isa;
use crate::observe::{Note, note};
use crate::ptx::Mistake;
use crate::ptx::syntax::{Function, Instruction, Module, Operand};

/// What an entry came to.
pub(crate) struct Linked {
    pub(crate) code: Code,
    pub(crate) shared_bytes: u32,
}

/// Decodes an entry and every function that it calls.
///
/// # Errors
///
/// The first instruction that makes no sense or that the emulator does not know.
pub(crate) fn link<'a>(
    module: &Module<'a>,
    globals: &HashMap<&'a str, usize>,
    functions: &HashMap<&'a str, usize>,
    entry: usize,
) -> Result<Linked, Mistake> {
    link_noting(module, globals, functions, entry, None)
}

/// As [`link`], with a note on every instruction that was written.
///
/// # Errors
///
/// As [`link`].
pub(crate) fn listed<'a>(
    module: &Module<'a>,
    globals: &HashMap<&'a str, usize>,
    functions: &HashMap<&'a str, usize>,
    entry: usize,
) -> Result<(Code, Vec<Note>), Mistake> {
    let mut notes = Vec::new();
    let linked = link_noting(module, globals, functions, entry, Some(&mut notes))?;
    Ok((linked.code, notes))
}

fn link_noting<'a>(
    module: &Module<'a>,
    globals: &HashMap<&'a str, usize>,
    functions: &HashMap<&'a str, usize>,
    entry: usize,
    mut notes: Option<&mut Vec<Note>>,
) -> Result<Linked, Mistake> {
    let (mut pools, mut layout) = (Pools::default(), Layout::default());
    let mut emitted: HashMap<usize, Emitted> = HashMap::new();
    let mut instrs = Vec::new();
    for index in callees_first(module, functions, entry)? {
        let function = &module.functions[index];
        let mut names = Names::new(function)?;
        let frame = layout.function(function, &mut names)?;
        let return_slot = if function.is_entry { NONE } else { pools.register(File::B32) };
        let start = instrs.len() as u32;
        let mut around = Surroundings {
            module,
            globals,
            functions,
            emitted: &emitted,
            return_slot,
            function: index,
            names,
            pools: &mut pools,
            layout: &mut layout,
        };
        emit(function, &mut around, &mut instrs, notes.as_deref_mut())?;
        emitted.insert(index, Emitted { start, return_slot, frame });
    }
    let start = emitted.get(&entry).map_or(0, |emitted| emitted.start);
    let shared_bytes = layout.shared as u32;
    let code = Code {
        instrs,
        start,
        sizes: pools.sizes,
        constants: pools.constants,
        // An alignment of zero: nothing dynamic is declared, so that the end of the static part is the end.
        dynamic_shared: layout.shared.next_multiple_of(layout.dynamic_align.max(1)) as u32,
        local_bytes: layout.local.next_multiple_of(16) as u32,
    };
    Ok(Linked { code, shared_bytes })
}

/// The functions that an entry needs, each behind those that it calls. So the deepest call has the lowest pcs,
/// and lanes that return late are waited for by the rule that the lowest pc runs first.
fn callees_first(
    module: &Module<'_>,
    functions: &HashMap<&str, usize>,
    entry: usize,
) -> Result<Vec<usize>, Mistake> {
    let mut order = Vec::new();
    // For each function on the way down: itself and the next statement to look at.
    let mut path = vec![(entry, 0)];
    while let Some((function, at)) = path.pop() {
        let calls = |instruction: &Instruction<'_>| callee(instruction, functions);
        let rest = module.functions[function].instructions.iter().enumerate().skip(at);
        let Some((at, line, next)) = rest
            .filter_map(|(at, instruction)| calls(instruction).map(|next| (at, instruction.line, next)))
            .next()
        else {
            order.push(function);
            continue;
        };
        path.push((function, at + 1));
        if path.iter().any(|(above, _)| *above == next) {
            let sentence =
                format!("`{}` calls itself: recursion is unsupported", module.functions[next].name);
            return Err(Mistake::at(line, sentence));
        }
        if !order.contains(&next) && !module.functions[next].scopes.is_empty() {
            path.push((next, 0));
        }
    }
    Ok(order)
}

fn callee(instruction: &Instruction<'_>, functions: &HashMap<&str, usize>) -> Option<usize> {
    if instruction.opcode.split('.').next() != Some("call") {
        return None;
    }
    instruction.operands.iter().find_map(|operand| match operand {
        Operand::Name(name, 0) => functions.get(name).copied(),
        _ => None,
    })
}

fn emit<'a>(
    function: &Function<'a>,
    around: &mut Surroundings<'_, 'a>,
    instrs: &mut Vec<Instr>,
    mut notes: Option<&mut Vec<Note>>,
) -> Result<(), Mistake> {
    let first = instrs.len();
    let mut pcs = Vec::with_capacity(function.instructions.len() + 1);
    for written in &function.instructions {
        pcs.push(instrs.len() as u32);
        let mut decoder = Decoder::new(around, written);
        if let Some((name, is_negated)) = written.guard {
            let (file, index) = decoder.register(name)?;
            if file != File::Pred {
                return decoder.mistake(format!("the guard `{name}` is no predicate"));
            }
            decoder.out.guard = if is_negated { index | NEGATED } else { index };
        }
        decoder.out.action = isa::decode(&mut decoder)?;
        decoder.check_understood()?;
        if let Some(notes) = &mut notes {
            let pc = (instrs.len() + decoder.before.len()) as u32;
            notes.push(note(&mut decoder, pc));
        }
        let Decoder { before, out, behind, .. } = decoder;
        instrs.extend(before);
        instrs.push(out);
        instrs.extend(behind);
    }
    pcs.push(instrs.len() as u32);
    let line = function.instructions.last().map_or(function.line, |last| last.line);
    instrs.push(end_of(around.return_slot, line));
    for instr in &mut instrs[first..] {
        match &mut instr.action {
            Action::Branch(target) => *target = pcs[*target as usize],
            Action::BranchTable => instr.list.iter_mut().for_each(|target| *target = pcs[*target as usize]),
            _ => {}
        }
    }
    Ok(())
}

/// What happens to lanes that run past the last statement: they leave, as `ret` would have them.
fn end_of(return_slot: u32, line: u32) -> Instr {
    Instr {
        action: if return_slot == NONE { Action::Exit } else { Action::Return },
        guard: NONE,
        args: Args { a: return_slot, ..Default::default() },
        list: Box::default(),
        file: File::B32,
        access: Default::default(),
        effect: Effect::READ,
        extra: Extra::None,
        class: Class::Control,
        line,
        source: (0, 0),
    }
}
