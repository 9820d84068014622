//! What the emulator counts beside what the headers of the kernels say: global bytes read and written, floating-point
//! operations of the tensor cores, shared memory. Formulas are exact; each follows from the header's lines and the tiles.
//!
//! A byte counts once for each lane that asks for it: a number that a whole group reads (a row's statistics, a target) is
//! counted for each thread of the group. [`each`] is that term.

use warpsmith_emulator::Counts;
use warpsmith_kernels::attention::{self, Attention, Gradients, Heads, Mask};
use warpsmith_kernels::cross_entropy::{self, CrossEntropy, Targets};
use warpsmith_kernels::index::IndexKind;
use warpsmith_kernels::matmul::{self, Matmul, Matrix, Plan, Tile};
use warpsmith_kernels::normalise::{self, Norm, Normalise, NormaliseBackward};
use warpsmith_kernels::softmax::{self, Form, Softmax, SoftmaxBackward};
use warpsmith_kernels::{Float, Launch};

use crate::gpu::{Gpu, numbers};

/// Rows, width and dtype: of rows that are whole runs of 16 bytes, kept in registers, and of longer ones.
const WHOLE: [(u64, u64, Float); 4] =
    [(4, 256, Float::Bf16), (3, 1024, Float::F32), (2, 4096, Float::F16), (1, 9216, Float::F32)];
/// Rows of 16-byte runs that are not whole: they are not kept.
const RAGGED: (u64, u64, Float) = (3, 70, Float::Bf16);
/// Elements of a row that fit in the registers of its group.
const KEPT: u64 = 8192;

/// What a launch should move.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    read: u64,
    written: u64,
}

pub fn claim(what: &str, counts: &Counts, read: u64, written: u64) {
    let found = Claim { read: counts.global_read_bytes, written: counts.global_write_bytes };
    assert_eq!(found, Claim { read, written }, "{what}");
}

/// Elements that a row of n gives to a kernel that goes over it `passes` times: what fits is read once.
fn passes(n: u64, is_whole: bool, passes: u64) -> u64 {
    let kept = if is_whole { n.min(KEPT) } else { 0 };
    kept + passes * (n - kept)
}

/// Threads of the group that owns a row.
fn group(n: u64) -> u64 {
    match n {
        0..=512 => 32,
        513..=2048 => 128,
        _ => 512,
    }
}

/// What all threads of all groups read, each `bytes`.
fn each(rows: u64, n: u64, bytes: u64) -> u64 {
    rows * group(n) * bytes
}

pub fn floats(gpu: &mut Gpu, dtype: Float, count: u64) -> u64 {
    let values = numbers(dtype, count as usize, count, 0.5, 2.0);
    gpu.floats(dtype, &values)
}

pub fn rooms<const N: usize>(gpu: &mut Gpu, bytes: u64) -> [u64; N] {
    std::array::from_fn(|_| gpu.room(bytes))
}

#[test]
fn softmax_reads_a_row_once_if_it_fits_and_is_whole() {
    for (rows, n, dtype) in WHOLE.into_iter().chain([RAGGED]) {
        let (mut gpu, s, is_whole) = (Gpu::new(), dtype.size() as u64, (rows, n, dtype) != RAGGED);
        let [x, g] = [(); 2].map(|()| floats(&mut gpu, dtype, rows * n));
        let [y, dx] = rooms(&mut gpu, rows * n * s);
        let all = rows * n * s;
        for form in [Form::Plain, Form::Log] {
            let call = Softmax { form, dtype, y, x, rows, n: n as u32 };
            let counts = gpu.run(&softmax::forward(&call));
            // One pass for the largest and the sum, one for the result.
            claim("softmax", &counts, rows * passes(n, is_whole, 2) * s, all);
            let call = SoftmaxBackward { form, dtype, dx, g, y, rows, n: n as u32 };
            let counts = gpu.run(&softmax::backward(&call));
            // The logarithm's first pass sums g alone.
            let of_y = if form == Form::Log { 1 } else { 2 };
            let read = rows * (passes(n, is_whole, 2) + passes(n, is_whole, of_y)) * s;
            claim("softmax backward", &counts, read, all);
        }
    }
}

#[test]
fn norms_read_a_row_once_if_it_fits_and_is_whole() {
    for (norm, (rows, n, dtype)) in [Norm::Layer, Norm::Rms]
        .into_iter()
        .flat_map(|norm| WHOLE.into_iter().chain([RAGGED]).map(move |c| (norm, c)))
    {
        let (mut gpu, s, is_whole) = (Gpu::new(), dtype.size() as u64, (rows, n, dtype) != RAGGED);
        let is_layer = norm == Norm::Layer;
        let [x, g] = [(); 2].map(|()| floats(&mut gpu, dtype, rows * n));
        let [weight, b] = [(); 2].map(|()| floats(&mut gpu, dtype, n));
        let [y, dx] = rooms(&mut gpu, rows * n * s);
        let [mean, rstd] = rooms(&mut gpu, rows * 4);
        let [dweight, dbias] = rooms(&mut gpu, n * s);
        let bias = if is_layer { b } else { 0 };
        let call = Normalise { norm, dtype, y, x, weight, bias, mean, rstd, rows, n: n as u32, eps: 1e-5 };
        let counts = gpu.run(&normalise::forward(&call));
        // Layer norm: one pass for the mean, one for the squares, one for the result, and the row's first element for
        // all threads. RMS norm has no mean. Weight and bias are read for each row anew: from cache.
        let (rounds, parameters) = if is_layer { (3, 2) } else { (2, 1) };
        let first = if is_layer { each(rows, n, s) } else { 0 };
        let read = rows * (passes(n, is_whole, rounds) + parameters * n) * s + first;
        let statistics = if is_layer { 8 } else { 4 };
        claim(&format!("{norm:?} {n}"), &counts, read, rows * n * s + statistics * rows);

        let workspace = gpu.room(normalise::workspace(norm, rows, n as u32));
        let launches = normalise::backward(&NormaliseBackward {
            norm,
            dtype,
            dx,
            dweight,
            dbias,
            g,
            x,
            weight,
            mean,
            rstd,
            workspace,
            rows,
            n: n as u32,
        });
        let [partial, total, rest] = &launches[..] else { panic!("three launches") };
        // The gradients of the parameters read g and x a second time. Each row's statistics go to all lanes of the warps
        // that have its columns, 128 of them each; lanes beyond the last column have nothing to do.
        let sums = if is_layer { 2 } else { 1 };
        let chunk_sums = sums * n * 4;
        let lanes = rows * n.div_ceil(4);
        claim("partial", &gpu.run(partial), 2 * rows * n * s + lanes * statistics, chunk_sums);
        claim("total", &gpu.run(total), chunk_sums, sums * n * s);
        // g and x twice if they are not kept, the weight twice for each row anyway.
        let read = rows * (2 * passes(n, is_whole, 2) + 2 * n) * s + each(rows, n, statistics);
        claim(&format!("{norm:?} backward {n}"), &gpu.run(rest), read, rows * n * s);
    }
}

#[test]
fn cross_entropy_reads_the_logits_once_if_they_fit_and_are_whole() {
    for (rows, n, dtype) in WHOLE.into_iter().chain([RAGGED]) {
        let (mut gpu, s, is_whole) = (Gpu::new(), dtype.size() as u64, (rows, n, dtype) != RAGGED);
        let logits = floats(&mut gpu, dtype, rows * n);
        let gradient = gpu.room(rows * n * s);
        let pointer = gpu.pod(&vec![5i64; rows as usize]);
        let [loss, max, log_sum] = rooms(&mut gpu, rows * 4);
        let weight = gpu.room(4);
        let targets = Targets { pointer, kind: IndexKind::I64, ignore_index: -100, rows };
        let [g, whole_g] = [dtype, Float::F32].map(|of| floats(&mut gpu, of, 1));
        let n_of = n as u32;
        let c = CrossEntropy {
            dtype,
            logits,
            gradient,
            targets,
            loss,
            max,
            log_sum,
            weight,
            g,
            bad: 0,
            n: n_of,
            label_smoothing: 0.0,
        };
        gpu.run(&cross_entropy::weight(&targets, true, weight));
        // One pass for the largest and the sum; all threads read the target and its logit.
        let target = each(rows, n, 8);
        let counts = gpu.run(&cross_entropy::forward(&c));
        claim("forward", &counts, rows * n * s + target + each(rows, n, s), 12 * rows);
        // All threads read max, ln Σ, the weight, g and the target.
        let shared = each(rows, n, 12 + s) + target;
        claim("backward", &gpu.run(&cross_entropy::backward(&c)), rows * n * s + shared, rows * n * s);
        // Both in one: a second pass for the gradient.
        let read = rows * passes(n, is_whole, 2) * s + target + each(rows, n, s) + each(rows, n, 8);
        claim(
            "fused",
            &gpu.run(&cross_entropy::fused(&CrossEntropy { g: whole_g, ..c })),
            read,
            rows * n * s + 12 * rows,
        );
    }
}

/// C (M, N) = A·B, B transposed if `b_lies`, A if `a_lies`.
fn product(gpu: &mut Gpu, dtype: Float, [m, n, k]: [u64; 3], [a_lies, b_lies]: [bool; 2]) -> Matmul {
    let matrix = |pointer, rows: u64, cols: u64, lies| {
        let (row, col) = if lies { (1, rows as i64) } else { (cols as i64, 1) };
        Matrix { pointer, row, col, batch: [0; 3] }
    };
    let (a, b) = (floats(gpu, dtype, m * k), floats(gpu, dtype, k * n));
    Matmul::plain(
        dtype,
        [m as u32, n as u32, k as u32],
        matrix(a, m, k, a_lies),
        matrix(b, k, n, b_lies),
        gpu.room(m * n * dtype.size() as u64),
    )
}

#[test]
fn products_read_each_operand_once_per_tile_of_the_other() {
    let shapes = [[64, 64, 64], [128, 192, 96], [40, 72, 48], [128, 256, 80]];
    let lies = [[false, false], [false, true], [true, false], [true, true]];
    for ([m, n, k], lies) in shapes.into_iter().flat_map(|shape| lies.map(|lies| (shape, lies))) {
        for tile in Tile::ALL {
            let mut gpu = Gpu::new();
            let p = product(&mut gpu, Float::Bf16, [m, n, k], lies);
            let plan = Plan::new(&p, tile, 1);
            let tile = plan.tile;
            let launches = matmul::planned(&p, &plan, 0).unwrap();
            let counts = gpu.run(&launches[0]);
            let what = format!("{m} x {n} x {k} {lies:?} by {tile:?}");
            let (bm, bn) = (u64::from(tile.rows()), u64::from(tile.cols()));
            let (down, across) = (m.div_ceil(bm), n.div_ceil(bn));
            // K·(BM + BN)·2 bytes for each block, less where a tile hangs over.
            claim(&what, &counts, 2 * k * (m * across + n * down), 2 * m * n);
            // Tiles are multiplied whole.
            let steps = k.next_multiple_of(32) / 16;
            assert_eq!(counts.matrix_flops, 2 * (down * bm) * (across * bn) * 16 * steps, "{what}");
            let stages = if tile == Tile::Wide { 4 } else { 3 };
            assert_eq!(u64::from(launches[0].shared_bytes), stages * (bm + bn) * 64, "{what}");
            // Each warp reads its part of A and B once for each 16 of K, by ldmatrix, and at the end once more.
            let warps = u64::from(tile.threads() / 32);
            let (wm, wn) = if tile == Tile::Small { (32, 32) } else { (64, 64) };
            let fragments = down * across * warps * (wm + wn) * 32 * (steps + 1);
            let sums = down * across * bm * bn * 4;
            // Of the sums only those inside C are read back, in pairs.
            assert_eq!(counts.shared_read_bytes, fragments + m * n * 4, "{what}");
            let slices = down * across * (bm + bn) * 32 * steps;
            assert_eq!(counts.shared_write_bytes, slices + sums, "{what}");
            assert_eq!(counts.shared_bank_conflicts, 0, "{what}");
        }
    }
}

#[test]
fn a_product_in_f32_reads_512_bytes_of_k_for_each_block() {
    let lies = [[false, false], [false, true], [true, false], [true, true]];
    for (([m, n, k], blocks), lies) in
        [([64, 64, 48], 1), ([128, 192, 80], 6)].into_iter().flat_map(|shape| lies.map(|lies| (shape, lies)))
    {
        let mut gpu = Gpu::new();
        let p = product(&mut gpu, Float::F32, [m, n, k], lies);
        let counts = gpu.run(&matmul::matmul(&p, 0).unwrap()[0]);
        claim("f32", &counts, blocks * k * 512, m * n * 4);
        // Threads walk along the axis that lies in one piece, so that sectors are used whole.
        assert_eq!(counts.global_read_sectors, blocks * k * 512 / 32, "{lies:?}");
        assert_eq!(counts.matrix_flops, 0);
    }
}

#[test]
fn split_products_write_and_add_f32_partial_sums() {
    let mut gpu = Gpu::new();
    let [m, n, k] = [64, 64, 128];
    let p = product(&mut gpu, Float::Bf16, [m, n, k], [true, false]);
    let plan = Plan::new(&p, Tile::Small, 2);
    let workspace = gpu.room(plan.workspace_bytes());
    let launches = matmul::planned(&p, &plan, workspace).unwrap();
    claim("parts", &gpu.run(&launches[0]), 2 * k * (m + n), 2 * m * n * 4);
    claim("sum", &gpu.run(&launches[1]), 2 * m * n * 4, m * n * 2);
}

/// Full self attention of (B, T, H, D), and its gradients.
fn attend(gpu: &mut Gpu, dtype: Float, [b, t, h, d]: [u64; 4], mask: Mask) -> (Attention, Gradients) {
    let elements = b * t * h * d;
    let heads = |pointer| Heads { pointer, batch: (t * h * d) as i64, time: (h * d) as i64, head: d as i64 };
    let mut drawn = || heads(floats(gpu, dtype, elements));
    let (q, k, v, dout) = (drawn(), drawn(), drawn(), drawn());
    let mut made = || heads(gpu.room(elements * dtype.size() as u64));
    let (out, dq, dk, dv) = (made(), made(), made(), made());
    let [lse, delta] = rooms(gpu, b * h * t * 4);
    let (queries, keys, count) = (t as u32, t as u32, h as u32);
    let (scale, dropout, lengths) = (0.125, None, 0);
    let (batch, heads, kv_heads, width) = (b as u32, count, count, d as u32);
    let call = Attention {
        dtype,
        batch,
        queries,
        keys,
        heads,
        kv_heads,
        width,
        q,
        k,
        v,
        out,
        lse,
        lengths,
        scale,
        mask,
        dropout,
    };
    (call, Gradients { dout, dq, dk, dv, delta })
}

#[test]
fn attention_reads_keys_and_values_once_per_tile_of_queries() {
    let [b, h] = [1, 2];
    // A block of four warps has `rows` queries for each.
    for (t, d, bn, rows) in [(64, 64, 64, 32), (192, 64, 64, 32), (128, 128, 48, 32), (64, 256, 16, 16)] {
        for mask in [Mask::Full, Mask::Causal] {
            let mut gpu = Gpu::new();
            let (call, _) = attend(&mut gpu, Float::Bf16, [b, t, h, d], mask);
            let launch = attention::forward(&call).unwrap();
            let counts = gpu.run(&launch);
            // Where the tiles end that queries up to the one before `end` see.
            let seen = |end: u64| if mask == Mask::Full { t } else { end.min(t) }.next_multiple_of(bn);
            let (bm, blocks) = (4 * rows, t.div_ceil(4 * rows));
            let keys: u64 = (1..=blocks).map(|i| seen(i * bm).min(t)).sum();
            let read = b * h * (t * d + 2 * keys * d) * 2;
            claim(&format!("{t} {d} {mask:?}"), &counts, read, b * h * t * (d * 2 + 4));
            assert_eq!(u64::from(launch.shared_bytes), (bm + 4 * bn) * d * 2);
            // A store has 8 columns of 8 rows, 16 bytes of each: half a sector. The compiler makes two stores of the first
            // of each row, one for each half of its pairs. lse has 8 rows a store, in one sector.
            assert_eq!(counts.global_write_sectors, b * h * t * (d * 2 / 16 + 1) + b * h * t / 8, "{t} {d}");
            // Warps skip tiles that none of their queries sees.
            let multiplied: u64 = (1..=blocks * 4).map(|warp| seen(warp * rows)).sum();
            assert_eq!(counts.matrix_flops, b * h * 4 * rows * multiplied * d, "{t} {d} {mask:?}");
        }
    }
}

#[test]
fn the_gradient_of_attention_is_seven_products() {
    let [b, t, h, d] = [1, 128, 2, 64];
    let mut gpu = Gpu::new();
    let (call, gradients) = attend(&mut gpu, Float::Bf16, [b, t, h, d], Mask::Full);
    gpu.run(&attention::forward(&call).unwrap());
    let launches: [Launch; 3] = attention::backward(&call, &gradients).unwrap();
    let [delta, kv, q] = launches.map(|launch| gpu.run(&launch));
    let rows = b * h * t;
    claim("delta", &delta, rows * 4 * d, rows * 4);
    let products = |counts: &Counts| counts.matrix_flops / (2 * b * h * t * t * d);
    assert_eq!([products(&kv), products(&q)], [4, 3]);
    assert_eq!((kv.matrix_flops + q.matrix_flops) % (2 * b * h * t * t * d), 0);
    assert_eq!([kv.global_write_bytes, q.global_write_bytes], [2 * rows * d * 2, rows * d * 2]);
}
