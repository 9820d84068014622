//! `cvt`: the rules are in [`crate::convert`], here are the registers.

use super::Found;
use crate::code::{Action, Class, Extra, Instr};
use crate::convert::Conversion;
use crate::decode::decoder::{Decoder, Type};
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, LANES, Value};
use crate::exec::warp::Warp;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    let spelling = d.written.opcode.strip_prefix("cvt.").unwrap_or("");
    d.rest();
    let conversion = match Conversion::parse(spelling) {
        Ok(conversion) => conversion,
        Err(error) => return d.mistake(format!("unsupported instruction: {error}")),
    };
    d.out.extra = Extra::Convert(conversion);
    let (to, from) = (d.kind(0)?, d.kind(1)?);
    d.out.class = if is_float(to) || is_float(from) { Class::Float } else { Class::Integer };
    if conversion.is_pair() {
        d.out.args.a = d.source::<u32>(1)?;
        d.out.args.b = d.source::<u32>(2)?;
        d.out.args.d = d.target::<u32>(0)?;
        return Ok(Some(Action::Effect(convert_pair)));
    }
    // Registers may be wider than the type: the low bits are read, and the result is extended.
    let (source_file, source) = d.source_any(1, from.file())?;
    let operand = d.operand(0)?;
    let (target_file, target) = d.target_any(operand, to.file())?;
    if source_file.bytes() < u64::from(from.bytes()) || target_file.bytes() < u64::from(to.bytes()) {
        return d.mistake("a register narrower than its type");
    }
    (d.out.args.a, d.out.args.d, d.out.file) = (source, target, target_file);
    let is_exact_fit = source_file == from.file() && target_file == to.file();
    if is_exact_fit
        && !conversion.saturates()
        && let Some(fast) = fast(to, from)
    {
        return Ok(Some(fast));
    }
    Ok(Some(Action::Effect(match source_file {
        File::B16 => |block, warp, instr, mask| convert::<u16>(block, warp, instr, mask),
        File::B32 => |block, warp, instr, mask| convert::<u32>(block, warp, instr, mask),
        File::B64 => |block, warp, instr, mask| convert::<u64>(block, warp, instr, mask),
        File::Pred => return Ok(None),
    })))
}

fn is_float(kind: Type) -> bool {
    matches!(kind, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 | Type::F32 | Type::Tf32 | Type::F64)
}

/// Indices are widened and cut all the time.
fn fast(to: Type, from: Type) -> Option<Action> {
    Some(Action::Pure(match (to, from) {
        (Type::U64 | Type::S64, Type::U32) => |r, args, mask| {
            let a = u32::of(r, args.a);
            u64::put(r, args.d, mask, a.map(u64::from));
        },
        (Type::U64 | Type::S64, Type::S32) => |r, args, mask| {
            let a = i32::of(r, args.a);
            i64::put(r, args.d, mask, a.map(i64::from));
        },
        (Type::U32 | Type::S32, Type::U64 | Type::S64) => |r, args, mask| {
            let a = u64::of(r, args.a);
            u32::put(r, args.d, mask, a.map(|a| a as u32));
        },
        _ => return None,
    }))
}

fn convert<A: Value + Into<u64>>(
    _: &mut Block<'_>,
    warp: &mut Warp,
    instr: &Instr,
    mask: u32,
) -> Result<(), Trouble> {
    if let Extra::Convert(conversion) = &instr.extra {
        let a = A::of(&warp.registers, instr.args.a);
        let result = std::array::from_fn(|lane| {
            // Lanes that take no part may hold anything, and odd values are slow to convert.
            if mask >> lane & 1 != 0 { conversion.apply(a[lane].into()) } else { 0 }
        });
        warp.registers.put_wide(instr.file, instr.args.d, mask, &result);
    }
    Ok(())
}

fn convert_pair(_: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    if let Extra::Convert(conversion) = &instr.extra {
        let r = &mut warp.registers;
        let (a, b) = (u32::of(r, instr.args.a), u32::of(r, instr.args.b));
        let mut result = [0; LANES];
        for lane in (0..LANES).filter(|lane| mask >> lane & 1 != 0) {
            result[lane] = conversion.apply_pair(a[lane], b[lane]);
        }
        u32::put(r, instr.args.d, mask, result);
    }
    Ok(())
}
