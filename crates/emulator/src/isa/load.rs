//! Loads and stores of every space, alone and in vectors.

use super::Found;
use crate::check::{Effect, Scope};
use crate::code::{Access, AccessSpace, Action, Class, Instr};
use crate::decode::decoder::Decoder;
use crate::exec::access::{check_alignment, parts};
use crate::exec::address::addresses;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{LANES, Row};
use crate::exec::rows::{Elements, Shape};
use crate::exec::traffic::record;
use crate::exec::warp::Warp;
use crate::ptx::Mistake;

/// Modifiers that steer caches and ordering. Execution here is in order and has no cache.
const HINTS: &[&str] = &["weak", "cluster", "gpu", "sys", "ca", "cg", "cs", "cv", "lu", "wb", "wt", "nc"];

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Memory;
    take_space(d);
    match d.base {
        "ld" | "ldu" => {
            d.out.effect = take_hints(d, Effect::READ);
            take_shape(d)?;
            d.address(1)?;
            take_elements(d, 0, true)?;
            Ok(Some(Action::Effect(load)))
        }
        "st" => {
            d.out.effect = take_hints(d, Effect::WRITE);
            take_shape(d)?;
            d.address(0)?;
            take_elements(d, 1, false)?;
            Ok(Some(Action::Effect(store)))
        }
        // Prefetches and cache hints change nothing that can be seen.
        _ => {
            d.rest();
            Ok(Some(Action::Effect(|_, _, _, _| Ok(()))))
        }
    }
}

/// Takes the state space of an access.
pub(super) fn take_space(d: &mut Decoder<'_, '_, '_>) {
    let names = ["global", "const", "shared", "shared::cta", "local", "param", "param::entry", "param::func"];
    d.out.access.space = match d.choice(&names) {
        Some("global" | "const") => AccessSpace::Global,
        Some("shared" | "shared::cta") => AccessSpace::Shared,
        Some("local") => AccessSpace::Local,
        Some(_) => AccessSpace::Param,
        None => AccessSpace::Generic,
    };
}

/// Takes what steers caches and ordering, and adds to an effect what that means to other threads.
pub(super) fn take_hints(d: &mut Decoder<'_, '_, '_>, mut effect: Effect) -> Effect {
    for hint in HINTS {
        d.flag(hint);
    }
    d.flags_beginning(&["L1::", "L2::"]);
    let scope = if d.flag("cta") { Scope::Block } else { Scope::Device };
    let is_strong = ["volatile", "relaxed", "mmio"].map(|word| d.flag(word)).contains(&true);
    let both = d.flag("acq_rel");
    let (acquires, releases) = (d.flag("acquire") || both, d.flag("release") || both);
    if is_strong || acquires || releases || effect == Effect::UPDATE {
        effect = effect.strong(scope);
    }
    if acquires {
        effect = effect.acquire();
    }
    if releases {
        effect = effect.release();
    }
    effect
}

fn take_shape(d: &mut Decoder<'_, '_, '_>) -> Result<(), Mistake> {
    let kind = d.kind(0)?;
    d.out.access.width = kind.bytes();
    d.out.access.is_signed = kind.is_signed();
    d.out.access.count = match d.choice(&["v2", "v4"]) {
        Some("v2") => 2,
        Some(_) => 4,
        None => 1,
    };
    if d.out.access.width * d.out.access.count > 16 {
        return d.mistake("a vector of more than 16 bytes");
    }
    Ok(())
}

fn take_elements(d: &mut Decoder<'_, '_, '_>, index: usize, are_targets: bool) -> Result<(), Mistake> {
    let (elements, file) = (d.elements(index)?, d.kind(0)?.file());
    if elements.len() != usize::from(d.out.access.count) {
        return d.mistake(format!("{} registers for a vector of {}", elements.len(), d.out.access.count));
    }
    let mut found = Vec::with_capacity(elements.len());
    let mut file_of_all = None;
    for element in elements {
        let sink = matches!(element, crate::ptx::syntax::Operand::Name("_", _));
        let wanted = file_of_all.filter(|_| sink).unwrap_or(file);
        let (its_file, register) =
            if are_targets { d.target_any(element, wanted)? } else { d.any_of(element, wanted)? };
        if its_file.bytes() < u64::from(d.out.access.width) {
            return d.mistake("a register narrower than the access");
        }
        if !sink && file_of_all.replace(its_file).is_some_and(|before| before != its_file) {
            return d.mistake("registers of different widths in one vector");
        }
        found.push((its_file, register));
    }
    d.out.file = file_of_all.unwrap_or(file);
    let mismatched = |(its_file, register): (_, u32), d: &mut Decoder<'_, '_, '_>| {
        if its_file == d.out.file { register } else { d.around.pools.register(d.out.file) }
    };
    d.out.list = found.into_iter().map(|one| mismatched(one, d)).collect();
    Ok(())
}

fn shape(access: &Access) -> Shape {
    Shape { width: access.width.into(), count: access.count.into() }
}

fn load(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let (access, shape) = (&instr.access, shape(&instr.access));
    let at = addresses(&warp.registers, instr.args.a, access);
    let mut rows = read_lanes(block, warp, instr, at, mask, shape)?;
    let above = 64 - 8 * shape.width;
    for (row, &target) in rows.iter_mut().zip(&instr.list) {
        if access.is_signed {
            row.iter_mut().for_each(|value| *value = ((*value << above) as i64 >> above) as u64);
        }
        warp.registers.put_wide(instr.file, target, mask, row);
    }
    Ok(())
}

/// What lies at the addresses of the lanes, counted and judged.
#[inline]
pub(super) fn read_lanes(
    block: &mut Block<'_>,
    warp: &Warp,
    instr: &Instr,
    mut at: Row<u64>,
    mask: u32,
    shape: Shape,
) -> Result<Elements, Trouble> {
    check_alignment(&at, mask, shape.bytes())?;
    let mut rows = [[0u64; LANES]; 4];
    for (space, part) in parts(instr.access.space, mask, &mut at).into_iter().filter(|(_, part)| *part != 0) {
        record(&mut block.counts, space, &at, part, shape.bytes(), false);
        block.read_rows(warp, space, &at, part, shape, &mut rows)?;
        block.watch(warp, space, &at, part, shape.bytes(), &[], instr)?;
    }
    Ok(rows)
}

fn store(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let (access, shape) = (&instr.access, shape(&instr.access));
    let at = addresses(&warp.registers, instr.args.a, access);
    let mut rows = [[0u64; LANES]; 4];
    for (row, &source) in rows.iter_mut().zip(&instr.list) {
        *row = warp.registers.wide(instr.file, source);
    }
    write_lanes(block, warp, instr, at, mask, shape, &rows)
}

/// Puts rows to the addresses of the lanes, counted and judged.
#[inline]
pub(super) fn write_lanes(
    block: &mut Block<'_>,
    warp: &mut Warp,
    instr: &Instr,
    mut at: Row<u64>,
    mask: u32,
    shape: Shape,
    rows: &Elements,
) -> Result<(), Trouble> {
    check_alignment(&at, mask, shape.bytes())?;
    for (space, part) in parts(instr.access.space, mask, &mut at).into_iter().filter(|(_, part)| *part != 0) {
        record(&mut block.counts, space, &at, part, shape.bytes(), true);
        block.write_rows(warp, space, &at, part, shape, rows)?;
        block.watch(warp, space, &at, part, shape.bytes(), &rows[..shape.count], instr)?;
    }
    Ok(())
}
