//! Arithmetic in several words: `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`.

use super::Found;
use super::integer::{high_i32, high_i64, high_u32, high_u64};
use crate::code::{Action, Args, Pure};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::registers::{LANES, Registers, Value};

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    let (kind, part) = (d.kind(0)?, d.choice(&["lo", "hi"]));
    // Bit 0: writes the flag. Bit 1: reads it.
    d.out.args.mode = u32::from(d.flag("cc")) | u32::from(d.base.ends_with('c')) << 1;
    let is_wide = kind.bytes() == 8;
    match (d.base, is_wide) {
        ("add" | "addc", false) => {
            d.binary::<u32, u32, u32>(|r, args, mask| add::<u32>(r, args, mask, u32::plus))
        }
        ("add" | "addc", true) => {
            d.binary::<u64, u64, u64>(|r, args, mask| add::<u64>(r, args, mask, u64::plus))
        }
        ("sub" | "subc", false) => {
            d.binary::<u32, u32, u32>(|r, args, mask| add::<u32>(r, args, mask, u32::minus))
        }
        ("sub" | "subc", true) => {
            d.binary::<u64, u64, u64>(|r, args, mask| add::<u64>(r, args, mask, u64::minus))
        }
        ("mad" | "madc", false) => {
            let pure: Pure = match (part, kind) {
                (Some("lo"), _) => |r, args, mask| mad::<u32>(r, args, mask, u32::wrapping_mul),
                (Some("hi"), Type::U32) => |r, args, mask| mad::<u32>(r, args, mask, high_u32),
                (Some("hi"), Type::S32) => {
                    |r, args, mask| mad::<u32>(r, args, mask, |a, b| high_i32(a as i32, b as i32) as u32)
                }
                _ => return Ok(None),
            };
            d.ternary::<u32, u32, u32, u32>(pure)
        }
        ("mad" | "madc", true) => {
            let pure: Pure = match (part, kind) {
                (Some("lo"), _) => |r, args, mask| mad::<u64>(r, args, mask, u64::wrapping_mul),
                (Some("hi"), Type::U64) => |r, args, mask| mad::<u64>(r, args, mask, high_u64),
                (Some("hi"), Type::S64) => {
                    |r, args, mask| mad::<u64>(r, args, mask, |a, b| high_i64(a as i64, b as i64) as u64)
                }
                _ => return Ok(None),
            };
            d.ternary::<u64, u64, u64, u64>(pure)
        }
        _ => Ok(None::<Action>),
    }
}

trait Word: Value {
    /// The sum of both and the flag, and whether it overflows.
    fn plus(self, other: Self, flag: bool) -> (Self, bool);
    /// The difference less the flag, and whether it borrows.
    fn minus(self, other: Self, flag: bool) -> (Self, bool);
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Word for $type {
            fn plus(self, other: Self, flag: bool) -> (Self, bool) {
                let (sum, over) = self.overflowing_add(other);
                let (sum, again) = sum.overflowing_add(flag.into());
                (sum, over || again)
            }

            fn minus(self, other: Self, flag: bool) -> (Self, bool) {
                let (rest, under) = self.overflowing_sub(other);
                let (rest, again) = rest.overflowing_sub(flag.into());
                (rest, under || again)
            }
        }
    )*};
}

words!(u32, u64);

fn add<T: Word>(r: &mut Registers, args: &Args, mask: u32, work: fn(T, T, bool) -> (T, bool)) {
    let (a, b) = (T::of(r, args.a), T::of(r, args.b));
    finish(r, args, mask, |lane, flag| work(a[lane], b[lane], flag));
}

fn mad<T: Word>(r: &mut Registers, args: &Args, mask: u32, product: fn(T, T) -> T) {
    let (a, b, c) = (T::of(r, args.a), T::of(r, args.b), T::of(r, args.c));
    finish(r, args, mask, |lane, flag| product(a[lane], b[lane]).plus(c[lane], flag));
}

fn finish<T: Word>(r: &mut Registers, args: &Args, mask: u32, work: impl Fn(usize, bool) -> (T, bool)) {
    let carry = if args.mode & 2 != 0 { r.carry } else { 0 };
    let results: [(T, bool); LANES] = std::array::from_fn(|lane| work(lane, carry >> lane & 1 != 0));
    T::put(r, args.d, mask, results.map(|(value, _)| value));
    if args.mode & 1 != 0 {
        let flags =
            results.iter().enumerate().fold(0, |all, (lane, (_, flag))| all | u32::from(*flag) << lane);
        r.carry = (r.carry & !mask) | (flags & mask);
    }
}
