//! Products and attention of operands whose rows, columns or batch indices lie far apart.

use warpsmith_kernels::attention::{self, Attention, Gradients, Heads, Mask};
use warpsmith_kernels::matmul::{Matmul, Matrix, Plan, Tile, planned};
use warpsmith_kernels::quantised_matmul::{QuantisedMatmul, quantised_matmul};
use warpsmith_kernels::{Float, Launch, decode, gemv};

use super::{FAR, Far, same};

/// Elements from one row to the next where few of them reach beyond 32 bits: whole pages.
const APART: u64 = FAR / 32;

fn launches(product: &Matmul, plan: &Plan, workspace: u64) -> Vec<Launch> {
    planned(product, plan, workspace).unwrap()
}

fn matrix(pointer: u64, row: u64, col: u64) -> Matrix {
    Matrix { pointer, row: row as i64, col: col as i64, batch: [0; 3] }
}

#[test]
fn matrices_of_many_rows_and_columns() {
    const K: u64 = 64;
    for dtype in [Float::F32, Float::Bf16] {
        let tiles = if dtype == Float::F32 { &Tile::ALL[..1] } else { &Tile::ALL };
        for &tile in tiles {
            let (bm, bn) = (u64::from(tile.rows()), u64::from(tile.cols()));
            // Far rows of A (M, K), and of C.
            same("rows of A", dtype, FAR, |far, before| {
                let rows = before / K / bm * bm;
                let a = matrix(far.numbers(rows * K, bm * K, 1), K, 1);
                let b = matrix(far.numbers(0, K * bn, 2), bn, 1);
                let c = far.output(rows * bn, bm * bn);
                let p = Matmul::plain(dtype, [(rows + bm) as u32, bn as u32, K as u32], a, b, c);
                launches(&p, &Plan::new(&p, tile, 1), 0)
            });
            // Far rows of B transposed (N, K).
            same("columns of C", dtype, FAR, |far, before| {
                let cols = before / K / bn * bn;
                let a = matrix(far.numbers(0, bm * K, 1), K, 1);
                let b = matrix(far.numbers(cols * K, bn * K, 2), 1, K);
                let c = far.output(cols, bm * bn);
                let p = Matmul::plain(dtype, [bm as u32, (cols + bn) as u32, K as u32], a, b, c);
                let p = Matmul { c_row: bn as i64, ..p };
                launches(&p, &Plan::new(&p, tile, 1), 0)
            });
            // Rows of A transposed (K, M) and of B (K, N) far apart, and rows of C.
            same("rows far apart", dtype, FAR, |far, before| {
                let apart = (before > 0).then_some(APART);
                let a = matrix(far.apart(apart, K, bm, 1), 1, apart.unwrap_or(bm));
                let b = matrix(far.apart(apart, K, bn, 2), apart.unwrap_or(bn), 1);
                let c = far.rows_out(apart, bm, bn);
                let p = Matmul::plain(dtype, [bm as u32, bn as u32, K as u32], a, b, c);
                let p = Matmul { c_row: apart.unwrap_or(bn) as i64, ..p };
                launches(&p, &Plan::new(&p, tile, 1), 0)
            });
            same("products far apart", dtype, FAR, |far, before| {
                let at = |far: &mut Far, rows, cols, seed| {
                    let apart = (before > 0).then_some(FAR);
                    let pointer = far.apart(apart, 2, rows * cols, seed);
                    let batch = [apart.unwrap_or(rows * cols) as i64, 0, 0];
                    Matrix { batch, ..matrix(pointer, cols, 1) }
                };
                let (a, b) = (at(far, bm, K, 1), at(far, K, bn, 2));
                let c_batch = if before > 0 { FAR } else { bm * bn };
                let c = far.rows_out((before > 0).then_some(FAR), 2, bm * bn);
                let p = Matmul::plain(dtype, [bm as u32, bn as u32, K as u32], a, b, c);
                let p = Matmul { batch: [2, 1, 1], c_batch: c_batch as i64, ..p };
                launches(&p, &Plan::new(&p, tile, 1), 0)
            });
            // Partial sums of two parts of K: (2, M, N) f32. The first block's are zeros.
            same("parts of K", dtype, FAR, |far, before| {
                let rows = before / bn / bm * bm;
                let a = matrix(far.numbers(rows * K, bm * K, 1), K, 1);
                let b = matrix(far.numbers(0, K * bn, 2), bn, 1);
                let c = far.output(rows * bn, bm * bn);
                let part = vec![0; (bm * bn * 4) as usize];
                let room = match before {
                    0 => far.gpu.bytes(&part.repeat(2)),
                    _ => far.gpu.bytes_apart((rows + bm) * bn * 4, &[part.clone(), part]),
                };
                let p = Matmul::plain(dtype, [(rows + bm) as u32, bn as u32, K as u32], a, b, c);
                let plan = Plan::new(&p, tile, 2);
                assert_eq!(plan.splits, 2);
                launches(&p, &plan, room - rows * bn * 4)
            });
        }
    }
}

#[test]
fn vectors_with_matrices() {
    const K: u64 = 64;
    for dtype in [Float::F32, Float::Bf16] {
        for m in [1, 8] {
            same("gemv nt", dtype, FAR, |far, before| {
                let cols = before / K / 16 * 16;
                let a = matrix(far.numbers(0, m * K, 1), K, 1);
                let b = matrix(far.numbers(cols * K, 16 * K, 2), 1, K);
                let c = far.output(cols, m * 16);
                let p = Matmul::plain(dtype, [m as u32, (cols + 16) as u32, K as u32], a, b, c);
                gemv::gemv(&Matmul { c_row: 16, ..p }).into_iter().collect()
            });
            same("gemv nn", dtype, FAR, |far, before| {
                let apart = (before > 0).then_some(APART * 8);
                let a = matrix(far.apart(apart, m, K, 1), apart.unwrap_or(K), 1);
                let b = matrix(far.apart(apart, K, 64, 2), apart.unwrap_or(64), 1);
                let c = far.rows_out(apart, m, 64);
                let p = Matmul::plain(dtype, [m as u32, 64, K as u32], a, b, c);
                gemv::gemv(&Matmul { c_row: apart.unwrap_or(64) as i64, ..p }).into_iter().collect()
            });
        }
    }
    // Two units of 34 bytes to a row.
    let (kind, row) = (warpsmith_gguf::Kind::Q8_0, 68);
    let weights = |far: &mut Far, cols: u64, count: u64| {
        let bytes: Vec<u8> = (0..count * row).map(|i| (i % 59) as u8).collect();
        far.gpu.bytes(&bytes) - cols * row
    };
    same("few rows with blocks", Float::F32, FAR, |far, before| {
        let cols = before / K / 32 * 32;
        let (x, w, y) = (far.numbers(0, K, 1), weights(far, cols, 32), far.output(cols, 32));
        let (n, k) = ((cols + 32) as u32, K as u32);
        vec![quantised_matmul(&QuantisedMatmul { kind, y, x, w, m: 1, n, k })]
    });
    same("tiles with blocks", Float::F32, FAR, |far, before| {
        let rows = before / K / 64 * 64;
        let (x, w) = (far.numbers(rows * K, 64 * K, 1), weights(far, 0, 64));
        let (y, m) = (far.output(rows * 64, 64 * 64), (rows + 64) as u32);
        vec![quantised_matmul(&QuantisedMatmul { kind, y, x, w, m, n: 64, k: K as u32 })]
    });
}

// Two whole tiles of keys and the rest of one.
const T: u64 = 140;
const D: u64 = 64;

/// Attention of one head of 140 x 64 whose rows lie far apart if there is something `before`.
fn attention(far: &mut Far, before: u64) -> (Attention, Option<u64>) {
    let apart = (before > 0).then_some(APART);
    let [q, k, v] = [1, 2, 3].map(|seed| far.apart(apart, T, D, seed));
    let out = far.rows_out(apart, T, D);
    let heads = |pointer| Heads { pointer, batch: 0, time: apart.unwrap_or(D) as i64, head: 0 };
    let call = Attention {
        dtype: far.dtype,
        batch: 1,
        queries: T as u32,
        keys: T as u32,
        heads: 1,
        kv_heads: 1,
        width: D as u32,
        q: heads(q),
        k: heads(k),
        v: heads(v),
        out: heads(out),
        lse: far.gpu.room(4 * T),
        lengths: 0,
        scale: 0.2,
        mask: Mask::Causal,
        dropout: None,
    };
    (call, apart)
}

#[test]
fn attention_with_rows_far_apart() {
    for dtype in [Float::F32, Float::Bf16] {
        // Every block: the last one of each launch is not all.
        let run = |before: u64| {
            let mut far = super::Far { gpu: crate::gpu::Gpu::new(), dtype, written: Vec::new() };
            let (call, apart) = attention(&mut far, before);
            let heads = |pointer| Heads { pointer, ..call.q };
            let dout = heads(far.apart(apart, T, D, 4));
            let [dq, dk, dv] = [(); 3].map(|()| heads(far.rows_out(apart, T, D)));
            let gradients = Gradients { dout, dq, dk, dv, delta: far.gpu.room(4 * T) };
            far.gpu.run(&attention::forward(&call).unwrap());
            far.gpu.run_all(&attention::backward(&call, &gradients).unwrap());
            far.read()
        };
        assert!(run(0) == run(FAR), "{dtype:?}");
    }
}

#[test]
fn attention_of_many_batch_rows() {
    for dtype in [Float::F32, Float::Bf16] {
        same("attention", dtype, FAR, |far, before| {
            let (mut call, _) = attention(far, 0);
            let (queries, batch) = (16, before / (T * D));
            let lse = far.room(batch * queries, queries, 4);
            for array in [&mut call.q, &mut call.k, &mut call.v, &mut call.out] {
                array.pointer -= batch * T * D * dtype.size() as u64;
                array.batch = (T * D) as i64;
            }
            let call = Attention { batch: batch as u32 + 1, queries: queries as u32, lse, ..call };
            vec![attention::forward(&call).unwrap()]
        });
        same("decoding", dtype, FAR, |far, before| {
            // The second pass has four rows to a block, of which only the last has got any sums.
            let batch = before / (T * D) / 4 * 4 + 3;
            let (mut call, _) = attention(far, 0);
            let out = far.output((batch - 3) * D, 4 * D);
            for array in [&mut call.q, &mut call.k, &mut call.v] {
                array.pointer -= batch * T * D * dtype.size() as u64;
                array.batch = (T * D) as i64;
            }
            call.out = Heads { pointer: out, batch: D as i64, time: D as i64, head: 0 };
            let call = Attention { batch: batch as u32 + 1, queries: 1, lse: 0, ..call };
            let row = decode::workspace_bytes(&Attention { batch: 1, ..call });
            let room = far.gpu.bytes(&vec![0; 4 * row as usize]) - (batch - 3) * row;
            decode::forward(&call, room).unwrap().into()
        });
        same("decoding of more rows of heads than 32 bits count", dtype, FAR, |far, before| {
            // Four heads share a key head: a block of either pass is a batch row.
            let (batch, keys) = (before / 4, 8);
            let (mut call, _) = attention(far, 0);
            let of = |pointer| Heads { pointer, batch: 4 * D as i64, time: 0, head: D as i64 };
            call.q = of(far.numbers(before * D, 4 * D, 5));
            call.out = of(far.output(before * D, 4 * D));
            let lse = far.room(before, 4, 4);
            let call = Attention { batch: batch as u32 + 1, queries: 1, keys, heads: 4, lse, ..call };
            let row = decode::workspace_bytes(&Attention { batch: 1, ..call });
            let room = far.gpu.room(row) - batch * row;
            decode::forward(&call, room).unwrap().into()
        });
    }
}
