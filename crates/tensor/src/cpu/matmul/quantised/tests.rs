//! Quantised products against sums in f64, on rows of random bytes: any pattern of bits means something in every kind.

use warpsmith_gguf::Kind;

use super::super::{MatMut, MatRef, MatmulError};
use super::rounded::{Group, Stored, round};
#[cfg(target_arch = "x86_64")]
use super::vnni;
use super::whole::Rounded;
use super::{Blocks, Part, matmul_quantised, portable};
use crate::{Rng, Seed, f16};

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
                for &at in kind.scale_places() {
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

/// Tiles, what is left over of them, and one row; rows longer than what is kept of W in a pass; groups that are not whole.
#[test]
fn every_kind_has_the_sums_of_its_numbers() {
    for kind in Kind::ALL {
        let k = if kind.block_len() == 256 { 512 } else { 544 };
        for (m, n, k) in
            [(1, 7, k), (9, 11, k), (4, 1, k), (2, 4, 7 * 1024), (7, 3, kind.block_len().max(32))]
        {
            let (bytes, numbers) = weights(kind, n, k);
            let sizes = kind.sizes(&bytes).unwrap();
            let x = Rng::new(Seed(3)).normal(m * k);
            let y = product(kind, &x, &bytes, (m, n, k));
            for (i, y) in y.iter().enumerate() {
                let (x, w, sizes) =
                    (&x[i / n * k..][..k], &numbers[i % n * k..][..k], &sizes[i % n * k..][..k]);
                let truth: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                // k/32 multiply-adds in each of 32 sums, five additions, and those of scales; each rounded to 2⁻²⁴.
                let roundings = (2 * k / 32 + 10) as f64 * 2f64.powi(-24);
                let size: f64 = x.iter().zip(sizes).map(|(x, w)| f64::from(x.abs()) * w).sum();
                // Half a step of 1/16319 for each value, where A is rounded.
                let moved: f64 = x
                    .chunks(32)
                    .zip(w.chunks(32))
                    .map(|(x, w)| {
                        let largest = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                        f64::from(largest) / 32630.0 * w.iter().map(|w| f64::from(w.abs())).sum::<f64>()
                    })
                    .sum();
                let bound = roundings * size + if kind.offset().is_some() { moved } else { 0.0 };
                assert!((f64::from(*y) - truth).abs() <= bound, "{kind:?} {m} {n} {k}: {y}, not {truth}");
            }
        }
    }
}

/// Values that are multiples of a 16319th of the largest are not moved by rounding: what is left is the rounding of sums.
#[test]
fn whole_numbers_meet_whole_numbers_exactly() {
    for kind in Kind::ALL {
        let (m, n, k) = (7, 5, kind.block_len().max(32) * 3);
        let (bytes, numbers) = weights(kind, n, k);
        let sizes = kind.sizes(&bytes).unwrap();
        let mut x: Vec<f32> =
            Rng::new(Seed(6)).uniform(m * k).iter().map(|u| (u * 32637.0).floor() - 16318.0).collect();
        x.chunks_mut(32).for_each(|block| block[17] = -16319.0);
        for (i, y) in product(kind, &x, &bytes, (m, n, k)).iter().enumerate() {
            let (x, w, sizes) = (&x[i / n * k..][..k], &numbers[i % n * k..][..k], &sizes[i % n * k..][..k]);
            let truth: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            let size: f64 = x.iter().zip(sizes).map(|(x, w)| f64::from(x.abs()) * w).sum();
            let bound = (2 * k / 32 + 10) as f64 * 2f64.powi(-24) * size;
            assert!((f64::from(*y) - truth).abs() <= bound, "{kind:?} {i}: {y}, not {truth}");
        }
    }
}

/// A row that cannot be rounded has the bits of weights that were made f32, beside rows that are rounded.
#[test]
fn rows_out_of_range_are_not_rounded() {
    for (kind, odd) in [Kind::Q4_0, Kind::Q4K, Kind::Q6K].into_iter().zip([f32::NAN, f32::INFINITY, 1e-30]) {
        let (m, n, k) = (8, 5, 512);
        let (bytes, numbers) = weights(kind, n, k);
        let mut x = Rng::new(Seed(7)).normal(m * k);
        x[3 * k..4 * k].fill(0.0);
        x[3 * k + 40] = odd;
        let whole = product(kind, &x, &bytes, (m, n, k));
        let floats: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let exact = product(Kind::F32, &x[3 * k..4 * k], &floats, (1, n, k));
        assert!(odd.is_nan() || exact.iter().any(|y| *y != 0.0), "{exact:?}");
        let bits_or_nan =
            |y: &[f32]| y.iter().map(|y| if y.is_nan() { 1 } else { y.to_bits() }).collect::<Vec<u32>>();
        assert_eq!(bits_or_nan(&whole[3 * n..4 * n]), bits_or_nan(&exact), "{kind:?} {odd}");
        let alone = product(kind, &x[4 * k..5 * k], &bytes, (1, n, k));
        assert_eq!(bits(&whole[4 * n..5 * n]), bits(&alone), "{kind:?}");
    }
}

#[test]
fn a_row_alone_has_the_bits_of_the_row_in_a_batch_and_of_any_processor_that_fuses() {
    for (kind, k) in
        Kind::ALL.into_iter().flat_map(|kind| [(kind, 768), (kind, kind.block_len().max(32) * 7)])
    {
        let (m, n) = (8, 13);
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
            let out = MatMut::row_major(&mut y, m, n).unwrap().out();
            // SAFETY: A is (m, k), W (n, k) and C (m, n).
            unsafe {
                match Rounded::new(&a, kind) {
                    Some(rounded) => rounded.product_anywhere(Blocks::new(kind, &bytes, n, k).unwrap(), out),
                    None => {
                        portable::rows(a.view(), m, Part { numbers: numbers.as_ptr(), rows: n, k }, out);
                    }
                }
            }
            assert_eq!(bits(&y), bits(&together), "{kind:?}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_how_many_threads_there_are() {
    let (n, k) = (700, 256);
    let (bytes, _) = weights(Kind::Q4_1, n, k);
    for m in [5, 20] {
        let x = Rng::new(Seed(5)).normal(m * k);
        let [one, three] = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| product(Kind::Q4_1, &x, &bytes, (m, n, k))))
        });
        assert_eq!(one, three);
        assert_eq!(one[(m - 1) * n..], bits(&product(Kind::Q4_1, &x[(m - 1) * k..], &bytes, (1, n, k))));
    }
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
    let none = Blocks::new(Kind::Q8_0, &[], 0, 32).unwrap();
    let x_row = MatRef::row_major(&x[..32], 1, 32).unwrap();
    matmul_quantised(x_row, none, MatMut::row_major(&mut [], 1, 0).unwrap()).unwrap();
    assert!(matches!(run(2, 16, 1), Err(MatmulError::Shape { what: "quantised weights", .. })));
    assert!(matches!(run(1, 32, 2), Err(MatmulError::Shape { what: "strides of A", .. })));
}

/// Ties, the largest value itself, zeros, a group that is not whole.
#[cfg(target_arch = "x86_64")]
#[test]
fn rows_are_rounded_to_the_same_bits_everywhere() {
    if !vnni::available() {
        return eprintln!("left out: no AVX-512 with VNNI here");
    }
    let mut row = Rng::new(Seed(8)).normal(9 * 32);
    row[..32].iter_mut().enumerate().for_each(|(i, x)| *x = i as f32 - 15.5);
    row[0] = 16319.0;
    row[64..96].fill(0.0);
    for (offset, in_halves) in [(0, false), (8, false), (128, false), (32, true)] {
        let stored = Stored { offset, in_halves };
        let (mut plain, mut quick) = (vec![Group::ZERO; 3], vec![Group::ZERO; 3]);
        // SAFETY: the instructions were found.
        assert!(round(&row, stored, &mut plain) && unsafe { vnni::round(&row, stored, &mut quick) });
        assert_eq!(plain, quick, "{offset}");
        // 127·128 + 63; -14.5 and -13.5 are ties and go to -14.
        let [coarse, fine] = [plain[0].coarse[0], plain[0].fine[0]];
        assert_eq!((coarse[..3].to_vec(), fine[..3].to_vec()), (vec![127, 0, 0], vec![63, -14, -14]));
    }
    for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e28, 1e-40] {
        let mut row = [if odd < 1.0 { 0.0 } else { 1.0 }; 64];
        row[50] = odd;
        let stored = Stored { offset: 8, in_halves: false };
        let mut groups = vec![Group::ZERO; 1];
        // SAFETY: the instructions were found.
        let quick = unsafe { vnni::round(&row, stored, &mut groups) };
        assert!(!quick && !round(&row, stored, &mut groups), "{odd}");
    }
}
