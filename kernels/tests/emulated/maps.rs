//! Elementwise kernels: every function, dtype and kind of layout.

use warpsmith_kernels::binary::{self, Binary, BinaryBackward};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unary_backward::{self, UnaryBackward};
use warpsmith_kernels::{Dtype, Float, Map, Operand, cast, compare, copy, dims, dropout, pow, select};

use crate::gpu::{Exact, Gpu, check, numbers, rounded};

/// Where the elements of operands lie: the shape, strides of the input, elements before its first.
struct Layout {
    shape: &'static [usize],
    strides: &'static [usize],
    offset: usize,
}

/// Whole vectors and a rest; a misaligned base; a transposed matrix; a row repeated; one element repeated.
const LAYOUTS: [Layout; 5] = [
    Layout { shape: &[2099], strides: &[1], offset: 0 },
    Layout { shape: &[300], strides: &[1], offset: 1 },
    Layout { shape: &[3, 7, 5], strides: &[35, 1, 7], offset: 0 },
    Layout { shape: &[6, 33], strides: &[0, 1], offset: 0 },
    Layout { shape: &[5, 3], strides: &[0, 0], offset: 2 },
];

impl Layout {
    fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where element number `i` of the output lies in the input.
    fn place(&self, i: usize) -> usize {
        let mut left = i;
        let mut place = self.offset;
        for (size, stride) in self.shape.iter().zip(self.strides).rev() {
            place += left % size * stride;
            left /= size;
        }
        place
    }

    fn operand(&self, base: u64, size: usize) -> Operand {
        Operand::strided(base + (self.offset * size) as u64, self.strides)
    }

    fn span(&self) -> usize {
        (0..self.count()).map(|i| self.place(i)).max().unwrap_or(0) + 1
    }
}

const DTYPES: [Float; 3] = Float::ALL;

/// erfc in f64: its series below 2.5, its continued fraction above (Abramowitz and Stegun 7.1.6, 7.1.14).
fn erfc(x: f64) -> f64 {
    let (a, root_pi) = (x.abs(), std::f64::consts::PI.sqrt());
    let tail = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
        }
        1.0 - 2.0 / root_pi * (-a * a).exp() * sum
    } else {
        (-a * a).exp() / (a + (1..200).rev().fold(0.0, |f, n| f64::from(n) / 2.0 / (a + f))) / root_pi
    };
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// What one operand gets of g: nothing, half of it in a tie, or all.
fn share(g: f64, lost: bool, ties: bool) -> f64 {
    if lost { 0.0 } else { g / (1.0 + f64::from(ties)) }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// 2u of the tanh form of GELU.
fn argument(x: f64) -> f64 {
    1.595_769_121_605_730_7 * x * (1.0 + 0.044_715 * x * x)
}

/// f(x) in f64, and the roundings that its kernel may take.
pub fn forward(function: Unary, x: f64) -> (Exact, f64) {
    let of = |value: f64, roundings| (Exact::of(value), roundings);
    match function {
        Unary::Exp => of(x.exp(), 4.0),
        Unary::Ln => of(x.ln(), 4.0),
        Unary::Sqrt => of(x.sqrt(), 4.0),
        Unary::Rsqrt => of(1.0 / x.sqrt(), 4.0),
        Unary::Square => of(x * x, 4.0),
        Unary::Abs => of(x.abs(), 0.0),
        Unary::Neg => of(-x, 0.0),
        Unary::Relu => of(x.max(0.0), 0.0),
        Unary::Sigmoid => of(sigmoid(x), 6.0),
        Unary::Tanh => of(x.tanh(), 6.0),
        Unary::Softplus => of(x.max(0.0) + (-x.abs()).exp().ln_1p(), 12.0),
        Unary::Silu => of(x * sigmoid(x), 8.0),
        Unary::Gelu => of(x * 0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2), 12.0),
        Unary::GeluTanh => {
            let value = x * sigmoid(argument(x));
            (Exact { value, scale: value.abs() * (1.0 + argument(x).abs()) }, 12.0)
        }
        Unary::Affine { scale, shift } => {
            (Exact { value: scale * x + shift, scale: (scale * x).abs() + shift.abs() }, 4.0)
        }
        Unary::Clamp { low, high } => of(x.max(low).min(high), 1.0),
    }
}

#[test]
fn functions_of_one_number_hold_their_bounds_in_every_layout() {
    let anywhere = (-6.0, 6.0);
    let cases = [
        (Unary::Exp, anywhere),
        (Unary::Ln, (0.1, 9.0)),
        (Unary::Sqrt, (0.0, 9.0)),
        (Unary::Rsqrt, (0.1, 9.0)),
        (Unary::Square, anywhere),
        (Unary::Abs, anywhere),
        (Unary::Neg, anywhere),
        (Unary::Relu, anywhere),
        (Unary::Sigmoid, anywhere),
        (Unary::Tanh, anywhere),
        (Unary::Softplus, anywhere),
        (Unary::Silu, anywhere),
        (Unary::Gelu, anywhere),
        (Unary::GeluTanh, anywhere),
        (Unary::Affine { scale: 0.3, shift: -1.7 }, anywhere),
        (Unary::Clamp { low: -0.5, high: 1.25 }, anywhere),
    ];
    for (k, (function, (low, high))) in cases.into_iter().enumerate() {
        for dtype in DTYPES {
            // Every layout for one of the functions, the first two for each.
            for layout in &LAYOUTS[..if k == 0 { LAYOUTS.len() } else { 2 }] {
                let mut gpu = Gpu::new();
                let values = numbers(dtype, layout.span(), 7 + k as u64, low, high);
                let base = gpu.floats(dtype, &values);
                let shape = dims(layout.shape);
                let y = Operand::contiguous(gpu.room_for(dtype, layout.count()), shape);
                let x = [layout.operand(base, dtype.size())];
                gpu.run(&unary::forward(function, &Map { dtype, dims: shape, y, x }));
                let found = gpu.read_floats(dtype, y.pointer, layout.count());
                let (exact, roundings): (Vec<Exact>, Vec<f64>) =
                    (0..layout.count()).map(|i| forward(function, values[layout.place(i)])).unzip();
                check(&format!("{function:?}"), dtype, &found, &exact, roundings[0]);
            }
        }
    }
}

#[test]
fn special_values_are_those_of_the_host() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let x = [inf, -inf, nan, 0.0, -0.0];
    let cases = [
        (Unary::Exp, [inf, 0.0, nan, 1.0, 1.0]),
        (Unary::Ln, [inf, nan, nan, -inf, -inf]),
        (Unary::Sigmoid, [1.0, 0.0, nan, 0.5, 0.5]),
        (Unary::Tanh, [1.0, -1.0, nan, 0.0, 0.0]),
        (Unary::Relu, [inf, 0.0, nan, 0.0, 0.0]),
        (Unary::Clamp { low: -1.0, high: 2.0 }, [2.0, -1.0, nan, 0.0, 0.0]),
        (Unary::Rsqrt, [0.0, nan, nan, inf, -inf]),
    ];
    for (function, expected) in cases {
        let mut gpu = Gpu::new();
        let shape = dims(&[5]);
        let from = Operand::contiguous(gpu.floats(Float::F32, &x), shape);
        let y = Operand::contiguous(gpu.room(20), shape);
        gpu.run(&unary::forward(function, &Map { dtype: Float::F32, dims: shape, y, x: [from] }));
        let found = gpu.read_floats(Float::F32, y.pointer, 5);
        let same = found.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(same, "{function:?}: {found:?}, expected {expected:?}");
    }
}

/// dy/dx from what is kept, the scale of its terms, and the roundings.
fn slope(function: UnaryBackward, kept: f64) -> (f64, f64, f64) {
    let of = |slope: f64, roundings| (slope, slope.abs(), roundings);
    let s = sigmoid(kept);
    match function {
        UnaryBackward::Exp => of(kept, 4.0),
        UnaryBackward::Ln => of(1.0 / kept, 4.0),
        UnaryBackward::Sqrt => of(0.5 / kept, 4.0),
        UnaryBackward::Rsqrt => of(-0.5 * kept.powi(3), 4.0),
        UnaryBackward::Square => of(2.0 * kept, 4.0),
        UnaryBackward::Abs => of(if kept > 0.0 { 1.0 } else { -f64::from(kept < 0.0) }, 0.0),
        UnaryBackward::Relu => of(f64::from(kept > 0.0), 0.0),
        UnaryBackward::Sigmoid => of(kept * (1.0 - kept), 4.0),
        UnaryBackward::Tanh => of(1.0 - kept * kept, 4.0),
        UnaryBackward::Softplus => of(s, 8.0),
        UnaryBackward::Silu => {
            let t = sigmoid(-kept);
            (s * (1.0 + kept * t), s * (1.0 + (kept * t).abs()), 20.0)
        }
        UnaryBackward::Gelu => {
            let cdf = 0.5 * erfc(-kept * std::f64::consts::FRAC_1_SQRT_2);
            let pdf = (-0.5 * kept * kept).exp() / std::f64::consts::TAU.sqrt();
            (cdf + kept * pdf, (cdf + (kept * pdf).abs()) * (1.0 + 0.5 * kept * kept), 16.0)
        }
        UnaryBackward::GeluTanh => {
            let s = sigmoid(argument(kept));
            let inner = 1.595_769_121_605_730_7 * (1.0 + 3.0 * 0.044_715 * kept * kept);
            let second = kept * s * (1.0 - s) * inner;
            (s + second, (s + second.abs()) * (1.0 + argument(kept).abs()), 16.0)
        }
        UnaryBackward::Clamp { low, high } => of(f64::from((low..=high).contains(&kept)), 0.0),
    }
}

#[test]
fn gradients_of_functions_of_one_number_hold_their_bounds() {
    use UnaryBackward as B;
    let anywhere = (-5.0, 5.0);
    let cases = [
        (B::Exp, (0.0, 9.0)),
        (B::Ln, (0.1, 9.0)),
        (B::Sqrt, (0.1, 9.0)),
        (B::Rsqrt, (0.1, 9.0)),
        (B::Square, anywhere),
        (B::Abs, anywhere),
        (B::Relu, anywhere),
        (B::Sigmoid, (0.0, 1.0)),
        (B::Tanh, (-0.9, 0.9)),
        (B::Softplus, anywhere),
        (B::Silu, anywhere),
        (B::Gelu, anywhere),
        (B::GeluTanh, anywhere),
        (B::Clamp { low: -0.5, high: 1.25 }, anywhere),
    ];
    for (function, (low, high)) in cases {
        for dtype in DTYPES {
            let (n, shape) = (523, dims(&[523]));
            let mut gpu = Gpu::new();
            let (g, kept) = (numbers(dtype, n, 3, -4.0, 4.0), numbers(dtype, n, 5, low, high));
            let x = [&g, &kept].map(|v| Operand::contiguous(gpu.floats(dtype, v), shape));
            let y = Operand::contiguous(gpu.room_for(dtype, n), shape);
            gpu.run(&unary_backward::backward(function, &Map { dtype, dims: shape, y, x }));
            let parts: Vec<_> = kept.iter().map(|&k| slope(function, k)).collect();
            let exact: Vec<Exact> = g
                .iter()
                .zip(&parts)
                .map(|(g, (slope, scale, _))| Exact { value: g * slope, scale: g.abs() * scale })
                .collect();
            let found = gpu.read_floats(dtype, y.pointer, n);
            check(&format!("{function:?}"), dtype, &found, &exact, parts[0].2);
        }
    }
}

#[test]
fn powers_hold_their_bounds() {
    for exponent in [2.0, -1.0, 3.0, 0.5, 1.7, 0.0, 1.0] {
        for dtype in DTYPES {
            let (n, shape) = (133, dims(&[133]));
            let mut gpu = Gpu::new();
            let (g, x) = (numbers(dtype, n, 3, -4.0, 4.0), numbers(dtype, n, 5, 0.1, 4.0));
            let operands = [&g, &x].map(|v| Operand::contiguous(gpu.floats(dtype, v), shape));
            let y = Operand::contiguous(gpu.room_for(dtype, n), shape);
            gpu.run(&pow::forward(exponent, &Map { dtype, dims: shape, y, x: [operands[1]] }));
            let exact: Vec<Exact> = x.iter().map(|x| Exact::of(x.powf(exponent))).collect();
            check("pow", dtype, &gpu.read_floats(dtype, y.pointer, n), &exact, 4.0);
            gpu.run(&pow::backward(exponent, &Map { dtype, dims: shape, y, x: operands }));
            let slope = |x: f64| exponent * x.powf(exponent - 1.0);
            let exact: Vec<Exact> = g.iter().zip(&x).map(|(g, &x)| Exact::of(g * slope(x))).collect();
            check("pow_backward", dtype, &gpu.read_floats(dtype, y.pointer, n), &exact, 4.0);
        }
    }
}

#[test]
fn functions_of_two_and_three_numbers_broadcast() {
    let (rows, width) = (5, 35);
    let shape = dims(&[rows, width]);
    for dtype in DTYPES {
        let p = numbers(dtype, rows * width, 1, -3.0, 3.0);
        let mut q = numbers(dtype, width, 2, 0.2, 3.0);
        q[3] = p[3];
        let g = numbers(dtype, rows * width, 4, -3.0, 3.0);
        let mut gpu = Gpu::new();
        let full = |v: u64| Operand::contiguous(v, shape);
        let (p_at, g_at) = (full(gpu.floats(dtype, &p)), full(gpu.floats(dtype, &g)));
        let q_at = Operand::strided(gpu.floats(dtype, &q), &[0, 1]);
        let y = full(gpu.room_for(dtype, rows * width));
        type Formula = fn(f64, f64) -> f64;
        let cases: [(Binary, Formula, f64); 7] = [
            (Binary::Add, |a, b| a + b, 1.0),
            (Binary::Sub, |a, b| a - b, 1.0),
            (Binary::Mul, |a, b| a * b, 1.0),
            (Binary::Div, |a, b| a / b, 4.0),
            (Binary::Maximum, f64::max, 0.0),
            (Binary::Minimum, f64::min, 0.0),
            (Binary::Swiglu, |a, b| a * sigmoid(a) * b, 8.0),
        ];
        for (function, formula, roundings) in cases {
            gpu.run(&binary::forward(function, &Map { dtype, dims: shape, y, x: [p_at, q_at] }));
            let exact: Vec<Exact> =
                p.iter().enumerate().map(|(i, &p)| Exact::of(formula(p, q[i % width]))).collect();
            let found = gpu.read_floats(dtype, y.pointer, rows * width);
            check(&format!("{function:?}"), dtype, &found, &exact, roundings);
        }
        type Gradient = fn(f64, f64, f64) -> f64;
        let gradients: [(BinaryBackward, Gradient, f64); 3] = [
            (BinaryBackward::Div, |g, y, b| -g * y / b, 4.0),
            (BinaryBackward::Maximum, |g, a, b| share(g, a < b, a == b), 0.0),
            (BinaryBackward::Minimum, |g, a, b| share(g, a > b, a == b), 0.0),
        ];
        for (function, formula, roundings) in gradients {
            gpu.run(&binary::backward(function, &Map { dtype, dims: shape, y, x: [g_at, p_at, q_at] }));
            let element = |i: usize| Exact::of(formula(g[i], p[i], q[i % width]));
            let exact: Vec<Exact> = (0..rows * width).map(element).collect();
            let found = gpu.read_floats(dtype, y.pointer, rows * width);
            check(&format!("{function:?}"), dtype, &found, &exact, roundings);
        }
    }
}

#[test]
fn copies_move_every_element_size_between_layouts() {
    for dtype in [Dtype::U8, Dtype::Bf16, Dtype::F32, Dtype::I64] {
        let (layout, size) = (&LAYOUTS[2], dtype.size());
        let source: Vec<u8> = (0..layout.span() * size).map(|i| (i * 37 % 251) as u8).collect();
        let mut gpu = Gpu::new();
        let x = layout.operand(gpu.bytes(&source), size);
        // Into every second column of a wider tensor.
        let target = vec![0u8; 3 * 7 * 10 * size];
        let base = gpu.bytes(&target);
        let y = Operand::strided(base, &[70, 10, 2]);
        gpu.run(&copy::copy(&copy::Copy { dtype, dims: dims(layout.shape), y, x }));
        let found: Vec<u8> = gpu.read(base, target.len());
        for (place, piece) in found.chunks(size).enumerate() {
            let expected = match place % 2 {
                0 => &source[layout.place(place / 2) * size..][..size],
                _ => &target[..size],
            };
            assert_eq!(piece, expected, "{dtype:?} at {place}");
        }
    }
}

#[test]
fn casts_round_to_nearest_even_and_saturate() {
    let shape = dims(&[9]);
    let run = |gpu: &mut Gpu, from: Dtype, to: Dtype, x: u64| {
        let y = Operand::contiguous(gpu.room(9 * to.size() as u64), shape);
        let x = Operand::contiguous(x, shape);
        gpu.run(&cast::cast(&cast::Cast { from, to, dims: shape, y, x }));
        y.pointer
    };
    let mut gpu = Gpu::new();
    let x = [0.0, -0.0, 1.5, -2.7, 3e38, -3e38, f64::NAN, 300.0, 1.003_906_25];
    let at = gpu.floats(Float::F32, &x);
    for (to, float) in [(Dtype::Bf16, Float::Bf16), (Dtype::F16, Float::F16)] {
        let y = run(&mut gpu, Dtype::F32, to, at);
        let found = gpu.read_floats(float, y, 9);
        let expected = rounded(float, &x);
        assert!(found.iter().zip(&expected).all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{found:?}");
    }
    let whole = run(&mut gpu, Dtype::F32, Dtype::I64, at);
    assert_eq!(gpu.read::<i64>(whole, 9), x.map(|v| v as f32 as i64));
    let whole = run(&mut gpu, Dtype::F32, Dtype::U32, at);
    assert_eq!(gpu.read::<u32>(whole, 9), x.map(|v| v as f32 as u32));
    let whole = run(&mut gpu, Dtype::F32, Dtype::U8, at);
    assert_eq!(gpu.read::<u8>(whole, 9), x.map(|v| v as f32 as u8));
    let truth = run(&mut gpu, Dtype::F32, Dtype::Bool, at);
    assert_eq!(gpu.read::<u8>(truth, 9), x.map(|v| u8::from(v != 0.0)));
    // 2²⁴ + 2¹⁶ + 1 lies just above the middle of two bf16; by way of f32 it would fall on it.
    let integers = [0i64, -1, 255, 256, 16_842_753, -16_842_753, i64::MAX, i64::MIN, 16_777_217];
    let at = gpu.pod(&integers);
    let y = run(&mut gpu, Dtype::I64, Dtype::F32, at);
    assert_eq!(gpu.read::<f32>(y, 9), integers.map(|v| v as f32));
    let y = run(&mut gpu, Dtype::I64, Dtype::Bf16, at);
    assert_eq!(gpu.read_floats(Float::Bf16, y, 9)[4], 16_908_288.0);
    assert_eq!(gpu.read_floats(Float::Bf16, y, 9)[5], -16_908_288.0);
    let y = run(&mut gpu, Dtype::I64, Dtype::Bool, at);
    assert_eq!(gpu.read::<u8>(y, 9), integers.map(|v| u8::from(v != 0)));
}

#[test]
fn selections_and_comparisons_are_exact() {
    let (rows, width) = (4, 33);
    let shape = dims(&[rows, width]);
    let mut gpu = Gpu::new();
    let mask: Vec<u8> = (0..rows * width).map(|i| (i % 3) as u8).collect();
    let (p, q): (Vec<f32>, Vec<f32>) =
        (0..rows * width).map(|i| ((i * 7 % 11) as f32, (i % 5) as f32)).unzip();
    let full = |pointer| Operand::contiguous(pointer, shape);
    let (mask_at, p_at, q_at) = (full(gpu.bytes(&mask)), full(gpu.pod(&p)), full(gpu.pod(&q)));
    let y = full(gpu.room((rows * width * 4) as u64));
    let dtype = Dtype::F32;
    gpu.run(&select::where_(&select::Where { dtype, dims: shape, y, mask: mask_at, p: p_at, q: q_at }));
    let chosen = |i: usize, p: f32| if mask[i] != 0 { p } else { q[i] };
    let expected: Vec<f32> = (0..rows * width).map(|i| chosen(i, p[i])).collect();
    assert_eq!(gpu.read::<f32>(y.pointer, rows * width), expected);
    let value = u64::from(9.5f32.to_bits());
    let fill = select::MaskedFill { dtype, dims: shape, y, mask: mask_at, value, q: q_at };
    gpu.run(&select::masked_fill(&fill));
    let expected: Vec<f32> = (0..rows * width).map(|i| chosen(i, 9.5)).collect();
    assert_eq!(gpu.read::<f32>(y.pointer, rows * width), expected);

    use compare::{Connective, Relation};
    type Holds = fn(&f32, &f32) -> bool;
    let relations: [(Relation, Holds); 6] = [
        (Relation::Equal, f32::eq),
        (Relation::NotEqual, f32::ne),
        (Relation::Less, f32::lt),
        (Relation::LessEqual, f32::le),
        (Relation::Greater, f32::gt),
        (Relation::GreaterEqual, f32::ge),
    ];
    let operands = compare::Operands { dims: shape, y, p: p_at, q: q_at };
    for (relation, holds) in relations {
        gpu.run(&compare::compare(relation, Dtype::F32, &operands));
        let expected: Vec<u8> = p.iter().zip(&q).map(|(p, q)| u8::from(holds(p, q))).collect();
        assert_eq!(gpu.read::<u8>(y.pointer, rows * width), expected, "{relation:?}");
    }
    let other: Vec<u8> = (0..rows * width).map(|i| (i % 2) as u8).collect();
    let operands = compare::Operands { p: mask_at, q: full(gpu.bytes(&other)), ..operands };
    for (connective, f) in [
        (Connective::Not, (|p, _| p == 0) as fn(u8, u8) -> bool),
        (Connective::And, |p, q| p != 0 && q != 0),
        (Connective::Or, |p, q| p != 0 || q != 0),
    ] {
        gpu.run(&compare::logical(connective, &operands));
        let expected: Vec<u8> = mask.iter().zip(&other).map(|(&p, &q)| u8::from(f(p, q))).collect();
        assert_eq!(gpu.read::<u8>(y.pointer, rows * width), expected, "{connective:?}");
    }
}

/// One block of the host's generator (crates/tensor/src/rng.rs), spelled once more.
pub fn philox(key: u64, stream: u64, counter: u64) -> [u32; 4] {
    let mut c = [counter as u32, (counter >> 32) as u32, stream as u32, (stream >> 32) as u32];
    let mut k = [key as u32, (key >> 32) as u32];
    for _ in 0..10 {
        let (p, q) = (0xd251_1f53u64 * u64::from(c[0]), 0xcd9e_8d57u64 * u64::from(c[2]));
        c = [(q >> 32) as u32 ^ c[1] ^ k[0], q as u32, (p >> 32) as u32 ^ c[3] ^ k[1], p as u32];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

#[test]
fn dropout_draws_the_stream_of_the_host() {
    assert_eq!(philox(0, 0, 0)[0], 0x6627_e8d5);
    for (dtype, n, shift) in [(Float::F32, 1027, 0), (Float::Bf16, 514, 0), (Float::F16, 130, 1)] {
        let x = numbers(dtype, n + shift, 9, -2.0, 2.0);
        let mut gpu = Gpu::new();
        let from = gpu.floats(dtype, &x) + (shift * dtype.size()) as u64;
        let y = gpu.room_for(dtype, n);
        let (p, seed, stream) = (0.3, 0x1234_5678_9abc_def0, 77);
        // Round 3 of a recording, in one of the cases.
        let (round, advance) = if dtype == Float::Bf16 { (3, gpu.pod(&[3u64])) } else { (0, 0) };
        gpu.run(&dropout::dropout(&dropout::Dropout {
            dtype,
            y,
            x: from,
            elements: n as u64,
            p,
            seed,
            stream,
            advance,
        }));
        let exact: Vec<Exact> = (0..n)
            .map(|i| {
                let bits = philox(seed, stream + (round << 32), i as u64 / 4)[i % 4];
                let kept = (bits >> 8) as f32 / 16_777_216.0 >= p as f32;
                Exact::of(if kept { x[i + shift] / (1.0 - p) } else { 0.0 })
            })
            .collect();
        check("dropout", dtype, &gpu.read_floats(dtype, y, n), &exact, 2.0);
    }
}
