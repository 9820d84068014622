//! Reciprocals and roots of a given rounding, and what kind of number one is.

use super::float::{FLUSHES, shaped, take_direction};
use super::rounding::{Direction, div_f32, div_f64, sqrt_f32, sqrt_f64};
use super::{Found, approximate, binary, unary};
use crate::code::Class;
use crate::decode::decoder::{Decoder, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Float;
    let kind = d.kind(0)?;
    let is_approximate = d.flag("approx");
    match d.base {
        "copysign" => match kind {
            Type::F32 => binary!(d; f32, f32 => f32; |a, b| b.copysign(a)),
            _ => binary!(d; f64, f64 => f64; |a, b| b.copysign(a)),
        },
        "testp" => test(d, kind),
        "rcp" | "sqrt" if !is_approximate => {
            let direction = take_direction(d);
            let ftz = d.flag("ftz");
            d.out.args.mode = direction as u32 | if ftz { FLUSHES } else { 0 };
            match (d.base, kind) {
                ("rcp", Type::F32) => d.unary::<f32, f32>(|r, args, mask| {
                    shaped(r, args, mask, |a, _, _, at| div_f32(1.0, a, at));
                }),
                ("sqrt", Type::F32) => d.unary::<f32, f32>(|r, args, mask| {
                    shaped(r, args, mask, |a, _, _, at| sqrt_f32(a, at));
                }),
                (base, Type::F64) => double(d, base == "rcp", direction),
                _ => Ok(None),
            }
        }
        _ => approximate::decode(d, kind),
    }
}

fn double(d: &mut Decoder<'_, '_, '_>, is_reciprocal: bool, direction: Direction) -> Found {
    match (is_reciprocal, direction) {
        (true, Direction::Nearest) => unary!(d; f64 => f64; |a| 1.0 / a),
        (true, Direction::Zero) => unary!(d; f64 => f64; |a| div_f64(1.0, a, Direction::Zero)),
        (true, Direction::Down) => unary!(d; f64 => f64; |a| div_f64(1.0, a, Direction::Down)),
        (true, Direction::Up) => unary!(d; f64 => f64; |a| div_f64(1.0, a, Direction::Up)),
        (false, Direction::Nearest) => unary!(d; f64 => f64; |a| a.sqrt()),
        (false, Direction::Zero) => unary!(d; f64 => f64; |a| sqrt_f64(a, Direction::Zero)),
        (false, Direction::Down) => unary!(d; f64 => f64; |a| sqrt_f64(a, Direction::Down)),
        (false, Direction::Up) => unary!(d; f64 => f64; |a| sqrt_f64(a, Direction::Up)),
    }
}

fn test(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    let what = d.choice(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"]);
    match (what, kind) {
        (Some("finite"), Type::F32) => unary!(d; f32 => bool; |a| a.is_finite()),
        (Some("infinite"), Type::F32) => unary!(d; f32 => bool; |a| a.is_infinite()),
        (Some("number"), Type::F32) => unary!(d; f32 => bool; |a| !a.is_nan()),
        (Some("notanumber"), Type::F32) => unary!(d; f32 => bool; |a| a.is_nan()),
        (Some("normal"), Type::F32) => unary!(d; f32 => bool; |a| a.is_normal()),
        (Some("subnormal"), Type::F32) => unary!(d; f32 => bool; |a| a.is_subnormal()),
        (Some("finite"), Type::F64) => unary!(d; f64 => bool; |a| a.is_finite()),
        (Some("infinite"), Type::F64) => unary!(d; f64 => bool; |a| a.is_infinite()),
        (Some("number"), Type::F64) => unary!(d; f64 => bool; |a| !a.is_nan()),
        (Some("notanumber"), Type::F64) => unary!(d; f64 => bool; |a| a.is_nan()),
        (Some("normal"), Type::F64) => unary!(d; f64 => bool; |a| a.is_normal()),
        (Some("subnormal"), Type::F64) => unary!(d; f64 => bool; |a| a.is_subnormal()),
        _ => Ok(None),
    }
}
