//! Counts of kernels that move each element once, beside their headers. As in `counts.rs`, a byte counts once for each lane
//! that asks for it.

use warpsmith_kernels::attention::{Attention, Heads, Mask};
use warpsmith_kernels::binary::{self, Binary, BinaryBackward};
use warpsmith_kernels::cast::{self, Cast};
use warpsmith_kernels::compare::{self, Operands, Relation};
use warpsmith_kernels::dropout::{self, Dropout};
use warpsmith_kernels::index::{self, IndexKind, Places};
use warpsmith_kernels::matmul::{Matmul, Matrix};
use warpsmith_kernels::optimise::{self, Dtypes, Numbers, Parameter};
use warpsmith_kernels::reduce::{self, Extreme, SumRows};
use warpsmith_kernels::rope::{self, Rope};
use warpsmith_kernels::select::{self, MaskedFill, Where};
use warpsmith_kernels::swiglu::{self, SwigluBackward};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unary_backward::{self, UnaryBackward};
use warpsmith_kernels::{Dtype, Float, Map, Operand, columns, decode, dims, gemv, index_add, pow};

use crate::counts::{claim, floats, rooms};
use crate::gpu::Gpu;

const SIZES: [usize; 2] = [4, 768];
const N: u64 = 4 * 768;

fn map<const K: usize>(dtype: Float, y: u64, x: [u64; K]) -> Map<K> {
    let at = |pointer| Operand::contiguous(pointer, dims(&SIZES));
    Map { dtype, dims: dims(&SIZES), y: at(y), x: x.map(at) }
}

#[test]
fn elementwise_kernels_move_each_operand_once() {
    for dtype in Float::ALL {
        let (mut gpu, s) = (Gpu::new(), dtype.size() as u64);
        let [x, g, z] = [(); 3].map(|()| floats(&mut gpu, dtype, N));
        let [y] = rooms(&mut gpu, N * s);
        let (one, two, three) = (map(dtype, y, [x]), map(dtype, y, [g, x]), map(dtype, y, [g, x, z]));
        let launches = [
            (1, unary::forward(Unary::Gelu, &one)),
            (1, pow::forward(1.5, &one)),
            (2, pow::backward(1.5, &two)),
            (2, unary_backward::backward(UnaryBackward::Silu, &two)),
            (2, binary::forward(Binary::Add, &two)),
            (2, binary::forward(Binary::Swiglu, &two)),
            (3, binary::backward(BinaryBackward::Div, &three)),
        ];
        for (inputs, launch) in launches {
            let counts = gpu.run(&launch);
            claim(launch.entry.name, &counts, inputs * N * s, N * s);
            // Gapless and aligned: every sector is used whole.
            let sectors = (counts.global_read_sectors, counts.global_write_sectors);
            assert_eq!(sectors, (inputs * N * s / 32, N * s / 32), "{}", launch.entry.name);
        }
        let [da, db] = rooms(&mut gpu, N * s);
        let both = SwigluBackward { dtype, da, db, g, a: x, b: z, elements: N };
        claim("swiglu backward", &gpu.run(&swiglu::backward(&both)), 3 * N * s, 2 * N * s);
        let drop = Dropout { dtype, y, x, elements: N, p: 0.5, seed: 1, stream: 2, advance: 0 };
        claim("dropout", &gpu.run(&dropout::dropout(&drop)), N * s, N * s);
    }
}

#[test]
fn moves_and_choices_move_each_operand_once() {
    let mut gpu = Gpu::new();
    let at = |pointer| Operand::contiguous(pointer, dims(&SIZES));
    let (p, q) = (floats(&mut gpu, Float::F32, N), floats(&mut gpu, Float::F32, N));
    let mask = gpu.pod(&vec![1u8; N as usize]);
    let [y] = rooms(&mut gpu, N * 4);
    let shape = dims(&SIZES);
    let c = Cast { from: Dtype::F32, to: Dtype::Bf16, dims: shape, y: at(y), x: at(p) };
    claim("cast", &gpu.run(&cast::cast(&c)), N * 4, N * 2);
    let copy = Cast { to: Dtype::F32, ..c };
    claim("copy", &gpu.run(&cast::cast(&copy)), N * 4, N * 4);
    let operands = Operands { dims: shape, y: at(y), p: at(p), q: at(q) };
    claim("less", &gpu.run(&compare::compare(Relation::Less, Dtype::F32, &operands)), 2 * N * 4, N);
    let chosen = Where { dtype: Dtype::F32, dims: shape, y: at(y), mask: at(mask), p: at(p), q: at(q) };
    claim("where", &gpu.run(&select::where_(&chosen)), N + 2 * N * 4, N * 4);
    let fill = MaskedFill { dtype: Dtype::F32, dims: shape, y: at(y), mask: at(mask), value: 0, q: at(q) };
    claim("masked fill", &gpu.run(&select::masked_fill(&fill)), N + N * 4, N * 4);
}

#[test]
fn a_turn_reads_its_table_beside_each_pair() {
    let mut gpu = Gpu::new();
    let (tokens, heads, width) = (8, 2, 64);
    let elements = u64::from(tokens * heads * width);
    let table = gpu.pod(&rope::table(tokens as usize, width as usize, 1e4));
    let x = floats(&mut gpu, Float::Bf16, elements);
    let r = Rope {
        dtype: Float::Bf16,
        y: x,
        x,
        table,
        limit: u64::from(tokens),
        positions: None,
        batch: 1,
        tokens,
        heads,
        width,
        adjacent: false,
        inverse: false,
    };
    // A cosine and a sine, 8 bytes, for two elements.
    claim("rope", &gpu.run(&rope::rope(&r)), elements * 2 + elements / 2 * 8, elements * 2);
}

#[test]
fn reductions_read_their_input_once() {
    for (rows, n, dtype) in [(6, 300, Float::F32), (5, 70, Float::Bf16), (1, 9000, Float::F16)] {
        let (mut gpu, s) = (Gpu::new(), dtype.size() as u64);
        let x = floats(&mut gpu, dtype, rows * n);
        let [y, places] = rooms(&mut gpu, (rows + n) * 8);
        let sum = reduce::sum(&SumRows { dtype, y, x, workspace: 0, rows, n, scale: 1.0 });
        claim("rows", &gpu.run(&sum[0]), rows * n * s, rows * s);
        let e = Extreme { dtype, smallest: false, y, places, x, outer: rows, size: n, inner: 1 };
        claim("extreme of rows", &gpu.run(&reduce::extreme(&e)), rows * n * s, rows * (s + 8));
        let e = Extreme { outer: 1, size: rows, inner: n, ..e };
        claim("extreme of columns", &gpu.run(&reduce::extreme(&e)), rows * n * s, n * (s + 8));
        let all =
            columns::SumColumns { dtype, y, x, workspace: 0, outer: 1, size: rows, inner: n, scale: 1.0 };
        let counts = gpu.run(&columns::sum(&all)[0]);
        claim("columns", &counts, rows * n * s, n * s);
        // Each of 8 warps stores 4 times with lanes 4 words apart, 4 to a bank: for each tile of 128 columns.
        assert_eq!(counts.shared_bank_conflicts, n.div_ceil(128) * 8 * 4 * 3);
    }
}

#[test]
fn long_sums_add_chunks_of_f32() {
    let mut gpu = Gpu::new();
    let (n, size, inner) = (40_000, 200, 96);
    let x = floats(&mut gpu, Float::Bf16, n);
    let workspace = gpu.room(reduce::workspace(1, n).max(columns::workspace(1, size, inner)));
    let [y] = rooms(&mut gpu, inner * 2);
    let dtype = Float::Bf16;
    let sum = reduce::sum(&SumRows { dtype, y, x, workspace, rows: 1, n, scale: 1.0 });
    // Two chunks of at most 32768.
    claim("chunks", &gpu.run(&sum[0]), n * 2, 8);
    claim("their sum", &gpu.run(&sum[1]), 8, 2);
    let all = columns::SumColumns { dtype, y, x, workspace, outer: 1, size, inner, scale: 1.0 };
    let sum = columns::sum(&all);
    // Chunks of 64 rows: four.
    claim("chunks of columns", &gpu.run(&sum[0]), size * inner * 2, 4 * inner * 4);
    claim("their sum", &gpu.run(&sum[1]), 4 * inner * 4, inner * 2);
}

#[test]
fn rows_by_number_move_whole_rows() {
    let mut gpu = Gpu::new();
    let (size, inner, places) = (32, 64, 48);
    let table = floats(&mut gpu, Float::Bf16, size * inner);
    let ids: Vec<i64> = (0..places).map(|i| (i * i % size) as i64).collect();
    let index = gpu.pod(&ids);
    let [y] = rooms(&mut gpu, places * inner * 2);
    let p = Places { index, kind: IndexKind::I64, bad: 0, outer: 1, places, size, inner };
    // A thread for each 16 bytes, which reads its index.
    let pieces = places * inner * 2 / 16;
    let counts = gpu.run(&index::index_select(Dtype::Bf16, y, table, &p));
    claim("index select", &counts, places * inner * 2 + pieces * 8, places * inner * 2);

    let gradient = gpu.floats(Float::Bf16, &vec![0.0; (size * inner) as usize]);
    let keys = gpu.room(index_add::workspace(places));
    let launches = index_add::index_add(Float::Bf16, gradient, y, keys, &p);
    let all: Vec<_> = launches.iter().map(|launch| gpu.run(launch)).collect();
    let [first, sort, sum] = &all[..] else { panic!("{} launches", all.len()) };
    claim("keys", first, places * 8, 2048 * 8);
    claim("sort", sort, 2048 * 8, 2048 * 8);
    // Each element of v once, and the sum's element before, once for each place of the table that is named. Of keys each
    // thread reads its own and the one before; the heads of runs read each key of theirs twice, and the one behind.
    let named = ids.iter().collect::<std::collections::BTreeSet<_>>().len() as u64;
    assert_eq!(sum.global_write_bytes, named * inner * 2);
    let least = (places + named) * inner * 2;
    let keys_read = sum.global_read_bytes - least;
    assert!(keys_read <= inner * 8 * (2 * places + 2 * places + named), "{keys_read} bytes of keys");
}

#[test]
fn gemv_reads_b_once() {
    for b_lies in [false, true] {
        let (mut gpu, [n, k]) = (Gpu::new(), [128u64, 512]);
        let (a, b) = (floats(&mut gpu, Float::Bf16, k), floats(&mut gpu, Float::Bf16, k * n));
        let (row, col) = if b_lies { (1, k as i64) } else { (n as i64, 1) };
        let p = Matmul::plain(
            Float::Bf16,
            [1, n as u32, k as u32],
            Matrix { pointer: a, row: k as i64, col: 1, batch: [0; 3] },
            Matrix { pointer: b, row, col, batch: [0; 3] },
            gpu.room(n * 2),
        );
        let counts = gpu.run(&gemv::gemv(&p).unwrap());
        // A: whole by each warp with its two columns, or by each lane with its eight.
        let of_a = if b_lies { n / 2 * k * 2 } else { n / 8 * k * 2 };
        claim("gemv", &counts, k * n * 2 + of_a, n * 2);
    }
}

#[test]
fn decoding_reads_the_cache_once() {
    let mut gpu = Gpu::new();
    let (heads, keys, d) = (2u64, 300, 64);
    let at = |pointer| Heads { pointer, batch: 0, time: (heads * d) as i64, head: d as i64 };
    let mut cache = || at(floats(&mut gpu, Float::Bf16, keys * heads * d));
    let (k, v, q) = (cache(), cache(), cache());
    let [out] = rooms(&mut gpu, heads * d * 2);
    let a = Attention {
        dtype: Float::Bf16,
        batch: 1,
        queries: 1,
        keys: keys as u32,
        heads: heads as u32,
        kv_heads: heads as u32,
        width: d as u32,
        q,
        k,
        v,
        out: at(out),
        lse: 0,
        lengths: 0,
        scale: 0.125,
        mask: Mask::Full,
        dropout: None,
    };
    // Parts of 64 keys: five. Of a window both the keys and the parts before it are left alone.
    for (mask, seen, merged) in [(Mask::Full, keys, 5), (Mask::Window(20), 20, 1)] {
        let a = Attention { mask, ..a };
        let workspace = gpu.room(decode::workspace_bytes(&a));
        let [split, merge] = decode::forward(&a, workspace).unwrap();
        // In each part 16 groups of 8 lanes read the query.
        let (parts, partial) = (5, heads * 5 * (d + 2) * 4);
        claim("split", &gpu.run(&split), 2 * seen * heads * d * 2 + heads * parts * 16 * d * 2, partial);
        // Of a part its sums once, and its maximum and total by all lanes.
        claim("merge", &gpu.run(&merge), heads * merged * (4 * d + 32 * 8), heads * d * 2);
    }
}

#[test]
fn adamw_moves_28_bytes_an_element() {
    let step = |elements: u64| {
        let mut gpu = Gpu::new();
        let mut drawn = || floats(&mut gpu, Float::F32, elements);
        let (p, g, m, v) = (drawn(), drawn(), drawn(), drawn());
        let all = [Parameter { p, g, m, v, elements, ..Parameter::default() }];
        let numbers = Numbers::Known(optimise::adamw_numbers(1e-3, [0.9, 0.99], 1e-8, 0.1, 1));
        let launches = optimise::adamw(Dtypes::wide(Float::F32), &all, numbers, 0);
        let counts = gpu.run(&launches[0]);
        (counts.global_read_bytes, counts.global_write_bytes)
    };
    // Table and numbers come with the launch.
    assert_eq!(step(4096), (4096 * 16, 4096 * 12));
}
