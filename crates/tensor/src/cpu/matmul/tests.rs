//! Bit-for-bit order tests and the f64 error bound, on awkward shapes and strides.

use super::*;

/// Values in about (-1, 1) with many exponents, from a small generator of their own.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
                * [1.0, 0.125, 3.0e-3][(state >> 20) as usize % 3]
        })
        .collect()
}

/// One multiply-add as the engine in use does it.
fn multiply_add(x: f32, y: f32, sum: f32) -> f32 {
    if fused() { fused_add(x, y, sum) } else { two_roundings(x, y, sum) }
}

/// The product as its definition says: one chain per element.
fn chain(
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    start: &[f32],
    multiply_add: fn(f32, f32, f32) -> f32,
) -> Vec<f32> {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    let mut c = start.to_vec();
    for i in 0..m {
        for j in 0..n {
            for p in 0..k {
                let (x, y) = (a.get(i, p).unwrap(), b.get(p, j).unwrap());
                c[i * n + j] = multiply_add(x, y, c[i * n + j]);
            }
        }
    }
    c
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// (row stride, column stride) of a (rows, cols) matrix.
type Layout = fn(usize, usize) -> (usize, usize);

const LAYOUTS: [Layout; 7] = [
    |_, cols| (cols, 1),
    |rows, _| (1, rows),
    |_, cols| (cols + 3, 1),
    |rows, _| (1, rows + 5),
    |_, cols| (2 * cols + 1, 2),
    |_, _| (0, 1),
    |_, _| (1, 0),
];

fn laid_out(data: &[f32], rows: usize, cols: usize, layout: usize) -> MatRef<'_, f32> {
    let (row_stride, col_stride) = LAYOUTS[layout](rows, cols);
    MatRef::new(data, rows, cols, row_stride, col_stride).unwrap()
}

/// Room for every layout of a (rows, cols) matrix.
fn room(rows: usize, cols: usize) -> usize {
    (rows + 6) * (2 * cols + 6)
}

const SHAPES: [(usize, usize, usize); 16] = [
    (1, 1, 1),
    (1, 1, 70),
    (1, 257, 33),
    (131, 1, 40),
    (2, 100, 65),
    (3, 49, 17),
    (4, 160, 130),
    (5, 7, 3),
    (8, 48, 512),
    (9, 49, 513),
    (17, 33, 65),
    (65, 17, 33),
    (33, 65, 17),
    (70, 400, 20),
    (201, 66, 40),
    (16, 96, 1030),
];

/// Every layout of every shape against the chain of `multiply_add`.
fn check_layouts(
    shapes: &[(usize, usize, usize)],
    multiply: impl Fn(MatRef<'_, f32>, MatRef<'_, f32>, MatMut<'_, f32>) -> Result<(), MatmulError>,
    multiply_add: fn(f32, f32, f32) -> f32,
) {
    for (s, &(m, n, k)) in shapes.iter().enumerate() {
        let (da, db) = (values(room(m, k), s as u64), values(room(k, n), 100 + s as u64));
        for la in 0..LAYOUTS.len() {
            for lb in 0..LAYOUTS.len() {
                let (a, b) = (laid_out(&da, m, k, la), laid_out(&db, k, n, lb));
                let want = chain(a, b, &vec![0.0; m * n], multiply_add);
                let mut c = vec![f32::NAN; m * n];
                multiply(a, b, MatMut::row_major(&mut c, m, n).unwrap()).unwrap();
                assert_eq!(bits(&c), bits(&want), "({m}, {n}, {k}), layouts {la} and {lb}");
            }
        }
    }
}

fn fused_add(x: f32, y: f32, sum: f32) -> f32 {
    x.mul_add(y, sum)
}

fn two_roundings(x: f32, y: f32, sum: f32) -> f32 {
    sum + x * y
}

#[test]
fn every_element_is_one_chain_in_every_layout() {
    check_layouts(&SHAPES, |a, b, c| matmul(a, b, c, Epilogue::default()), multiply_add);
}

#[test]
fn the_portable_engine_is_one_chain_too() {
    // SAFETY: it needs no instruction set.
    check_layouts(
        &SHAPES[..12],
        |a, b, c| unsafe { run::<portable::Portable>(a, b, c, Epilogue::default(), None) },
        two_roundings,
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_avx2_engine_is_one_chain_too() {
    if avx2::available() {
        // SAFETY: the processor has AVX2 and FMA.
        check_layouts(
            &SHAPES[..14],
            |a, b, c| unsafe { run::<avx2::Avx2>(a, b, c, Epilogue::default(), None) },
            fused_add,
        );
    }
}

#[test]
fn f64_is_one_chain_in_every_layout() {
    for &(m, n, k) in &SHAPES[..12] {
        let widen = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        let (da, db) = (widen(values(m * k, 20)), widen(values(k * n, 21)));
        for (a, b) in [
            (MatRef::row_major(&da, m, k), MatRef::row_major(&db, k, n)),
            (MatRef::row_major(&da, k, m).map(MatRef::t), MatRef::row_major(&db, n, k).map(MatRef::t)),
        ] {
            let (a, b) = (a.unwrap(), b.unwrap());
            let mut c = vec![f64::NAN; m * n];
            matmul_f64(a, b, MatMut::row_major(&mut c, m, n).unwrap()).unwrap();
            for (at, c) in c.iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let want = (0..k).fold(0.0, |sum, p| sum + a.get(i, p).unwrap() * b.get(p, j).unwrap());
                assert_eq!(c.to_bits(), f64::to_bits(want), "({i}, {j}) of ({m}, {n}, {k})");
            }
        }
    }
}

#[test]
fn a_batch_has_the_bits_of_its_products() {
    for (count, m, n, k) in [(1, 5, 7, 9), (9, 64, 64, 64), (3, 200, 300, 65), (70, 1, 33, 16), (0, 4, 4, 4)]
    {
        let (da, db) = (values(count * m * k, 30), values(k * n, 31));
        let a: Vec<_> = (0..count).map(|i| MatRef::row_major(&da[i * m * k..], m, k).unwrap()).collect();
        // One right operand for the whole batch, as a broadcast has.
        let b = vec![MatRef::row_major(&db, n, k).unwrap().t(); count];
        let old = values(count * (m * n + 5), 32);
        for accumulate in [false, true] {
            let mut c = old.clone();
            let out = BatchMut::new(&mut c, (count, m * n + 5), (m, n), n).unwrap();
            matmul_batched(&a, &b, out, accumulate).unwrap();
            for i in 0..count {
                let (from, to) = (i * (m * n + 5), i * (m * n + 5) + m * n);
                let start = if accumulate { old[from..to].to_vec() } else { vec![0.0; m * n] };
                assert_eq!(bits(&c[from..to]), bits(&chain(a[i], b[i], &start, multiply_add)), "product {i}");
                assert_eq!(c[to..to + 5], old[to..to + 5], "the gap between matrices is not ours to write");
            }
        }
    }
    let data = [0.0f32; 8];
    let (one, mut c) = ([MatRef::row_major(&data, 2, 2).unwrap()], [0.0f32; 8]);
    let out = BatchMut::row_major(&mut c, 2, 2, 2).unwrap();
    let refused = matmul_batched(&one, &one, out, false);
    assert_eq!(refused, Err(MatmulError::BatchLength { a: 1, b: 1, c: 2 }));
    assert!(BatchMut::row_major(&mut c, 3, 2, 2).is_err());
    assert!(BatchMut::new(&mut c, (2, 3), (2, 2), 2).is_err());
}

#[test]
fn sums_start_from_the_old_values_when_asked() {
    for &(m, n, k) in &SHAPES {
        let (da, db, old) = (values(m * k, 1), values(k * n, 2), values(m * n, 3));
        let (a, b) = (MatRef::row_major(&da, m, k).unwrap(), MatRef::row_major(&db, k, n).unwrap());
        let want = chain(a, b, &old, multiply_add);
        let mut c = old.clone();
        matmul(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::accumulate()).unwrap();
        assert_eq!(bits(&c), bits(&want), "({m}, {n}, {k})");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (m, n, k) = (768, 65, 128);
    let shapes = [(m, n, k), (m, 384, k), (k, 384, m), (300, 1000, 70)];
    for (m, n, k) in shapes {
        let (da, db) = (values(m * k, 4), values(k * n, 5));
        let (a, b) = (MatRef::row_major(&da, m, k).unwrap(), MatRef::row_major(&db, k, n).unwrap());
        let mut alone = vec![0.0; m * n];
        let mut scratch = Scratch::new();
        let c = MatMut::row_major(&mut alone, m, n).unwrap();
        matmul_serial(a, b, c, Epilogue::default(), &mut scratch).unwrap();
        assert_eq!(bits(&alone), bits(&chain(a, b, &vec![0.0; m * n], multiply_add)));
        for threads in [1, 2, 3, 4] {
            let mut c = vec![0.0; m * n];
            pool(threads).install(|| {
                matmul(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::default()).unwrap();
            });
            assert_eq!(bits(&c), bits(&alone), "({m}, {n}, {k}) on {threads} threads");
        }
    }
}

#[test]
fn a_row_alone_has_the_bits_of_the_row_in_a_batch() {
    let (m, n, k) = (37, 200, 700);
    let (da, db) = (values(m * k, 6), values(k * n, 7));
    let a = MatRef::row_major(&da, m, k).unwrap();
    for b in [MatRef::row_major(&db, k, n).unwrap(), MatRef::row_major(&db, n, k).unwrap().t()] {
        let mut batch = vec![0.0; m * n];
        matmul(a, b, MatMut::row_major(&mut batch, m, n).unwrap(), Epilogue::default()).unwrap();
        for rows in 1..=9 {
            for i in [0, 5, m - rows] {
                let some = MatRef::row_major(&da[i * k..], rows, k).unwrap();
                let mut c = vec![0.0; rows * n];
                matmul(some, b, MatMut::row_major(&mut c, rows, n).unwrap(), Epilogue::default()).unwrap();
                assert_eq!(bits(&c), bits(&batch[i * n..(i + rows) * n]), "rows {i}..{}", i + rows);
            }
        }
    }
}

#[test]
fn an_empty_sum_is_zero_or_the_old_value_and_is_finished() {
    let empty: [f32; 0] = [];
    let (a, b) = (MatRef::row_major(&empty, 3, 0).unwrap(), MatRef::row_major(&empty, 0, 5).unwrap());
    let mut c = vec![7.0; 15];
    matmul(a, b, MatMut::row_major(&mut c, 3, 5).unwrap(), Epilogue::accumulate()).unwrap();
    assert_eq!(c, vec![7.0; 15]);
    let bias = |_: usize, cols: std::ops::Range<usize>, c: &mut [f32]| {
        c.iter_mut().zip(cols).for_each(|(c, j)| *c += j as f32);
    };
    matmul(a, b, MatMut::row_major(&mut c, 3, 5).unwrap(), Epilogue::rows(&bias)).unwrap();
    assert_eq!(c, [0.0, 1.0, 2.0, 3.0, 4.0].repeat(3));
    for (m, n) in [(0, 4), (4, 0), (0, 0)] {
        let (a, b) = (vec![1.0; m * 2], vec![1.0; n * 2]);
        let (a, b) = (MatRef::row_major(&a, m, 2).unwrap(), MatRef::row_major(&b, 2, n).unwrap());
        matmul(a, b, MatMut::row_major(&mut [], m, n).unwrap(), Epilogue::default()).unwrap();
    }
}

#[test]
fn every_element_is_finished_once() {
    for &(m, n, k) in &[(1, 300, 700), (40, 500, 1100), (130, 1000, 5), (700, 65, 128)] {
        let (da, db) = (values(m * k, 8), values(k * n, 9));
        let (a, b) = (MatRef::row_major(&da, m, k).unwrap(), MatRef::row_major(&db, k, n).unwrap());
        let plain = chain(a, b, &vec![0.0; m * n], multiply_add);
        let ldc = n + 9;
        let (mut c, mut second) = (vec![-1.0f32; m * ldc], vec![0.0; m * n]);
        let finish = |i: usize, cols: std::ops::Range<usize>, c: &mut [f32], before: &mut [f32]| {
            for ((c, before), j) in c.iter_mut().zip(before).zip(cols) {
                *before += *c;
                *c = 2.0 * *c + (i * n + j) as f32;
            }
        };
        let epilogue = Epilogue::rows_with(MatMut::row_major(&mut second, m, n).unwrap(), &finish);
        matmul(a, b, MatMut::new(&mut c, m, n, ldc).unwrap(), epilogue).unwrap();
        assert_eq!(bits(&second), bits(&plain));
        for (i, row) in c.chunks(ldc).enumerate() {
            for j in 0..n {
                assert_eq!(row[j].to_bits(), (2.0 * plain[i * n + j] + (i * n + j) as f32).to_bits());
            }
            assert!(row[n..].iter().all(|&x| x == -1.0), "the gap between rows is not ours to write");
        }
    }
}

/// The bound of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 3.1: K u / (1 - K u) times the
/// sum of the magnitudes.
#[test]
fn errors_stay_under_the_bound_of_a_sequential_sum() {
    for &(m, n, k) in &[(13, 50, 1), (13, 50, 100), (8, 48, 3000), (768, 65, 128)] {
        let (da, db) = (values(m * k, 10), values(k * n, 11));
        let (a, b) = (MatRef::row_major(&da, m, k).unwrap(), MatRef::row_major(&db, k, n).unwrap());
        let mut c = vec![0.0; m * n];
        matmul(a, b, MatMut::row_major(&mut c, m, n).unwrap(), Epilogue::default()).unwrap();
        let u = k as f64 * 2.0f64.powi(-24);
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|p| f64::from(da[i * k + p]) * f64::from(db[p * n + j]));
                let (sum, size) = terms.fold((0.0, 0.0), |(s, z), x| (s + x, z + x.abs()));
                let error = (f64::from(c[i * n + j]) - sum).abs();
                assert!(error <= u / (1.0 - u) * size, "({i}, {j}) of ({m}, {n}, {k}): {error:e}, {size:e}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = [0.0f32; 12];
    assert!(MatRef::row_major(&data, 3, 4).is_ok());
    assert!(matches!(
        MatRef::row_major(&data, 3, 5),
        Err(MatmulError::OutOfBounds { needed: 15, len: 12, .. })
    ));
    assert!(MatRef::new(&data, usize::MAX, 2, usize::MAX, 1).is_err());
    assert!(matches!(
        MatMut::new(&mut [0.0f32; 12], 3, 4, 3),
        Err(MatmulError::Overlap { cols: 4, row_stride: 3 })
    ));
    let (a, b) = (MatRef::row_major(&data, 3, 4).unwrap(), MatRef::row_major(&data, 3, 4).unwrap());
    let mut c = [0.0; 16];
    let refused = matmul(a, b, MatMut::row_major(&mut c, 3, 4).unwrap(), Epilogue::default());
    assert!(matches!(
        refused,
        Err(MatmulError::Shape { what: "right operand", expected: (4, 4), got: (3, 4) })
    ));
    let refused = matmul(a, b.t(), MatMut::row_major(&mut c, 3, 4).unwrap(), Epilogue::default());
    assert!(matches!(refused, Err(MatmulError::Shape { what: "output", expected: (3, 3), got: (3, 4) })));
}
