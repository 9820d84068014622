//! Elements by number, sums at places, rotary positions.

use warpsmith_emulator::Schedule;
use warpsmith_kernels::columns::{self, SumColumns};
use warpsmith_kernels::index::{self, IndexKind, Places};
use warpsmith_kernels::rope::{self, Positions, Rope};
use warpsmith_kernels::swiglu::{self, SwigluBackward};
use warpsmith_kernels::{Dtype, Float, index_add};

use crate::gpu::{Exact, Gpu, check, numbers};

#[test]
fn selections_by_index_are_exact_and_report_what_is_out_of_range() {
    // Rows of 32 bytes move 16 at a time, rows of 28 do not.
    for inner in [8usize, 7] {
        let (outer, size, index) = (2usize, 6usize, [5u8, 0, 0, 6, 3, 200, 1]);
        let mut gpu = Gpu::new();
        let x: Vec<f32> = (0..outer * size * inner).map(|i| i as f32 + 1.0).collect();
        let p = Places {
            index: gpu.bytes(&index),
            kind: IndexKind::U8,
            bad: gpu.pod(&[u64::MAX]),
            outer: outer as u64,
            places: index.len() as u64,
            size: size as u64,
            inner: inner as u64,
        };
        let count = outer * index.len() * inner;
        let (from, y) = (gpu.pod(&x), gpu.room(count as u64 * 4));
        gpu.run(&index::index_select(Dtype::F32, y, from, &p));
        let expected: Vec<f32> = (0..count)
            .map(|i| {
                let (row, column) = (i / inner, i % inner);
                let place = usize::from(index[row % index.len()]);
                let from = (row / index.len() * size + place) * inner + column;
                if place < size { x[from] } else { 0.0 }
            })
            .collect();
        assert_eq!(gpu.read::<f32>(y, count), expected);
        assert_eq!(gpu.read::<u64>(p.bad, 1), [3]);
    }
}

#[test]
fn copies_by_index_leave_the_last_of_equals_and_report_what_is_out_of_range() {
    // Rows of 32 bytes move 16 at a time, rows of 28 do not.
    for inner in [8usize, 7] {
        let (outer, size, index) = (3usize, 6usize, [4u32, 1, 6, 4, 9]);
        let mut gpu = Gpu::new();
        let mut expected: Vec<f32> = (0..outer * size * inner).map(|i| -(i as f32)).collect();
        let v: Vec<f32> = (0..outer * index.len() * inner).map(|i| i as f32 + 1.0).collect();
        let p = Places {
            index: gpu.pod(&index),
            kind: IndexKind::U32,
            bad: gpu.pod(&[u64::MAX]),
            outer: outer as u64,
            places: index.len() as u64,
            size: size as u64,
            inner: inner as u64,
        };
        let (y, from) = (gpu.pod(&expected), gpu.pod(&v));
        gpu.run(&index::index_copy(Dtype::F32, y, from, &p));
        for (row, values) in v.chunks(inner).enumerate() {
            let (o, place) = (row / index.len(), index[row % index.len()] as usize);
            if place < size {
                expected[(o * size + place) * inner..][..inner].copy_from_slice(values);
            }
        }
        assert_eq!(gpu.read::<f32>(y, expected.len()), expected);
        assert_eq!(gpu.read::<u64>(p.bad, 1), [2]);
    }
}

#[test]
fn a_check_reports_the_first_index_out_of_range_and_nothing_else() {
    for (index, found) in [([3u32, 0, 4, 7], u64::MAX), ([7, 8, 9, 0], 1)] {
        let mut gpu = Gpu::new();
        let (address, bad) = (gpu.pod(&index), gpu.pod(&[u64::MAX]));
        gpu.run(&index::check(address, IndexKind::U32, 4, 8, bad));
        assert_eq!(gpu.read::<u64>(bad, 1), [found]);
    }
}

#[test]
fn gather_takes_from_places_and_scatter_add_adds_to_them() {
    let (outer, size, places, inner) = (3usize, 5usize, 4usize, 7usize);
    let mut gpu = Gpu::new();
    let count = outer * places * inner;
    let index: Vec<i64> = (0..count).map(|i| (i * 11 % 3) as i64).collect();
    let x = numbers(Float::F32, outer * size * inner, 2, -2.0, 2.0);
    let p = Places {
        index: gpu.pod(&index),
        kind: IndexKind::I64,
        bad: 0,
        outer: outer as u64,
        places: places as u64,
        size: size as u64,
        inner: inner as u64,
    };
    let (from, y) = (gpu.floats(Float::F32, &x), gpu.room(count as u64 * 4));
    gpu.run(&index::gather(Dtype::F32, y, from, &p));
    let at = |i: usize| (i / inner / places * size + index[i] as usize) * inner + i % inner;
    let expected: Vec<f64> = (0..count).map(|i| x[at(i)]).collect();
    assert_eq!(gpu.read_floats(Float::F32, y, count), expected);
    let sum = gpu.floats(Float::F32, &vec![0.0; x.len()]);
    gpu.run(&index::scatter_add(Float::F32, sum, y, &p));
    let mut exact = vec![Exact { value: 0.0, scale: 0.0 }; x.len()];
    for (i, v) in expected.iter().enumerate() {
        exact[at(i)].value += v;
        exact[at(i)].scale += v.abs();
    }
    check("scatter_add", Float::F32, &gpu.read_floats(Float::F32, sum, x.len()), &exact, 4.0);
}

#[test]
fn sums_at_places_are_in_the_order_of_the_places() {
    // Under one tile of keys, and over two: both kinds of sorting step.
    for (dtype, outer, size, places, inner) in
        [(Float::F32, 2usize, 6usize, 50usize, 5usize), (Float::Bf16, 1, 40, 4500, 1)]
    {
        let mut gpu = Gpu::new();
        let index: Vec<u32> = (0..places).map(|j| (j * j * 31 % (size + 1)) as u32).collect();
        let v = numbers(dtype, outer * places * inner, 8, -2.0, 2.0);
        let y = numbers(dtype, outer * size * inner, 9, -2.0, 2.0);
        let p = Places {
            index: gpu.pod(&index),
            kind: IndexKind::U32,
            bad: gpu.pod(&[u64::MAX]),
            outer: outer as u64,
            places: places as u64,
            size: size as u64,
            inner: inner as u64,
        };
        let (to, from) = (gpu.floats(dtype, &y), gpu.floats(dtype, &v));
        let keys = gpu.room(index_add::workspace(places as u64));
        gpu.run_all(&index_add::index_add(dtype, to, from, keys, &p));
        // In f32 and in order, so that the bits must agree.
        let mut sums: Vec<f32> = y.iter().map(|v| *v as f32).collect();
        for (i, v) in v.iter().enumerate() {
            let (row, column) = (i / inner, i % inner);
            let place = index[row % places] as usize;
            if place < size {
                sums[(row / places * size + place) * inner + column] += *v as f32;
            }
        }
        let exact: Vec<Exact> = sums.iter().map(|s| Exact::of(f64::from(*s))).collect();
        check("index_add", dtype, &gpu.read_floats(dtype, to, y.len()), &exact, 0.0);
        let first_bad = index.iter().position(|i| *i as usize >= size).unwrap();
        assert_eq!(gpu.read::<u64>(p.bad, 1), [first_bad as u64]);
    }
}

#[test]
fn bits_do_not_depend_on_the_order_of_blocks_and_warps() {
    // Two tiles of keys, and no room behind the last.
    let (size, places, inner) = (9usize, 4096usize, 2usize);
    let run = |schedule| {
        let mut gpu = Gpu::with(schedule);
        let index: Vec<u32> = (0..places).map(|j| (j * j * 31 % size) as u32).collect();
        let v = numbers(Float::F32, places * inner, 8, -2.0, 2.0);
        let p = Places {
            index: gpu.pod(&index),
            kind: IndexKind::U32,
            bad: 0,
            outer: 1,
            places: places as u64,
            size: size as u64,
            inner: inner as u64,
        };
        let (to, from) = (gpu.pod(&vec![0f32; size * inner]), gpu.floats(Float::F32, &v));
        let keys = gpu.room(index_add::workspace(places as u64));
        gpu.run_all(&index_add::index_add(Float::F32, to, from, keys, &p));
        let rows = gpu.room_for(Float::F32, inner);
        let s = SumColumns {
            dtype: Float::F32,
            y: rows,
            x: from,
            workspace: gpu.room(columns::workspace(1, places as u64, inner as u64)),
            outer: 1,
            size: places as u64,
            inner: inner as u64,
            scale: 1.0,
        };
        gpu.run_all(&columns::sum(&s));
        [gpu.read::<u32>(to, size * inner), gpu.read::<u32>(rows, inner)].concat()
    };
    let expected = run(Schedule::Forward);
    assert_eq!(run(Schedule::Reverse), expected);
    assert_eq!(run(Schedule::Seeded(7)), expected);
}

#[test]
fn heads_turn_by_their_position_and_back() {
    let (batch, tokens, heads, width, limit) = (2usize, 3usize, 2usize, 10usize, 8usize);
    // The second stands behind the table.
    let given = [4i64, 8, 2];
    for (dtype, adjacent, is_given) in
        [(Float::F32, false, true), (Float::Bf16, true, true), (Float::F32, true, false)]
    {
        let mut gpu = Gpu::new();
        let count = batch * tokens * heads * width;
        let x = numbers(dtype, count, 5, -2.0, 2.0);
        let (index, bad) = (gpu.pod(&given), gpu.pod(&[u64::MAX]));
        let r = Rope {
            dtype,
            y: gpu.room_for(dtype, count),
            x: gpu.floats(dtype, &x),
            table: {
                let table = rope::table(limit, width, 10_000.0);
                gpu.pod(&table)
            },
            limit: limit as u64,
            positions: is_given.then_some(Positions { index, kind: IndexKind::I64, bad }),
            batch: batch as u64,
            tokens: tokens as u32,
            heads: heads as u32,
            width: width as u32,
            adjacent,
            inverse: false,
        };
        gpu.run(&rope::rope(&r));
        let position = |row: usize| match row / heads % tokens {
            token if is_given => given[token] as usize,
            token => token,
        };
        let mut exact = vec![Exact::of(0.0); count];
        for (row, head) in x.chunks(width).enumerate().filter(|(row, _)| position(*row) < limit) {
            for i in 0..width / 2 {
                let angle = position(row) as f64 * 10_000f64.powf(-2.0 * i as f64 / width as f64);
                let (sin, cos) = angle.sin_cos();
                let (p, q) = if adjacent { (2 * i, 2 * i + 1) } else { (i, i + width / 2) };
                let (a, b) = (head[p], head[q]);
                let of = |value: f64, u: f64, v: f64| Exact { value, scale: u.abs() + v.abs() };
                exact[row * width + p] = of(a * cos - b * sin, a * cos, b * sin);
                exact[row * width + q] = of(b * cos + a * sin, b * cos, a * sin);
            }
        }
        let y = gpu.read_floats(dtype, r.y, count);
        check("rope", dtype, &y, &exact, 4.0);
        assert_eq!(gpu.read::<u64>(bad, 1), [if is_given { 1 } else { u64::MAX }]);
        if dtype == Float::F32 {
            gpu.run(&rope::rope(&Rope { x: r.y, inverse: true, ..r }));
            let there = |row: usize| if position(row) < limit { 1.0 } else { 0.0 };
            let back = x.iter().enumerate().map(|(i, &value)| there(i / width) * value);
            let back: Vec<Exact> = back.map(|value| Exact { value, scale: 4.0 }).collect();
            check("rope back", dtype, &gpu.read_floats(dtype, r.y, count), &back, 8.0);
        }
    }
}

#[test]
fn the_gradients_of_swiglu_hold_their_bounds() {
    for (dtype, n, shift) in [(Float::F32, 1030usize, 0usize), (Float::Bf16, 300, 1)] {
        let mut gpu = Gpu::new();
        let [g, a, b] = [1, 2, 3].map(|seed| numbers(dtype, n + shift, seed, -4.0, 4.0));
        let [g_at, a_at, b_at] = [&g, &a, &b].map(|v| gpu.floats(dtype, v) + (shift * dtype.size()) as u64);
        let (da, db) = (gpu.room_for(dtype, n), gpu.room_for(dtype, n));
        let s = SwigluBackward { dtype, da, db, g: g_at, a: a_at, b: b_at, elements: n as u64 };
        gpu.run(&swiglu::backward(&s));
        let (to_a, to_b): (Vec<Exact>, Vec<Exact>) = (shift..n + shift)
            .map(|i| {
                let s = 1.0 / (1.0 + (-a[i]).exp());
                let (first, second) = (s, a[i] * s * (1.0 - s));
                let size = (g[i] * b[i]).abs() * (first + second.abs());
                (Exact { value: g[i] * b[i] * (first + second), scale: size }, Exact::of(g[i] * a[i] * s))
            })
            .unzip();
        check("swiglu a", dtype, &gpu.read_floats(dtype, da, n), &to_a, 16.0);
        check("swiglu b", dtype, &gpu.read_floats(dtype, db, n), &to_b, 10.0);
    }
}
