//! Elementwise kernels where formulas break first: far from zero, at zero, at infinity, on a bound.

use warpsmith_kernels::binary::{self, Binary};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unary_backward::{self, UnaryBackward};
use warpsmith_kernels::{Float, Launch, Map, Operand, dims, dropout, pow};

use crate::gpu::{Exact, Gpu, check, numbers};
use crate::maps::{forward, philox};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// y (f32) of inputs (f32) by the launch that these operands give.
fn mapped<const N: usize>(inputs: [&[f64]; N], launch: impl Fn(&Map<N>) -> Launch) -> Vec<f64> {
    let mut gpu = Gpu::new();
    let n = inputs[0].len();
    let shape = dims(&[n]);
    let x = inputs.map(|values| Operand::contiguous(gpu.floats(Float::F32, values), shape));
    let y = Operand::contiguous(gpu.room_for(Float::F32, n), shape);
    gpu.run(&launch(&Map { dtype: Float::F32, dims: shape, y, x }));
    gpu.read_floats(Float::F32, y.pointer, n)
}

fn assert_same(what: &str, found: &[f64], expected: &[f64]) {
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    let agrees = found.len() == expected.len() && found.iter().zip(expected).all(same);
    assert!(agrees, "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn functions_far_from_zero_hold_their_bounds() {
    let cases = [
        (Unary::Sigmoid, (-103.0, -80.0)), // down into the subnormal numbers
        (Unary::Exp, (-103.0, -80.0)),
        (Unary::Exp, (80.0, 88.7)),
        (Unary::Softplus, (-103.0, -10.0)), // where 1 + eˣ is 1
        (Unary::Softplus, (80.0, 3e38)),
        (Unary::Ln, (1e-44, 1e-38)),
        (Unary::Ln, (1e30, 3e38)),
    ];
    for (function, (low, high)) in cases {
        let x = numbers(Float::F32, 300, 3, low, high);
        let found = mapped([&x], |map| unary::forward(function, map));
        let (exact, roundings): (Vec<Exact>, Vec<f64>) = x.iter().map(|&x| forward(function, x)).unzip();
        check(&format!("{function:?}"), Float::F32, &found, &exact, roundings[0]);
    }
}

#[test]
fn gradients_at_zero_at_infinity_and_on_a_bound() {
    let kept = [0.0, -0.0, INF, -INF, -1.0, 2.0];
    let cases = [
        (UnaryBackward::Relu, [0.0, 0.0, 3.0, 0.0, 0.0, 3.0]),
        (UnaryBackward::Abs, [0.0, 0.0, 3.0, -3.0, -3.0, 3.0]),
        (UnaryBackward::Clamp { low: -1.0, high: 2.0 }, [3.0, 3.0, 0.0, 0.0, 3.0, 3.0]),
    ];
    for (function, expected) in cases {
        let found = mapped([&[3.0; 6], &kept], |map| unary_backward::backward(function, map));
        assert_same(&format!("{function:?}"), &found, &expected);
    }
    // Far out GELU is 0 or x.
    for function in [UnaryBackward::Gelu, UnaryBackward::GeluTanh] {
        let far = [INF, -INF, 1e30, -1e30, NAN];
        let found = mapped([&[3.0; 5], &far], |map| unary_backward::backward(function, map));
        assert_same(&format!("{function:?}"), &found, &[3.0, 0.0, 3.0, 0.0, NAN]);
    }
}

#[test]
fn pairs_with_nan_are_nan() {
    let (p, q) = ([NAN, 1.0, NAN, 2.0], [1.0, NAN, NAN, 1.0]);
    for (function, last) in [(Binary::Maximum, 2.0), (Binary::Minimum, 1.0)] {
        let found = mapped([&p, &q], |map| binary::forward(function, map));
        assert_same(&format!("{function:?}"), &found, &[NAN, NAN, NAN, last]);
    }
}

#[test]
fn powers_of_negative_numbers_and_of_zero() {
    let x = [-2.0, -0.5, 0.0];
    let cases = [
        (3.0, [-8.0, -0.125, 0.0]),
        (2.0, [4.0, 0.25, 0.0]),
        (-1.0, [-0.5, -2.0, INF]),
        (0.5, [NAN, NAN, 0.0]),
        (0.0, [1.0, 1.0, 1.0]),
    ];
    for (exponent, expected) in cases {
        let found = mapped([&x], |map| pow::forward(exponent, map));
        assert_same(&format!("x^{exponent}"), &found, &expected);
    }
    for (exponent, expected) in [(0.0, [0.0, 0.0, 0.0]), (1.0, [3.0, 3.0, 3.0]), (3.0, [36.0, 2.25, 0.0])] {
        let found = mapped([&[3.0; 3], &x], |map| pow::backward(exponent, map));
        assert_same(&format!("gradient of x^{exponent}"), &found, &expected);
    }
}

#[test]
fn dropout_keeps_what_equals_p_and_drops_nan() {
    let (seed, stream) = (9, 4);
    let drawn: Vec<f64> =
        (0..8).map(|i| f64::from(philox(seed, stream, i / 4)[i as usize % 4] >> 8) / 16_777_216.0).collect();
    let mut sorted = drawn.clone();
    sorted.sort_by(f64::total_cmp);
    let p = sorted[4];
    let mut gpu = Gpu::new();
    let (x, y) = (gpu.floats(Float::F32, &[NAN; 8]), gpu.room(32));
    let call = dropout::Dropout { dtype: Float::F32, y, x, elements: 8, p, seed, stream, advance: 0 };
    gpu.run(&dropout::dropout(&call));
    let expected: Vec<f64> = drawn.iter().map(|&u| if u >= p { NAN } else { 0.0 }).collect();
    assert_same("dropout", &gpu.read_floats(Float::F32, y, 8), &expected);
}
