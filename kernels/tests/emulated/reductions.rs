//! Sums and extremes along any axis.

use warpsmith_kernels::Float;
use warpsmith_kernels::columns::{self, SumColumns};
use warpsmith_kernels::reduce::{self, Extreme, SumRows};

use crate::gpu::{Exact, Gpu, check, numbers};

#[test]
fn sums_of_rows_hold_their_bounds() {
    let cases = [
        (Float::F32, 3, 0),
        (Float::F32, 9, 1),
        (Float::Bf16, 5, 70),
        (Float::F16, 2, 2051),
        (Float::F32, 2, 32_769), // two chunks
        (Float::Bf16, 1, 70_000),
    ];
    for (dtype, rows, n) in cases {
        let mut gpu = Gpu::new();
        let x = numbers(dtype, rows * n, 11, -1.0, 3.0);
        let s = SumRows {
            dtype,
            y: gpu.room_for(dtype, rows),
            x: gpu.floats(dtype, &x),
            workspace: gpu.room(reduce::workspace(rows as u64, n as u64)),
            rows: rows as u64,
            n: n as u64,
            scale: 0.5,
        };
        gpu.run_all(&reduce::sum(&s));
        let row = |r: usize| {
            let row = &x[r * n..][..n];
            let scale = 0.5 * row.iter().map(|v| v.abs()).sum::<f64>();
            Exact { value: 0.5 * row.iter().sum::<f64>(), scale }
        };
        let exact: Vec<Exact> = (0..rows).map(row).collect();
        // A thread adds at most 64 terms of a chunk (or few of a short row), and ten exchanges follow.
        check("sum of rows", dtype, &gpu.read_floats(dtype, s.y, rows), &exact, 80.0);
    }
}

#[test]
fn sums_of_columns_hold_their_bounds() {
    let cases = [
        (Float::F32, [1, 7, 5]),
        (Float::Bf16, [3, 2, 130]),
        (Float::F32, [2, 129, 33]), // several chunks
        (Float::F16, [1, 300, 128]),
        (Float::F32, [2, 0, 3]),
    ];
    let cases =
        cases.into_iter().flat_map(|(dtype, sizes)| [(dtype, sizes, dtype), (dtype, sizes, Float::F32)]);
    for (dtype, [outer, size, inner], out) in cases {
        let mut gpu = Gpu::new();
        let x = numbers(dtype, outer * size * inner, 11, -1.0, 3.0);
        let room = if out == dtype { columns::workspace } else { columns::workspace_to_f32 };
        let s = SumColumns {
            dtype,
            y: gpu.room_for(out, outer * inner),
            x: gpu.floats(dtype, &x),
            workspace: gpu.room(room(outer as u64, size as u64, inner as u64)),
            outer: outer as u64,
            size: size as u64,
            inner: inner as u64,
            scale: 0.75,
        };
        gpu.run_all(&if out == dtype { columns::sum(&s) } else { columns::sum_to_f32(&s) });
        let element = |at: usize| {
            let column = (0..size).map(|j| x[(at / inner * size + j) * inner + at % inner]);
            let sum: f64 = column.clone().sum();
            Exact { value: 0.75 * sum, scale: column.map(f64::abs).sum() }
        };
        let exact: Vec<Exact> = (0..outer * inner).map(element).collect();
        let found = gpu.read_floats(out, s.y, outer * inner);
        check("sum of columns", out, &found, &exact, size as f64);
    }
}

#[test]
fn extremes_are_the_first_of_equals_and_the_first_nan_wins() {
    // Few values, so that there are ties; more, so that not every thread has the best.
    let cases = [(5, 1, 1, 13), (4, 700, 1, 13), (4, 700, 1, 101), (1, 3000, 1, 101), (3, 9, 5, 13)];
    for (outer, size, inner, values) in cases {
        for smallest in [false, true] {
            let dtype = Float::F32;
            // The second row has NaNs.
            let mut x: Vec<f64> =
                (0..outer * size * inner).map(|i| ((i * 7919 + 17) % values) as f64 - 6.0).collect();
            if size > 4 && outer > 1 {
                x[size * inner + 3 * inner] = f64::NAN;
                x[size * inner + 2 * inner] = f64::NAN;
            }
            let mut gpu = Gpu::new();
            let e = Extreme {
                dtype,
                smallest,
                y: gpu.room_for(dtype, outer * inner),
                places: gpu.room((outer * inner * 8) as u64),
                x: gpu.floats(dtype, &x),
                outer: outer as u64,
                size: size as u64,
                inner: inner as u64,
            };
            gpu.run(&reduce::extreme(&e));
            let (values, places) =
                (gpu.read::<f32>(e.y, outer * inner), gpu.read::<i64>(e.places, outer * inner));
            for at in 0..outer * inner {
                let element = |j: usize| x[(at / inner * size + j) * inner + at % inner];
                let best = (1..size).fold(0, |best, j| {
                    let (a, b) = (element(best), element(j));
                    let wins = if smallest { b < a } else { b > a };
                    if !a.is_nan() && (wins || b.is_nan()) { j } else { best }
                });
                assert_eq!(places[at], best as i64, "{outer} {size} {inner} at {at}");
                let value = f64::from(values[at]);
                assert!(value == element(best) || value.is_nan() && element(best).is_nan());
            }
        }
    }
}
