//! Arithmetic on 16-bit floats, alone and in pairs.

use half::{bf16, f16};

use super::float::{greatest, least, or_nan};
use super::rounding::{Direction, narrow, saturate};
use super::{Found, binary, ternary, unary};
use crate::code::Class;
use crate::decode::decoder::{Decoder, Type};

/// A 16-bit float: every operation is done wider, where it is exact enough to be rounded once.
pub(super) trait Half: Copy {
    fn wide(self) -> f32;
    fn round(value: f32) -> Self;
    fn flip(self) -> Self;
    fn magnitude(self) -> Self;

    /// Rounds a double once, by way of a single that keeps what was cut off in its lowest bit.
    fn round_f64(value: f64) -> Self {
        let cut = narrow(value, 0.0, Direction::Zero);
        let is_exact = f64::from(cut) == value || cut.is_nan();
        Self::round(if is_exact { cut } else { f32::from_bits(cut.to_bits() | 1) })
    }

    /// The product, which is exact, plus `c`. A sum that is not exact is made odd, so that rounding it again is like rounding
    /// what it stands for (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    fn fused(a: Self, b: Self, c: Self) -> f64 {
        let (product, c) = (f64::from(a.wide()) * f64::from(b.wide()), f64::from(c.wide()));
        let sum = product + c;
        let other = sum - product;
        let error = (product - (sum - other)) + (c - other);
        match (sum.to_bits() & 1, error) {
            (0, error) if error > 0.0 => sum.next_up(),
            (0, error) if error < 0.0 => sum.next_down(),
            _ => sum,
        }
    }
}

macro_rules! halves {
    ($($type:ident),*) => {$(
        impl Half for $type {
            fn wide(self) -> f32 {
                self.to_f32()
            }

            fn round(value: f32) -> Self {
                // The devices have one NaN.
                if value.is_nan() { $type::from_bits(0x7fff) } else { $type::from_f32(value) }
            }

            fn flip(self) -> Self {
                $type::from_bits(self.to_bits() ^ 0x8000)
            }

            fn magnitude(self) -> Self {
                $type::from_bits(self.to_bits() & 0x7fff)
            }
        }
    )*};
}

halves!(f16, bf16);

/// A subnormal f16 as the zero of its sign; bf16 has the range of f32 and its subnormals are kept.
fn ftz(value: f16) -> f16 {
    if value.to_bits() & 0x7c00 == 0 { f16::from_bits(value.to_bits() & 0x8000) } else { value }
}

fn ftz_pair(value: [f16; 2]) -> [f16; 2] {
    value.map(ftz)
}

fn one<H: Half>(a: H, b: H, work: impl Fn(f32, f32) -> f32) -> H {
    H::round(work(a.wide(), b.wide()))
}

fn two<H: Half>(a: [H; 2], b: [H; 2], work: impl Fn(f32, f32) -> f32) -> [H; 2] {
    std::array::from_fn(|at| one(a[at], b[at], &work))
}

fn relu(value: f64) -> f64 {
    // NaN stays, and -0 becomes +0.
    if value <= 0.0 { 0.0 } else { value }
}

fn clamp(value: f64) -> f64 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Float;
    // Only rounding to nearest exists for these types.
    d.flag("rn");
    match d.kind(0)? {
        Type::F16 | Type::F16x2 if d.flag("ftz") => flushing(d),
        Type::F16 => single_f16(d),
        Type::Bf16 => single_bf16(d),
        Type::F16x2 => pair_f16(d),
        _ => pair_bf16(d),
    }
}

/// The forms of one type and of its pairs; the same table for both formats.
macro_rules! table {
    ($single:ident, $pair:ident, $half:ty) => {
        fn $single(d: &mut Decoder<'_, '_, '_>) -> Found {
            type H = $half;
            let (is_relu, sat, nan) = (d.flag("relu"), d.flag("sat"), d.flag("NaN"));
            match d.base {
                "add" if sat => binary!(d; H, H => H; |a, b| one(a, b, |a, b| saturate(a + b))),
                "sub" if sat => binary!(d; H, H => H; |a, b| one(a, b, |a, b| saturate(a - b))),
                "mul" if sat => binary!(d; H, H => H; |a, b| one(a, b, |a, b| saturate(a * b))),
                "add" => binary!(d; H, H => H; |a, b| one(a, b, |a, b| a + b)),
                "sub" => binary!(d; H, H => H; |a, b| one(a, b, |a, b| a - b)),
                "mul" => binary!(d; H, H => H; |a, b| one(a, b, |a, b| a * b)),
                "fma" if is_relu => ternary!(d; H, H, H => H; |a, b, c| H::round_f64(relu(H::fused(a, b, c)))),
                "fma" if sat => ternary!(d; H, H, H => H; |a, b, c| H::round_f64(clamp(H::fused(a, b, c)))),
                "fma" => ternary!(d; H, H, H => H; |a, b, c| H::round_f64(H::fused(a, b, c))),
                "neg" => unary!(d; H => H; |a| a.flip()),
                "abs" => unary!(d; H => H; |a| a.magnitude()),
                "min" if nan => binary!(d; H, H => H; |a, b| one(a, b, |a, b| or_nan(a, b, least(a, b)))),
                "min" => binary!(d; H, H => H; |a, b| one(a, b, least)),
                "max" if nan => binary!(d; H, H => H; |a, b| one(a, b, |a, b| or_nan(a, b, greatest(a, b)))),
                "max" => binary!(d; H, H => H; |a, b| one(a, b, greatest)),
                _ => Ok(None),
            }
        }

        fn $pair(d: &mut Decoder<'_, '_, '_>) -> Found {
            type H = $half;
            type P = [$half; 2];
            let (is_relu, sat, nan) = (d.flag("relu"), d.flag("sat"), d.flag("NaN"));
            match d.base {
                "add" if sat => binary!(d; P, P => P; |a, b| two(a, b, |a, b| saturate(a + b))),
                "sub" if sat => binary!(d; P, P => P; |a, b| two(a, b, |a, b| saturate(a - b))),
                "mul" if sat => binary!(d; P, P => P; |a, b| two(a, b, |a, b| saturate(a * b))),
                "add" => binary!(d; P, P => P; |a, b| two(a, b, |a, b| a + b)),
                "sub" => binary!(d; P, P => P; |a, b| two(a, b, |a, b| a - b)),
                "mul" => binary!(d; P, P => P; |a, b| two(a, b, |a, b| a * b)),
                "fma" if is_relu => ternary!(d; P, P, P => P; |a, b, c| {
                    std::array::from_fn(|at| H::round_f64(relu(H::fused(a[at], b[at], c[at]))))
                }),
                "fma" if sat => ternary!(d; P, P, P => P; |a, b, c| {
                    std::array::from_fn(|at| H::round_f64(clamp(H::fused(a[at], b[at], c[at]))))
                }),
                "fma" => ternary!(d; P, P, P => P; |a, b, c| {
                    std::array::from_fn(|at| H::round_f64(H::fused(a[at], b[at], c[at])))
                }),
                "neg" => unary!(d; P => P; |a| a.map(H::flip)),
                "abs" => unary!(d; P => P; |a| a.map(H::magnitude)),
                "min" if nan => binary!(d; P, P => P; |a, b| two(a, b, |a, b| or_nan(a, b, least(a, b)))),
                "min" => binary!(d; P, P => P; |a, b| two(a, b, least)),
                "max" if nan => binary!(d; P, P => P; |a, b| two(a, b, |a, b| or_nan(a, b, greatest(a, b)))),
                "max" => binary!(d; P, P => P; |a, b| two(a, b, greatest)),
                _ => Ok(None),
            }
        }
    };
}

table!(single_f16, pair_f16, f16);
table!(single_bf16, pair_bf16, bf16);

/// `.ftz` of f16: subnormal inputs and results are zeros.
fn flushing(d: &mut Decoder<'_, '_, '_>) -> Found {
    type H = f16;
    type P = [f16; 2];
    let is_pair = d.kind(0)? == Type::F16x2;
    match (d.base, is_pair) {
        ("add", false) => binary!(d; H, H => H; |a, b| ftz(one(ftz(a), ftz(b), |a, b| a + b))),
        ("sub", false) => binary!(d; H, H => H; |a, b| ftz(one(ftz(a), ftz(b), |a, b| a - b))),
        ("mul", false) => binary!(d; H, H => H; |a, b| ftz(one(ftz(a), ftz(b), |a, b| a * b))),
        ("neg", false) => unary!(d; H => H; |a| ftz(a).flip()),
        ("abs", false) => unary!(d; H => H; |a| ftz(a).magnitude()),
        ("fma", false) => ternary!(d; H, H, H => H; |a, b, c| {
            ftz(H::round_f64(H::fused(ftz(a), ftz(b), ftz(c))))
        }),
        ("add", true) => binary!(d; P, P => P; |a, b| ftz_pair(two(ftz_pair(a), ftz_pair(b), |a, b| a + b))),
        ("sub", true) => binary!(d; P, P => P; |a, b| ftz_pair(two(ftz_pair(a), ftz_pair(b), |a, b| a - b))),
        ("mul", true) => binary!(d; P, P => P; |a, b| ftz_pair(two(ftz_pair(a), ftz_pair(b), |a, b| a * b))),
        ("fma", true) => ternary!(d; P, P, P => P; |a, b, c| {
            std::array::from_fn(|at| ftz(H::round_f64(H::fused(ftz(a[at]), ftz(b[at]), ftz(c[at])))))
        }),
        _ => Ok(None),
    }
}
