//! Rows far from zero.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

#[test]
fn a_large_mean_costs_no_digits() {
    let (rows, width) = (4, 768);
    let noise = Rng::new(Seed(3)).normal(rows * width);
    let shifted: Vec<f32> = noise.iter().map(|v| 1e4 + v).collect();
    // What the numbers are after rounding to f32 is the spread that remains.
    let centred: Vec<f32> = shifted.iter().map(|v| v - 1e4).collect();
    let norm = |values: &[f32]| {
        let x = Tensor::from_slice(values, &[rows, width], &Device::Cpu).unwrap();
        let one = Tensor::from_slice(&vec![1f32; width], &[width], &Device::Cpu).unwrap();
        x.layer_norm(&one, None, 1e-5).unwrap().to_vec::<f32>().unwrap()
    };
    for (a, b) in norm(&shifted).iter().zip(norm(&centred)) {
        assert!((a - b).abs() <= 2.0 * f32::EPSILON * b.abs(), "{a} against {b}");
    }
}

/// The numbers of a row, normalised without gain, and what they are in f64.
fn normalised(x: &[f32]) -> Vec<(f64, f64)> {
    let n = x.len();
    let ones = Tensor::from_slice(&vec![1f32; n], &[n], &Device::Cpu).unwrap();
    let row = Tensor::from_slice(x, &[1, n], &Device::Cpu).unwrap();
    let y = row.layer_norm(&ones, None, 1e-5).unwrap().to_vec::<f32>().unwrap();
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64;
    let truth = x.iter().map(|&x| (f64::from(x) - mean) / (variance + 1e-5).sqrt());
    y.into_iter().map(f64::from).zip(truth).collect()
}

/// Sums go by registers: each width has its own rest.
#[test]
fn every_number_of_a_row_counts() {
    for n in 2..100 {
        let x: Vec<f32> = (0..n).map(|i| (i * i % 37) as f32 - 9.0).collect();
        for (y, truth) in normalised(&x) {
            assert!((y - truth).abs() < 1e-6 * (1.0 + truth.abs()), "{n}: {y}, not {truth}");
        }
    }
}

/// Squares are taken about the first number of a row, wherever it and the others lie.
#[test]
fn the_spread_holds_far_from_zero_and_behind_an_outlier() {
    for (first, others) in [(8e6f32, 8e6f32), (0.0, 8e6), (1e6, 0.0), (-16e6, 16e6)] {
        let other = |i: i32| others + (i * i % 37) as f32 - 18.0;
        let x: Vec<f32> = std::iter::once(first).chain((1..768).map(other)).collect();
        for (y, truth) in normalised(&x) {
            let off = (y - truth).abs();
            assert!(off < 1e-6 * (1e-3 + truth.abs()), "{first} before {others}: {y}, not {truth}");
        }
    }
}
