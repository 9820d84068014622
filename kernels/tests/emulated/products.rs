//! Matrix products: layouts, dtypes, tiles, epilogues, splits of K, rows that are no multiples of 16 bytes.

use warpsmith_emulator::Schedule;
use warpsmith_kernels::matmul::{Activation, Matmul, Matrix, Plan, Tile, matmul, planned};
use warpsmith_kernels::{Float, gemv};

use crate::gpu::{Exact, Gpu, check, numbers};

/// A product of small numbers with gapless or padded rows, on the device and in f64.
struct Case {
    gpu: Gpu,
    product: Matmul,
    a: Vec<f64>,
    b: Vec<f64>,
    bias: Vec<f64>,
    residual: Vec<f64>,
    /// What C holds before.
    c: Vec<f64>,
}

/// Which operands lie transposed.
#[derive(Clone, Copy, Debug)]
struct Transposed {
    a: bool,
    b: bool,
}

const LAYOUTS: [Transposed; 4] = [
    Transposed { a: false, b: false },
    Transposed { a: false, b: true },
    Transposed { a: true, b: false },
    Transposed { a: true, b: true },
];

/// An (rows, cols) operand whose stored rows are `pad` elements longer than need be.
fn matrix(
    gpu: &mut Gpu,
    dtype: Float,
    [rows, cols]: [usize; 2],
    transposed: bool,
    pad: usize,
    seed: u64,
) -> (Matrix, Vec<f64>) {
    let (outer, inner) = if transposed { (cols, rows) } else { (rows, cols) };
    let stride = inner + pad;
    let stored = numbers(dtype, outer * stride, seed, -1.0, 1.0);
    let pointer = gpu.floats(dtype, &stored);
    let (row, col) = if transposed { (1, stride) } else { (stride, 1) };
    let values = (0..rows * cols).map(|i| stored[i / cols * row + i % cols * col]).collect();
    (Matrix { pointer, row: row as i64, col: col as i64, batch: [0; 3] }, values)
}

impl Case {
    fn new(dtype: Float, out: Float, shape: [usize; 3], layout: Transposed, pad: usize) -> Self {
        Self::on(Gpu::new(), dtype, out, shape, layout, pad)
    }

    fn on(
        mut gpu: Gpu,
        dtype: Float,
        out: Float,
        [m, n, k]: [usize; 3],
        layout: Transposed,
        pad: usize,
    ) -> Self {
        let (a_matrix, a) = matrix(&mut gpu, dtype, [m, k], layout.a, pad, 1);
        let (b_matrix, b) = matrix(&mut gpu, dtype, [k, n], layout.b, pad, 2);
        let bias = numbers(out, n, 3, -1.0, 1.0);
        let residual = numbers(out, m * n, 4, -1.0, 1.0);
        let c = numbers(out, m * n, 5, -1.0, 1.0);
        let product = Matmul {
            out,
            beside: out,
            ..Matmul::plain(dtype, [m as u32, n as u32, k as u32], a_matrix, b_matrix, gpu.floats(out, &c))
        };
        Self { gpu, product, a, b, bias, residual, c }
    }

    fn count(&self) -> usize {
        (self.product.m * self.product.n) as usize
    }

    /// Element `i` of A·B + bias.
    fn sum(&self, i: usize) -> Exact {
        let (n, k) = (self.product.n as usize, self.product.k as usize);
        let bias = if self.product.bias == 0 { 0.0 } else { self.bias[i % n] };
        let start = Exact { value: bias, scale: bias.abs() };
        (0..k).fold(start, |sum, j| {
            let term = self.a[i / n * k + j] * self.b[j * n + i % n];
            Exact { value: sum.value + term, scale: sum.scale + term.abs() }
        })
    }

    /// Each product and sum rounds once, with a factor of 4 for the tensor cores; functions within 16 more.
    fn roundings(&self) -> f64 {
        4.0 * (f64::from(self.product.k) + 4.0) + 16.0
    }

    fn found(&self) -> Vec<f64> {
        self.gpu.read_floats(self.product.out, self.product.c, self.count())
    }

    fn run(&mut self, plan: &Plan) {
        // Never written, so that a partial sum that nobody computed is seen.
        let workspace = self.gpu.room(plan.workspace_bytes());
        self.gpu.run_all(&planned(&self.product, plan, workspace).unwrap());
    }

    fn check(&self, what: &str) {
        let exact: Vec<Exact> = (0..self.count()).map(|i| self.sum(i)).collect();
        check(what, self.product.out, &self.found(), &exact, self.roundings());
    }
}

#[test]
fn every_layout_and_tile_at_awkward_sizes() {
    // One element; no K; a tile with a rest in each direction, aligned and not; whole tiles with a rest of K, round the ring.
    let shapes = [([1, 1, 1], 0), ([5, 7, 0], 0), ([66, 70, 40], 8), ([67, 65, 37], 1), ([128, 256, 200], 0)];
    for (layout, dtype) in
        LAYOUTS.into_iter().flat_map(|layout| [(layout, Float::Bf16), (layout, Float::F16)])
    {
        for (shape, pad) in shapes {
            for tile in Tile::ALL {
                let mut case = Case::new(dtype, dtype, shape, layout, pad);
                case.product.bias = case.gpu.floats(dtype, &case.bias);
                let plan = Plan::new(&case.product, tile, 1);
                case.run(&plan);
                case.check(&format!("{layout:?} {dtype:?} {shape:?} {tile:?}"));
            }
        }
    }
}

#[test]
fn f32_takes_any_strides() {
    for layout in LAYOUTS {
        for (shape, pad) in [([1, 1, 1], 0), ([3, 5, 0], 0), ([65, 70, 35], 3)] {
            let mut case = Case::new(Float::F32, Float::F32, shape, layout, pad);
            let plan = Plan::of(&case.product);
            case.run(&plan);
            case.check(&format!("{layout:?} {shape:?}"));
        }
    }
}

#[test]
fn an_odd_number_of_columns_is_a_vocabulary() {
    // 257 is to 64 what 50257 is to a tile: prime, and a row of C that starts at an odd element.
    let mut case = Case::new(Float::Bf16, Float::F32, [3, 257, 24], LAYOUTS[1], 0);
    let plan = Plan::of(&case.product);
    case.run(&plan);
    case.check("odd N");
}

#[test]
fn split_products_of_a_batch_keep_to_their_places() {
    let ([m, n, k], dtype) = ([5, 7, 100], Float::Bf16);
    let mut case = Case::new(dtype, Float::F32, [m, n, k], LAYOUTS[2], 0);
    // Two products: A is shared, B differs.
    let b = numbers(dtype, 2 * k * n, 8, -1.0, 1.0);
    let p = &mut case.product;
    p.batch = [2, 1, 1];
    p.b = Matrix { pointer: case.gpu.floats(dtype, &b), batch: [(k * n) as i64, 0, 0], ..p.b };
    p.c = case.gpu.room_for(Float::F32, 2 * m * n);
    let plan = Plan::new(&case.product, Tile::Small, 3);
    case.run(&plan);
    let exact = (0..2 * m * n).map(|i| {
        let (batch, row, col) = (i / (m * n), i / n % m, i % n);
        let terms = (0..k).map(|j| case.a[row * k + j] * b[(batch * k + j) * n + col]);
        Exact { value: terms.clone().sum(), scale: terms.map(f64::abs).sum() }
    });
    let found = case.gpu.read_floats(Float::F32, case.product.c, 2 * m * n);
    check("a split batch", Float::F32, &found, &exact.collect::<Vec<_>>(), case.roundings());
}

#[test]
fn splitting_k_adds_the_parts_in_order() {
    for dtype in [Float::F32, Float::Bf16] {
        for splits in [2, 3] {
            let mut case = Case::new(dtype, Float::F32, [9, 11, 150], LAYOUTS[2], 0);
            let plan = Plan::new(&case.product, Tile::Small, splits);
            assert_eq!(plan.splits, splits);
            case.run(&plan);
            case.check(&format!("{splits} parts"));
        }
    }
}

/// f of the epilogue and, for the slopes, f'.
fn function(activation: Activation, x: f64) -> f64 {
    let erfc = |x: f64| {
        // The integral of the density by Simpson's rule: slow, short, and exact to 1e-12 here.
        let (low, steps) = (x, 4000);
        let h = (12.0 - low) / f64::from(steps);
        let f = |i: i32| (-(low + h * f64::from(i)).powi(2)).exp();
        let inner: f64 = (1..steps).map(|i| f(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
        (f(0) + inner + f(steps)) * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
    };
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Activation::GeluTanh => x / (1.0 + (-1.595_769_121_605_730_7 * (x + 0.044_715 * x.powi(3))).exp()),
        Activation::Times => unreachable!("it has no function"),
    }
}

/// f' by a central difference, good to 1e-7.
fn slope(activation: Activation, x: f64) -> f64 {
    (function(activation, x + 1e-4) - function(activation, x - 1e-4)) / 2e-4
}

#[test]
fn epilogues_do_what_separate_passes_would() {
    let all = [
        Activation::Identity,
        Activation::GeluTanh,
        Activation::Gelu,
        Activation::Relu,
        Activation::Silu,
        Activation::Times,
    ];
    // Bias and residual may be f32 where C and the slope are not.
    for (activation, out) in all.into_iter().flat_map(|f| [Float::F32, Float::Bf16].map(|out| (f, out))) {
        let what = format!("{activation:?} to {out:?}");
        let mut case = Case::new(Float::Bf16, out, [6, 10, 20], LAYOUTS[0], 0);
        let factor = numbers(out, case.count(), 6, -3.0, 3.0);
        let (bias, residual) = (numbers(Float::F32, 10, 3, -1.0, 1.0), numbers(Float::F32, 60, 4, -1.0, 1.0));
        (case.bias, case.residual) = (bias, residual);
        let p = &mut case.product;
        (p.activation, p.beside, p.accumulate) = (activation, Float::F32, true);
        p.residual = case.gpu.floats(Float::F32, &case.residual);
        if activation == Activation::Times {
            p.slope = case.gpu.floats(out, &factor);
        } else {
            p.bias = case.gpu.floats(Float::F32, &case.bias);
            p.slope = case.gpu.room_for(out, 60);
        }
        let plan = Plan::of(&case.product);
        case.run(&plan);
        let sums: Vec<Exact> = (0..case.count()).map(|i| case.sum(i)).collect();
        let exact = (0..case.count()).map(|i| {
            let value = match activation {
                Activation::Times => sums[i].value * factor[i],
                f => function(f, sums[i].value),
            };
            let others = case.residual[i] + case.c[i];
            // No function here is steeper than 1.13, and no factor larger than 3.
            let steepest = if activation == Activation::Times { 3.0 } else { 1.13 };
            let scale = steepest * sums[i].scale + case.residual[i].abs() + case.c[i].abs() + 2.0;
            Exact { value: value + others, scale }
        });
        check(&what, out, &case.found(), &exact.collect::<Vec<_>>(), case.roundings());
        if activation.has_slope() {
            let kept = case.gpu.read_floats(out, case.product.slope, case.count());
            // A slope changes by 0.8 times what its argument does, at most.
            let exact = sums
                .iter()
                .map(|sum| Exact { value: slope(activation, sum.value), scale: 0.8 * sum.scale + 2.0 });
            check(&format!("the slope of {what}"), out, &kept, &exact.collect::<Vec<_>>(), case.roundings());
        }
    }
}

#[test]
fn batches_may_repeat_an_operand() {
    for dtype in [Float::F16, Float::Bf16] {
        let (m, n, k) = (5, 6, 9);
        let mut gpu = Gpu::new();
        // Two rows of three products: A differs along the outer axis, B along the inner one.
        let (a, b) = (numbers(dtype, 2 * m * k, 1, -1.0, 1.0), numbers(dtype, 3 * k * n, 2, -1.0, 1.0));
        let operand = |pointer, row: usize, batch: [usize; 2]| Matrix {
            pointer,
            row: row as i64,
            col: 1,
            batch: [batch[0] as i64, batch[1] as i64, 0],
        };
        let mut product = Case::new(dtype, dtype, [m, n, k], LAYOUTS[0], 0).product;
        product.batch = [3, 2, 1];
        product.a = operand(gpu.floats(dtype, &a), k, [0, m * k]);
        product.b = operand(gpu.floats(dtype, &b), n, [k * n, 0]);
        product.c = gpu.room_for(dtype, 6 * m * n);
        gpu.run_all(&matmul(&product, 0).unwrap());
        let found = gpu.read_floats(dtype, product.c, 6 * m * n);
        let exact = (0..6 * m * n).map(|i| {
            let (batch, row, col) = (i / (m * n), i / n % m, i % n);
            let (outer, inner) = (batch / 3, batch % 3);
            let terms = (0..k).map(|j| a[outer * m * k + row * k + j] * b[inner * k * n + j * n + col]);
            Exact { value: terms.clone().sum(), scale: terms.map(f64::abs).sum() }
        });
        check("a batch", dtype, &found, &exact.collect::<Vec<_>>(), 4.0 * 13.0);
    }
}

#[test]
fn a_row_alone_has_the_bits_of_that_row_among_others_in_any_order_of_blocks() {
    let rows = |m: usize, tile, schedule| {
        let gpu = Gpu::with(schedule);
        let mut case = Case::on(gpu, Float::Bf16, Float::F32, [m, 40, 70], LAYOUTS[1], 0);
        let plan = Plan::new(&case.product, tile, 1);
        case.run(&plan);
        case.found()
    };
    let all = rows(66, Tile::Small, Schedule::Forward);
    assert_eq!(rows(66, Tile::Large, Schedule::Reverse), all);
    assert_eq!(rows(66, Tile::Wide, Schedule::Reverse), all);
    assert_eq!(rows(1, Tile::Small, Schedule::Seeded(3)), all[..40]);
}

#[test]
fn few_rows_by_gemv_hold_the_bound_of_the_product_and_do_not_know_of_each_other() {
    for dtype in Float::ALL {
        for layout in [LAYOUTS[0], LAYOUTS[1]] {
            for (shape, pad) in [
                ([1, 66, 300], 0),
                ([8, 17, 29], 3),
                ([18, 17, 29], 1),
                ([3, 5, 0], 0),
                // Runs of 16 bytes: K of several turns and a part of one, rests of a lane and of a block's columns.
                ([2, 24, 1100], 4),
                ([1, 8, 2316], 4),
            ] {
                let mut case = Case::new(dtype, dtype, shape, layout, pad);
                case.product.bias = case.gpu.floats(dtype, &case.bias);
                let launch = gemv::gemv(&case.product).unwrap();
                case.gpu.run(&launch);
                case.check(&format!("gemv {layout:?} {shape:?}"));
                let all = case.found();
                case.gpu.run(&gemv::gemv(&Matmul { m: 1, ..case.product }).unwrap());
                assert_eq!(case.found()[..shape[1]], all[..shape[1]]);
            }
        }
    }
}
