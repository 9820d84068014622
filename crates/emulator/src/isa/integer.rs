//! Integer arithmetic.

use super::{Found, binary, ternary, unary};
use crate::decode::decoder::{Decoder, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    let (kind, base) = (d.kind(0)?, d.base);
    let sat = matches!(base, "add" | "sub") && d.flag("sat");
    match base {
        "add" if sat => match kind {
            Type::S32 => binary!(d; i32, i32 => i32; |a, b| a.saturating_add(b)),
            _ => Ok(None),
        },
        "sub" if sat => match kind {
            Type::S32 => binary!(d; i32, i32 => i32; |a, b| a.saturating_sub(b)),
            _ => Ok(None),
        },
        "add" => match kind.bytes() {
            2 => binary!(d; u16, u16 => u16; |a, b| a.wrapping_add(b)),
            4 => binary!(d; u32, u32 => u32; |a, b| a.wrapping_add(b)),
            _ => binary!(d; u64, u64 => u64; |a, b| a.wrapping_add(b)),
        },
        "sub" => match kind.bytes() {
            2 => binary!(d; u16, u16 => u16; |a, b| a.wrapping_sub(b)),
            4 => binary!(d; u32, u32 => u32; |a, b| a.wrapping_sub(b)),
            _ => binary!(d; u64, u64 => u64; |a, b| a.wrapping_sub(b)),
        },
        "mul" => multiply(d, kind),
        "mad" => multiply_add(d, kind),
        "div" => divide(d, kind),
        "neg" => match kind.bytes() {
            2 => unary!(d; u16 => u16; |a| a.wrapping_neg()),
            4 => unary!(d; u32 => u32; |a| a.wrapping_neg()),
            _ => unary!(d; u64 => u64; |a| a.wrapping_neg()),
        },
        "abs" => match kind {
            Type::S16 => unary!(d; i16 => i16; |a| a.wrapping_abs()),
            Type::S32 => unary!(d; i32 => i32; |a| a.wrapping_abs()),
            Type::S64 => unary!(d; i64 => i64; |a| a.wrapping_abs()),
            _ => Ok(None),
        },
        "min" | "max" => extremum(d, kind),
        _ => Ok(None),
    }
}

fn multiply(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match (d.choice(&["lo", "hi", "wide"]), kind) {
        (Some("lo"), Type::S16 | Type::U16) => binary!(d; u16, u16 => u16; |a, b| a.wrapping_mul(b)),
        (Some("lo"), Type::S32 | Type::U32) => binary!(d; u32, u32 => u32; |a, b| a.wrapping_mul(b)),
        (Some("lo"), Type::S64 | Type::U64) => binary!(d; u64, u64 => u64; |a, b| a.wrapping_mul(b)),
        (Some("hi"), Type::U16) => binary!(d; u16, u16 => u16; |a, b| high_u16(a, b)),
        (Some("hi"), Type::S16) => binary!(d; i16, i16 => i16; |a, b| high_i16(a, b)),
        (Some("hi"), Type::U32) => binary!(d; u32, u32 => u32; |a, b| high_u32(a, b)),
        (Some("hi"), Type::S32) => binary!(d; i32, i32 => i32; |a, b| high_i32(a, b)),
        (Some("hi"), Type::U64) => binary!(d; u64, u64 => u64; |a, b| high_u64(a, b)),
        (Some("hi"), Type::S64) => binary!(d; i64, i64 => i64; |a, b| high_i64(a, b)),
        (Some("wide"), Type::U16) => binary!(d; u16, u16 => u32; |a, b| u32::from(a) * u32::from(b)),
        (Some("wide"), Type::S16) => binary!(d; i16, i16 => i32; |a, b| i32::from(a) * i32::from(b)),
        (Some("wide"), Type::U32) => binary!(d; u32, u32 => u64; |a, b| u64::from(a) * u64::from(b)),
        (Some("wide"), Type::S32) => binary!(d; i32, i32 => i64; |a, b| i64::from(a) * i64::from(b)),
        _ => Ok(None),
    }
}

fn multiply_add(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    let part = d.choice(&["lo", "hi", "wide"]);
    if d.flag("sat") {
        return match (part, kind) {
            (Some("hi"), Type::S32) => {
                ternary!(d; i32, i32, i32 => i32; |a, b, c| high_i32(a, b).saturating_add(c))
            }
            _ => Ok(None),
        };
    }
    match (part, kind) {
        (Some("lo"), Type::S16 | Type::U16) => {
            ternary!(d; u16, u16, u16 => u16; |a, b, c| a.wrapping_mul(b).wrapping_add(c))
        }
        (Some("lo"), Type::S32 | Type::U32) => {
            ternary!(d; u32, u32, u32 => u32; |a, b, c| a.wrapping_mul(b).wrapping_add(c))
        }
        (Some("lo"), Type::S64 | Type::U64) => {
            ternary!(d; u64, u64, u64 => u64; |a, b, c| a.wrapping_mul(b).wrapping_add(c))
        }
        (Some("hi"), Type::U16) => {
            ternary!(d; u16, u16, u16 => u16; |a, b, c| high_u16(a, b).wrapping_add(c))
        }
        (Some("hi"), Type::S16) => {
            ternary!(d; i16, i16, i16 => i16; |a, b, c| high_i16(a, b).wrapping_add(c))
        }
        (Some("hi"), Type::U32) => {
            ternary!(d; u32, u32, u32 => u32; |a, b, c| high_u32(a, b).wrapping_add(c))
        }
        (Some("hi"), Type::S32) => {
            ternary!(d; i32, i32, i32 => i32; |a, b, c| high_i32(a, b).wrapping_add(c))
        }
        (Some("hi"), Type::U64) => {
            ternary!(d; u64, u64, u64 => u64; |a, b, c| high_u64(a, b).wrapping_add(c))
        }
        (Some("hi"), Type::S64) => {
            ternary!(d; i64, i64, i64 => i64; |a, b, c| high_i64(a, b).wrapping_add(c))
        }
        (Some("wide"), Type::U16) => {
            ternary!(d; u16, u16, u32 => u32; |a, b, c| (u32::from(a) * u32::from(b)).wrapping_add(c))
        }
        (Some("wide"), Type::S16) => {
            ternary!(d; i16, i16, i32 => i32; |a, b, c| (i32::from(a) * i32::from(b)).wrapping_add(c))
        }
        (Some("wide"), Type::U32) => {
            ternary!(d; u32, u32, u64 => u64; |a, b, c| (u64::from(a) * u64::from(b)).wrapping_add(c))
        }
        (Some("wide"), Type::S32) => {
            ternary!(d; i32, i32, i64 => i64; |a, b, c| (i64::from(a) * i64::from(b)).wrapping_add(c))
        }
        _ => Ok(None),
    }
}

/// Division by zero gives what the devices give: all bits set.
fn divide(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match kind {
        Type::U16 => binary!(d; u16, u16 => u16; |a, b| a.checked_div(b).unwrap_or(u16::MAX)),
        Type::U32 => binary!(d; u32, u32 => u32; |a, b| a.checked_div(b).unwrap_or(u32::MAX)),
        Type::U64 => binary!(d; u64, u64 => u64; |a, b| a.checked_div(b).unwrap_or(u64::MAX)),
        Type::S16 => binary!(d; i16, i16 => i16; |a, b| if b == 0 { -1 } else { a.wrapping_div(b) }),
        Type::S32 => binary!(d; i32, i32 => i32; |a, b| if b == 0 { -1 } else { a.wrapping_div(b) }),
        Type::S64 => binary!(d; i64, i64 => i64; |a, b| if b == 0 { -1 } else { a.wrapping_div(b) }),
        _ => Ok(None),
    }
}

fn extremum(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match (d.base, kind) {
        ("min", Type::U16) => binary!(d; u16, u16 => u16; |a, b| a.min(b)),
        ("min", Type::S16) => binary!(d; i16, i16 => i16; |a, b| a.min(b)),
        ("min", Type::U32) => binary!(d; u32, u32 => u32; |a, b| a.min(b)),
        ("min", Type::S32) => binary!(d; i32, i32 => i32; |a, b| a.min(b)),
        ("min", Type::U64) => binary!(d; u64, u64 => u64; |a, b| a.min(b)),
        ("min", Type::S64) => binary!(d; i64, i64 => i64; |a, b| a.min(b)),
        ("max", Type::U16) => binary!(d; u16, u16 => u16; |a, b| a.max(b)),
        ("max", Type::S16) => binary!(d; i16, i16 => i16; |a, b| a.max(b)),
        ("max", Type::U32) => binary!(d; u32, u32 => u32; |a, b| a.max(b)),
        ("max", Type::S32) => binary!(d; i32, i32 => i32; |a, b| a.max(b)),
        ("max", Type::U64) => binary!(d; u64, u64 => u64; |a, b| a.max(b)),
        ("max", Type::S64) => binary!(d; i64, i64 => i64; |a, b| a.max(b)),
        _ => Ok(None),
    }
}

fn high_u16(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

fn high_i16(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

pub(super) fn high_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

pub(super) fn high_i32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

pub(super) fn high_u64(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

pub(super) fn high_i64(a: i64, b: i64) -> i64 {
    ((i128::from(a) * i128::from(b)) >> 64) as i64
}
