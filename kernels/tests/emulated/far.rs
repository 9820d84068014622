//! Elements whose number needs more than 32 bits, as logits of 64 x 1024 tokens have: the last block of a large launch alone.
//! No memory is there but for what it touches, so that an address cut short is an access out of bounds; and what comes out
//! has the bits that the same numbers give where nothing lies before them.

use warpsmith_kernels::columns::{self, SumColumns};
use warpsmith_kernels::copy::{self, Copy};
use warpsmith_kernels::cross_entropy::{self, CrossEntropy, Targets};
use warpsmith_kernels::dropout::{self, Dropout};
use warpsmith_kernels::index::{self, IndexKind, Places};
use warpsmith_kernels::normalise::{self, Around, Norm, Normalise, NormaliseBackward};
use warpsmith_kernels::optimise::{self, Dtypes, Numbers, Parameter};
use warpsmith_kernels::recurrent::{self, States};
use warpsmith_kernels::reduce::{self, Extreme, SumRows};
use warpsmith_kernels::rope::{self, Rope};
use warpsmith_kernels::softmax::{self, Form, Softmax, SoftmaxBackward};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unfold::{self, Windows};
use warpsmith_kernels::{Dims, Dtype, Float, Launch, MOST_BLOCKS, Map, Operand, dims, index_add};

use crate::gpu::{Gpu, encoded, numbers};

mod products;

/// More than 32 bits count, and not by so little that a forgotten sign would do.
pub const FAR: u64 = (1 << 32) + (1 << 31);

/// Memory in which arrays seem to have many elements before the first that is there.
pub struct Far {
    pub gpu: Gpu,
    pub dtype: Float,
    /// Addresses and bytes of what is compared.
    written: Vec<(u64, u64)>,
}

impl Far {
    /// What is compared.
    pub fn read(&self) -> Vec<Vec<u8>> {
        self.written.iter().map(|&(address, bytes)| self.gpu.read(address, bytes as usize)).collect()
    }

    /// Random numbers, as if `before` elements came first.
    pub fn numbers(&mut self, before: u64, count: u64, seed: u64) -> u64 {
        let values = numbers(self.dtype, count as usize, seed, -1.0, 1.0);
        self.gpu.floats(self.dtype, &values) - before * self.dtype.size() as u64
    }

    /// As [`Far::numbers`], of f32.
    pub fn f32s(&mut self, before: u64, count: u64, seed: u64) -> u64 {
        let values = numbers(Float::F32, count as usize, seed, 0.5, 1.0);
        self.gpu.floats(Float::F32, &values) - before * 4
    }

    /// Room for elements of so many bytes, which are compared.
    pub fn room(&mut self, before: u64, count: u64, size: u64) -> u64 {
        let address = self.gpu.room(count * size);
        self.written.push((address, count * size));
        address - before * size
    }

    /// Room for elements of the dtype, which are compared.
    pub fn output(&mut self, before: u64, count: u64) -> u64 {
        self.room(before, count, self.dtype.size() as u64)
    }

    /// Rows of random numbers that begin `stride` elements apart, or without gaps.
    pub fn apart(&mut self, stride: Option<u64>, rows: u64, width: u64, seed: u64) -> u64 {
        let (all, size) =
            (numbers(self.dtype, (rows * width) as usize, seed, -1.0, 1.0), self.dtype.size() as u64);
        let Some(stride) = stride else { return self.gpu.floats(self.dtype, &all) };
        let parts: Vec<Vec<u8>> = all.chunks(width as usize).map(|row| encoded(self.dtype, row)).collect();
        self.gpu.bytes_apart(stride * size, &parts)
    }

    /// As [`Far::apart`], rows that are written over, and compared.
    pub fn rows_out(&mut self, stride: Option<u64>, rows: u64, width: u64) -> u64 {
        let (first, size) = (self.apart(stride, rows, width, 9), self.dtype.size() as u64);
        let address = |row: u64| (first + row * stride.unwrap_or(width) * size, width * size);
        self.written.extend((0..rows).map(address));
        first
    }

    /// Numbers that are written over, and compared.
    pub fn updated(&mut self, before: u64, count: u64, seed: u64) -> u64 {
        let size = self.dtype.size() as u64;
        let address = self.numbers(0, count, seed);
        self.written.push((address, count * size));
        address - before * size
    }
}

/// Runs the last blocks of what `launches` makes, with nothing before what they work on and with `before` elements, and compares.
pub fn same(what: &str, dtype: Float, before: u64, launches: impl Fn(&mut Far, u64) -> Vec<Launch>) {
    let run = |before: u64| {
        let mut far = Far { gpu: Gpu::new(), dtype, written: Vec::new() };
        for launch in launches(&mut far, before) {
            assert!(!launch.is_too_large() && !launch.is_empty(), "{what}: {:?}", launch.grid);
            far.gpu.run_last(&launch);
        }
        far.read()
    };
    let (near, far) = (run(0), run(before));
    assert!(!near.is_empty() && near == far, "{what} {dtype:?}");
}

#[test]
fn maps_of_flat_and_of_strided_operands() {
    let one = |n: u64| dims(&[n as usize]);
    for dtype in [Float::F32, Float::Bf16] {
        // A block of flat operands, and of ones that lie at odd places.
        for odd in [0, 1] {
            let count = if odd == 0 { 256 * 16 / dtype.size() as u64 } else { 256 };
            same("neg", dtype, FAR, |far, before| {
                let before = before / count * count;
                let skip = odd * dtype.size() as u64;
                let shape: Dims = one(before + count);
                let x = far.numbers(before, count + odd, 1) + skip;
                let y = far.output(before, count);
                let of = |pointer| Operand::contiguous(pointer, shape);
                vec![unary::forward(Unary::Neg, &Map { dtype, dims: shape, y: of(y), x: [of(x)] })]
            });
        }
    }
    // x (2, N) read as (N, 2): the second row lies beyond 2³² elements.
    let (n, count) = (FAR as usize, 256);
    let row = |seed| encoded(Float::Bf16, &numbers(Float::Bf16, count / 2, seed, -1.0, 1.0));
    let mut gpu = Gpu::new();
    let x = gpu.bytes_apart(2 * n as u64, &[row(1), row(2)]);
    let y = gpu.room(2 * count as u64);
    let before = (n - count / 2) as u64;
    let shape = dims(&[n, 2]);
    gpu.run_last(&copy::copy(&Copy {
        dtype: Dtype::Bf16,
        dims: shape,
        y: Operand::contiguous(y - 4 * before, shape),
        x: Operand::strided(x - 2 * before, &[1, n]),
    }));
    let (found, rows) = (gpu.read::<u8>(y, 2 * count), [row(1), row(2)]);
    for (i, pair) in found.chunks(2).enumerate() {
        assert_eq!(pair, &rows[i % 2][i / 2 * 2..][..2], "place {i}");
    }
}

#[test]
fn rows() {
    // A warp for each row, and a block.
    for n in [24u32, 1032] {
        let (wide, in_block) = (u64::from(n), if n <= 512 { 8 } else { 1 });
        for dtype in [Float::F32, Float::Bf16] {
            let rows = |before: u64| before / wide / in_block * in_block;
            same("softmax", dtype, FAR, |far, before| {
                let (rows, count) = (rows(before), in_block * wide);
                let x = far.numbers(rows * wide, count, 1);
                let y = far.output(rows * wide, count);
                let dx = far.output(rows * wide, count);
                let (form, rows) = (Form::Plain, rows + in_block);
                let forward = softmax::forward(&Softmax { form, dtype, y, x, rows, n });
                vec![forward, softmax::backward(&SoftmaxBackward { form, dtype, dx, g: x, y, rows, n })]
            });
            same("layer norm", dtype, FAR, |far, before| {
                let (rows, count) = (rows(before), in_block * wide);
                let x = far.numbers(rows * wide, count, 1);
                let (y, dx) = (far.output(rows * wide, count), far.output(rows * wide, count));
                let (weight, bias) = (far.numbers(0, wide, 2), far.numbers(0, wide, 3));
                let (mean, rstd) = (far.room(rows, in_block, 4), far.room(rows, in_block, 4));
                let (norm, rows) = (Norm::Layer, rows + in_block);
                let call = Normalise { norm, dtype, y, x, weight, bias, mean, rstd, rows, n, eps: 1e-5 };
                let [dweight, dbias, workspace] = [0; 3];
                let back = NormaliseBackward {
                    norm,
                    dtype,
                    dx,
                    dweight,
                    dbias,
                    g: x,
                    x,
                    weight,
                    mean,
                    rstd,
                    workspace,
                    rows,
                    n,
                };
                let dx = normalise::backward_around(&back, &Around::default()).pop();
                [Some(normalise::forward(&call)), dx].into_iter().flatten().collect()
            });
            same("sum of rows", dtype, FAR, |far, before| {
                let rows = rows(before);
                let x = far.numbers(rows * wide, in_block * wide, 1);
                let (y, places) = (far.output(rows, in_block), far.room(rows, in_block, 8));
                let (smallest, size, inner, outer) = (false, wide, 1, rows + in_block);
                let best = far.output(rows, in_block);
                let s = SumRows { dtype, y, x, workspace: 0, rows: outer, n: wide, scale: 0.5 };
                let e = Extreme { dtype, smallest, y: best, places, x, outer, size, inner };
                let mut launches = reduce::sum(&s);
                launches.push(reduce::extreme(&e));
                launches
            });
        }
    }
}

/// Elements of a row of logits that is there.
const CLASSES: u64 = 520;

/// The loss of one row of logits behind `rows` others.
fn loss_of_row(far: &mut Far, rows: u64, [logits, gradient]: [u64; 2], label_smoothing: f64) -> CrossEntropy {
    let pointer = far.gpu.pod(&[17i64]) - 8 * rows;
    let targets = Targets { pointer, kind: IndexKind::I64, ignore_index: -1, rows: rows + 1 };
    let [loss, max, log_sum] = [(); 3].map(|()| far.room(rows, 1, 4));
    let weight = far.f32s(0, 1, 3);
    let (dtype, g, bad, n) = (far.dtype, 0, 0, CLASSES as u32);
    CrossEntropy { dtype, logits, gradient, targets, loss, max, log_sum, weight, g, bad, n, label_smoothing }
}

#[test]
fn losses_of_rows_that_lie_apart() {
    for dtype in [Float::F32, Float::Bf16] {
        same("cross-entropy", dtype, FAR, |far, before| {
            // Rows of the stride that logits of a vocabulary of 50257 have.
            let stride = 50_264;
            let rows = before / stride;
            let logits = far.updated(rows * stride, CLASSES, 1);
            let call = loss_of_row(far, rows, [logits; 2], 0.1);
            vec![cross_entropy::fused_of_rows(&call, stride)]
        });
        same("cross-entropy in two passes", dtype, FAR, |far, before| {
            let rows = before / CLASSES;
            let logits = far.numbers(rows * CLASSES, CLASSES, 1);
            let gradient = far.output(rows * CLASSES, CLASSES);
            let call = loss_of_row(far, rows, [logits, gradient], 0.0);
            vec![cross_entropy::forward(&call), cross_entropy::backward(&call)]
        });
    }
}

#[test]
fn columns_and_chunks_of_rows() {
    for dtype in [Float::F32, Float::Bf16] {
        same("sum of columns", dtype, FAR, |far, before| {
            let (size, inner) = (9, 128);
            let outer = before / (size * inner);
            let x = far.numbers(outer * size * inner, size * inner, 1);
            let y = far.output(outer * inner, inner);
            let outer = outer + 1;
            columns::sum(&SumColumns { dtype, y, x, workspace: 0, outer, size, inner, scale: 2.0 })
        });
        same("extremes of columns", dtype, FAR, |far, before| {
            let (size, inner) = (3, 128);
            let outer = before / (size * inner);
            let x = far.numbers(outer * size * inner, size * inner, 1);
            let (y, places) = (far.output(outer * inner, inner), far.room(outer * inner, inner, 8));
            let (smallest, outer) = (true, outer + 1);
            vec![reduce::extreme(&Extreme { dtype, smallest, y, places, x, outer, size, inner })]
        });
    }
    // The second pass over chunks: f32 (outer, chunks, inner).
    same("total of columns", Float::F32, FAR, |far, before| {
        let (size, inner, chunks) = (128, 32, 2);
        let outer = before / (chunks * inner);
        let workspace = far.numbers(outer * chunks * inner, chunks * inner, 1);
        let y = far.output(outer * inner, inner);
        let (dtype, outer) = (far.dtype, outer + 1);
        let mut launches =
            columns::sum(&SumColumns { dtype, y, x: 0, workspace, outer, size, inner, scale: 2.0 });
        launches.split_off(1)
    });
}

#[test]
fn elements_by_number() {
    // Rows of whole 16 bytes, and not.
    for inner in [256u64, 255] {
        let dtype = Float::Bf16;
        // A block of 255 elements would begin within a row: what it does there is not compared.
        let first = |before: u64| if before == 0 { 0 } else { before / inner / 2048 * 2048 };
        let threads = if inner == 256 { 32 } else { 255 };
        let rows = 256u64.div_ceil(threads);
        let index: Vec<u32> = (0..rows as u32).rev().collect();
        same("index_select", dtype, FAR, |far, before| {
            let places = first(before);
            let x = far.numbers(0, rows * inner, 1);
            let y = far.output(places * inner, rows * inner);
            let index = far.gpu.pod(&index) - 4 * places;
            let (kind, places) = (IndexKind::U32, places + rows);
            let p = Places { index, kind, bad: 0, outer: 1, places, size: rows, inner };
            if inner == 255 {
                far.written.clear();
                far.written.push((y + (places * inner / 256 * 256) * 2, 2 * (places * inner % 256)));
            }
            vec![index::index_select(Dtype::Bf16, y, x, &p)]
        });
    }
    for pass in ["select from far", "gather", "scatter_add", "index_copy", "index_add"] {
        same(pass, Float::F32, FAR, |far, before| {
            // x (outer, size, 256): the block works on the last row of the last.
            let (inner, size, dtype) = (256, 4, Float::F32);
            let outer = before / (size * inner);
            let one = [3u32];
            let all = [2u32; 256];
            let given = match pass {
                "gather" | "scatter_add" => far.gpu.pod(&all) - 4 * outer * inner,
                _ => far.gpu.pod(&one),
            };
            let (kind, bad, places) = (IndexKind::U32, 0, 1);
            let p = Places { index: given, kind, bad, outer: outer + 1, places, size, inner };
            let (all, row) = (outer * size * inner, outer * inner);
            match pass {
                "select from far" => {
                    // As numbers that move one at a time.
                    let (x, y) = (far.numbers(all, 1025, 1) + 4, far.output(row, 256));
                    vec![index::index_select(Dtype::F32, y, x, &p)]
                }
                "gather" => {
                    let (x, y) = (far.numbers(all, 1024, 1), far.output(row, 256));
                    vec![index::gather(Dtype::F32, y, x, &p)]
                }
                "scatter_add" => {
                    let (y, v) = (far.updated(all, 1024, 1), far.numbers(row, 256, 2));
                    vec![index::scatter_add(dtype, y, v, &p)]
                }
                "index_copy" => {
                    let (y, v) = (far.updated(all, 1025, 1) + 4, far.numbers(row, 256, 2));
                    vec![index::index_copy(Dtype::F32, y, v, &p)]
                }
                _ => {
                    let (y, v) = (far.updated(all, 1024, 1), far.numbers(row, 256, 2));
                    let keys = far.gpu.pod(&[3u64 << 32]);
                    index_add::index_add(dtype, y, v, keys, &p).split_off(2)
                }
            }
        });
    }
    same("rope", Float::Bf16, FAR, |far, before| {
        // A block is 256 pairs: 16 heads of 32.
        let (heads, width) = (16, 32);
        let row = heads * width;
        let batch = before / row;
        let table = far.f32s(0, width, 1);
        let (x, y) = (far.numbers(batch * row, row, 2), far.output(batch * row, row));
        vec![rope::rope(&Rope {
            dtype: far.dtype,
            y,
            x,
            table,
            limit: 1,
            positions: None,
            batch: batch + 1,
            tokens: 1,
            heads: heads as u32,
            width: width as u32,
            adjacent: false,
            inverse: false,
        })]
    });
}

#[test]
fn updates_and_sums_of_squares() {
    for gradient in [Float::F32, Float::Bf16] {
        same("adamw", gradient, FAR, |far, before| {
            const PIECE: u64 = 8192;
            let before = before / PIECE * PIECE;
            let g = far.numbers(before, PIECE, 1);
            far.dtype = Float::F32;
            let [p, m] = [2, 3].map(|seed| far.updated(before, PIECE, seed));
            let v = far.f32s(before, PIECE, 4);
            let copy = far.room(before, PIECE, 2);
            let elements = before + PIECE;
            let all = [Parameter { p, g, m, v, copy, elements, first_piece: 0 }];
            let numbers = optimise::adamw_numbers(0.1, [0.9, 0.99], 1e-8, 0.1, 3);
            let partial = far.room(before / PIECE, 1, 8);
            let mut launches = optimise::squares(gradient, &all, partial);
            launches.extend(optimise::adamw(Dtypes::wide(gradient), &all, Numbers::Known(numbers), 0));
            launches
        });
    }
}

#[test]
fn cells_windows_and_masks() {
    let dtype = Float::Bf16;
    same("lstm", dtype, FAR, |far, before| {
        let width = 256;
        let batch = before / width;
        let (gates, c) = (far.numbers(4 * batch * width, 4 * width, 1), far.numbers(batch * width, width, 2));
        let [h, next] = [(); 2].map(|()| far.output(batch * width, width));
        let states = States { dtype, elements: (batch + 1) * width, width };
        vec![recurrent::lstm(&states, [h, next], [gates, c])]
    });
    same("unfold", dtype, FAR, |far, before| {
        let (channels, times, taps) = (4, 64, 4);
        let (positions, padding, stride, dilation) = (16, 0, 4, 1);
        let size = channels * times;
        let batch = before / size;
        let (x, y) = (far.output(batch * size, size), far.numbers(batch * size, size, 1));
        let batch = batch + 1;
        let w = Windows { dtype, y, x, batch, channels, times, positions, taps, stride, dilation, padding };
        vec![unfold::fold(&w), unfold::unfold(&w)]
    });
    // Which numbers are dropped depends on their place: they are 0 or twice what they were.
    let (count, mut gpu) = (1024, Gpu::new());
    let x = numbers(dtype, count, 1, 1.0, 2.0);
    let (from, y) = (gpu.floats(dtype, &x) - 2 * FAR, gpu.room(2 * count as u64));
    let (elements, to) = (FAR + count as u64, y - 2 * FAR);
    let call = Dropout { dtype, y: to, x: from, elements, p: 0.5, seed: 1, stream: 2, advance: 0 };
    gpu.run_last(&dropout::dropout(&call));
    let found = gpu.read_floats(dtype, y, count);
    let dropped = found.iter().filter(|&&y| y == 0.0).count();
    assert!((count / 3..count * 2 / 3).contains(&dropped), "{dropped}");
    assert!(found.iter().zip(&x).all(|(y, x)| *y == 0.0 || *y == 2.0 * x));
}

#[test]
fn too_many_blocks_are_never_cut_to_a_few() {
    let n = 1usize << 44;
    let shape = dims(&[n]);
    let at = |pointer| Operand::contiguous(pointer, shape);
    let map = Map { dtype: Float::F32, dims: shape, y: at(4096), x: [at(8192)] };
    let launch = unary::forward(Unary::Neg, &map);
    assert!(launch.is_too_large() && launch.grid[0] > MOST_BLOCKS[0]);
}
