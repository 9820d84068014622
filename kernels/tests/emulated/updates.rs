//! Updates of many tensors in one launch.

use warpsmith_kernels::Float;
use warpsmith_kernels::optimise::{self, Parameter, Table, number_pieces};

use crate::gpu::{Exact, Gpu, check, numbers};

/// Sizes of the tensors: several pieces, none, one element.
const SIZES: [usize; 4] = [8195, 0, 1, 300];

/// Tensors on the device, and what they hold.
struct Group {
    gpu: Gpu,
    table: Table,
    parameters: Vec<Parameter>,
    values: Vec<[Vec<f64>; 4]>, // p, g, m, v
}

impl Group {
    fn new(dtype: Float) -> Self {
        let mut gpu = Gpu::new();
        let (mut parameters, mut values) = (Vec::new(), Vec::new());
        for (k, n) in SIZES.into_iter().enumerate() {
            let own = |seed: u64, low| numbers(Float::F32, n, 10 * k as u64 + seed, low, 2.0);
            let held = [own(1, -2.0), numbers(dtype, n, k as u64, -3.0, 3.0), own(3, -2.0), own(4, 0.0)];
            let [p, m, v] = [0, 2, 3].map(|i: usize| gpu.floats(Float::F32, &held[i]));
            let (g, copy) = (gpu.floats(dtype, &held[1]), gpu.room_for(dtype, n));
            parameters.push(Parameter { p, g, m, v, copy, elements: n as u64, first_piece: 0 });
            values.push(held);
        }
        let pieces = number_pieces(&mut parameters);
        let table = Table { dtype, parameters: gpu.pod(&parameters), count: SIZES.len() as u32, pieces };
        Self { gpu, table, parameters, values }
    }

    /// Holds p, m and v (and the copy of p) to a formula of p, g, m, v that gives all three with their scales.
    fn check(&self, what: &str, formula: impl Fn([f64; 4]) -> [Exact; 3]) {
        for (parameter, [p, g, m, v]) in self.parameters.iter().zip(&self.values) {
            let n = p.len();
            let exact: Vec<[Exact; 3]> = (0..n).map(|i| formula([p[i], g[i], m[i], v[i]])).collect();
            for (k, at) in [parameter.p, parameter.m, parameter.v].into_iter().enumerate() {
                let column: Vec<Exact> = exact.iter().map(|e| e[k]).collect();
                check(what, Float::F32, &self.gpu.read_floats(Float::F32, at, n), &column, 14.0);
            }
            let column: Vec<Exact> = exact.iter().map(|e| e[0]).collect();
            let copy = self.gpu.read_floats(self.table.dtype, parameter.copy, n);
            check(what, self.table.dtype, &copy, &column, 14.0);
        }
    }
}

#[test]
fn adamw_takes_its_step_on_every_tensor() {
    for dtype in [Float::F32, Float::Bf16] {
        let mut group = Group::new(dtype);
        let (lr, betas, eps, decay, step) = (3e-3, [0.9, 0.99], 1e-8, 0.1, 7);
        let numbers = group.gpu.pod(&optimise::adamw_numbers(lr, betas, eps, decay, step));
        let factor = group.gpu.pod(&[0.5f32]);
        group.gpu.run(&optimise::adamw(&group.table, numbers, factor));
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
fn sgd_takes_its_step_with_momentum() {
    for is_nesterov in [false, true] {
        let mut group = Group::new(Float::F32);
        let numbers = group.gpu.pod(&[0.1f32, 0.9, 0.01]);
        group.gpu.run(&optimise::sgd(&group.table, numbers, 0, is_nesterov));
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
        let partial = group.gpu.room(group.table.pieces * 8);
        let (norm, factor) = (group.gpu.room(4), group.gpu.room(4));
        let launches = optimise::norm(&group.table, partial, norm, factor, 2.0);
        group.gpu.run_all(&launches);
        group.gpu.run(&optimise::scale(&group.table, factor));
        let exact = group.values.iter().flat_map(|v| &v[1]).map(|g| g * g).sum::<f64>().sqrt();
        check("norm", Float::F32, &group.gpu.read_floats(Float::F32, norm, 1), &[Exact::of(exact)], 2.0);
        for (parameter, [_, g, ..]) in group.parameters.iter().zip(&group.values) {
            let exact: Vec<Exact> = g.iter().map(|g| Exact::of(g * 2.0 / (exact + 1e-6))).collect();
            check("clipped", dtype, &group.gpu.read_floats(dtype, parameter.g, g.len()), &exact, 2.0);
        }
    }
}

#[test]
fn a_nan_gradient_is_seen_in_the_norm() {
    let mut group = Group::new(Float::F32);
    let poisoned = group.gpu.floats(Float::F32, &[f64::NAN]);
    group.parameters[2].g = poisoned;
    group.table.parameters = group.gpu.pod(&group.parameters);
    let partial = group.gpu.room(group.table.pieces * 8);
    let (norm, factor) = (group.gpu.room(4), group.gpu.room(4));
    group.gpu.run_all(&optimise::norm(&group.table, partial, norm, factor, 2.0));
    assert!(group.gpu.read::<f32>(norm, 1)[0].is_nan() && group.gpu.read::<f32>(factor, 1)[0].is_nan());
}
