//! Bits and bytes: logic, shifts, fields, permutations, dot products of bytes.

use super::{Found, binary, ternary, unary};
use crate::code::Pure;
use crate::decode::decoder::{Decoder, Type};
use crate::exec::registers::Value;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    let kind = d.kind(0)?;
    match d.base {
        "and" | "or" | "xor" | "not" | "cnot" => logic(d, kind),
        "shl" | "shr" | "shf" => shift(d, kind),
        "bfe" | "bfi" | "bmsk" | "szext" => field(d, kind),
        "dp4a" | "dp2a" => dot(d, kind),
        "lop3" => lop3(d),
        "prmt" => permute(d),
        "mul24" => match (d.choice(&["lo", "hi"]), kind) {
            (Some("lo"), Type::U32) => binary!(d; u32, u32 => u32; |a, b| (low24(a) * low24(b)) as u32),
            (Some("hi"), Type::U32) => {
                binary!(d; u32, u32 => u32; |a, b| ((low24(a) * low24(b)) >> 16) as u32)
            }
            (Some("lo"), _) => binary!(d; i32, i32 => i32; |a, b| (signed24(a) * signed24(b)) as i32),
            _ => binary!(d; i32, i32 => i32; |a, b| ((signed24(a) * signed24(b)) >> 16) as i32),
        },
        "mad24" => match (d.choice(&["lo", "hi"]), kind) {
            (Some("lo"), Type::U32) => {
                ternary!(d; u32, u32, u32 => u32; |a, b, c| ((low24(a) * low24(b)) as u32).wrapping_add(c))
            }
            (Some("lo"), _) => {
                ternary!(d; i32, i32, i32 => i32; |a, b, c| ((signed24(a) * signed24(b)) as i32).wrapping_add(c))
            }
            (Some("hi"), Type::U32) => {
                ternary!(d; u32, u32, u32 => u32; |a, b, c| (((low24(a) * low24(b)) >> 16) as u32).wrapping_add(c))
            }
            (Some("hi"), _) if d.flag("sat") => ternary!(d; i32, i32, i32 => i32; |a, b, c| {
                (((signed24(a) * signed24(b)) >> 16) as i32).saturating_add(c)
            }),
            (Some("hi"), _) => ternary!(d; i32, i32, i32 => i32; |a, b, c| {
                (((signed24(a) * signed24(b)) >> 16) as i32).wrapping_add(c)
            }),
            _ => Ok(None),
        },
        "sad" => match kind {
            Type::U16 => ternary!(d; u16, u16, u16 => u16; |a, b, c| c.wrapping_add(a.abs_diff(b))),
            Type::S16 => ternary!(d; i16, i16, u16 => u16; |a, b, c| c.wrapping_add(a.abs_diff(b))),
            Type::U32 => ternary!(d; u32, u32, u32 => u32; |a, b, c| c.wrapping_add(a.abs_diff(b))),
            Type::S32 => ternary!(d; i32, i32, u32 => u32; |a, b, c| c.wrapping_add(a.abs_diff(b))),
            Type::U64 => ternary!(d; u64, u64, u64 => u64; |a, b, c| c.wrapping_add(a.abs_diff(b))),
            _ => ternary!(d; i64, i64, u64 => u64; |a, b, c| c.wrapping_add(a.abs_diff(b))),
        },
        "rem" => match kind {
            Type::U16 => binary!(d; u16, u16 => u16; |a, b| a.checked_rem(b).unwrap_or(a)),
            Type::U32 => binary!(d; u32, u32 => u32; |a, b| a.checked_rem(b).unwrap_or(a)),
            Type::U64 => binary!(d; u64, u64 => u64; |a, b| a.checked_rem(b).unwrap_or(a)),
            Type::S16 => binary!(d; i16, i16 => i16; |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
            Type::S32 => binary!(d; i32, i32 => i32; |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
            Type::S64 => binary!(d; i64, i64 => i64; |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
            _ => Ok(None),
        },
        "popc" if kind.bytes() == 8 => unary!(d; u64 => u32; |a| a.count_ones()),
        "popc" => unary!(d; u32 => u32; |a| a.count_ones()),
        "clz" if kind.bytes() == 8 => unary!(d; u64 => u32; |a| a.leading_zeros()),
        "clz" => unary!(d; u32 => u32; |a| a.leading_zeros()),
        "brev" if kind.bytes() == 8 => unary!(d; u64 => u64; |a| a.reverse_bits()),
        "brev" => unary!(d; u32 => u32; |a| a.reverse_bits()),
        "bfind" => find(d, kind),
        "fns" => ternary!(d; u32, u32, i32 => u32; |a, b, c| nth_set(a, b, c)),
        _ => Ok(None),
    }
}

fn logic(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match (d.base, kind) {
        ("and", Type::Pred) => binary!(d; bool, bool => bool; |a, b| a & b),
        ("or", Type::Pred) => binary!(d; bool, bool => bool; |a, b| a | b),
        ("xor", Type::Pred) => binary!(d; bool, bool => bool; |a, b| a ^ b),
        ("not", Type::Pred) => unary!(d; bool => bool; |a| !a),
        ("and", Type::B16) => binary!(d; u16, u16 => u16; |a, b| a & b),
        ("or", Type::B16) => binary!(d; u16, u16 => u16; |a, b| a | b),
        ("xor", Type::B16) => binary!(d; u16, u16 => u16; |a, b| a ^ b),
        ("not", Type::B16) => unary!(d; u16 => u16; |a| !a),
        ("and", Type::B32) => binary!(d; u32, u32 => u32; |a, b| a & b),
        ("or", Type::B32) => binary!(d; u32, u32 => u32; |a, b| a | b),
        ("xor", Type::B32) => binary!(d; u32, u32 => u32; |a, b| a ^ b),
        ("not", Type::B32) => unary!(d; u32 => u32; |a| !a),
        ("and", Type::B64) => binary!(d; u64, u64 => u64; |a, b| a & b),
        ("or", Type::B64) => binary!(d; u64, u64 => u64; |a, b| a | b),
        ("xor", Type::B64) => binary!(d; u64, u64 => u64; |a, b| a ^ b),
        ("not", Type::B64) => unary!(d; u64 => u64; |a| !a),
        ("cnot", Type::B16) => unary!(d; u16 => u16; |a| u16::from(a == 0)),
        ("cnot", Type::B32) => unary!(d; u32 => u32; |a| u32::from(a == 0)),
        ("cnot", Type::B64) => unary!(d; u64 => u64; |a| u64::from(a == 0)),
        _ => Ok(None),
    }
}

/// Shifts by more than the width give zero, or the sign.
fn shift(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    if d.base == "shf" {
        return match (d.choice(&["l", "r"]), d.choice(&["clamp", "wrap"])) {
            (Some("l"), Some("wrap")) => {
                ternary!(d; u32, u32, u32 => u32; |a, b, c| funnel_left(a, b, c & 31))
            }
            (Some("l"), _) => ternary!(d; u32, u32, u32 => u32; |a, b, c| funnel_left(a, b, c.min(32))),
            (_, Some("wrap")) => ternary!(d; u32, u32, u32 => u32; |a, b, c| funnel_right(a, b, c & 31)),
            _ => ternary!(d; u32, u32, u32 => u32; |a, b, c| funnel_right(a, b, c.min(32))),
        };
    }
    match (d.base, kind) {
        ("shl", Type::B16) => binary!(d; u16, u32 => u16; |a, b| a.checked_shl(b).unwrap_or(0)),
        ("shl", Type::B32) => binary!(d; u32, u32 => u32; |a, b| a.checked_shl(b).unwrap_or(0)),
        ("shl", Type::B64) => binary!(d; u64, u32 => u64; |a, b| a.checked_shl(b).unwrap_or(0)),
        ("shr", Type::S16) => binary!(d; i16, u32 => i16; |a, b| a >> b.min(15)),
        ("shr", Type::S32) => binary!(d; i32, u32 => i32; |a, b| a >> b.min(31)),
        ("shr", Type::S64) => binary!(d; i64, u32 => i64; |a, b| a >> b.min(63)),
        ("shr", Type::B16 | Type::U16) => binary!(d; u16, u32 => u16; |a, b| a.checked_shr(b).unwrap_or(0)),
        ("shr", Type::B32 | Type::U32) => binary!(d; u32, u32 => u32; |a, b| a.checked_shr(b).unwrap_or(0)),
        ("shr", Type::B64 | Type::U64) => binary!(d; u64, u32 => u64; |a, b| a.checked_shr(b).unwrap_or(0)),
        _ => Ok(None),
    }
}

fn both(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn funnel_left(low: u32, high: u32, by: u32) -> u32 {
    ((both(low, high) << by) >> 32) as u32
}

fn funnel_right(low: u32, high: u32, by: u32) -> u32 {
    (both(low, high) >> by) as u32
}

fn field(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match (d.base, kind) {
        ("bfe", Type::U32) => {
            ternary!(d; u32, u32, u32 => u32; |a, b, c| extract(a.into(), b, c, 32) as u32)
        }
        ("bfe", Type::S32) => {
            ternary!(d; i32, u32, u32 => i32; |a, b, c| extract_signed(a.into(), b, c, 32) as i32)
        }
        ("bfe", Type::U64) => ternary!(d; u64, u32, u32 => u64; |a, b, c| extract(a, b, c, 64)),
        ("bfe", Type::S64) => ternary!(d; i64, u32, u32 => i64; |a, b, c| extract_signed(a, b, c, 64)),
        ("bfi", Type::B32) => {
            d.out.args.e = d.source::<u32>(4)?;
            d.ternary::<u32, u32, u32, u32>(|r, args, mask| {
                let (a, b) = (u32::of(r, args.a), u32::of(r, args.b));
                let (c, e) = (u32::of(r, args.c), u32::of(r, args.e));
                let put = |lane: usize| insert(a[lane].into(), b[lane].into(), c[lane], e[lane], 32) as u32;
                u32::put(r, args.d, mask, std::array::from_fn(put));
            })
        }
        ("bfi", Type::B64) => {
            d.out.args.e = d.source::<u32>(4)?;
            d.ternary::<u64, u64, u32, u64>(|r, args, mask| {
                let (a, b) = (u64::of(r, args.a), u64::of(r, args.b));
                let (c, e) = (u32::of(r, args.c), u32::of(r, args.e));
                let put = |lane: usize| insert(a[lane], b[lane], c[lane], e[lane], 64);
                u64::put(r, args.d, mask, std::array::from_fn(put));
            })
        }
        ("bmsk", _) => match d.choice(&["clamp", "wrap"]) {
            Some("wrap") => binary!(d; u32, u32 => u32; |a, b| ones(b & 31) << (a & 31)),
            _ => binary!(d; u32, u32 => u32; |a, b| ones(b.min(32)).checked_shl(a).unwrap_or(0)),
        },
        ("szext", Type::U32) if d.flag("wrap") => binary!(d; u32, u32 => u32; |a, b| a & ones(b & 31)),
        ("szext", Type::U32) if d.flag("clamp") => binary!(d; u32, u32 => u32; |a, b| a & ones(b.min(32))),
        ("szext", Type::S32) if d.flag("wrap") => {
            binary!(d; i32, u32 => i32; |a, b| extract_signed(a.into(), 0, b & 31, 32) as i32)
        }
        ("szext", Type::S32) if d.flag("clamp") => {
            binary!(d; i32, u32 => i32; |a, b| extract_signed(a.into(), 0, b.min(32), 32) as i32)
        }
        _ => Ok(None),
    }
}

fn ones(count: u32) -> u32 {
    ((1u64 << count) - 1) as u32
}

/// The field of `length` bits from bit `start`; only the low 8 bits of both count.
fn extract(a: u64, start: u32, length: u32, width: u32) -> u64 {
    let (start, length) = (start & 0xff, length & 0xff);
    let moved = if start >= width { 0 } else { a >> start };
    if length >= 64 { moved } else { moved & ((1 << length) - 1) }
}

/// As [`extract`]; bits beyond the field, or beyond the value, repeat the sign.
fn extract_signed(a: i64, start: u32, length: u32, width: u32) -> i64 {
    let (start, length) = (start & 0xff, length & 0xff);
    if length == 0 {
        return 0;
    }
    // `a` is sign-extended, so that bits above the value are its sign already.
    let moved = a >> start.min(width - 1);
    if start + length >= width { moved } else { moved << (64 - length) >> (64 - length) }
}

/// `b` with `length` bits of `a` from bit `start` on.
fn insert(a: u64, b: u64, start: u32, length: u32, width: u32) -> u64 {
    let (start, length) = (start & 0xff, length & 0xff);
    if start >= width {
        return b;
    }
    let field = if length >= 64 { u64::MAX } else { (1 << length) - 1 };
    (b & !(field << start)) | (a & field) << start
}

fn find(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    match (d.flag("shiftamt"), kind) {
        (false, Type::U32) => unary!(d; u32 => u32; |a| a.checked_ilog2().unwrap_or(u32::MAX)),
        (false, Type::S32) => unary!(d; i32 => u32; |a| significant(a).checked_ilog2().unwrap_or(u32::MAX)),
        (false, Type::U64) => unary!(d; u64 => u32; |a| a.checked_ilog2().unwrap_or(u32::MAX)),
        (true, Type::U32) => unary!(d; u32 => u32; |a| a.checked_ilog2().map_or(u32::MAX, |at| 31 - at)),
        (true, Type::S32) => {
            unary!(d; i32 => u32; |a| significant(a).checked_ilog2().map_or(u32::MAX, |at| 31 - at))
        }
        (true, Type::U64) => unary!(d; u64 => u32; |a| a.checked_ilog2().map_or(u32::MAX, |at| 63 - at)),
        _ => Ok(None),
    }
}

/// Of a negative number the highest zero counts.
fn significant(a: i32) -> u32 {
    (if a < 0 { !a } else { a }) as u32
}

/// The `nth` set bit of `a` from bit `base`, upwards if positive and downwards if negative.
fn nth_set(a: u32, base: u32, nth: i32) -> u32 {
    let up = (base..32).filter(|at| a >> at & 1 != 0);
    let down = (0..=base.min(31)).rev().filter(|at| a >> at & 1 != 0);
    let found = match nth {
        0 => Some(base).filter(|at| *at < 32 && a >> at & 1 != 0),
        1.. => up.into_iter().nth(nth as usize - 1),
        _ => down.into_iter().nth(nth.unsigned_abs() as usize - 1),
    };
    found.unwrap_or(u32::MAX)
}

fn low24(a: u32) -> u64 {
    (a & 0xff_ffff).into()
}

fn signed24(a: i32) -> i64 {
    (a << 8 >> 8).into()
}

fn byte(a: u32, at: usize, is_signed: bool) -> i32 {
    let byte = a.to_le_bytes()[at];
    if is_signed { (byte as i8).into() } else { byte.into() }
}

fn dot(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    let signs = (kind.is_signed(), d.kind(1)?.is_signed());
    let is_high = d.choice(&["lo", "hi"]) == Some("hi");
    d.out.args.mode = u32::from(signs.0) | u32::from(signs.1) << 1 | u32::from(is_high) << 2;
    let pure: Pure = if d.base == "dp4a" {
        |r, args, mask| {
            let (a, b, c) = (u32::of(r, args.a), u32::of(r, args.b), i32::of(r, args.c));
            let (first, second) = (args.mode & 1 != 0, args.mode & 2 != 0);
            let sum = |lane: usize| {
                (0..4).fold(c[lane], |sum, at| {
                    sum.wrapping_add(byte(a[lane], at, first) * byte(b[lane], at, second))
                })
            };
            i32::put(r, args.d, mask, std::array::from_fn(sum));
        }
    } else {
        |r, args, mask| {
            let (a, b, c) = (u32::of(r, args.a), u32::of(r, args.b), i32::of(r, args.c));
            let (first, second) = (args.mode & 1 != 0, args.mode & 2 != 0);
            let skipped = if args.mode & 4 != 0 { 2 } else { 0 };
            let sum = |lane: usize| {
                (0..2).fold(c[lane], |sum, at| {
                    let word = a[lane] >> (16 * at);
                    let word = if first { i32::from(word as i16) } else { i32::from(word as u16) };
                    sum.wrapping_add(word * byte(b[lane], skipped + at, second))
                })
            };
            i32::put(r, args.d, mask, std::array::from_fn(sum));
        }
    };
    d.ternary::<u32, u32, i32, i32>(pure)
}

/// Any function of three bits: its table is the immediate, the bits of `a`, `b`, `c` the place in it.
fn lop3(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.args.mode = (d.immediate(4)? & 0xff) as u32;
    d.ternary::<u32, u32, u32, u32>(|r, args, mask| {
        let (a, b, c) = (u32::of(r, args.a), u32::of(r, args.b), u32::of(r, args.c));
        let mut result = [0; 32];
        for place in (0..8).filter(|place| args.mode >> place & 1 != 0) {
            let [not_a, not_b, not_c] = [4, 2, 1].map(|bit| if place & bit != 0 { 0 } else { u32::MAX });
            for lane in 0..32 {
                result[lane] |= (a[lane] ^ not_a) & (b[lane] ^ not_b) & (c[lane] ^ not_c);
            }
        }
        u32::put(r, args.d, mask, result);
    })
}

/// Bytes of `b` and `a` by the selectors of `c`: one for each byte, or in a named mode one for all.
fn permute(d: &mut Decoder<'_, '_, '_>) -> Found {
    match d.choice(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]) {
        None => ternary!(d; u32, u32, u32 => u32; |a, b, c| {
            // The fourth bit of a selector repeats the sign of the byte.
            let signs = selected(a, b, |at| (c >> (4 * at)) as usize & 7).map(|byte| (byte as i8 >> 7) as u8);
            let bytes = selected(a, b, |at| (c >> (4 * at)) as usize & 7);
            u32::from_le_bytes(std::array::from_fn(|at| {
                if c >> (4 * at) & 8 == 0 { bytes[at] } else { signs[at] }
            }))
        }),
        Some("f4e") => ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |at, c| at + c)),
        Some("b4e") => {
            ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |at, c| (c + 8 - at) % 8))
        }
        Some("rc8") => ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |_, c| c)),
        Some("ecl") => ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |at, c| at.max(c))),
        Some("ecr") => ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |at, c| at.min(c))),
        Some(_) => {
            ternary!(d; u32, u32, u32 => u32; |a, b, c| by_rule(a, b, c, |at, c| (c & 1) * 2 + (at & 1)))
        }
    }
}

/// The bytes of `b` and `a`, lowest of `a` first, that `which` names for each place.
fn selected(a: u32, b: u32, which: impl Fn(usize) -> usize) -> [u8; 4] {
    let bytes = both(a, b).to_le_bytes();
    std::array::from_fn(|at| bytes[which(at) & 7])
}

/// A named mode: the place and the low two bits of `c` name the byte.
fn by_rule(a: u32, b: u32, c: u32, rule: fn(usize, usize) -> usize) -> u32 {
    u32::from_le_bytes(selected(a, b, |at| rule(at, c as usize & 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_at_and_beyond_the_edges() {
        assert_eq!(extract(0xdead_beef, 8, 12, 32), 0xdbe);
        assert_eq!(extract(0xdead_beef, 40, 8, 32), 0);
        assert_eq!(extract_signed(0xffff_8000u32 as i32 as i64, 12, 4, 32), -8);
        assert_eq!(extract_signed(i64::from(i32::MIN), 40, 8, 32), -1);
        assert_eq!(extract_signed(-1, 3, 0, 32), 0);
        assert_eq!(insert(0xff, 0, 28, 8, 32) as u32, 0xf000_0000);
        assert_eq!(insert(0xff, 7, 32, 8, 32), 7);
    }

    #[test]
    fn shifts_across_two_words() {
        assert_eq!(funnel_left(0x8000_0000, 1, 1), 3);
        assert_eq!(funnel_left(5, 6, 32), 5);
        assert_eq!(funnel_right(1, 3, 1), 0x8000_0000);
        assert_eq!(nth_set(0b1011, 0, 2), 1);
        assert_eq!(nth_set(0b1011, 3, -2), 1);
        assert_eq!(nth_set(0b1011, 2, 0), u32::MAX);
    }
}
