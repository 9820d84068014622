//! How fast our f32 product is: against the multiply-add peak of this processor and against the `gemm` crate, all three
//! interleaved in one sitting, medians and ratios. `cargo run --release -p warpsmith-tensor --features gemm --example matmul_speed`.
//!
//! Arguments, if any, are `M,K,N` triples (add `t` after K for A stored transposed, after N for B): `768,128,384` `128t,768,384`.

use std::time::{Duration, Instant};

use warpsmith_tensor::cpu::matmul::{Epilogue, MatMut, MatRef, matmul};

/// (M, K, N), A stored transposed, B stored transposed.
type Case = ((usize, usize, usize), bool, bool);

const CASES: [Case; 23] = [
    ((512, 512, 512), false, false),
    ((1024, 1024, 1024), false, false),
    ((2048, 2048, 2048), false, false),
    ((2048, 2048, 2048), false, true),
    ((256, 384, 1536), false, false),
    ((2048, 768, 3072), false, false),
    ((2048, 768, 50257), false, false),
    // Forward, gradient of the input, gradient of the weight.
    ((768, 128, 384), false, false),
    ((768, 384, 128), false, true),
    ((128, 768, 384), true, false),
    ((768, 128, 512), false, false),
    ((768, 512, 128), false, true),
    ((128, 768, 512), true, false),
    ((768, 512, 128), false, false),
    ((768, 128, 512), false, true),
    ((512, 768, 128), true, false),
    ((768, 128, 65), false, false),
    ((768, 65, 128), false, true),
    ((128, 768, 65), true, false),
    ((1, 768, 3072), false, false),
    ((1, 768, 50257), false, true),
    ((4, 768, 50257), false, true),
    ((1, 768, 50257), false, false),
];

fn main() {
    let chosen: Vec<Case> = std::env::args().skip(1).filter_map(|text| parse(&text)).collect();
    let cases = if chosen.is_empty() { CASES.to_vec() } else { chosen };
    let threads = rayon::current_num_threads();
    println!("{threads} threads; GFLOP/s, medians of interleaved runs");
    println!(
        "{:>20} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "M,K,N", "peak", "ours", "gemm", "ours/peak", "ours/gemm"
    );
    // As a training step would: many products inside one pool scope.
    rayon::scope(|_| cases.iter().for_each(|case| measure(case, threads)));
}

fn parse(text: &str) -> Option<Case> {
    let mut parts = text.split(',');
    let mut next = || {
        let part = parts.next()?;
        Some((part.trim_end_matches('t').parse().ok()?, part.ends_with('t')))
    };
    let ((m, _), (k, a), (n, b)) = (next()?, next()?, next()?);
    Some(((m, k, n), a, b))
}

fn measure(&((m, k, n), a_transposed, b_transposed): &Case, threads: usize) {
    let a: Vec<f32> = (0..m * k).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
    let b: Vec<f32> = (0..k * n).map(|i| (i % 257) as f32 / 257.0 - 0.5).collect();
    let (mut ours, mut theirs) = (vec![0.0f32; m * n], vec![0.0f32; m * n]);
    let flops = 2.0 * (m * n * k) as f64;
    let repeat = ((2e9 / flops) as usize).clamp(1, 2000);
    let rounds = if flops > 5e10 { 5 } else { 11 };

    let mut times = [vec![], vec![], vec![]];
    for _ in 0..rounds {
        let loops = 400_000;
        let peak_flops = timed(1, || peak(threads, loops)).as_secs_f64();
        times[0].push(threads as f64 * loops as f64 * FLOPS_PER_LOOP / peak_flops);
        let elapsed = timed(repeat, || multiply(&a, &b, &mut ours, (m, k, n), a_transposed, b_transposed));
        times[1].push(flops * repeat as f64 / elapsed.as_secs_f64());
        let elapsed =
            timed(repeat, || multiply_gemm(&a, &b, &mut theirs, (m, k, n), a_transposed, b_transposed));
        times[2].push(flops * repeat as f64 / elapsed.as_secs_f64());
    }
    let worst = ours.iter().zip(&theirs).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-5 * k as f32, "the two products differ by {worst}");
    let [peak, ours, theirs] = times.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2] / 1e9
    });
    let mark = |transposed| if transposed { "t" } else { "" };
    let name = format!("{m},{k}{},{n}{}", mark(a_transposed), mark(b_transposed));
    println!("{name:>20} {peak:8.0} {ours:8.0} {theirs:8.0} {:10.2} {:10.2}", ours / peak, ours / theirs);
}

fn timed(repeat: usize, mut work: impl FnMut()) -> Duration {
    work();
    let start = Instant::now();
    (0..repeat).for_each(|_| work());
    start.elapsed()
}

fn multiply(a: &[f32], b: &[f32], c: &mut [f32], (m, k, n): (usize, usize, usize), a_t: bool, b_t: bool) {
    let view = |data, rows, cols, transposed| {
        if transposed {
            MatRef::row_major(data, cols, rows).map(MatRef::t)
        } else {
            MatRef::row_major(data, rows, cols)
        }
    };
    let done = (|| {
        matmul(view(a, m, k, a_t)?, view(b, k, n, b_t)?, MatMut::row_major(c, m, n)?, Epilogue::default())
    })();
    assert_eq!(done, Ok(()));
}

fn multiply_gemm(
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    (m, k, n): (usize, usize, usize),
    a_t: bool,
    b_t: bool,
) {
    let strides = |rows: usize, cols: usize, transposed| {
        if transposed { (1, rows as isize) } else { (cols as isize, 1) }
    };
    let ((a_row, a_col), (b_row, b_col)) = (strides(m, k, a_t), strides(k, n, b_t));
    let parallel = gemm::Parallelism::Rayon(rayon::current_num_threads());
    // SAFETY: the three slices hold dense matrices of these shapes and strides.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_col,
            a_row,
            b.as_ptr(),
            b_col,
            b_row,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// Multiplications and additions in one turn of [`peak`]'s loop.
const FLOPS_PER_LOOP: f64 = (CHAINS * 16 * 2) as f64;
const CHAINS: usize = 24;

/// Runs `loops` turns of independent multiply-adds on every thread, in registers alone.
fn peak(threads: usize, loops: usize) {
    rayon::scope(|s| (0..threads).for_each(|_| s.spawn(move |_| spin(loops))));
}

fn spin(loops: usize) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { spin_avx512(loops) };
    }
    let mut sums = [[0.0f32; 16]; CHAINS];
    for _ in 0..loops {
        sums.iter_mut().flatten().for_each(|x| *x = *x * 0.5 + 1.0);
    }
    std::hint::black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn spin_avx512(loops: usize) {
    use std::arch::x86_64::*;
    let (x, y) = (_mm512_set1_ps(std::hint::black_box(0.5)), _mm512_set1_ps(std::hint::black_box(1.0)));
    let mut sums = [x; CHAINS];
    for _ in 0..loops {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, y);
        }
    }
    std::hint::black_box(sums);
}
