//! Updates of many tensors in one launch.

use warpsmith_kernels::Float;
use warpsmith_kernels::optimise::{self, Dtypes, Numbers, Parameter};

use crate::gpu::{Exact, Gpu, check, numbers};

/// Sizes of the tensors: several pieces, none, one element.
const SIZES: [usize; 4] = [8195, 0, 1, 300];

/// Tensors on the device, and what they hold.
struct Group {
    gpu: Gpu,
    /// Of the gradients.
    dtype: Float,
    /// Of all else.
    held: Float,
    parameters: Vec<Parameter>,
    values: Vec<[Vec<f64>; 4]>, // p, g, m, v
}

impl Group {
    fn new(dtype: Float) -> Self {
        Self::of(Dtypes::wide(dtype))
    }

    fn of(dtypes: Dtypes) -> Self {
        let dtype = dtypes.gradient;
        let held_in = if dtypes.is_narrow { dtype } else { Float::F32 };
        let mut gpu = Gpu::new();
        let (mut parameters, mut values) = (Vec::new(), Vec::new());
        for (k, n) in SIZES.into_iter().enumerate() {
            let own = |seed: u64, low| numbers(held_in, n, 10 * k as u64 + seed, low, 2.0);
            let held = [own(1, -2.0), numbers(dtype, n, k as u64, -3.0, 3.0), own(3, -2.0), own(4, 0.0)];
            let [p, m, v] = [0, 2, 3].map(|i: usize| gpu.floats(held_in, &held[i]));
            let (g, copy) = (gpu.floats(dtype, &held[1]), gpu.room_for(Float::Bf16, n));
            parameters.push(Parameter { p, g, m, v, copy, elements: n as u64, first_piece: 0 });
            values.push(held);
        }
        Self { gpu, dtype, held: held_in, parameters, values }
    }

    /// The addresses of the norm of all gradients and of the factor that shortens them.
    fn norm(&mut self, max_norm: f64) -> [u64; 2] {
        let pieces = optimise::pieces(&self.parameters);
        let [partial, norm, factor] = [pieces * 8, 4, 4].map(|bytes| self.gpu.room(bytes));
        self.gpu.run_all(&optimise::squares(self.dtype, &self.parameters, partial));
        self.gpu.run(&optimise::norm(partial, pieces, norm, factor, max_norm));
        [norm, factor]
    }

    /// Holds p, m and v (and the copy of p) to a formula of p, g, m, v that gives all three with their scales.
    fn check(&self, what: &str, formula: impl Fn([f64; 4]) -> [Exact; 3]) {
        for (parameter, [p, g, m, v]) in self.parameters.iter().zip(&self.values) {
            let n = p.len();
            let exact: Vec<[Exact; 3]> = (0..n).map(|i| formula([p[i], g[i], m[i], v[i]])).collect();
            for (k, at) in [parameter.p, parameter.m, parameter.v].into_iter().enumerate() {
                let column: Vec<Exact> = exact.iter().map(|e| e[k]).collect();
                check(what, self.held, &self.gpu.read_floats(self.held, at, n), &column, 14.0);
            }
            let column: Vec<Exact> = exact.iter().map(|e| e[0]).collect();
            let copy = self.gpu.read_floats(Float::Bf16, parameter.copy, n);
            check(what, Float::Bf16, &copy, &column, 14.0);
        }
    }
}

#[test]
fn adamw_takes_its_step_on_every_tensor() {
    let narrow = |gradient| Dtypes { gradient, is_narrow: true };
    let wide = [Float::F32, Float::Bf16].map(Dtypes::wide);
    for dtypes in wide.into_iter().chain([Float::F16, Float::Bf16].map(narrow)) {
        let mut group = Group::of(dtypes);
        // An ε that is seen beside √v.
        let (lr, betas, eps, decay, step) = (3e-3, [0.9, 0.99], 1e-2, 0.1, 7);
        let numbers = optimise::adamw_numbers(lr, betas, eps, decay, step);
        let numbers = match dtypes.gradient {
            Float::F32 => Numbers::Known(numbers),
            _ => Numbers::At(group.gpu.pod(&numbers.map(|n| n as f32))),
        };
        let factor = group.gpu.pod(&[0.5f32]);
        group.gpu.run_all(&optimise::adamw(dtypes, &group.parameters, numbers, factor));
        let rest = |beta: f64| 1.0 - beta.powi(step as i32);
        group.check("adamw", |[p, g, m, v]| {
            let g = 0.5 * g;
            let size = m.abs() + 0.1 * (g - m).abs();
            let m = m + 0.1 * (g - m);
            let v = 0.99 * v + 0.01 * g * g;
            let down = v.sqrt() / rest(0.99).sqrt() + eps;
            let (kept, slope) = (p * (1.0 - lr * decay), lr / rest(0.9) / down);
            [
                Exact { value: kept - slope * m, scale: kept.abs() + slope * size },
                Exact { value: m, scale: size },
                Exact::of(v),
            ]
        });
    }
}

#[test]
fn neither_adamw_nor_a_norm_knows_where_its_tensors_lie() {
    let n = 8195;
    let run = |shift: u64| {
        let mut gpu = Gpu::new();
        let [p, g, m, v] = [(1, -2.0), (2, -3.0), (3, -2.0), (4, 0.0)].map(|(seed, low)| {
            let at = gpu.room(4 * n + 16) + shift;
            gpu.write_floats(Float::F32, at, &numbers(Float::F32, n as usize, seed, low, 2.0));
            at
        });
        let all = [Parameter { p, g, m, v, copy: 0, elements: n, first_piece: 0 }];
        let partial = gpu.room(16);
        gpu.run_all(&optimise::squares(Float::F32, &all, partial));
        let numbers = Numbers::Known(optimise::adamw_numbers(0.1, [0.9, 0.99], 1e-8, 0.1, 3));
        gpu.run_all(&optimise::adamw(Dtypes::wide(Float::F32), &all, numbers, 0));
        let factor = gpu.pod(&[0.7f32]);
        gpu.run_all(&optimise::scale(Float::F32, &all, factor));
        let arrays = [p, m, v, g].map(|at| gpu.read::<u32>(at, n as usize));
        (arrays, gpu.read::<u64>(partial, 2))
    };
    assert!(run(0) == run(4));
}

#[test]
fn sgd_takes_its_step_with_momentum() {
    let narrow = |gradient| Dtypes { gradient, is_narrow: true };
    let all = [Dtypes::wide(Float::F32), narrow(Float::F16), narrow(Float::Bf16)];
    for (is_nesterov, dtypes) in [false, true].into_iter().flat_map(|nesterov| all.map(|d| (nesterov, d))) {
        let mut group = Group::of(dtypes);
        let numbers = Numbers::Known([0.1, 0.9, 0.01]);
        group.gpu.run_all(&optimise::sgd(dtypes, &group.parameters, numbers, 0, is_nesterov));
        group.check("sgd", |[p, g, b, v]| {
            let g = g + 0.01 * p;
            let size = 0.9 * b.abs() + g.abs();
            let b = 0.9 * b + g;
            let d = if is_nesterov { g + 0.9 * b } else { b };
            [
                Exact { value: p - 0.1 * d, scale: p.abs() + 0.2 * (g.abs() + size) },
                Exact { value: b, scale: size },
                Exact { value: v, scale: 0.0 },
            ]
        });
    }
}

#[test]
fn the_norm_is_that_of_all_gradients_as_one_vector() {
    for dtype in [Float::F32, Float::F16] {
        let mut group = Group::new(dtype);
        let [norm, factor] = group.norm(2.0);
        group.gpu.run_all(&optimise::scale(dtype, &group.parameters, factor));
        let exact = group.values.iter().flat_map(|v| &v[1]).map(|g| g * g).sum::<f64>().sqrt();
        check("norm", Float::F32, &group.gpu.read_floats(Float::F32, norm, 1), &[Exact::of(exact)], 2.0);
        for (parameter, [_, g, ..]) in group.parameters.iter().zip(&group.values) {
            let exact: Vec<Exact> = g.iter().map(|g| Exact::of(g * 2.0 / (exact + 1e-6))).collect();
            check("clipped", dtype, &group.gpu.read_floats(dtype, parameter.g, g.len()), &exact, 2.0);
        }
    }
}

#[test]
fn squares_add_up_in_f64() {
    // All alike, so that every thread would make the same error.
    let n = 8192;
    let values = numbers(Float::F32, 1, 5, 0.1, 0.2).repeat(n);
    let mut gpu = Gpu::new();
    let (g, partial) = (gpu.floats(Float::F32, &values), gpu.room(8));
    let parameter = Parameter { p: 0, g, m: 0, v: 0, copy: 0, elements: n as u64, first_piece: 0 };
    gpu.run_all(&optimise::squares(Float::F32, &[parameter], partial));
    let exact = values.iter().map(|g| g * g).sum::<f64>();
    let found = gpu.read::<f64>(partial, 1)[0];
    assert!((found - exact).abs() <= 1e-12 * exact, "{found}, expected {exact}");
}

#[test]
fn a_nan_gradient_is_seen_in_the_norm() {
    let mut group = Group::new(Float::F32);
    let poisoned = group.gpu.floats(Float::F32, &[f64::NAN]);
    group.parameters[2].g = poisoned;
    let [norm, factor] = group.norm(2.0);
    assert!(group.gpu.read::<f32>(norm, 1)[0].is_nan() && group.gpu.read::<f32>(factor, 1)[0].is_nan());
}

#[test]
fn a_rate_of_nan_leaves_everything_as_it_was() {
    let mut group = Group::new(Float::F32);
    let numbers = group.gpu.pod(&[1.0, 0.1, 0.99, 0.01, 1.0, 1e-8, f32::NAN]);
    group.gpu.run_all(&optimise::adamw(Dtypes::wide(Float::F32), &group.parameters, Numbers::At(numbers), 0));
    let numbers = group.gpu.pod(&[f32::NAN, 0.9, 0.01]);
    group.gpu.run_all(&optimise::sgd(
        Dtypes::wide(Float::F32),
        &group.parameters,
        Numbers::At(numbers),
        0,
        false,
    ));
    for (parameter, [p, _, m, v]) in group.parameters.iter().zip(&group.values) {
        for (at, before) in [(parameter.p, p), (parameter.m, m), (parameter.v, v)] {
            assert_eq!(group.gpu.read_floats(Float::F32, at, before.len()), *before);
        }
    }
}
