//! Branches, calls, barriers, fences.

use super::Found;
use crate::check::Scope;
use crate::code::{Action, BarrierKind, Class, Instr, NONE};
use crate::decode::decoder::Decoder;
use crate::decode::names::Meaning;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{Value, lanes};
use crate::exec::warp::Warp;
use crate::fault::FaultKind;
use crate::ptx::Mistake;
use crate::ptx::syntax::Operand;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Control;
    d.flag("uni");
    match d.base {
        "bra" => match *d.operand(0)? {
            Operand::Name(label, 0) => Ok(Some(Action::Branch(d.label(label)?))),
            _ => Ok(None),
        },
        "brx" => decode_table(d),
        "call" => decode_call(d),
        "ret" if d.around.return_slot != NONE => {
            d.out.args.a = d.around.return_slot;
            Ok(Some(Action::Return))
        }
        "ret" | "exit" => Ok(Some(Action::Exit)),
        "trap" | "brkpt" => Ok(Some(Action::Trap)),
        "bar" | "barrier" => decode_barrier(d),
        "membar" | "fence" => decode_fence(d),
        // What only takes time.
        _ => {
            d.rest();
            Ok(Some(Action::Effect(|_, _, _, _| Ok(()))))
        }
    }
}

fn decode_table(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.flag("idx");
    d.out.args.a = d.source::<u32>(0)?;
    let &Operand::Name(table, 0) = d.operand(1)? else { return Ok(None) };
    let function = &d.around.module.functions[d.around.function];
    let named = function.scopes.iter().flat_map(|scope| &scope.targets).find(|(name, _)| *name == table);
    let Some((_, labels)) = named else {
        return d.mistake(format!("`{table}` is no list of branch targets"));
    };
    let targets = labels.iter().map(|label| d.label(label)).collect::<Result<Vec<u32>, Mistake>>()?;
    d.out.list = targets.into();
    Ok(Some(Action::BranchTable))
}

fn decode_call<'a>(d: &mut Decoder<'_, '_, 'a>) -> Found {
    let (mut results, mut arguments, mut name) = (&[][..], &[][..], None);
    for at in 0..d.operands() {
        match d.operand(at)? {
            Operand::List(list) if name.is_none() => results = list,
            Operand::List(list) => arguments = list,
            Operand::Name(callee, 0) if name.is_none() => name = Some(*callee),
            // The prototype of a call through a register.
            _ => {}
        }
    }
    let Some(name) = name else { return Ok(None) };
    let Meaning::Function(callee) = d.meaning(name)? else {
        return d.mistake("calls through a register are unsupported");
    };
    let Some(callee) = d.around.emitted.get(&callee).cloned() else {
        // Declared and not defined: a function of the driver.
        return match name {
            "vprintf" => super::print::decode(d, arguments, results),
            "__assertfail" => Ok(Some(Action::Effect(fail_assertion))),
            _ => Ok(Some(Action::Effect(call_unknown))),
        };
    };
    let mut copies_in = Vec::new();
    for (argument, &(to, bytes)) in
        slots(d, arguments, callee.frame.params.len())?.into_iter().zip(&callee.frame.params)
    {
        copies_in.extend([argument, to, bytes]);
    }
    let mut copies_out = Vec::new();
    for (result, &(from, bytes)) in
        slots(d, results, callee.frame.results.len())?.into_iter().zip(&callee.frame.results)
    {
        copies_out.extend([from, result, bytes]);
    }
    let copy = |list: Vec<u32>, d: &Decoder<'_, '_, '_>| Instr {
        action: Action::Effect(copy_slots),
        list: list.into(),
        ..d.out.clone()
    };
    if !copies_in.is_empty() {
        let instr = copy(copies_in, d);
        d.before.push(instr);
    }
    if !copies_out.is_empty() {
        let instr = copy(copies_out, d);
        d.behind.push(instr);
    }
    d.out.args.d = callee.return_slot;
    Ok(Some(Action::Call(callee.start)))
}

/// Where the caller's `.param` variables lie.
pub(super) fn slots<'a>(
    d: &mut Decoder<'_, '_, 'a>,
    operands: &[Operand<'a>],
    count: usize,
) -> Result<Vec<u32>, Mistake> {
    if operands.len() != count {
        return d.mistake(format!("{} arguments or results for a function with {count}", operands.len()));
    }
    let mut found = Vec::with_capacity(count);
    for operand in operands {
        let &Operand::Name(name, 0) = operand else {
            return d.mistake("arguments and results of calls must be `.param` variables");
        };
        match d.meaning(name)? {
            Meaning::Local(at) => found.push(at),
            _ => return d.mistake(format!("`{name}` is no `.param` variable")),
        }
    }
    Ok(found)
}

/// Copies arguments or results between the frames of a thread. What was not written stays so.
fn copy_slots(_: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    for slot in instr.list.chunks_exact(3) {
        for lane in lanes(mask) {
            let from = warp.local_range(slot[0].into(), slot[2].into(), lane)?;
            let to = warp.local_range(slot[1].into(), slot[2].into(), lane)?;
            warp.local.copy_within(from.clone(), to.start);
            warp.local_written.copy_within(from, to.start);
        }
    }
    Ok(())
}

fn fail_assertion(_: &mut Block<'_>, _: &mut Warp, _: &Instr, mask: u32) -> Result<(), Trouble> {
    Err(Trouble::new(FaultKind::Trap, mask, "an assertion of the kernel failed".to_owned()))
}

fn call_unknown(_: &mut Block<'_>, _: &mut Warp, _: &Instr, mask: u32) -> Result<(), Trouble> {
    let sentence = "a call of a function that the program declares and does not define".to_owned();
    Err(Trouble::new(FaultKind::UnsupportedInstruction, mask, sentence))
}

fn decode_barrier(d: &mut Decoder<'_, '_, '_>) -> Found {
    if d.flag("warp") {
        d.flag("sync");
        d.out.args.e = d.source::<u32>(0)?;
        return Ok(Some(Action::Collective(warp_barrier)));
    }
    let _ = (d.flag("cta"), d.flag("aligned"));
    let kind = match d.choice(&["sync", "arrive", "red"]) {
        Some("sync") => BarrierKind::Sync,
        Some("arrive") => BarrierKind::Arrive,
        Some(_) => match d.choice(&["popc", "and", "or"]) {
            Some("popc") => BarrierKind::CountTrue,
            Some("and") => BarrierKind::All,
            Some(_) => BarrierKind::Any,
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    let mut first = 0;
    if !matches!(kind, BarrierKind::Sync | BarrierKind::Arrive) {
        d.out.args.d =
            if kind == BarrierKind::CountTrue { d.target::<u32>(0)? } else { d.target::<bool>(0)? };
        d.out.args.c = d.source::<bool>(d.operands() - 1)?;
        first = 1;
    }
    d.out.args.a = d.source::<u32>(first)?;
    let predicates = usize::from(d.out.args.c != NONE);
    if d.operands() > first + 1 + predicates {
        d.out.args.b = d.source::<u32>(first + 1)?;
    }
    Ok(Some(Action::Barrier(kind)))
}

fn warp_barrier(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let members = u32::of(&warp.registers, instr.args.e);
    let mut left = mask;
    while left != 0 {
        let named = members[left.trailing_zeros() as usize];
        let set = lanes(left).filter(|&lane| members[lane] == named).fold(0, |all, lane| all | 1 << lane);
        block.watch_warp_barrier(warp, set);
        left &= !set;
    }
    Ok(())
}

fn decode_fence(d: &mut Decoder<'_, '_, '_>) -> Found {
    let is_block = d.flag("cta");
    if d.flag("proxy") || d.flag("mbarrier_init") {
        return Ok(None);
    }
    for word in ["gl", "sys", "gpu", "sc", "acq_rel", "acquire", "release", "cluster"] {
        d.flag(word);
    }
    Ok(Some(Action::Effect(if is_block {
        |block, warp, _, mask| {
            block.watch_fence(warp, mask, Scope::Block);
            Ok(())
        }
    } else {
        |block, warp, _, mask| {
            block.watch_fence(warp, mask, Scope::Device);
            Ok(())
        }
    })))
}
