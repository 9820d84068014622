//! Reciprocals, roots and the approximate functions.
//!
//! PTX bounds the error of `.approx` forms and says no more. Here they give the correctly rounded value, by way of
//! double precision, which is inside every bound.

use half::{bf16, f16};

use super::float::{FLUSHES, shaped, take_direction};
use super::half::Half;
use super::rounding::{Direction, canonical, div_f32, div_f64, flush, sqrt_f32, sqrt_f64};
use super::{Found, binary, unary};
use crate::code::Class;
use crate::decode::decoder::{Decoder, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Float;
    let kind = d.kind(0)?;
    match d.base {
        "copysign" => match kind {
            Type::F32 => binary!(d; f32, f32 => f32; |a, b| b.copysign(a)),
            _ => binary!(d; f64, f64 => f64; |a, b| b.copysign(a)),
        },
        "testp" => test(d, kind),
        "rcp" | "sqrt" => {
            let is_approximate = d.flag("approx");
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
                // The flushing forms of doubles give the upper half only.
                ("rcp", Type::F64) if is_approximate => {
                    unary!(d; f64 => f64; |a| upper_half(1.0 / flush_f64(a)))
                }
                (base, Type::F64) => double(d, base == "rcp", direction),
                _ => Ok(None),
            }
        }
        _ => approximate(d, kind),
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

fn approximate(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    let (_, ftz) = (d.flag("approx"), d.flag("ftz"));
    match (d.base, kind) {
        ("rsqrt", Type::F32) if ftz => unary!(d; f32 => f32; |a| through(flush(a), |a| 1.0 / a.sqrt())),
        ("rsqrt", Type::F32) => unary!(d; f32 => f32; |a| through(a, |a| 1.0 / a.sqrt())),
        ("rsqrt", Type::F64) if ftz => unary!(d; f64 => f64; |a| upper_half(1.0 / flush_f64(a).sqrt())),
        ("rsqrt", Type::F64) => unary!(d; f64 => f64; |a| 1.0 / a.sqrt()),
        ("sin", Type::F32) if ftz => unary!(d; f32 => f32; |a| flush(through(flush(a), f64::sin))),
        ("sin", Type::F32) => unary!(d; f32 => f32; |a| through(a, f64::sin)),
        ("cos", Type::F32) if ftz => unary!(d; f32 => f32; |a| flush(through(flush(a), f64::cos))),
        ("cos", Type::F32) => unary!(d; f32 => f32; |a| through(a, f64::cos)),
        ("ex2", Type::F32) if ftz => unary!(d; f32 => f32; |a| flush(through(flush(a), f64::exp2))),
        ("ex2", Type::F32) => unary!(d; f32 => f32; |a| through(a, f64::exp2)),
        ("lg2", Type::F32) if ftz => unary!(d; f32 => f32; |a| flush(through(flush(a), f64::log2))),
        ("lg2", Type::F32) => unary!(d; f32 => f32; |a| through(a, f64::log2)),
        ("tanh", Type::F32) => unary!(d; f32 => f32; |a| through(a, f64::tanh)),
        ("ex2", Type::F16) => unary!(d; f16 => f16; |a| half_through(a, f64::exp2)),
        ("ex2", Type::Bf16) => unary!(d; bf16 => bf16; |a| half_through(a, f64::exp2)),
        ("tanh", Type::F16) => unary!(d; f16 => f16; |a| half_through(a, f64::tanh)),
        ("tanh", Type::Bf16) => unary!(d; bf16 => bf16; |a| half_through(a, f64::tanh)),
        ("ex2", Type::F16x2) => unary!(d; [f16; 2] => [f16; 2]; |a| a.map(|a| half_through(a, f64::exp2))),
        ("ex2", Type::Bf16x2) => unary!(d; [bf16; 2] => [bf16; 2]; |a| a.map(|a| half_through(a, f64::exp2))),
        ("tanh", Type::F16x2) => unary!(d; [f16; 2] => [f16; 2]; |a| a.map(|a| half_through(a, f64::tanh))),
        ("tanh", Type::Bf16x2) => {
            unary!(d; [bf16; 2] => [bf16; 2]; |a| a.map(|a| half_through(a, f64::tanh)))
        }
        _ => Ok(None),
    }
}

/// `div.approx` and `div.full`.
pub(super) fn divide(d: &mut Decoder<'_, '_, '_>) -> Found {
    let is_full = d.flag("full");
    d.flag("approx");
    match (d.flag("ftz"), is_full) {
        (true, true) => binary!(d; f32, f32 => f32; |a, b| canonical(flush(flush(a) / flush(b)))),
        (false, true) => binary!(d; f32, f32 => f32; |a, b| canonical(a / b)),
        (true, false) => binary!(d; f32, f32 => f32; |a, b| flush(quotient(flush(a), flush(b)))),
        (false, false) => binary!(d; f32, f32 => f32; |a, b| quotient(a, b)),
    }
}

/// `div.approx` multiplies by the reciprocal, which is lost for divisors above 2^126.
fn quotient(a: f32, b: f32) -> f32 {
    const LOST_ABOVE: f32 = 8.507_059e37;
    let reciprocal_is_lost = b.is_finite() && b.abs() > LOST_ABOVE;
    canonical(if reciprocal_is_lost { a * 0.0f32.copysign(b) } else { a / b })
}

fn through(a: f32, work: fn(f64) -> f64) -> f32 {
    canonical(work(f64::from(a)) as f32)
}

fn half_through<H: Half>(a: H, work: fn(f64) -> f64) -> H {
    H::round_f64(work(f64::from(a.wide())))
}

fn flush_f64(value: f64) -> f64 {
    if value.is_subnormal() { 0.0f64.copysign(value) } else { value }
}

fn upper_half(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & 0xffff_ffff_0000_0000)
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
