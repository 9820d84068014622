//! Arithmetic in every width against the host's.

use half::{bf16, f16};
use warpsmith_emulator::Approximation;

use crate::machine::{Machine, under_every_schedule};

#[test]
fn integers() {
    under_every_schedule(include_str!("kernels/math.ptx"), |machine| {
        let values = [7, -7, 123_456_789, -987_654_321, i32::MAX, i32::MIN, 1, -1];
        let pairs: Vec<(i32, i32)> =
            values.iter().flat_map(|&a| [3, -5, 77, i32::MAX].map(|b| (a, b))).collect();
        let (x, y): (Vec<i32>, Vec<i32>) = pairs.iter().copied().unzip();
        let (x, y, output) = (machine.put(&x), machine.put(&y), machine.room(32 * 24 * 8));
        machine.launch("integers", [1, 1, 1], [32, 1, 1], 0, &[x, y, output]).unwrap();
        let found = machine.get::<i64>(output, 32 * 24);
        for (&(a, b), found) in pairs.iter().zip(found.chunks(24)) {
            let (ua, ub) = (a as u32, b as u32);
            let (wide, lb) = (i64::from(a).wrapping_mul(i64::from(b)), i64::from(b));
            let (ul, um) = (wide as u64, lb as u64);
            let bytes = |x: i32| x.to_le_bytes().map(|byte| i32::from(byte as i8));
            let dot: i32 = bytes(a).iter().zip(bytes(b)).map(|(a, b)| a * b).sum::<i32>() + 5;
            let low24 = |x: i32| i64::from(x << 8 >> 8);
            let expected = [
                a.wrapping_div(b).into(),
                a.wrapping_rem(b).into(),
                (ua / ub).into(),
                (ua % ub).into(),
                wide.wrapping_div(lb),
                wide.wrapping_rem(lb),
                (ul / um) as i64,
                (ul % um) as i64,
                wide >> 32,
                ((u64::from(ua) * u64::from(ub)) >> 32) as i64,
                ((i128::from(wide) * i128::from(lb)) >> 64) as i64,
                ((u128::from(ul) * u128::from(um)) >> 64) as i64,
                (a >> (b & 31)).into(),
                (ua >> (ub & 31)).into(),
                a.wrapping_shl(b as u32 & 31).into(),
                (a.min(b) as u32).wrapping_add(ua.max(ub)).into(),
                a.wrapping_abs().into(),
                (a.abs_diff(b).wrapping_add(1)).into(),
                ((ub << 7) | (ua >> 25)).into(),
                dot.into(),
                ((low24(a) * low24(b)) as i32).into(),
                (i32::from(a as i16) * i32::from(b as i16)).into(),
                (i32::from(a as i8) + i32::from(b as u8)).into(),
                (ul.count_ones() + ul.leading_zeros()).into(),
            ];
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_eq!(*found, expected, "result {at} of {a} and {b}");
            }
        }
    });
}

/// Largest error in units in the last place that CUDA's documentation allows any of the functions used here, in
/// single precision (`lgammaf` and the `__` forms excepted, which get a bound of their own).
const ULPS: f64 = 9.0;

#[test]
fn functions_in_single_precision() {
    // The library's code rests on approximate instructions, and must hold its promise wherever they lie in their bounds.
    for approximation in [Approximation::Rounded, Approximation::Nudged(1), Approximation::Nudged(2)] {
        check_single_precision(approximation);
    }
}

fn check_single_precision(approximation: Approximation) {
    let x: Vec<f32> = (1..=96).map(|i| (i as f32 - 48.5) * 0.37).collect();
    let mut machine = Machine::new(include_str!("kernels/math.ptx"));
    machine.options.approximation = approximation;
    let (input, output) = (machine.put(&x), machine.room(96 * 24 * 4));
    machine.launch("math32", [3, 1, 1], [32, 1, 1], 0, &[input, output, 96]).unwrap();
    let found = machine.get::<f32>(output, 96 * 24);
    for (&x, found) in x.iter().zip(found.chunks(24)) {
        let (a, size) = (f64::from(x), f64::from(x.abs()));
        let expected = [
            (0, a.sin()),
            (1, a.cos()),
            (2, a.tan()),
            (3, a.exp()),
            (4, size.ln()),
            (5, size.powf(f64::from(1.7f32))),
            (6, size.sqrt()),
            (7, 1.0 / size.sqrt()),
            (8, 1.0 / a),
            (9, a / 3.0),
            (10, a.tanh()),
            (12, a.floor()),
            (13, a.ceil()),
            (14, a.round_ties_even()),
            (15, a.trunc()),
            (16, a % f64::from(0.7f32)),
            (20, a.exp2()),
            (21, size.ln_1p()),
            (22, a.atan2(2.0)),
        ];
        for (at, expected) in expected {
            let error = (f64::from(found[at]) - expected).abs();
            let bound = ULPS * f64::from(f32::EPSILON) * expected.abs();
            assert!(error <= bound, "result {at} of {x}: {} for {expected}, {approximation:?}", found[at]);
        }
        // Correctly rounded by IEEE 754.
        assert_eq!([found[6], found[8], found[9]], [x.abs().sqrt(), 1.0 / x, x / 3.0]);
    }
}

#[test]
fn functions_in_double_precision() {
    let x: Vec<f64> = (1..=64).map(|i| (f64::from(i) - 32.5) * 0.41).collect();
    let mut machine = Machine::new(include_str!("kernels/math.ptx"));
    let (input, output) = (machine.put(&x), machine.room(64 * 12 * 8));
    machine.launch("math64", [2, 1, 1], [32, 1, 1], 0, &[input, output, 64]).unwrap();
    let found = machine.get::<f64>(output, 64 * 12);
    for (&a, found) in x.iter().zip(found.chunks(12)) {
        let size = a.abs();
        let expected = [
            (0, a.sin()),
            (1, a.exp()),
            (2, size.ln()),
            (3, size.powf(1.7)),
            (4, size.sqrt()),
            (5, 1.0 / a),
            (6, a / 3.0),
            (7, a.tanh()),
            (9, a.floor()),
            (10, a.mul_add(a, 1.0)),
            (11, 1.0 / size.sqrt()),
        ];
        for (at, expected) in expected {
            let error = (found[at] - expected).abs();
            assert!(error <= 4.0 * f64::EPSILON * expected.abs(), "result {at} of {a}: {}", found[at]);
        }
        assert_eq!([found[4], found[5], found[6]], [size.sqrt(), 1.0 / a, a / 3.0]);
    }
}

#[test]
fn halves() {
    let x: Vec<f32> = (0..32).map(|i| (i as f32 - 11.0) * 0.75).collect();
    let y: Vec<f32> = (0..32).map(|i| (i as f32 * 3.0 % 7.0) - 2.5).collect();
    let mut machine = Machine::new(include_str!("kernels/half.ptx"));
    let narrow = |x: &[f32]| x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
    let (a, b) = (narrow(&x), narrow(&y));
    let (pa, pb, output) = (machine.put(&a), machine.put(&b), machine.room(32 * 12 * 2));
    machine.launch("half_ops", [1, 1, 1], [32, 1, 1], 0, &[pa, pb, output]).unwrap();
    for i in 0..32 {
        let found = machine.get::<f16>(output + i as u64 * 24, 10);
        let (a, b) = (a[i].to_f32(), b[i].to_f32());
        let difference = if a > b { 3.5 } else { a - b };
        let expected = [a.mul_add(a, a), difference, a * b].map(f16::from_f32);
        assert_eq!(found[..3], expected, "{a} and {b}");
        assert_eq!(found[4], f16::from_f32(a.mul_add(b, a)));
        assert_eq!([found[7], found[8]], [a.max(b), a.min(b)].map(f16::from_f32));
    }
}

#[test]
fn brain_floats() {
    let x: Vec<f32> = (0..32).map(|i| (i as f32 - 11.0) * 0.75).collect();
    let y: Vec<f32> = (0..32).map(|i| (i as f32 * 3.0 % 7.0) - 2.5).collect();
    let mut machine = Machine::new(include_str!("kernels/half.ptx"));
    let narrow = |x: &[f32]| x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>();
    let (a, b) = (narrow(&x), narrow(&y));
    let (pa, pb, output) = (machine.put(&a), machine.put(&b), machine.room(32 * 12 * 2));
    let singles = machine.put(&[1.5f32; 33]);
    // One lane at a time: each reads a number that its neighbour writes.
    machine.options.checks.races = false;
    machine.launch("bf16_ops", [1, 1, 1], [32, 1, 1], 0, &[pa, pb, output, singles]).unwrap();
    for i in 0..32 {
        let found = machine.get::<bf16>(output + i as u64 * 24, 12);
        let (a, b) = (a[i].to_f32(), b[i].to_f32());
        assert_eq!(found[..3], [a + b, a - b, a * b].map(bf16::from_f32), "{a} and {b}");
        assert_eq!(found[4], bf16::from_f32(a.mul_add(b, a)));
        assert_eq!([found[7], found[8]], [a.max(b), a.min(b)].map(bf16::from_f32));
        assert_eq!([found[10], found[11]], [-a, i as f32 * 1.1].map(bf16::from_f32));
    }
    assert_eq!(machine.get::<f32>(singles, 32), [4.5; 32]);
}
