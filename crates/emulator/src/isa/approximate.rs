//! The approximate functions: `.approx`, `div.full`, and their nudged form.
//!
//! PTX bounds the error of these and says no more. As a rule they give the correctly rounded value here, by way of double
//! precision, which is inside every bound. [`Approximation::Nudged`](crate::Approximation) moves each result to the far
//! side of its bound, so that code which leans on more than was promised is found out.

use half::{bf16, f16};

use super::float::FLUSHES;
use super::half::Half;
use super::rounding::{Direction, canonical, flush, narrow};
use super::{Found, unary};
use crate::code::{Args, Pure};
use crate::decode::decoder::{Decoder, Type};
use crate::exec::registers::{LANES, Registers, Value};

/// How far a result may be off (PTX ISA 8.7, the sections of the instructions).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// Of the result.
    Relative(f64),
    /// Of the result, in units of its last place in single precision.
    Ulps(f64),
    Absolute(f64),
    /// Of `sin` and `cos`: absolute, 2^-20.5 up to 2π, 2^-14.7 up to 100π, and unknown beyond.
    Wave,
    /// Of `lg2`: 2^-22, absolute between 1/2 and 2, relative elsewhere.
    Logarithm,
}

impl Bound {
    /// The bound as a distance, for a result and the input that it belongs to.
    fn distance(self, exact: f64, input: f64) -> f64 {
        let (size, input) = (exact.abs(), input.abs());
        match self {
            Bound::Relative(bound) => bound * size,
            Bound::Ulps(count) => count * (size.log2().floor().max(-126.0) - 23.0).exp2(),
            Bound::Absolute(bound) => bound,
            Bound::Wave if input <= std::f64::consts::TAU => (-20.5f64).exp2(),
            Bound::Wave if input <= 50.0 * std::f64::consts::TAU => (-14.7f64).exp2(),
            Bound::Wave => 0.0,
            Bound::Logarithm if (0.5..=2.0).contains(&input) => (-22f64).exp2(),
            Bound::Logarithm => (-22f64).exp2() * size,
        }
    }

    /// Where a nudged result belongs: as far from the exact one as the bound allows, on the side that the seed and the
    /// operands choose, so that equal operands give equal results. Zeros, infinities and NaN, and what zeros map to, are
    /// fixed by the manual.
    fn nudged(self, exact: f64, input: f64, operands: u64, seed: u64) -> (f64, f64) {
        if !exact.is_finite() || exact == 0.0 || input == 0.0 {
            return (exact, 0.0);
        }
        let distance = self.distance(exact, input);
        let mixed = (operands ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let up = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 63 == 0;
        (exact + if up { distance } else { -distance }, distance)
    }

    /// A result in single precision, nudged if there is a seed.
    pub(super) fn single(self, exact: f64, input: f64, operands: u64, seed: Option<u64>) -> f32 {
        let Some(seed) = seed else { return exact as f32 };
        let (wanted, distance) = self.nudged(exact, input, operands, seed);
        // Towards the exact value, so as not to leave the bound.
        let inwards = if wanted > exact { Direction::Down } else { Direction::Up };
        let found = narrow(wanted, 0.0, inwards);
        let is_inside = found.is_finite() && (f64::from(found) - exact).abs() <= distance;
        if is_inside { found } else { exact as f32 }
    }

    fn half<H: Half>(self, exact: f64, input: f64, operands: u64, seed: Option<u64>) -> H {
        let Some(seed) = seed else { return H::round_f64(exact) };
        let (wanted, distance) = self.nudged(exact, input, operands, seed);
        let found = H::round_f64(wanted);
        let is_inside = (f64::from(found.wide()) - exact).abs() <= distance;
        if is_inside { found } else { H::round_f64(exact) }
    }
}

/// A function of one number in single precision, with the flushing of the mode.
fn function(r: &mut Registers, args: &Args, mask: u32, bound: Bound, work: fn(f64) -> f64) {
    let (a, flushes, seed) = (f32::of(r, args.a), args.mode & FLUSHES != 0, r.nudge);
    let ftz = |value: f32| if flushes { flush(value) } else { value };
    let result: [f32; LANES] = std::array::from_fn(|lane| {
        let input = f64::from(ftz(a[lane]));
        canonical(ftz(bound.single(work(input), input, a[lane].to_bits().into(), seed)))
    });
    f32::put(r, args.d, mask, result);
}

/// The same for a 16-bit float.
fn half_function<H: Half + Value>(
    r: &mut Registers,
    args: &Args,
    mask: u32,
    bound: Bound,
    work: fn(f64) -> f64,
) {
    let (a, seed) = (H::of(r, args.a), r.nudge);
    H::put(r, args.d, mask, a.map(|a| of_half(a, bound, work, seed)));
}

/// The same for pairs of them.
fn pair_function<H: Half>(r: &mut Registers, args: &Args, mask: u32, bound: Bound, work: fn(f64) -> f64)
where
    [H; 2]: Value,
{
    let (a, seed) = (<[H; 2]>::of(r, args.a), r.nudge);
    <[H; 2]>::put(r, args.d, mask, a.map(|pair| pair.map(|a| of_half(a, bound, work, seed))));
}

fn of_half<H: Half>(a: H, bound: Bound, work: fn(f64) -> f64, seed: Option<u64>) -> H {
    let input = f64::from(a.wide());
    bound.half(work(input), input, a.wide().to_bits().into(), seed)
}

// 2^-22.9 and its like, as the closures below need constants.
const TO_MINUS_22_9: f64 = 1.2776e-7;
const TO_MINUS_9_9: f64 = 1.0466e-3;
const TO_MINUS_10_987: f64 = 4.927e-4;
const TO_MINUS_23: f64 = 1.0 / 8_388_608.0;
const TO_MINUS_22: f64 = 1.0 / 4_194_304.0;

/// `rcp.approx`, `sqrt.approx`, and the functions that have no other form.
pub(super) fn decode(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    d.flag("approx");
    let ftz = d.flag("ftz");
    d.out.args.mode = if ftz { FLUSHES } else { 0 };
    let single: Pure = match (d.base, kind) {
        ("rcp", Type::F32) => |r, args, mask| function(r, args, mask, Bound::Ulps(1.0), |a| 1.0 / a),
        ("sqrt", Type::F32) => {
            |r, args, mask| function(r, args, mask, Bound::Relative(TO_MINUS_23), f64::sqrt)
        }
        ("rsqrt", Type::F32) => {
            |r, args, mask| function(r, args, mask, Bound::Relative(TO_MINUS_22_9), |a| 1.0 / a.sqrt())
        }
        ("sin", Type::F32) => |r, args, mask| function(r, args, mask, Bound::Wave, f64::sin),
        ("cos", Type::F32) => |r, args, mask| function(r, args, mask, Bound::Wave, f64::cos),
        ("ex2", Type::F32) => {
            |r, args, mask| function(r, args, mask, Bound::Relative(TO_MINUS_22), f64::exp2)
        }
        ("lg2", Type::F32) => |r, args, mask| function(r, args, mask, Bound::Logarithm, f64::log2),
        ("tanh", Type::F32) => {
            |r, args, mask| function(r, args, mask, Bound::Relative(1.0 / 2048.0), f64::tanh)
        }
        // No bound is known for these, which give the upper half only.
        ("rcp", Type::F64) => return unary!(d; f64 => f64; |a| upper_half(1.0 / flush_f64(a))),
        ("rsqrt", Type::F64) if ftz => {
            return unary!(d; f64 => f64; |a| upper_half(1.0 / flush_f64(a).sqrt()));
        }
        ("rsqrt", Type::F64) => return unary!(d; f64 => f64; |a| 1.0 / a.sqrt()),
        _ => return half(d, kind),
    };
    d.unary::<f32, f32>(single)
}

fn half(d: &mut Decoder<'_, '_, '_>, kind: Type) -> Found {
    const EX2: Bound = Bound::Relative(TO_MINUS_9_9);
    const EX2_BF16: Bound = Bound::Relative(1.0 / 128.0);
    const TANH: Bound = Bound::Absolute(TO_MINUS_10_987);
    const TANH_BF16: Bound = Bound::Relative(1.0 / 256.0);
    match (d.base, kind) {
        ("ex2", Type::F16) => {
            d.unary::<f16, f16>(|r, args, mask| half_function::<f16>(r, args, mask, EX2, f64::exp2))
        }
        ("ex2", Type::Bf16) => {
            d.unary::<bf16, bf16>(|r, args, mask| half_function::<bf16>(r, args, mask, EX2_BF16, f64::exp2))
        }
        ("tanh", Type::F16) => {
            d.unary::<f16, f16>(|r, args, mask| half_function::<f16>(r, args, mask, TANH, f64::tanh))
        }
        ("tanh", Type::Bf16) => {
            d.unary::<bf16, bf16>(|r, args, mask| half_function::<bf16>(r, args, mask, TANH_BF16, f64::tanh))
        }
        ("ex2", Type::F16x2) => {
            d.unary::<u32, u32>(|r, args, mask| pair_function::<f16>(r, args, mask, EX2, f64::exp2))
        }
        ("ex2", Type::Bf16x2) => {
            d.unary::<u32, u32>(|r, args, mask| pair_function::<bf16>(r, args, mask, EX2_BF16, f64::exp2))
        }
        ("tanh", Type::F16x2) => {
            d.unary::<u32, u32>(|r, args, mask| pair_function::<f16>(r, args, mask, TANH, f64::tanh))
        }
        ("tanh", Type::Bf16x2) => {
            d.unary::<u32, u32>(|r, args, mask| pair_function::<bf16>(r, args, mask, TANH_BF16, f64::tanh))
        }
        _ => Ok(None),
    }
}

/// In `args.mode`: `div.full`, which does not lose reciprocals.
const FULL: u32 = 1;

/// `div.approx` and `div.full`.
pub(super) fn divide(d: &mut Decoder<'_, '_, '_>) -> Found {
    let is_full = d.flag("full");
    d.flag("approx");
    d.out.args.mode = if d.flag("ftz") { FLUSHES } else { 0 } | if is_full { FULL } else { 0 };
    d.binary::<f32, f32, f32>(|r, args, mask| {
        let (a, b, seed) = (f32::of(r, args.a), f32::of(r, args.b), r.nudge);
        let (flushes, is_full) = (args.mode & FLUSHES != 0, args.mode & FULL != 0);
        let ftz = |value: f32| if flushes { flush(value) } else { value };
        let result: [f32; LANES] = std::array::from_fn(|lane| {
            let (a, b) = (ftz(a[lane]), ftz(b[lane]));
            canonical(ftz(if is_full || !loses_reciprocal(b) {
                quotient(a, b, seed)
            } else {
                a * 0.0f32.copysign(b)
            }))
        });
        f32::put(r, args.d, mask, result);
    })
}

fn quotient(a: f32, b: f32, seed: Option<u64>) -> f32 {
    let (wide_a, wide_b) = (f64::from(a), f64::from(b));
    // A quotient of two floats of 24 bits never lies so near a tie that its double rounds to the wrong side.
    Bound::Ulps(2.0).single(
        wide_a / wide_b,
        wide_b,
        u64::from(a.to_bits()) << 32 | u64::from(b.to_bits()),
        seed,
    )
}

/// `div.approx` multiplies by the reciprocal, which is lost for divisors above 2^126.
fn loses_reciprocal(b: f32) -> bool {
    const LOST_ABOVE: f32 = 8.507_059e37;
    b.is_finite() && b.abs() > LOST_ABOVE
}

fn flush_f64(value: f64) -> f64 {
    if value.is_subnormal() { 0.0f64.copysign(value) } else { value }
}

fn upper_half(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & 0xffff_ffff_0000_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nudged_results_stay_inside_the_bound_and_use_it() {
        let inputs = (1..2000).map(|at| f64::from(at as f32 * 0.0137));
        type Case = (Bound, fn(f64) -> f64);
        let cases: [Case; 6] = [
            (Bound::Ulps(1.0), |a| 1.0 / a),
            (Bound::Relative(TO_MINUS_23), f64::sqrt),
            (Bound::Relative(TO_MINUS_22_9), |a| 1.0 / a.sqrt()),
            (Bound::Relative(TO_MINUS_22), f64::exp2),
            (Bound::Wave, f64::sin),
            (Bound::Logarithm, f64::log2),
        ];
        for (bound, work) in cases {
            let (mut above, mut below) = (0, 0);
            for input in inputs.clone() {
                let (exact, bits) = (work(input), (input as f32).to_bits().into());
                let found = f64::from(bound.single(exact, input, bits, Some(7)));
                assert!(
                    (found - exact).abs() <= bound.distance(exact, input),
                    "{bound:?} at {input}: {found}"
                );
                assert_eq!(f64::from(bound.single(exact, input, bits, None)), f64::from(exact as f32));
                let moved = (found - f64::from(exact as f32)) / bound.distance(exact, input);
                above += usize::from(moved > 0.4);
                below += usize::from(moved < -0.4);
            }
            assert!(above > 200 && below > 200, "{bound:?}: {above} above, {below} below");
        }
    }

    #[test]
    fn what_the_manual_fixes_is_not_nudged() {
        for seed in 0..50 {
            assert_eq!(Bound::Relative(TO_MINUS_22).single(1.0, 0.0, 0, Some(seed)), 1.0);
            assert_eq!(Bound::Ulps(1.0).single(f64::INFINITY, 0.0, 0, Some(seed)), f32::INFINITY);
            assert!(Bound::Logarithm.single(f64::NAN, -1.0, 1, Some(seed)).is_nan());
        }
    }

    #[test]
    fn powers_have_their_value() {
        for (value, power) in [(TO_MINUS_22_9, -22.9f64), (TO_MINUS_9_9, -9.9), (TO_MINUS_10_987, -10.987)] {
            assert!((value / power.exp2() - 1.0).abs() < 1e-3 && value <= power.exp2(), "{power}");
        }
    }
}
