//! Drawing tokens, and tensors that come from nothing. The drawn tokens are held to the host's by the sweep of ops; here
//! stand the laws that do not need the host: frequencies, ties, cuts, broken rows, and rows alone as in a batch.

use warpsmith_kernels::sample::{self, ALL_EXCLUDED, FINE, HAS_NAN, LARGEST_WEIGHT, Sample};
use warpsmith_kernels::{Dtype, Float, fill};

use crate::gpu::{Gpu, numbers};

/// Temperature 1, no cuts.
const PLAIN: Sample = Sample {
    dtype: Float::F32,
    tokens: 0,
    flags: 0,
    logits: 0,
    weights: 0,
    rows: 0,
    n: 0,
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    least: 0,
    seed: 11,
    stream: 0,
    draw: 0,
    advance: 0,
};

/// Tokens and flags of all rows.
fn draw(logits: &[f64], n: usize, how: Sample) -> (Vec<u32>, Vec<u32>) {
    let mut gpu = Gpu::new();
    let rows = logits.len() / n;
    let (tokens, flags) = (gpu.room(4 * rows as u64), gpu.room(4 * rows as u64));
    let weights = if how.temperature == 0.0 { 0 } else { gpu.room(8 * logits.len() as u64) };
    let logits = gpu.floats(how.dtype, logits);
    gpu.run(&sample::sample(&Sample {
        tokens,
        flags,
        logits,
        weights,
        rows: rows as u32,
        n: n as u32,
        ..how
    }));
    (gpu.read(tokens, rows), gpu.read(flags, rows))
}

/// Pearson's χ² of the tokens of many rows of the same logits, each row with a stream of its own, against the exact
/// probabilities, at the level of 10⁻⁶ for 4 degrees of freedom. Seeds are fixed: it fails always or never.
#[test]
fn tokens_come_as_often_as_the_softmax_says() {
    let logits = [1.0, 3.0, 0.0, 2.0, -1.0];
    let (temperature, rows) = (2.0, 300);
    let (tokens, flags) = draw(&logits.repeat(rows), 5, Sample { temperature, ..PLAIN });
    assert!(flags.iter().all(|&flag| flag == FINE));
    let weights = logits.map(|l| (l / temperature).exp());
    let total: f64 = weights.iter().sum();
    let term = |(id, w): (usize, &f64)| {
        let expected = rows as f64 * w / total;
        let found = tokens.iter().filter(|&&token| token as usize == id).count() as f64;
        (found - expected).powi(2) / expected
    };
    let chi: f64 = weights.iter().enumerate().map(term).sum();
    assert!(chi < 33.4, "χ² = {chi}");
}

#[test]
fn cuts_keep_what_they_should() {
    let logits = [1.0, 3.0, 0.0, 2.0, -1.0].repeat(40);
    let kept = |how: Sample| {
        let tokens = draw(&logits, 5, how).0;
        [0, 1, 2, 3, 4].map(|id| tokens.contains(&id))
    };
    assert_eq!(kept(Sample { top_k: 2, ..PLAIN }), [false, true, false, true, false]);
    // e³/Σ = 0.64, (e³+e²)/Σ = 0.87: a share of 0.8 needs two tokens, 0.6 one.
    assert_eq!(kept(Sample { top_p: 0.8, ..PLAIN }), [false, true, false, true, false]);
    assert_eq!(kept(Sample { top_p: 0.6, ..PLAIN }), [false, true, false, false, false]);
    // e⁻² = 0.135: token 0 falls under 0.2 of the likeliest, token 3 (0.37) does not.
    let least = (0.2 * LARGEST_WEIGHT as f64) as u64;
    assert_eq!(kept(Sample { least, ..PLAIN }), [false, true, false, true, false]);
    assert_eq!(kept(Sample { temperature: 0.0, ..PLAIN }), [false, true, false, false, false]);
}

#[test]
fn of_equal_logits_the_first_ids_stay() {
    let n = 700;
    let flat = vec![0.5; n * 16];
    assert!(draw(&flat, n, Sample { temperature: 0.0, ..PLAIN }).0.iter().all(|&token| token == 0));
    let few = draw(&flat, n, Sample { top_k: 3, ..PLAIN }).0;
    assert_eq!([0, 1, 2].map(|id| few.contains(&id)), [true; 3]);
    assert!(few.iter().all(|&token| token < 3), "{few:?}");
    let all = draw(&flat, n, PLAIN).0;
    assert!(all.iter().any(|&token| token > 350) && all.iter().all(|&token| token < 700));
}

#[test]
fn a_row_without_a_token_says_so() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let rows = [[0.0, nan, nan, 1.0], [-inf; 4], [0.0, inf, -inf, 3.0], [-inf, -inf, -2.0, -inf]].concat();
    for temperature in [0.0, 1.0] {
        let (tokens, flags) = draw(&rows, 4, Sample { temperature, ..PLAIN });
        assert_eq!(flags, [HAS_NAN, ALL_EXCLUDED, FINE, FINE]);
        assert_eq!((tokens[0], tokens[2], tokens[3]), (1, 1, 2));
    }
}

#[test]
fn a_row_alone_draws_what_it_draws_in_a_batch_and_numbers_count_on() {
    let n = 1500;
    for dtype in [Float::F32, Float::F16, Float::Bf16] {
        let logits = numbers(dtype, 3 * n, 5, -6.0, 6.0);
        let how = Sample { dtype, top_k: 60, top_p: 0.95, draw: 6, ..PLAIN };
        let together = draw(&logits, n, how).0;
        for (r, row) in logits.chunks(n).enumerate() {
            assert_eq!(draw(row, n, Sample { stream: r as u64, ..how }).0, [together[r]]);
        }
    }
    let logits = numbers(Float::F32, n, 5, -6.0, 6.0);
    let mut gpu = Gpu::new();
    let (from, advance) = (gpu.floats(Float::F32, &logits), gpu.pod(&[4u64]));
    let (tokens, flags, weights) = (gpu.room(4), gpu.room(4), gpu.room(8 * n as u64));
    let how =
        Sample { tokens, flags, logits: from, weights, rows: 1, n: n as u32, draw: 2, advance, ..PLAIN };
    gpu.run(&sample::sample(&how));
    let late = gpu.read::<u32>(tokens, 1);
    assert_eq!(late, draw(&logits, n, Sample { draw: 6, ..PLAIN }).0);
    assert_ne!(late, draw(&logits, n, Sample { draw: 2, ..PLAIN }).0);
}

#[test]
fn values_and_counts_fill_their_places_and_no_more() {
    let mut gpu = Gpu::new();
    for n in [1usize, 256, 300] {
        let y = gpu.pod(&vec![7u64; n + 1]);
        gpu.run(&fill::fill(y, u64::MAX - 5, n as u64));
        assert_eq!(gpu.read::<u64>(y, n + 1), [vec![u64::MAX - 5; n], vec![7]].concat());
        for (dtype, float) in [(Dtype::F32, Float::F32), (Dtype::F16, Float::F16), (Dtype::Bf16, Float::Bf16)]
        {
            let n = n.min(256);
            let y = gpu.room_for(float, n);
            gpu.run(&fill::count(dtype, y, n as u64));
            assert!(gpu.read_floats(float, y, n).iter().enumerate().all(|(i, &v)| v == i as f64));
        }
        let (long, short) = (gpu.room(8 * n as u64), gpu.room(4 * n as u64));
        gpu.run(&fill::count(Dtype::I64, long, n as u64));
        gpu.run(&fill::count(Dtype::U32, short, n as u64));
        assert!(
            gpu.read::<i64>(long, n)
                .iter()
                .zip(gpu.read::<u32>(short, n))
                .enumerate()
                .all(|(i, (&a, b))| { a == i as i64 && b == i as u32 })
        );
    }
}
