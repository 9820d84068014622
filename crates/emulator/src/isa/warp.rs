//! Instructions across the lanes of a warp: shuffles, votes, matches, reductions.

use super::Found;
use crate::code::{Action, Class, Effect, Instr, NONE};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, LANES, Row, Value, lanes};
use crate::exec::warp::Warp;
use crate::ptx::Mistake;
use crate::ptx::syntax::Operand;

/// What a lane gets from one that takes no part: undefined by PTX, and NaN here so that its use is seen.
const POISON: u32 = 0xffff_dead;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Warp;
    if d.base == "activemask" {
        d.out.args.d = d.target::<u32>(0)?;
        return Ok(Some(Action::Effect(|_, warp, instr, mask| {
            u32::put(&mut warp.registers, instr.args.d, mask, [mask; LANES]);
            Ok(())
        })));
    }
    // Without `.sync` these left the language with compute capability 7.0.
    if !d.flag("sync") {
        return Ok(None);
    }
    match d.base {
        "shfl" => decode_shfl(d),
        "vote" => decode_vote(d),
        "match" => decode_match(d),
        "redux" => decode_redux(d),
        _ => {
            d.out.args.e = d.source::<u32>(1)?;
            take_results(d, File::B32)?;
            Ok(Some(Action::Collective(elect)))
        }
    }
}

/// Takes `d` or `d|p`: the predicate goes to `args.c`.
fn take_results(d: &mut Decoder<'_, '_, '_>, file: File) -> Result<(), Mistake> {
    match d.operand(0)? {
        Operand::Pair(pair) => {
            d.out.args.d = d.target_of(&pair[0], file)?;
            d.out.args.c = d.target_of(&pair[1], File::Pred)?;
        }
        single => d.out.args.d = d.target_of(single, file)?,
    }
    Ok(())
}

fn put_predicate(warp: &mut Warp, index: u32, mask: u32, holds: u32) {
    if index != NONE {
        let row = &mut warp.registers.pred[index as usize];
        *row = (*row & !mask) | (holds & mask);
    }
}

/// Calls `work` for each set of lanes that name the same members, with those of them that take part.
fn by_members(warp: &mut Warp, instr: &Instr, mask: u32, mut work: impl FnMut(&mut Warp, u32)) {
    let members = u32::of(&warp.registers, instr.args.e);
    let mut left = mask;
    while left != 0 {
        let named = members[left.trailing_zeros() as usize];
        let set = lanes(left).filter(|&lane| members[lane] == named).fold(0, |all, lane| all | 1 << lane);
        work(warp, set);
        left &= !set;
    }
}

const SHUFFLES: [&str; 4] = ["up", "down", "bfly", "idx"];

fn decode_shfl(d: &mut Decoder<'_, '_, '_>) -> Found {
    let Some(kind) = d.choice(&SHUFFLES) else { return Ok(None) };
    d.out.args.mode = SHUFFLES.iter().position(|name| *name == kind).unwrap_or(0) as u32;
    take_results(d, File::B32)?;
    let predicate = d.out.args.c;
    d.out.args.a = d.source::<u32>(1)?;
    d.out.args.b = d.source::<u32>(2)?;
    let clamp = d.source::<u32>(3)?;
    d.out.args.e = d.source::<u32>(4)?;
    d.out.list = [predicate].into();
    d.out.args.c = clamp;
    Ok(Some(Action::Collective(shuffle)))
}

/// PTX manual, "shfl.sync": segments of lanes by bits 8 to 12 of `c`, the bound by its low 5 bits.
fn shuffle(_: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let args = &instr.args;
    let (a, b) = (u32::of(&warp.registers, args.a), u32::of(&warp.registers, args.b));
    let c = u32::of(&warp.registers, args.c);
    let mut result: Row<u32> = [0; LANES];
    let mut holds = 0;
    for lane in lanes(mask) {
        let (by, bound, segment) = (b[lane] & 31, c[lane] & 31, c[lane] >> 8 & 31);
        let own = lane as u32;
        let last = (own & segment) | (bound & !segment);
        let first = own & segment;
        let (source, is_inside) = match args.mode {
            0 => (own.wrapping_sub(by), i64::from(own) - i64::from(by) >= i64::from(last)),
            1 => (own + by, own + by <= last),
            2 => (own ^ by, own ^ by <= last),
            _ => (first | (by & !segment), first | (by & !segment) <= last),
        };
        let source = if is_inside { source & 31 } else { own };
        holds |= u32::from(is_inside) << lane;
        result[lane] = if mask >> source & 1 != 0 { a[source as usize] } else { POISON };
    }
    u32::put(&mut warp.registers, args.d, mask, result);
    put_predicate(warp, instr.list[0], mask, holds);
    Ok(())
}

fn decode_vote(d: &mut Decoder<'_, '_, '_>) -> Found {
    let kind = d.choice(&["all", "any", "uni", "ballot"]);
    d.out.args.a = d.source::<bool>(1)?;
    d.out.args.e = d.source::<u32>(2)?;
    let file = if kind == Some("ballot") { File::B32 } else { File::Pred };
    let target = d.operand(0)?;
    d.out.args.d = d.target_of(target, file)?;
    let effect: Effect = match kind {
        Some("ballot") => |_, warp, instr, mask| {
            by_members(warp, instr, mask, |warp, set| {
                let holds = warp.registers.pred(instr.args.a) & set;
                u32::put(&mut warp.registers, instr.args.d, set, [holds; LANES]);
            });
            Ok(())
        },
        Some("all") => |_, warp, instr, mask| vote(warp, instr, mask, |holds, set| holds == set),
        Some("any") => |_, warp, instr, mask| vote(warp, instr, mask, |holds, _| holds != 0),
        Some(_) => |_, warp, instr, mask| vote(warp, instr, mask, |holds, set| holds == 0 || holds == set),
        None => return Ok(None),
    };
    Ok(Some(Action::Collective(effect)))
}

fn vote(warp: &mut Warp, instr: &Instr, mask: u32, decide: fn(u32, u32) -> bool) -> Result<(), Trouble> {
    by_members(warp, instr, mask, |warp, set| {
        let holds = warp.registers.pred(instr.args.a) & set;
        put_predicate(warp, instr.args.d, set, if decide(holds, set) { u32::MAX } else { 0 });
    });
    Ok(())
}

fn decode_match(d: &mut Decoder<'_, '_, '_>) -> Found {
    let kind = d.choice(&["any", "all"]);
    d.out.file = d.kind(0)?.file();
    let operand = d.operand(1)?;
    d.out.args.a = d.source_of(operand, d.out.file)?;
    d.out.args.e = d.source::<u32>(2)?;
    take_results(d, File::B32)?;
    Ok(Some(Action::Collective(match kind {
        Some("any") => |_, warp, instr, mask| {
            by_members(warp, instr, mask, |warp, set| {
                let a = warp.registers.wide(instr.file, instr.args.a);
                let same = |value: u64| lanes(set).filter(|&l| a[l] == value).fold(0, |all, l| all | 1 << l);
                u32::put(&mut warp.registers, instr.args.d, set, a.map(same));
            });
            Ok(())
        },
        Some(_) => |_, warp, instr, mask| {
            by_members(warp, instr, mask, |warp, set| {
                let a = warp.registers.wide(instr.file, instr.args.a);
                let first = a[set.trailing_zeros() as usize];
                let is_same = lanes(set).all(|lane| a[lane] == first);
                u32::put(&mut warp.registers, instr.args.d, set, [if is_same { set } else { 0 }; LANES]);
                put_predicate(warp, instr.args.c, set, if is_same { u32::MAX } else { 0 });
            });
            Ok(())
        },
        None => return Ok(None),
    })))
}

fn decode_redux(d: &mut Decoder<'_, '_, '_>) -> Found {
    let kind = d.kind(0)?;
    d.out.args.a = d.source::<u32>(1)?;
    d.out.args.e = d.source::<u32>(2)?;
    d.out.args.d = d.target::<u32>(0)?;
    let effect: Effect = match (d.choice(&["add", "min", "max", "and", "or", "xor"]), kind) {
        (Some("add"), Type::U32 | Type::S32) => |_, w, i, mask| reduce(w, i, mask, u32::wrapping_add),
        (Some("min"), Type::U32) => |_, w, i, mask| reduce(w, i, mask, u32::min),
        (Some("max"), Type::U32) => |_, w, i, mask| reduce(w, i, mask, u32::max),
        (Some("min"), Type::S32) => {
            |_, w, i, mask| reduce(w, i, mask, |a, b| (a as i32).min(b as i32) as u32)
        }
        (Some("max"), Type::S32) => {
            |_, w, i, mask| reduce(w, i, mask, |a, b| (a as i32).max(b as i32) as u32)
        }
        (Some("and"), Type::B32) => |_, w, i, mask| reduce(w, i, mask, |a, b| a & b),
        (Some("or"), Type::B32) => |_, w, i, mask| reduce(w, i, mask, |a, b| a | b),
        (Some("xor"), Type::B32) => |_, w, i, mask| reduce(w, i, mask, |a, b| a ^ b),
        _ => return Ok(None),
    };
    Ok(Some(Action::Collective(effect)))
}

fn reduce(warp: &mut Warp, instr: &Instr, mask: u32, join: fn(u32, u32) -> u32) -> Result<(), Trouble> {
    by_members(warp, instr, mask, |warp, set| {
        let a = u32::of(&warp.registers, instr.args.a);
        let all = lanes(set).map(|lane| a[lane]).reduce(join).unwrap_or(0);
        u32::put(&mut warp.registers, instr.args.d, set, [all; LANES]);
    });
    Ok(())
}

fn elect(_: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    by_members(warp, instr, mask, |warp, set| {
        let leader = set.trailing_zeros();
        u32::put(&mut warp.registers, instr.args.d, set, [leader; LANES]);
        put_predicate(warp, instr.args.c, set, 1 << leader);
    });
    Ok(())
}
