//! Kernels over rows: softmax, normalisation, cross-entropy. Widths on both sides of every limit: one element, rests,
//! a warp per row, blocks of 128 and 512, rows that do not fit in registers.

use warpsmith_kernels::Float;
use warpsmith_kernels::cross_entropy::{self, CrossEntropy, Targets};
use warpsmith_kernels::index::IndexKind;
use warpsmith_kernels::normalise::{self, Around, Norm, Normalise, NormaliseBackward};
use warpsmith_kernels::softmax::{self, Form, Softmax, SoftmaxBackward};

use crate::gpu::{Exact, Gpu, UNIT, check, numbers, rounded};

/// Rows, width and dtype.
const CASES: [(usize, usize, Float); 8] = [
    (3, 1, Float::F32),
    (9, 70, Float::F32),
    (2, 512, Float::Bf16),
    (2, 513, Float::F16),
    (2, 768, Float::Bf16),
    (1, 2049, Float::F32),
    (1, 8200, Float::F32),
    (1, 9001, Float::Bf16),
];

fn largest(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// m and ln Σ e^(x - m).
fn partition(x: &[f64]) -> (f64, f64) {
    let max = largest(x);
    (max, x.iter().map(|v| (v - max).exp()).sum::<f64>().ln())
}

#[test]
fn softmax_and_its_gradient_hold_their_bounds() {
    for (rows, n, dtype) in CASES {
        for form in [Form::Plain, Form::Log] {
            let mut gpu = Gpu::new();
            let x = numbers(dtype, rows * n, 3, -8.0, 8.0);
            let (from, y) = (gpu.floats(dtype, &x), gpu.room_for(dtype, rows * n));
            let shape = (rows as u64, n as u32);
            gpu.run(&softmax::forward(&Softmax { form, dtype, y, x: from, rows: shape.0, n: shape.1 }));
            let exact: Vec<Exact> = x
                .chunks(n)
                .flat_map(|row| {
                    let (max, log_sum) = partition(row);
                    row.iter().map(move |v| match form {
                        Form::Plain => {
                            let value = (v - max - log_sum).exp();
                            Exact { value, scale: value * (1.0 + (max - v) / 4.0) }
                        }
                        Form::Log => Exact { value: v - max - log_sum, scale: 1.0 + max - v + log_sum },
                    })
                })
                .collect();
            let found = gpu.read_floats(dtype, y, rows * n);
            check(&format!("softmax {form:?} {n}"), dtype, &found, &exact, 12.0 + n as f64 / 32.0);

            let g = numbers(dtype, rows * n, 5, -2.0, 2.0);
            let dx = gpu.floats(dtype, &g); // over g
            let (rows_of, n_of) = shape;
            let b = SoftmaxBackward { form, dtype, dx, g: dx, y, rows: rows_of, n: n_of };
            gpu.run(&softmax::backward(&b));
            let exact: Vec<Exact> = g
                .chunks(n)
                .zip(found.chunks(n))
                .flat_map(|(g, y)| {
                    let total: f64 = g.iter().sum();
                    let dot: f64 = g.iter().zip(y).map(|(g, y)| g * y).sum();
                    let size: f64 = g.iter().zip(y).map(|(g, y)| (g * y).abs()).sum();
                    g.iter().zip(y).map(move |(g, y)| match form {
                        Form::Plain => Exact { value: y * (g - dot), scale: y * (g.abs() + size) },
                        Form::Log => {
                            let p = y.exp() * total;
                            Exact { value: g - p, scale: g.abs() + p.abs() }
                        }
                    })
                })
                .collect();
            let found = gpu.read_floats(dtype, dx, rows * n);
            check(&format!("softmax_backward {form:?} {n}"), dtype, &found, &exact, 8.0 + n as f64 / 32.0);
        }
    }
}

#[test]
fn rows_of_minus_infinity_and_nan_are_those_of_the_host() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let n = 70;
    let mut x = vec![0.0; 4 * n];
    x[..n].fill(-inf); // nothing to choose from
    x[n..2 * n].fill(-inf);
    x[2 * n - 1] = 3.0; // one choice, behind many masked ones
    x[2 * n + 5] = nan;
    x[3 * n + 5] = inf;
    let mut gpu = Gpu::new();
    let from = gpu.floats(Float::F32, &x);
    let s = Softmax { form: Form::Plain, dtype: Float::F32, y: from, x: from, rows: 4, n: n as u32 };
    gpu.run(&softmax::forward(&s));
    let y = gpu.read_floats(Float::F32, from, 4 * n);
    assert!(y[..n].iter().all(|v| v.is_nan()));
    assert!(y[n..2 * n - 1].iter().all(|v| *v == 0.0) && y[2 * n - 1] == 1.0);
    assert!(y[2 * n..].iter().all(|v| v.is_nan()));
}

#[test]
fn rows_far_below_zero_or_off_a_vector_are_no_exception() {
    // Whole runs of four, but a base that is no multiple of 16 bytes.
    for (low, shift) in [(-2000.0, 0), (-8.0, 1)] {
        let (rows, n) = (3, 72);
        let x = numbers(Float::F32, rows * n + shift, 3, low, low + 16.0);
        let mut gpu = Gpu::new();
        let (from, y) = (gpu.floats(Float::F32, &x) + 4 * shift as u64, gpu.room_for(Float::F32, rows * n));
        let (dtype, form) = (Float::F32, Form::Plain);
        gpu.run(&softmax::forward(&Softmax { form, dtype, y, x: from, rows: rows as u64, n: n as u32 }));
        let of_row = |row: &[f64]| {
            let (max, log_sum) = partition(row);
            let one = |v: &f64| (v - max - log_sum).exp();
            row.iter()
                .map(|v| Exact { value: one(v), scale: one(v) * (1.0 + (max - v) / 4.0) })
                .collect::<Vec<_>>()
        };
        let exact: Vec<Exact> = x[shift..].chunks(n).flat_map(of_row).collect();
        check("softmax", dtype, &gpu.read_floats(dtype, y, rows * n), &exact, 14.0);
    }
}

#[test]
fn softmax_gradients_that_cancel_leave_nothing() {
    // ln p of one near-certain choice; gradients of ±2²⁴ whose sum is 1.
    let n = 600;
    let y: Vec<f64> = (0..n).map(|j| if j == 0 { 0.0 } else { -60.0 }).collect();
    let alternating = |j: i32| 16_777_216.0 * f64::from(1 - j % 2 * 2);
    let g: Vec<f64> = [1.0, 0.0].into_iter().chain((2..n).map(alternating)).collect();
    assert_eq!(g.iter().sum::<f64>(), 1.0);
    let mut gpu = Gpu::new();
    let [at, kept] = [&g, &y].map(|v| gpu.floats(Float::F32, v));
    let (dtype, form) = (Float::F32, Form::Log);
    gpu.run(&softmax::backward(&SoftmaxBackward {
        form,
        dtype,
        dx: at,
        g: at,
        y: kept,
        rows: 1,
        n: n as u32,
    }));
    // 1 - e⁰·1
    assert_eq!(gpu.read_floats(dtype, at, 1), [0.0]);
}

#[test]
fn a_row_alone_has_the_bits_of_that_row_in_a_batch() {
    // 70 bf16 are 140 bytes: the rows of a batch begin at all alignments, the row alone at the best.
    let (rows, n, dtype) = (7, 70, Float::Bf16);
    let x = numbers(dtype, rows * n, 3, -8.0, 8.0);
    let run = |x: &[f64]| {
        let mut gpu = Gpu::new();
        let from = gpu.floats(dtype, x);
        let rows = (x.len() / n) as u64;
        gpu.run(&softmax::forward(&Softmax {
            form: Form::Plain,
            dtype,
            y: from,
            x: from,
            rows,
            n: n as u32,
        }));
        gpu.read::<u16>(from, x.len())
    };
    let batch = run(&x);
    for r in 0..rows {
        assert_eq!(run(&x[r * n..][..n]), batch[r * n..][..n], "row {r}");
    }
}

/// μ and 1/√(σ² + ε), or 0 and 1/√(mean square + ε).
fn statistics(norm: Norm, row: &[f64], eps: f64) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = if norm == Norm::Layer { row.iter().sum::<f64>() / n } else { 0.0 };
    (mean, 1.0 / (row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + eps).sqrt())
}

#[test]
fn normalisations_hold_their_bounds_forward() {
    let eps = 1e-5;
    let all = [Norm::Layer, Norm::Rms].into_iter().flat_map(|k| CASES.map(|c| (k, c, false)));
    // And of f32 to bf16.
    let narrow =
        all.clone().filter(|(_, (_, _, dtype), _)| *dtype == Float::F32).map(|(k, c, _)| (k, c, true));
    for (norm, (rows, n, dtype), is_narrow) in all.clone().chain(narrow) {
        let out = if is_narrow { Float::Bf16 } else { dtype };
        // A large mean with a small spread, in f32; an ε that matters where a row is one number.
        let (low, high) = if dtype == Float::F32 && n > 1 { (999.0, 1001.0) } else { (-3.0, 5.0) };
        let mut gpu = Gpu::new();
        let x = numbers(dtype, rows * n, 3, low, high);
        let (w, b) = (numbers(dtype, n, 4, -2.0, 2.0), numbers(dtype, n, 5, -2.0, 2.0));
        let f = Normalise {
            norm,
            dtype,
            y: gpu.room_for(out, rows * n),
            x: gpu.floats(dtype, &x),
            weight: gpu.floats(dtype, &w),
            bias: if norm == Norm::Layer { gpu.floats(dtype, &b) } else { 0 },
            mean: gpu.room(rows as u64 * 4),
            rstd: gpu.room(rows as u64 * 4),
            rows: rows as u64,
            n: n as u32,
            eps,
        };
        gpu.run(&if is_narrow { normalise::forward_to_bf16(&f) } else { normalise::forward(&f) });
        let mut exact = Vec::new();
        let rstd = gpu.read::<f32>(f.rstd, rows);
        for (r, row) in x.chunks(n).enumerate() {
            let (mean, scale) = statistics(norm, row, eps);
            assert!((f64::from(rstd[r]) - scale).abs() <= 2.0 * UNIT * scale, "{} for {scale}", rstd[r]);
            // What an error of the f64 sums makes of numbers that are large against their spread.
            let lost = largest(row).abs() * n as f64 * 2f64.powi(-31);
            for c in 0..n {
                let bias = if norm == Norm::Layer { b[c] } else { 0.0 };
                let main = (row[c] - mean) * scale * w[c];
                let size = main.abs() + bias.abs() + lost * scale * w[c].abs();
                exact.push(Exact { value: main + bias, scale: size });
            }
        }
        let found = gpu.read_floats(out, f.y, rows * n);
        check(&format!("{norm:?} {n} to {out:?}"), out, &found, &exact, 4.0);
    }
}

#[test]
fn statistics_of_long_rows_keep_their_digits() {
    // Deviations that are all alike, so that every thread would make the same error; and one number far from all others.
    let (n, dtype, eps) = (30_000, Float::F32, 1e-5);
    let deviation = numbers(dtype, 1, 3, 0.6, 0.8)[0];
    let mut x: Vec<f64> = (0..2 * n).map(|i| if i % 2 == 0 { deviation } else { -deviation }).collect();
    x[n] = 1e6;
    let mut gpu = Gpu::new();
    let f = Normalise {
        norm: Norm::Layer,
        dtype,
        y: gpu.room_for(dtype, 2 * n),
        x: gpu.floats(dtype, &x),
        weight: gpu.floats(dtype, &vec![1.0; n]),
        bias: 0,
        mean: gpu.room(8),
        rstd: gpu.room(8),
        rows: 2,
        n: n as u32,
        eps,
    };
    gpu.run(&normalise::forward(&f));
    let exact: Vec<(f64, f64)> = x.chunks(n).map(|row| statistics(Norm::Layer, row, eps)).collect();
    let column = |of: fn(&(f64, f64)) -> f64| exact.iter().map(|s| Exact::of(of(s))).collect::<Vec<_>>();
    // Rounded once. The mean of the first row is 0, of which no part can be asked.
    check("rstd", dtype, &gpu.read_floats(dtype, f.rstd, 2), &column(|s| s.1), 1.0);
    check("mean", dtype, &gpu.read_floats(dtype, f.mean + 4, 1), &column(|s| s.0)[1..], 1.0);
}

#[test]
fn normalisations_hold_their_bounds_backward() {
    let cases = CASES.into_iter().filter(|(_, n, _)| *n > 1).chain([(200, 33, Float::F32)]);
    let all = cases.flat_map(|c| [(Norm::Layer, c, false), (Norm::Rms, c, false)]);
    // And g in bf16 where all else is f32, with what went around the norm, and dx in bf16, too.
    let narrow =
        all.clone().filter(|(_, (_, _, dtype), _)| *dtype == Float::F32).map(|(k, c, _)| (k, c, true));
    for (norm, (rows, n, dtype), is_narrow) in all.clone().chain(narrow) {
        let mut gpu = Gpu::new();
        let of_g = if is_narrow { Float::Bf16 } else { dtype };
        let (g, x) = (numbers(of_g, rows * n, 2, -2.0, 2.0), numbers(dtype, rows * n, 3, -3.0, 3.0));
        let other = numbers(dtype, rows * n, 5, -2.0, 2.0);
        let w = numbers(dtype, n, 4, -2.0, 2.0);
        let stats: Vec<(f64, f64)> = x.chunks(n).map(|row| statistics(norm, row, 1e-5)).collect();
        let (mean, rstd): (Vec<f64>, Vec<f64>) = stats.iter().copied().unzip();
        let at = gpu.floats(of_g, &g);
        let around = Around {
            is_narrow,
            gradient: if is_narrow { gpu.floats(dtype, &other) } else { 0 },
            copy: if is_narrow { gpu.room_for(Float::Bf16, rows * n) } else { 0 },
        };
        let b = NormaliseBackward {
            norm,
            dtype,
            dx: if is_narrow { around.gradient } else { at },
            dweight: gpu.room_for(dtype, n),
            dbias: gpu.room_for(dtype, n),
            g: at,
            x: gpu.floats(dtype, &x),
            weight: gpu.floats(dtype, &w),
            mean: gpu.floats(Float::F32, &mean),
            rstd: gpu.floats(Float::F32, &rstd),
            workspace: gpu.room(normalise::workspace(norm, rows as u64, n as u32)),
            rows: rows as u64,
            n: n as u32,
        };
        gpu.run_all(&normalise::backward_around(&b, &around));
        let nothing = Exact { value: 0.0, scale: 0.0 };
        let (mut dx, mut dw, mut db) = (Vec::new(), vec![nothing; n], vec![nothing; n]);
        for r in 0..rows {
            // The statistics as the kernel gets them.
            let (mean, rstd) = (f64::from(mean[r] as f32), f64::from(rstd[r] as f32));
            let (g, x) = (&g[r * n..][..n], &x[r * n..][..n]);
            let normal: Vec<f64> = x.iter().map(|v| (v - mean) * rstd).collect();
            let h: Vec<f64> = g.iter().zip(&w).map(|(g, w)| g * w).collect();
            let sum = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
            let centred = if norm == Norm::Layer { 1.0 } else { 0.0 };
            let (mean_h, mean_hx) = (centred * sum(&|c| h[c]), sum(&|c| h[c] * normal[c]));
            let (size_h, size_hx) = (centred * sum(&|c| h[c].abs()), sum(&|c| (h[c] * normal[c]).abs()));
            for c in 0..n {
                let other = if is_narrow { other[r * n + c] } else { 0.0 };
                let size = rstd * (h[c].abs() + size_h + (x[c].abs() + mean.abs()) * rstd * size_hx);
                dx.push(Exact {
                    value: rstd * (h[c] - mean_h - normal[c] * mean_hx) + other,
                    scale: size + other.abs(),
                });
                dw[c].value += g[c] * normal[c];
                dw[c].scale += (g[c] * (x[c].abs() + mean.abs()) * rstd).abs();
                db[c].value += g[c];
                db[c].scale += g[c].abs();
            }
        }
        let roundings = 10.0 + n as f64 / 32.0 + rows as f64;
        let what = format!("{norm:?} backward {n}");
        let found = gpu.read_floats(dtype, b.dx, rows * n);
        check(&what, dtype, &found, &dx, roundings);
        if is_narrow {
            let copy = gpu.read_floats(Float::Bf16, around.copy, rows * n);
            assert_eq!(copy, rounded(Float::Bf16, &found), "{what}");
        }
        check(&what, dtype, &gpu.read_floats(dtype, b.dweight, n), &dw, roundings);
        if norm == Norm::Layer {
            check(&what, dtype, &gpu.read_floats(dtype, b.dbias, n), &db, roundings);
        }
    }
}

#[test]
fn cross_entropy_and_its_gradient_hold_their_bounds() {
    for (rows, n, dtype) in CASES {
        for (label_smoothing, is_mean) in [(0.0, true), (0.1, false)] {
            let mut gpu = Gpu::new();
            let x = numbers(dtype, rows * n, 3, -8.0, 8.0);
            // Every fourth is ignored.
            let targets: Vec<i64> =
                (0..rows).map(|r| if r % 4 == 2 { -100 } else { (r * 31 % n) as i64 }).collect();
            let counted = targets.iter().filter(|t| **t >= 0).count() as f64;
            let c = CrossEntropy {
                dtype,
                logits: gpu.floats(dtype, &x),
                gradient: gpu.room_for(dtype, rows * n),
                targets: Targets {
                    pointer: gpu.pod(&targets),
                    kind: IndexKind::I64,
                    ignore_index: -100,
                    rows: rows as u64,
                },
                loss: gpu.room(rows as u64 * 4),
                max: gpu.room(rows as u64 * 4),
                log_sum: gpu.room(rows as u64 * 4),
                weight: gpu.room(4),
                g: gpu.floats(dtype, &[0.75]),
                bad: gpu.pod(&[u64::MAX]),
                n: n as u32,
                label_smoothing,
            };
            let y = gpu.room_for(dtype, 1);
            gpu.run(&cross_entropy::weight(&c.targets, is_mean, c.weight));
            gpu.run(&cross_entropy::forward(&c));
            gpu.run(&cross_entropy::total(dtype, y, c.loss, c.weight, rows as u64));
            gpu.run(&cross_entropy::backward(&c));
            let weight = if is_mean { 1.0 / counted } else { 1.0 };
            let (peak, rest) = (1.0 - label_smoothing, label_smoothing / n as f64);
            let mut total = Exact { value: 0.0, scale: 0.0 };
            let mut gradient = Vec::new();
            for (row, &target) in x.chunks(n).zip(&targets) {
                let (max, log_sum) = partition(row);
                let below: f64 = row.iter().map(|v| v - max).sum();
                if let Some(v) = usize::try_from(target).ok().map(|t| row[t]) {
                    total.value += weight * (log_sum - peak * (v - max) - rest * below);
                    total.scale += weight * (1.0 + log_sum + peak * (max - v) - rest * below);
                }
                gradient.extend(row.iter().enumerate().map(|(j, v)| {
                    let (p, q) =
                        ((v - max - log_sum).exp(), rest + if j as i64 == target { peak } else { 0.0 });
                    let factor = if target < 0 { 0.0 } else { weight * 0.75 };
                    let size = p * (1.0 + (max - v + log_sum) / 4.0) + q;
                    Exact { value: (p - q) * factor, scale: size * factor }
                }));
            }
            let roundings = 12.0 + n as f64 / 32.0;
            let what = format!("cross_entropy {n}");
            check(&what, dtype, &gpu.read_floats(dtype, y, 1), &[total], roundings);
            let found = gpu.read_floats(dtype, c.gradient, rows * n);
            check(&format!("{what} backward"), dtype, &found, &gradient, roundings);
            // Both in one, over the logits: the same bits, since g multiplies the weight alike.
            let fused = CrossEntropy { gradient: c.logits, g: gpu.floats(Float::F32, &[0.75]), ..c };
            gpu.run(&cross_entropy::fused(&fused));
            assert_eq!(gpu.read_floats(dtype, c.logits, rows * n), found, "{what} fused");
            // And of rows that lie apart, with room between them that nobody wrote.
            let stride = n.next_multiple_of(8) + 8;
            let apart = gpu.room_for(dtype, rows * stride);
            let place = |row: usize| apart + (row * stride * dtype.size()) as u64;
            x.chunks(n).enumerate().for_each(|(row, x)| gpu.write_floats(dtype, place(row), x));
            let fused = CrossEntropy { logits: apart, gradient: apart, ..fused };
            gpu.run(&cross_entropy::fused_of_rows(&fused, stride as u64));
            let rows_of = (0..rows).flat_map(|row| gpu.read_floats(dtype, place(row), n));
            assert_eq!(rows_of.collect::<Vec<_>>(), found, "{what} apart");
            assert_eq!(gpu.read::<u64>(c.bad, 1), [u64::MAX]);
        }
    }
}

#[test]
fn losses_add_up_in_f64_and_none_is_no_division() {
    let rows = 40_000;
    // All alike, so that every thread would make the same error.
    let losses = numbers(Float::F32, 1, 3, 0.1, 0.2).repeat(rows);
    let mut gpu = Gpu::new();
    let (loss, weight, y) = (gpu.floats(Float::F32, &losses), gpu.floats(Float::F32, &[1.0]), gpu.room(4));
    gpu.run(&cross_entropy::total(Float::F32, y, loss, weight, rows as u64));
    check("total", Float::F32, &gpu.read_floats(Float::F32, y, 1), &[Exact::of(losses.iter().sum())], 1.0);
    let pointer = gpu.pod(&[-100i64; 7]);
    let targets = Targets { pointer, kind: IndexKind::I64, ignore_index: -100, rows: 7 };
    gpu.run(&cross_entropy::weight(&targets, true, y));
    assert_eq!(gpu.read::<f32>(y, 1), [1.0]);
}

#[test]
fn a_target_out_of_range_is_reported_and_counts_for_nothing() {
    let mut gpu = Gpu::new();
    let (rows, n) = (6usize, 5usize);
    let x = numbers(Float::F32, rows * n, 3, -1.0, 1.0);
    let targets = [0u32, 1, 9, 2, 5, 4];
    let pointer = gpu.pod(&targets);
    let targets = Targets { pointer, kind: IndexKind::U32, ignore_index: -100, rows: rows as u64 };
    let [loss, max, log_sum] = [(); 3].map(|()| gpu.room(rows as u64 * 4));
    let c = CrossEntropy {
        dtype: Float::F32,
        logits: gpu.floats(Float::F32, &x),
        gradient: 0,
        targets,
        loss,
        max,
        log_sum,
        weight: 0,
        g: 0,
        bad: gpu.pod(&[u64::MAX]),
        n: n as u32,
        label_smoothing: 0.0,
    };
    gpu.run(&cross_entropy::forward(&c));
    assert_eq!(gpu.read::<u64>(c.bad, 1), [2]);
    let loss = gpu.read::<f32>(c.loss, rows);
    assert!(loss[2] == 0.0 && loss[4] == 0.0 && loss[5] > 0.0);
}
