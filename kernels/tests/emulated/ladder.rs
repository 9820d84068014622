//! The ladders: every rung right on sizes that fit nothing, and each better than the one before in what it says, by counts.
//! Those of attention are in `attend/ladder.rs`.

use warpsmith_emulator::Counts;
use warpsmith_kernels::ladder::matmul::Product;
use warpsmith_kernels::ladder::{Count, Rung, matmul, softmax};
use warpsmith_kernels::softmax::{Form, Softmax};
use warpsmith_kernels::{Float, Launch};

use crate::gpu::{Exact, Gpu, check, numbers};

fn count(counts: &Counts, what: Count) -> u64 {
    match what {
        Count::BytesRead => counts.global_read_bytes,
        Count::BytesWritten => counts.global_write_bytes,
        Count::SectorsRead => counts.global_read_sectors,
        Count::SectorsWritten => counts.global_write_sectors,
        Count::SharedBytes => counts.shared_read_bytes + counts.shared_write_bytes,
        Count::BankConflicts => counts.shared_bank_conflicts,
        Count::Instructions => counts.instructions,
        Count::MemoryInstructions => counts.memory,
        Count::Barriers => counts.barriers,
    }
}

/// What all launches of a rung did.
pub fn total(gpu: &mut Gpu, launches: &[Launch]) -> Counts {
    let mut total = Counts::default();
    launches.iter().for_each(|launch| total += gpu.run(launch));
    total
}

/// Each rung has to keep what it claims. The last one, which ships, may be no better by counts than the one before.
pub fn holds_its_claims<A>(rungs: &[Rung<A>], mut counts_of: impl FnMut(&Rung<A>) -> Counts) {
    let mut before: Option<Counts> = None;
    let mut broken = Vec::new();
    for (i, rung) in rungs.iter().enumerate() {
        let now = counts_of(rung);
        let Some(old) = before.replace(now) else { continue };
        assert!(!rung.claims.is_empty() || i + 1 == rungs.len(), "{} claims nothing", rung.name);
        for claim in rung.claims {
            let (old, now) = (count(&old, claim.count), count(&now, claim.count));
            // So many times fewer than something is none at all if the claim is without bound.
            let holds = old > 0 && (now == 0 || old as f64 >= claim.times_fewer * now as f64);
            if !holds {
                broken.push(format!("{}: {} from {old} to {now}", rung.name, claim.count.name()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn row_softmax(gpu: &mut Gpu, rows: usize, n: usize) -> (Softmax, Vec<f64>) {
    let x = numbers(Float::F32, rows * n, 7, -8.0, 8.0);
    let call = Softmax {
        form: Form::Plain,
        dtype: Float::F32,
        y: gpu.room_for(Float::F32, rows * n),
        x: gpu.floats(Float::F32, &x),
        rows: rows as u64,
        n: n as u32,
    };
    (call, x)
}

#[test]
fn every_rung_of_softmax_is_right() {
    for (rows, n) in [(1, 1), (3, 70), (259, 5), (9, 128), (2, 1031), (1, 16_392), (1, 16_401)] {
        // Rows beyond what the fifth rung keeps are for those that share them among many threads.
        let first = if n > 16_384 { 4 } else { 0 };
        for rung in &softmax::RUNGS[first..] {
            let mut gpu = Gpu::new();
            let (call, x) = row_softmax(&mut gpu, rows, n);
            gpu.run_all(&(rung.launches)(&call).unwrap());
            let exact: Vec<Exact> = x
                .chunks(n)
                .flat_map(|row| {
                    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = row.iter().map(|v| (v - max).exp()).sum();
                    row.iter().map(move |v| {
                        let value = (v - max).exp() / sum;
                        Exact { value, scale: value * (1.0 + (max - v) / 4.0) }
                    })
                })
                .collect();
            // A rounding for each term of a sum that one thread makes.
            let found = gpu.read_floats(Float::F32, call.y, rows * n);
            check(&format!("{} {rows} x {n}", rung.name), Float::F32, &found, &exact, 12.0 + n as f64);
        }
    }
}

#[test]
fn every_rung_of_softmax_improves_what_it_says() {
    holds_its_claims(&softmax::RUNGS, |rung| {
        let mut gpu = Gpu::new();
        let (call, _) = row_softmax(&mut gpu, 32, 1024);
        total(&mut gpu, &(rung.launches)(&call).unwrap())
    });
}

/// Infinities, NaN and numbers whose powers of e are beyond f32 do in every rung what they do in the formula.
#[test]
fn special_rows_are_those_of_the_formula() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows = [
        [-inf, -inf, -inf, -inf],
        [1.0, nan, 2.0, 3.0],
        [1.0, -inf, 1.0, -inf],
        [-inf, -inf, 0.0, 0.0],
        [-1e4, -inf, -1e4, -1e4 - 200.0],
        [1e4 - 200.0, 1e4, -1e4, 1e4],
    ];
    for rung in &softmax::RUNGS {
        let mut gpu = Gpu::new();
        let x = gpu.pod(&rows.concat());
        let y = gpu.room_for(Float::F32, 24);
        let call = Softmax { form: Form::Plain, dtype: Float::F32, y, x, rows: 6, n: 4 };
        gpu.run_all(&(rung.launches)(&call).unwrap());
        let found = gpu.read::<f32>(y, 24);
        assert!(found[..8].iter().all(|v| v.is_nan()), "{}: {found:?}", rung.name);
        let halves = [[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]];
        assert_eq!(found[8..], halves.concat(), "{}", rung.name);
    }
}

fn product(gpu: &mut Gpu, [m, n, k]: [usize; 3]) -> (Product, Vec<f64>, Vec<f64>) {
    let (a, b) = (numbers(Float::Bf16, m * k, 1, -1.0, 1.0), numbers(Float::Bf16, k * n, 2, -1.0, 1.0));
    let call = Product {
        c: gpu.room_for(Float::Bf16, m * n),
        a: gpu.floats(Float::Bf16, &a),
        b: gpu.floats(Float::Bf16, &b),
        m: m as u32,
        n: n as u32,
        k: k as u32,
    };
    (call, a, b)
}

#[test]
fn every_rung_of_matmul_is_right() {
    let mut done = 0;
    for [m, n, k] in [[1, 1, 1], [33, 35, 37], [5, 8, 16], [129, 136, 40], [70, 264, 72]] {
        for rung in &matmul::RUNGS {
            let mut gpu = Gpu::new();
            let (call, a, b) = product(&mut gpu, [m, n, k]);
            // Some rungs do whole runs of 16 bytes only.
            let Ok(launches) = (rung.launches)(&call) else { continue };
            done += 1;
            gpu.run_all(&launches);
            let element = |i: usize| {
                (0..k).fold(Exact { value: 0.0, scale: 0.0 }, |sum, j| {
                    let term = a[i / n * k + j] * b[j * n + i % n];
                    Exact { value: sum.value + term, scale: sum.scale + term.abs() }
                })
            };
            let exact: Vec<Exact> = (0..m * n).map(element).collect();
            let found = gpu.read_floats(Float::Bf16, call.c, m * n);
            // Each product and sum rounds once, with a factor of 4 for the tensor cores.
            let roundings = 4.0 * (k as f64 + 1.0);
            check(&format!("{} {m} x {n} x {k}", rung.name), Float::Bf16, &found, &exact, roundings);
        }
    }
    assert_eq!(done, 5 * 8 - 2 * 2, "two rungs leave out two of the sizes");
}

#[test]
fn every_rung_of_matmul_improves_what_it_says() {
    holds_its_claims(&matmul::RUNGS, |rung| {
        let mut gpu = Gpu::new();
        let (call, ..) = product(&mut gpu, [128, 128, 32]);
        total(&mut gpu, &(rung.launches)(&call).unwrap())
    });
}

/// What a slice of 32 along K costs a rung of matmul more: the loop without the way in and out.
fn of_a_slice(rung: &Rung<Product>, what: Count) -> f64 {
    let [short, long] = [64, 96].map(|k| {
        let mut gpu = Gpu::new();
        let (call, ..) = product(&mut gpu, [128, 128, k]);
        count(&total(&mut gpu, &(rung.launches)(&call).unwrap()), what)
    });
    (long - short) as f64
}

/// What the headers say of the loop alone.
#[test]
fn the_loops_of_matmul_do_what_the_headers_say() {
    for (number, what, times_fewer) in [
        (3, Count::BytesRead, 32.0),
        (4, Count::BytesRead, 4.0),
        (4, Count::SharedBytes, 7.5),
        (5, Count::MemoryInstructions, 4.0),
        (6, Count::Instructions, 10.0),
    ] {
        let [before, now] = [number - 2, number - 1].map(|at| of_a_slice(&matmul::RUNGS[at], what));
        let found = before / now;
        assert!(found >= times_fewer, "rung {number}: {found:.2} times fewer {}", what.name());
    }
}
