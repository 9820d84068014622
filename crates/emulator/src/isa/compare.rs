//! Comparisons and selections.

use half::{bf16, f16};

use super::Found;
use super::rounding::flush;
use crate::code::{Action, Args, Class, NONE, Pure};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::registers::{File, LANES, Registers, Row, Value};
use crate::ptx::syntax::Operand;

/// For which outcomes a comparison holds.
const LESS: u32 = 1;
const EQUAL: u32 = 2;
const GREATER: u32 = 4;
const UNORDERED: u32 = 8;
/// How `setp` combines with its last operand.
const AND: u32 = 16;
const OR: u32 = 32;
const XOR: u32 = 64;
/// `set` writes 1.0, not all ones.
const AS_FLOAT: u32 = 128;
const FTZ: u32 = 256;

const NAMES: &[(&str, u32)] = &[
    ("eq", EQUAL),
    ("ne", LESS | GREATER),
    ("lt", LESS),
    ("le", LESS | EQUAL),
    ("gt", GREATER),
    ("ge", GREATER | EQUAL),
    ("lo", LESS),
    ("ls", LESS | EQUAL),
    ("hi", GREATER),
    ("hs", GREATER | EQUAL),
    ("equ", EQUAL | UNORDERED),
    ("neu", LESS | GREATER | UNORDERED),
    ("ltu", LESS | UNORDERED),
    ("leu", LESS | EQUAL | UNORDERED),
    ("gtu", GREATER | UNORDERED),
    ("geu", GREATER | EQUAL | UNORDERED),
    ("num", LESS | EQUAL | GREATER),
    ("nan", UNORDERED),
];

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    let kind = d.kind(0)?;
    match d.base {
        "setp" => decode_setp(d, kind),
        "set" => decode_set(d),
        "selp" => Ok(Some(match kind.file() {
            File::B16 => select::<u16>(d)?,
            File::B32 => select::<u32>(d)?,
            File::B64 => select::<u64>(d)?,
            File::Pred => return Ok(None),
        })),
        _ => match (kind.file(), d.kind(1)?) {
            (File::B16, Type::S32) => {
                super::ternary!(d; u16, u16, i32 => u16; |a, b, c| if c >= 0 { a } else { b })
            }
            (File::B32, Type::S32) => {
                super::ternary!(d; u32, u32, i32 => u32; |a, b, c| if c >= 0 { a } else { b })
            }
            (File::B64, Type::S32) => {
                super::ternary!(d; u64, u64, i32 => u64; |a, b, c| if c >= 0 { a } else { b })
            }
            (File::B32, Type::F32) => {
                super::ternary!(d; u32, u32, f32 => u32; |a, b, c| if c >= 0.0 { a } else { b })
            }
            (File::B64, Type::F32) => {
                super::ternary!(d; u64, u64, f32 => u64; |a, b, c| if c >= 0.0 { a } else { b })
            }
            _ => Ok(None),
        },
    }
}

fn select<T: Value>(d: &mut Decoder<'_, '_, '_>) -> Result<Action, crate::ptx::Mistake> {
    d.out.args.a = d.source::<T>(1)?;
    d.out.args.b = d.source::<T>(2)?;
    d.out.args.c = d.source::<bool>(3)?;
    d.out.args.d = d.target::<T>(0)?;
    Ok(Action::Pure(|r, args, mask| {
        let (a, b, c) = (T::of(r, args.a), T::of(r, args.b), r.pred(args.c));
        let chosen = |lane: usize| if c >> lane & 1 != 0 { a[lane] } else { b[lane] };
        T::put(r, args.d, mask, std::array::from_fn(chosen));
    }))
}

/// The modifiers that say what is compared and how it is combined.
fn take_mode(d: &mut Decoder<'_, '_, '_>) -> u32 {
    let outcomes = NAMES.iter().find(|(name, _)| d.flag(name)).map_or(0, |(_, outcomes)| *outcomes);
    let combined = match d.choice(&["and", "or", "xor"]) {
        Some("and") => AND,
        Some("or") => OR,
        Some(_) => XOR,
        None => 0,
    };
    outcomes | combined | if d.flag("ftz") { FTZ } else { 0 }
}

fn decode_setp(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    d.out.args.mode = take_mode(d);
    if d.out.args.mode & 15 == 0 {
        return Ok(None);
    }
    let (first, second) = match d.operand(0)? {
        Operand::Pair(pair) => (&pair[0], Some(&pair[1])),
        single => (single, None),
    };
    d.out.args.d = d.target_of(first, File::Pred)?;
    if let Some(second) = second {
        d.out.args.e = d.target_of(second, File::Pred)?;
    }
    if d.out.args.mode & (AND | OR | XOR) != 0 {
        d.out.args.c = d.source::<bool>(3)?;
    }
    compare(d, kind, true)
}

fn decode_set(d: &mut Decoder<'_, '_, '_>) -> Found {
    let (result, kind) = (d.kind(0)?, d.kind(1)?);
    d.out.args.mode = take_mode(d);
    if d.out.args.mode & 15 == 0 || d.out.args.mode & (AND | OR | XOR) != 0 {
        return Ok(None);
    }
    match (result, kind) {
        (Type::F16x2 | Type::Bf16x2, _) => {
            d.out.args.mode |= AS_FLOAT;
            return pairs(d, kind);
        }
        (Type::U32 | Type::S32, Type::F16x2 | Type::Bf16x2) => return pairs(d, kind),
        (Type::F32 | Type::F16 | Type::Bf16, _) => d.out.args.mode |= AS_FLOAT,
        (Type::U32 | Type::S32 | Type::U16 | Type::S16, _) => {}
        _ => return Ok(None),
    }
    d.out.file = result.file();
    // One in the format of the result, kept as a constant of its own.
    d.out.args.c = match (result, d.out.args.mode & AS_FLOAT != 0) {
        (Type::F32, _) => 0x3f80_0000,
        (Type::F16, _) => 0x3c00,
        (Type::Bf16, _) => 0x3f80,
        _ => u32::MAX,
    };
    let file = result.file();
    let operand = d.operand(0)?;
    d.out.args.d = d.target_of(operand, file)?;
    d.out.args.e = u32::from(file == File::B16);
    compare(d, kind, false)
}

/// The operation for a type: `setp` if `is_pred`, else `set`.
fn compare(d: &mut Decoder<'_, '_, '_>, kind: Type, is_pred: bool) -> Found {
    macro_rules! of {
        ($type:ty, $fix:expr) => {{
            d.out.args.a = d.source::<$type>(1)?;
            d.out.args.b = d.source::<$type>(2)?;
            let pure: Pure = if is_pred {
                |r, args, mask| setp(r, args, mask, outcomes::<$type>(r, args, $fix))
            } else {
                |r, args, mask| set(r, args, mask, outcomes::<$type>(r, args, $fix))
            };
            pure
        }};
    }
    let pure = match kind {
        Type::U16 | Type::B16 => of!(u16, |a| a),
        Type::S16 => of!(i16, |a| a),
        Type::U32 | Type::B32 => of!(u32, |a| a),
        Type::S32 => of!(i32, |a| a),
        Type::U64 | Type::B64 => of!(u64, |a| a),
        Type::S64 => of!(i64, |a| a),
        Type::F32 if d.out.args.mode & FTZ != 0 => of!(f32, flush),
        Type::F32 => of!(f32, |a| a),
        Type::F64 => of!(f64, |a| a),
        Type::F16 => of!(f16, |a| a),
        Type::Bf16 => of!(bf16, |a| a),
        _ => return Ok(None),
    };
    if matches!(kind, Type::F32 | Type::F64 | Type::F16 | Type::Bf16) {
        d.out.class = Class::Float;
    }
    Ok(Some(Action::Pure(pure)))
}

/// The lanes for which the comparison holds.
#[inline(always)]
fn outcomes<T: Value + PartialOrd>(r: &Registers, args: &Args, fix: impl Fn(T) -> T) -> u32 {
    let (a, b): (Row<T>, Row<T>) = (T::of(r, args.a), T::of(r, args.b));
    let (mut less, mut equal, mut greater) = (0, 0, 0);
    for lane in 0..LANES {
        let (a, b) = (fix(a[lane]), fix(b[lane]));
        less |= u32::from(a < b) << lane;
        equal |= u32::from(a == b) << lane;
        greater |= u32::from(a > b) << lane;
    }
    let when = |outcome: u32, lanes: u32| if args.mode & outcome != 0 { lanes } else { 0 };
    let unordered = !(less | equal | greater);
    when(LESS, less) | when(EQUAL, equal) | when(GREATER, greater) | when(UNORDERED, unordered)
}

fn setp(r: &mut Registers, args: &Args, mask: u32, holds: u32) {
    let other = if args.mode & (AND | OR | XOR) != 0 { r.pred(args.c) } else { 0 };
    let combine = |lanes: u32| match args.mode & (AND | OR | XOR) {
        AND => lanes & other,
        OR => lanes | other,
        XOR => lanes ^ other,
        _ => lanes,
    };
    let mut put = |index: u32, lanes: u32| {
        let row = &mut r.pred[index as usize];
        *row = (*row & !mask) | (lanes & mask);
    };
    put(args.d, combine(holds));
    if args.e != NONE {
        put(args.e, combine(!holds));
    }
}

fn set(r: &mut Registers, args: &Args, mask: u32, holds: u32) {
    let file = if args.e != 0 { File::B16 } else { File::B32 };
    let value = |lane: usize| if holds >> lane & 1 != 0 { u64::from(args.c) } else { 0 };
    r.put_wide(file, args.d, mask, &std::array::from_fn(value));
}

/// `set` on pairs of 16-bit floats.
fn pairs(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    fn work<H: Copy + PartialOrd>(r: &mut Registers, args: &Args, mask: u32, one: u16)
    where
        [H; 2]: Value,
    {
        let (a, b) = (<[H; 2]>::of(r, args.a), <[H; 2]>::of(r, args.b));
        let holds = |a: H, b: H| {
            let outcome = match a.partial_cmp(&b) {
                Some(std::cmp::Ordering::Less) => LESS,
                Some(std::cmp::Ordering::Equal) => EQUAL,
                Some(std::cmp::Ordering::Greater) => GREATER,
                None => UNORDERED,
            };
            let one = if args.mode & AS_FLOAT != 0 { one } else { u16::MAX };
            if args.mode & outcome != 0 { u32::from(one) } else { 0 }
        };
        let result = |lane: usize| holds(a[lane][0], b[lane][0]) | holds(a[lane][1], b[lane][1]) << 16;
        u32::put(r, args.d, mask, std::array::from_fn(result));
    }
    d.out.class = Class::Float;
    match kind {
        Type::F16x2 => d.binary::<u32, u32, u32>(|r, args, mask| work::<f16>(r, args, mask, 0x3c00)),
        Type::Bf16x2 => d.binary::<u32, u32, u32>(|r, args, mask| work::<bf16>(r, args, mask, 0x3f80)),
        _ => Ok(None),
    }
}
