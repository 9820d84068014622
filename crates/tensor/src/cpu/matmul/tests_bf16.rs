//! The bf16 products: order of the sums, rounding of f32 operands, error bound.

use half::bf16;

use super::*;

fn values(len: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let x = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            bf16::from_f32(x * [1.0, 0.125, 3.0e-3][(state >> 20) as usize % 3])
        })
        .collect()
}

/// In what order an engine adds up.
#[derive(Clone, Copy)]
enum Sums {
    /// One product after the other.
    Single,
    /// The second of each pair before the first.
    Pairs,
    /// Of each 32 products the even from zero and the odd from zero, then both to the sum so far.
    Tiles,
}

/// The order of this processor's engine.
fn order() -> Sums {
    #[cfg(target_arch = "x86_64")]
    if amx::available() {
        return Sums::Tiles;
    } else if avx512_bf16::fast() {
        return Sums::Pairs;
    }
    Sums::Single
}

/// The product as its definition says. Products of bf16 values are exact in f32, so fused or not is the same.
fn chain(a: MatRef<'_, bf16>, b: MatRef<'_, bf16>, start: &[f32]) -> Vec<f32> {
    chain_in(order(), a, b, start)
}

fn chain_in(order: Sums, a: MatRef<'_, bf16>, b: MatRef<'_, bf16>, start: &[f32]) -> Vec<f32> {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    let mut c = start.to_vec();
    for i in 0..m {
        for j in 0..n {
            let product = |p: usize| {
                let (x, y) = (a.get(i, p).unwrap_or_default(), b.get(p, j).unwrap_or_default());
                x.to_f32() * y.to_f32()
            };
            let c = &mut c[i * n + j];
            match order {
                Sums::Single => (0..k).for_each(|p| *c += product(p)),
                Sums::Pairs => (0..k.next_multiple_of(2)).for_each(|p| *c += product(p ^ 1)),
                Sums::Tiles => {
                    for first in (0..k).step_by(32) {
                        let every_second =
                            |from: usize| (from..first + 32).step_by(2).fold(0.0, |sum, p| sum + product(p));
                        *c += every_second(first) + every_second(first + 1);
                    }
                }
            }
        }
    }
    c
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

const SHAPES: [(usize, usize, usize); 15] = [
    (1, 1, 1),
    (1, 70, 33),
    (3, 17, 2),
    (4, 100, 65),
    (5, 7, 3),
    (17, 33, 65),
    (33, 65, 64),
    (9, 49, 1025),
    (8, 48, 31),
    (130, 400, 30),
    (65, 1, 128),
    // Many rows of few values, which packed lie further apart than they are long.
    (64, 31, 1),
    (192, 17, 34),
    (20, 96, 0),
    (200, 65, 129),
];

/// Every layout of every shape against the chain in pairs or one by one.
fn check_layouts(
    order: Sums,
    multiply: impl Fn(MatRef<'_, bf16>, MatRef<'_, bf16>, MatMut<'_, f32>) -> Result<(), MatmulError>,
) {
    for &(m, n, k) in &SHAPES {
        let (da, db) = (values((m + 3) * (2 * k + 3), 1), values((k + 3) * (2 * n + 3), 2));
        let a = [(k, 1), (1, m), (k + 3, 1), (1, m + 2), (2 * k + 1, 2), (0, 1), (1, 0)];
        let b = [(n, 1), (1, k), (n + 3, 1), (1, k + 1), (2 * n + 1, 2), (0, 1), (1, 0)];
        for a in a.map(|(row, col)| MatRef::new(&da, m, k, row, col).unwrap()) {
            for b in b.map(|(row, col)| MatRef::new(&db, k, n, row, col).unwrap()) {
                let want = chain_in(order, a, b, &vec![0.0; m * n]);
                let mut c = vec![f32::NAN; m * n];
                multiply(a, b, MatMut::row_major(&mut c, m, n).unwrap()).unwrap();
                assert_eq!(bits(&c), bits(&want), "({m}, {n}, {k}), {a:?} {b:?}");
            }
        }
    }
}

#[test]
fn every_element_is_one_chain_in_every_layout() {
    check_layouts(order(), |a, b, c| matmul_bf16(a, b, c, Epilogue::default()));
}

#[test]
fn the_portable_engine_is_one_chain_too() {
    // SAFETY: it needs no instruction set.
    check_layouts(Sums::Single, |a, b, c| unsafe {
        run::<widened::Widened<bf16, portable::Portable>>(a, b, c, Epilogue::default(), None)
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_engine_of_pairs_is_one_chain_of_pairs() {
    if avx512_bf16::available() {
        // SAFETY: the processor has the instruction set.
        check_layouts(Sums::Pairs, |a, b, c| unsafe {
            run::<avx512_bf16::Avx512Bf16<bf16>>(a, b, c, Epilogue::default(), None)
        });
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_lies_behind_an_odd_row_is_no_part_of_its_last_pair() {
    let (m, n, k) = (12, 50, 33);
    let (mut da, db) = (values(m * (k + 1), 12), values(k * n, 13));
    da.iter_mut().skip(k).step_by(k + 1).for_each(|x| *x = bf16::NAN);
    let (a, b) = (MatRef::new(&da, m, k, k + 1, 1).unwrap(), MatRef::row_major(&db, k, n).unwrap());
    if avx512_bf16::available() {
        let mut c = vec![0.0; m * n];
        let out = MatMut::row_major(&mut c, m, n).unwrap();
        // SAFETY: the processor has the instruction set.
        unsafe { run::<avx512_bf16::Avx512Bf16<bf16>>(a, b, out, Epilogue::default(), None) }.unwrap();
        assert_eq!(bits(&c), bits(&chain_in(Sums::Pairs, a, b, &vec![0.0; m * n])));
    }
}

#[test]
fn f32_operands_are_rounded_to_nearest_even_first() {
    for &(m, n, k) in &SHAPES {
        // Every value lies between two neighbours of bf16, some of them halfway.
        let between = |values: Vec<bf16>| -> Vec<f32> {
            let low = [0x8000, 0x7FFF, 0x8001, 0x0001, 0];
            values
                .iter()
                .enumerate()
                .map(|(i, x)| f32::from_bits(u32::from(x.to_bits()) << 16 | low[i % 5]))
                .collect()
        };
        let (da, db) = (between(values(m * k, 3)), between(values(k * n, 4)));
        let round = |data: &[f32]| data.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>();
        let (ra, rb) = (round(&da), round(&db));
        for turned in [false, true] {
            let (mut c, mut want) = (vec![0.0; m * n], vec![0.0; m * n]);
            let (out, out_want) = (MatMut::row_major(&mut c, m, n), MatMut::row_major(&mut want, m, n));
            let (a, b, r, s) = if turned {
                let a = (
                    MatRef::row_major(&da, k, m).map(MatRef::t),
                    MatRef::row_major(&ra, k, m).map(MatRef::t),
                );
                let b = (
                    MatRef::row_major(&db, n, k).map(MatRef::t),
                    MatRef::row_major(&rb, n, k).map(MatRef::t),
                );
                (a.0, b.0, a.1, b.1)
            } else {
                let a = (MatRef::row_major(&da, m, k), MatRef::row_major(&ra, m, k));
                let b = (MatRef::row_major(&db, k, n), MatRef::row_major(&rb, k, n));
                (a.0, b.0, a.1, b.1)
            };
            matmul_f32_as_bf16(a.unwrap(), b.unwrap(), out.unwrap(), Epilogue::default()).unwrap();
            matmul_bf16(r.unwrap(), s.unwrap(), out_want.unwrap(), Epilogue::default()).unwrap();
            assert_eq!(bits(&c), bits(&want), "({m}, {n}, {k})");
        }
    }
}

#[test]
fn rows_and_threads_do_not_change_a_bit() {
    let (m, n, k) = (150, 500, 301);
    let (da, db) = (values(m * k, 5), values(k * n, 6));
    let a = MatRef::row_major(&da, m, k).unwrap();
    for b in [MatRef::row_major(&db, k, n).unwrap(), MatRef::row_major(&db, n, k).unwrap().t()] {
        let want = chain(a, b, &vec![0.0; m * n]);
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0.0; m * n];
            pool.install(|| matmul_bf16(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::default()))
                .unwrap();
            assert_eq!(bits(&c), bits(&want));
        }
        for rows in [1, 2, 4, 5] {
            let some = MatRef::row_major(&da[7 * k..], rows, k).unwrap();
            let mut c = vec![0.0; rows * n];
            matmul_bf16(some, b, MatMut::row_major(&mut c, rows, n).unwrap(), Epilogue::default()).unwrap();
            assert_eq!(bits(&c), bits(&want[7 * n..(7 + rows) * n]));
        }
    }
}

#[test]
fn sums_start_from_the_old_values_and_an_odd_end_adds_nothing() {
    let (m, n, k) = (12, 50, 33);
    let (da, db) = (values(m * (k + 1), 7), values((k + 1) * n, 8));
    let old: Vec<f32> = values(m * n, 9).iter().map(|x| x.to_f32()).collect();
    let (a, b) = (MatRef::new(&da, m, k, k + 1, 1).unwrap(), MatRef::row_major(&db, k, n).unwrap());
    let mut c = old.clone();
    matmul_bf16(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::accumulate()).unwrap();
    assert_eq!(bits(&c), bits(&chain(a, b, &old)));
    // The same with the missing step written out as zeros, and with what lies behind the end made NaN.
    let mut padded = da.clone();
    padded.iter_mut().skip(k).step_by(k + 1).for_each(|x| *x = bf16::ZERO);
    let mut longer = db[..k * n].to_vec();
    longer.extend(std::iter::repeat_n(bf16::ZERO, n));
    let mut even = old.clone();
    let (pa, pb) =
        (MatRef::row_major(&padded, m, k + 1).unwrap(), MatRef::row_major(&longer, k + 1, n).unwrap());
    matmul_bf16(pa, pb, MatMut::row_major(&mut even, m, n).unwrap(), Epilogue::accumulate()).unwrap();
    assert_eq!(bits(&even), bits(&c));
    padded.iter_mut().skip(k).step_by(k + 1).for_each(|x| *x = bf16::NAN);
    let a = MatRef::new(&padded, m, k, k + 1, 1).unwrap();
    let mut beside = old.clone();
    matmul_bf16(a, b, MatMut::row_major(&mut beside, m, n).unwrap(), Epilogue::accumulate()).unwrap();
    assert_eq!(bits(&beside), bits(&c));
}

/// Higham (2002), section 3.1, with the exact products of the rounded operands.
#[test]
fn errors_stay_under_the_bound_of_a_sequential_sum() {
    for (m, n, k) in [(13, 50, 1), (13, 50, 101), (8, 48, 3000)] {
        let (da, db) = (values(m * k, 10), values(k * n, 11));
        let (a, b) = (MatRef::row_major(&da, m, k).unwrap(), MatRef::row_major(&db, k, n).unwrap());
        let mut c = vec![0.0; m * n];
        matmul_bf16(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::default()).unwrap();
        let u = k as f64 * 2.0f64.powi(-24);
        for (at, &c) in c.iter().enumerate() {
            let terms = (0..k).map(|p| da[at / n * k + p].to_f64() * db[p * n + at % n].to_f64());
            let (sum, size) = terms.fold((0.0, 0.0), |(s, z), x| (s + x, z + x.abs()));
            let error = (f64::from(c) - sum).abs();
            assert!(error <= u / (1.0 - u) * size, "element {at} of ({m}, {n}, {k}): {error:e}, {size:e}");
        }
    }
}
