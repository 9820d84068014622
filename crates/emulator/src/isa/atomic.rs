//! `atom` and `red`, on global and shared memory.

use half::{bf16, f16};

use super::Found;
use super::load::{take_hints, take_space};
use super::rounding::canonical;
use crate::code::{AccessSpace, Action, Class, Instr, NONE};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::access::{check_alignment, parts, value_of};
use crate::exec::address::addresses;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{LANES, lanes};
use crate::exec::warp::Warp;

/// What becomes of the old value, given up to two operands.
type Update = fn(u64, u64, u64) -> u64;

/// Every operation by its name and type. `args.mode` is the place in this table.
const UPDATES: &[(&str, Type, Update)] = &[
    ("add", Type::U32, |old, b, _| u64::from((old as u32).wrapping_add(b as u32))),
    ("add", Type::S32, |old, b, _| u64::from((old as u32).wrapping_add(b as u32))),
    ("add", Type::U64, |old, b, _| old.wrapping_add(b)),
    ("add", Type::F32, |old, b, _| canonical(single(old) + single(b)).to_bits().into()),
    ("add", Type::F64, |old, b, _| (f64::from_bits(old) + f64::from_bits(b)).to_bits()),
    ("add", Type::F16, |old, b, _| add_f16(old as u16, b as u16).into()),
    ("add", Type::Bf16, |old, b, _| add_bf16(old as u16, b as u16).into()),
    ("add", Type::F16x2, |old, b, _| pair(old, b, add_f16)),
    ("add", Type::Bf16x2, |old, b, _| pair(old, b, add_bf16)),
    ("inc", Type::U32, |old, b, _| if old >= b { 0 } else { old + 1 }),
    ("dec", Type::U32, |old, b, _| if old == 0 || old > b { b } else { old - 1 }),
    ("min", Type::U32, |old, b, _| old.min(b)),
    ("max", Type::U32, |old, b, _| old.max(b)),
    ("min", Type::S32, |old, b, _| u64::from((old as i32).min(b as i32) as u32)),
    ("max", Type::S32, |old, b, _| u64::from((old as i32).max(b as i32) as u32)),
    ("min", Type::U64, |old, b, _| old.min(b)),
    ("max", Type::U64, |old, b, _| old.max(b)),
    ("min", Type::S64, |old, b, _| (old as i64).min(b as i64) as u64),
    ("max", Type::S64, |old, b, _| (old as i64).max(b as i64) as u64),
    ("and", Type::B32, |old, b, _| old & b),
    ("or", Type::B32, |old, b, _| old | b),
    ("xor", Type::B32, |old, b, _| old ^ b),
    ("and", Type::B64, |old, b, _| old & b),
    ("or", Type::B64, |old, b, _| old | b),
    ("xor", Type::B64, |old, b, _| old ^ b),
    ("exch", Type::B32, |_, b, _| b),
    ("exch", Type::B64, |_, b, _| b),
    ("cas", Type::B16, |old, b, c| if old == b { c } else { old }),
    ("cas", Type::B32, |old, b, c| if old == b { c } else { old }),
    ("cas", Type::B64, |old, b, c| if old == b { c } else { old }),
];

fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn add_f16(a: u16, b: u16) -> u16 {
    f16::from_f32(f16::from_bits(a).to_f32() + f16::from_bits(b).to_f32()).to_bits()
}

fn add_bf16(a: u16, b: u16) -> u16 {
    bf16::from_f32(bf16::from_bits(a).to_f32() + bf16::from_bits(b).to_f32()).to_bits()
}

fn pair(a: u64, b: u64, add: fn(u16, u16) -> u16) -> u64 {
    u64::from(add(a as u16, b as u16)) | u64::from(add((a >> 16) as u16, (b >> 16) as u16)) << 16
}

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Memory;
    take_space(d);
    let kind = d.kind(0)?;
    d.flag("noftz");
    let names = ["add", "inc", "dec", "min", "max", "and", "or", "xor", "exch", "cas"];
    let Some(name) = d.choice(&names) else { return Ok(None) };
    let Some(place) =
        UPDATES.iter().position(|(its_name, its_kind, _)| *its_name == name && *its_kind == kind)
    else {
        return Ok(None);
    };
    d.out.effect = take_hints(d, crate::check::Effect::UPDATE);
    d.out.args.mode = place as u32;
    d.out.file = kind.file();
    (d.out.access.width, d.out.access.count) = (kind.bytes(), 1);
    let first = usize::from(d.base == "atom");
    if first == 1 {
        let target = d.operand(0)?;
        d.out.args.d = d.target_of(target, kind.file())?;
    }
    d.address(first)?;
    let operand = d.operand(first + 1)?;
    d.out.args.b = d.source_of(operand, kind.file())?;
    if name == "cas" {
        let operand = d.operand(first + 2)?;
        d.out.args.c = d.source_of(operand, kind.file())?;
    }
    Ok(Some(Action::Effect(update)))
}

fn update(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let (access, args) = (&instr.access, &instr.args);
    let bytes = u64::from(access.width);
    let change = UPDATES[args.mode as usize].2;
    let mut at = addresses(&warp.registers, args.a, access);
    check_alignment(&at, mask, bytes)?;
    let b = warp.registers.wide(instr.file, args.b);
    let c = if args.c == NONE { [0; LANES] } else { warp.registers.wide(instr.file, args.c) };
    let mut result = [0; LANES];
    for (space, part) in parts(access.space, mask, &mut at).into_iter().filter(|(_, part)| *part != 0) {
        for lane in lanes(part) {
            block.counts.atomics += 1;
            // The read judges bounds and whether the bytes were ever written.
            let old = value_of(&block.read(warp, space, at[lane], bytes, lane)?[..bytes as usize]);
            result[lane] = match space {
                AccessSpace::Global | AccessSpace::Generic => {
                    let found = block.locate(at[lane], bytes, lane)?;
                    found.update(at[lane] - found.base, bytes, |old| change(old, b[lane], c[lane]))
                }
                _ => {
                    let new = change(old, b[lane], c[lane]).to_le_bytes();
                    block.write(warp, space, at[lane], &new[..bytes as usize], lane)?;
                    old
                }
            };
        }
        block.watch(warp, space, &at, part, bytes, &[], instr)?;
    }
    if args.d != NONE {
        warp.registers.put_wide(instr.file, args.d, mask, &result);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(name: &str, kind: Type, old: u64, b: u64, c: u64) -> u64 {
        let found = UPDATES.iter().find(|(its_name, its_kind, _)| *its_name == name && *its_kind == kind);
        found.unwrap().2(old, b, c)
    }

    #[test]
    fn updates_at_their_edges() {
        let minus_one = u64::from(u32::MAX);
        assert_eq!(apply("inc", Type::U32, 5, 5, 0), 0);
        assert_eq!(apply("inc", Type::U32, 4, 5, 0), 5);
        assert_eq!(apply("dec", Type::U32, 0, 5, 0), 5);
        assert_eq!(apply("dec", Type::U32, 6, 5, 0), 5);
        assert_eq!(apply("min", Type::S32, minus_one, 0, 0), minus_one);
        assert_eq!(apply("min", Type::U32, minus_one, 0, 0), 0);
        assert_eq!(apply("add", Type::U32, minus_one, 2, 0), 1);
        assert_eq!(apply("cas", Type::B32, 7, 7, 9), 9);
        assert_eq!(apply("add", Type::F16x2, 0x3c00_3c00, 0x3c00_0000, 0), 0x4000_3c00);
    }
}
