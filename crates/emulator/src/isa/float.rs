//! Arithmetic in single and double precision.

use super::rounding::{
    Direction, add_f32, add_f64, canonical, div_f32, div_f64, flush, fma_f32, fma_f64, mul_f32, mul_f64,
    saturate, saturate_f64,
};
use super::{Found, approximate, binary, ternary, unary};
use crate::code::{Args, Class};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::registers::{LANES, Registers, Row, Value};

/// Bits of `args.mode`: the rounding in the lowest two.
pub(super) const FLUSHES: u32 = 4;
pub(super) const SATURATES: u32 = 8;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Float;
    if d.base == "div" && (d.flag("approx") || d.flag("full")) {
        return approximate::divide(d);
    }
    let direction = take_direction(d);
    let (ftz, sat) = (d.flag("ftz"), d.flag("sat"));
    d.out.args.mode = direction as u32 | if ftz { FLUSHES } else { 0 } | if sat { SATURATES } else { 0 };
    if d.kind(0)? == Type::F64 {
        return double(d);
    }
    let is_plain = direction == Direction::Nearest && !sat;
    match d.base {
        "add" if is_plain && ftz => binary!(d; f32, f32 => f32; |a, b| canonical(flush(flush(a) + flush(b)))),
        "add" if is_plain => binary!(d; f32, f32 => f32; |a, b| canonical(a + b)),
        "add" => {
            d.binary::<f32, f32, f32>(|r, args, mask| shaped(r, args, mask, |a, b, _, at| add_f32(a, b, at)))
        }
        "sub" if is_plain && ftz => binary!(d; f32, f32 => f32; |a, b| canonical(flush(flush(a) - flush(b)))),
        "sub" if is_plain => binary!(d; f32, f32 => f32; |a, b| canonical(a - b)),
        "sub" => {
            d.binary::<f32, f32, f32>(|r, args, mask| shaped(r, args, mask, |a, b, _, at| add_f32(a, -b, at)))
        }
        "mul" if is_plain && ftz => binary!(d; f32, f32 => f32; |a, b| canonical(flush(flush(a) * flush(b)))),
        "mul" if is_plain => binary!(d; f32, f32 => f32; |a, b| canonical(a * b)),
        "mul" => {
            d.binary::<f32, f32, f32>(|r, args, mask| shaped(r, args, mask, |a, b, _, at| mul_f32(a, b, at)))
        }
        "div" => {
            d.binary::<f32, f32, f32>(|r, args, mask| shaped(r, args, mask, |a, b, _, at| div_f32(a, b, at)))
        }
        "fma" | "mad" if is_plain && !ftz => d.ternary::<f32, f32, f32, f32>(|r, args, mask| {
            let fused = fused(&f32::of(r, args.a), &f32::of(r, args.b), &f32::of(r, args.c));
            f32::put(r, args.d, mask, fused.map(canonical));
        }),
        "fma" | "mad" => d.ternary::<f32, f32, f32, f32>(|r, args, mask| shaped(r, args, mask, fma_f32)),
        "neg" if ftz => unary!(d; f32 => f32; |a| -flush(a)),
        "neg" => unary!(d; f32 => f32; |a| -a),
        "abs" if ftz => unary!(d; f32 => f32; |a| flush(a).abs()),
        "abs" => unary!(d; f32 => f32; |a| a.abs()),
        "min" | "max" => extremum(d, ftz),
        _ => Ok(None),
    }
}

/// The rounding that an opcode asks for.
pub(super) fn take_direction(d: &mut Decoder<'_, '_, '_>) -> Direction {
    match d.choice(&["rn", "rz", "rm", "rp"]) {
        Some("rz") => Direction::Zero,
        Some("rm") => Direction::Down,
        Some("rp") => Direction::Up,
        _ => Direction::Nearest,
    }
}

fn direction_of(mode: u32) -> Direction {
    match mode & 3 {
        0 => Direction::Nearest,
        1 => Direction::Zero,
        2 => Direction::Down,
        _ => Direction::Up,
    }
}

/// An operation on up to three operands with the rounding, flushing and clamping of the mode.
pub(super) fn shaped(r: &mut Registers, args: &Args, mask: u32, work: fn(f32, f32, f32, Direction) -> f32) {
    let read = |index: u32| if index == crate::code::NONE { [0.0; LANES] } else { f32::of(r, index) };
    let (a, b, c) = (read(args.a), read(args.b), read(args.c));
    let (direction, flushes) = (direction_of(args.mode), args.mode & FLUSHES != 0);
    let ftz = |value: f32| if flushes { flush(value) } else { value };
    let result = std::array::from_fn(|lane| {
        let result = canonical(ftz(work(ftz(a[lane]), ftz(b[lane]), ftz(c[lane]), direction)));
        if args.mode & SATURATES != 0 { saturate(result) } else { result }
    });
    f32::put(r, args.d, mask, result);
}

fn shaped_f64(r: &mut Registers, args: &Args, mask: u32, work: fn(f64, f64, f64, Direction) -> f64) {
    let read = |index: u32| if index == crate::code::NONE { [0.0; LANES] } else { f64::of(r, index) };
    let (a, b, c) = (read(args.a), read(args.b), read(args.c));
    let direction = direction_of(args.mode);
    let result = std::array::from_fn(|lane| {
        let result = work(a[lane], b[lane], c[lane], direction);
        if args.mode & SATURATES != 0 { saturate_f64(result) } else { result }
    });
    f64::put(r, args.d, mask, result);
}

/// Multiply-add with one rounding, in vectors where the host has them: the function behind `mul_add` is a call.
fn fused(a: &Row<f32>, b: &Row<f32>, c: &Row<f32>) -> Row<f32> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the host has both features.
        return unsafe { fused_by_vectors(a, b, c) };
    }
    std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fused_by_vectors(a: &Row<f32>, b: &Row<f32>, c: &Row<f32>) -> Row<f32> {
    let mut result = [0.0; LANES];
    for lane in 0..LANES {
        result[lane] = a[lane].mul_add(b[lane], c[lane]);
    }
    result
}

fn double(d: &mut Decoder<'_, '_, '_>) -> Found {
    let is_plain = d.out.args.mode == 0;
    match d.base {
        "add" if is_plain => binary!(d; f64, f64 => f64; |a, b| a + b),
        "sub" if is_plain => binary!(d; f64, f64 => f64; |a, b| a - b),
        "mul" if is_plain => binary!(d; f64, f64 => f64; |a, b| a * b),
        "div" if is_plain => binary!(d; f64, f64 => f64; |a, b| a / b),
        "fma" | "mad" if is_plain => ternary!(d; f64, f64, f64 => f64; |a, b, c| a.mul_add(b, c)),
        "add" => d.binary::<f64, f64, f64>(|r, args, mask| {
            shaped_f64(r, args, mask, |a, b, _, at| add_f64(a, b, at));
        }),
        "sub" => d.binary::<f64, f64, f64>(|r, args, mask| {
            shaped_f64(r, args, mask, |a, b, _, at| add_f64(a, -b, at));
        }),
        "mul" => d.binary::<f64, f64, f64>(|r, args, mask| {
            shaped_f64(r, args, mask, |a, b, _, at| mul_f64(a, b, at));
        }),
        "div" => d.binary::<f64, f64, f64>(|r, args, mask| {
            shaped_f64(r, args, mask, |a, b, _, at| div_f64(a, b, at));
        }),
        "fma" | "mad" => d.ternary::<f64, f64, f64, f64>(|r, args, mask| shaped_f64(r, args, mask, fma_f64)),
        "neg" => unary!(d; f64 => f64; |a| -a),
        "abs" => unary!(d; f64 => f64; |a| a.abs()),
        "min" => binary!(d; f64, f64 => f64; |a, b| pick(a, b, a < b || (a == b && a.is_sign_negative()))),
        "max" => binary!(d; f64, f64 => f64; |a, b| pick(a, b, a > b || (a == b && a.is_sign_positive()))),
        _ => Ok(None),
    }
}

/// The first if it is the one wanted; a number before NaN.
fn pick(a: f64, b: f64, is_first: bool) -> f64 {
    if b.is_nan() || is_first { a } else { b }
}

/// The smaller, a number before NaN, -0 before +0.
pub(super) fn least(a: f32, b: f32) -> f32 {
    let is_first = a < b || (a == b && a.is_sign_negative());
    canonical(if b.is_nan() || is_first { a } else { b })
}

/// The larger, a number before NaN, +0 before -0.
pub(super) fn greatest(a: f32, b: f32) -> f32 {
    let is_first = a > b || (a == b && a.is_sign_positive());
    canonical(if b.is_nan() || is_first { a } else { b })
}

/// NaN if either is NaN.
pub(super) fn or_nan(a: f32, b: f32, otherwise: f32) -> f32 {
    if a.is_nan() || b.is_nan() { canonical(f32::NAN) } else { otherwise }
}

fn extremum(d: &mut Decoder<'_, '_, '_>, ftz: bool) -> Found {
    match (d.base, d.flag("NaN"), ftz) {
        ("min", false, false) => binary!(d; f32, f32 => f32; |a, b| least(a, b)),
        ("min", false, true) => binary!(d; f32, f32 => f32; |a, b| least(flush(a), flush(b))),
        ("min", true, false) => binary!(d; f32, f32 => f32; |a, b| or_nan(a, b, least(a, b))),
        ("min", true, true) => binary!(d; f32, f32 => f32; |a, b| or_nan(a, b, least(flush(a), flush(b)))),
        ("max", false, false) => binary!(d; f32, f32 => f32; |a, b| greatest(a, b)),
        ("max", false, true) => binary!(d; f32, f32 => f32; |a, b| greatest(flush(a), flush(b))),
        ("max", true, false) => binary!(d; f32, f32 => f32; |a, b| or_nan(a, b, greatest(a, b))),
        ("max", true, true) => binary!(d; f32, f32 => f32; |a, b| or_nan(a, b, greatest(flush(a), flush(b)))),
        _ => Ok(None),
    }
}
