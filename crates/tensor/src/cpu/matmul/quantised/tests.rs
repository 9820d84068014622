//! Quantised products against sums in f64, on rows of random bytes: any pattern of bits means something in every kind.

use warpsmith_gguf::Kind;

use super::super::{MatMut, MatRef, MatmulError};
use super::{Blocks, Part, matmul_quantised, portable};
use crate::{Rng, Seed, f16};

/// Where the f16 scales of a block stand.
fn scales(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::F32 | Kind::F16 | Kind::Bf16 => &[],
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4K => &[0, 2],
        Kind::Q6K => &[208],
        _ => &[0],
    }
}

/// Blocks of random bytes with ordinary scales, and their numbers.
fn weights(kind: Kind, n: usize, k: usize) -> (Vec<u8>, Vec<f32>) {
    let rng = Rng::new(Seed(kind as u64));
    let numbers = rng.normal(n * k);
    let bytes: Vec<u8> = match kind {
        Kind::F32 => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Kind::F16 => numbers.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Kind::Bf16 => numbers.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        _ => {
            let mut bytes: Vec<u8> =
                rng.uniform(n * Blocks::row_bytes(kind, k)).into_iter().map(|u| (u * 256.0) as u8).collect();
            for (block, scale) in bytes.chunks_mut(kind.block_bytes()).zip(&numbers) {
                for &at in scales(kind) {
                    block[at..at + 2].copy_from_slice(&f16::from_f32(*scale).to_le_bytes());
                }
            }
            bytes
        }
    };
    let mut out = vec![0.0; n * k];
    kind.dequantise(&bytes, &mut out).unwrap();
    (bytes, out)
}

fn product(kind: Kind, x: &[f32], bytes: &[u8], (m, n, k): (usize, usize, usize)) -> Vec<f32> {
    let mut y = vec![f32::NAN; m * n];
    let a = MatRef::row_major(x, m, k).unwrap();
    let w = Blocks::new(kind, bytes, n, k).unwrap();
    matmul_quantised(a, w, MatMut::row_major(&mut y, m, n).unwrap()).unwrap();
    y
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Tiles, what is left over of them, and one row; rows longer than what is kept of W in a pass.
#[test]
fn every_kind_has_the_sums_of_its_numbers() {
    for kind in Kind::ALL {
        let k = if kind.block_len() == 256 { 512 } else { 544 };
        for (m, n, k) in [(1, 7, k), (9, 11, k), (4, 1, k), (2, 4, 7 * 1024)] {
            let (bytes, numbers) = weights(kind, n, k);
            let x = Rng::new(Seed(3)).normal(m * k);
            let y = product(kind, &x, &bytes, (m, n, k));
            for (i, y) in y.iter().enumerate() {
                let terms = || {
                    let (x, w) = (&x[i / n * k..][..k], &numbers[i % n * k..][..k]);
                    x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w))
                };
                let (truth, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                // k/32 multiply-adds in each of 32 sums, then five additions, each rounded to 2⁻²⁴ of what is there.
                let bound = (2 * k / 32 + 5) as f64 * 2f64.powi(-24) * size;
                assert!((f64::from(*y) - truth).abs() <= bound, "{kind:?} {m} {n} {k}: {y}, not {truth}");
            }
        }
    }
}

#[test]
fn a_row_alone_has_the_bits_of_the_row_in_a_batch_and_of_any_processor_that_fuses() {
    for kind in Kind::ALL {
        let (m, n, k) = (6, 13, 768);
        let (bytes, numbers) = weights(kind, n, k);
        let x = Rng::new(Seed(4)).normal(m * k);
        let together = product(kind, &x, &bytes, (m, n, k));
        for i in 0..m {
            let alone = product(kind, &x[i * k..][..k], &bytes, (1, n, k));
            assert_eq!(bits(&alone), bits(&together[i * n..][..n]), "{kind:?} row {i}");
        }
        if super::super::fused() {
            let mut y = vec![0.0; m * n];
            let a = MatRef::row_major(&x, m, k).unwrap();
            let part = Part { numbers: numbers.as_ptr(), rows: n, k };
            // SAFETY: A is (m, k), W (n, k) and C (m, n).
            unsafe { portable::rows(a.view(), m, part, MatMut::row_major(&mut y, m, n).unwrap().out()) };
            assert_eq!(bits(&y), bits(&together), "{kind:?}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_how_many_threads_there_are() {
    let (m, n, k) = (5, 700, 256);
    let (bytes, _) = weights(Kind::Q4_1, n, k);
    let x = Rng::new(Seed(5)).normal(m * k);
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bits(&pool.install(|| product(Kind::Q4_1, &x, &bytes, (m, n, k))))
    });
    assert_eq!(one, three);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_a_product_too() {
    for (kind, n, k, len) in [(Kind::Q4_0, 1, 33, 18), (Kind::F32, 1, 31, 124), (Kind::Q8_0, 2, 32, 34)] {
        let refused = Blocks::new(kind, &vec![0; len], n, k).unwrap_err();
        assert_eq!(refused, MatmulError::Blocks { kind: kind.name(), n, k, len });
    }
    let w = Blocks::new(Kind::Q8_0, &[0; 34], 1, 32).unwrap();
    let (x, mut y) = (vec![1.0; 64], vec![1.0; 2]);
    let mut run = |rows, cols, step| {
        let a = MatRef::new(&x, rows, cols, 32, step).unwrap();
        matmul_quantised(a, w, MatMut::row_major(&mut y, rows, 1).unwrap())
    };
    run(2, 32, 1).unwrap();
    run(0, 32, 1).unwrap();
    assert!(matches!(run(2, 16, 1), Err(MatmulError::Shape { what: "quantised weights", .. })));
    assert!(matches!(run(1, 32, 2), Err(MatmulError::Shape { what: "strides of A", .. })));
}
