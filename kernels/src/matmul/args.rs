//! The kernels' parameter: `MatmulArgs` of `tile/epilogue.cuh`.

use bytemuck::{Pod, Zeroable};

use super::{Activation, BATCH_DIMS, Matmul, Matrix, Plan};
use crate::Float;

const ACCUMULATE: u32 = 1;
const OUT_F32: u32 = 2;
const A_ALIGNED: u32 = 4;
const B_ALIGNED: u32 = 8;
const C_ALIGNED: u32 = 16;
const BESIDE_F32: u32 = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct MatmulArgs {
    a: u64,
    b: u64,
    c: u64,
    bias: u64,
    slope: u64,
    residual: u64,
    pub partial: u64,
    a_row: i64,
    a_col: i64,
    b_row: i64,
    b_col: i64,
    c_row: i64,
    c_batch: i64,
    a_batch: [i64; BATCH_DIMS],
    b_batch: [i64; BATCH_DIMS],
    batch: [u32; BATCH_DIMS],
    m: u32,
    n: u32,
    k: u32,
    splits: u32,
    k_per_split: u32,
    activation: u32,
    flags: u32,
}

impl MatmulArgs {
    pub fn new(p: &Matmul, plan: &Plan) -> Self {
        let slope = if p.activation.has_slope() || p.activation == Activation::Times { p.slope } else { 0 };
        let is_paired = |pointers: u64, dtype: Float| pointers.is_multiple_of(2 * dtype.size() as u64);
        let pairs = is_paired(p.c | slope, p.out)
            && is_paired(p.bias | p.residual, p.beside)
            && (p.c_row | p.c_batch) % 2 == 0;
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        Self {
            a: p.a.pointer,
            b: p.b.pointer,
            c: p.c,
            bias: p.bias,
            slope,
            residual: p.residual,
            partial: 0,
            a_row: p.a.row,
            a_col: p.a.col,
            b_row: p.b.row,
            b_col: p.b.col,
            c_row: p.c_row,
            c_batch: p.c_batch,
            a_batch: p.a.batch,
            b_batch: p.b.batch,
            batch: p.batch,
            m: p.m,
            n: p.n,
            k: p.k,
            splits: plan.splits,
            k_per_split: plan.k_per_split,
            activation: p.activation as u32,
            flags: flag(p.accumulate, ACCUMULATE)
                | flag(p.out == Float::F32, OUT_F32)
                | flag(p.beside == Float::F32, BESIDE_F32)
                | flag(pairs, C_ALIGNED),
        }
    }

    /// Notes which operands can be read 16 bytes at a time.
    pub fn align(&mut self, p: &Matmul, [a_transposed, b_transposed]: [bool; 2]) {
        if is_aligned(&p.a, if a_transposed { p.a.col } else { p.a.row }) {
            self.flags |= A_ALIGNED;
        }
        if is_aligned(&p.b, if b_transposed { p.b.col } else { p.b.row }) {
            self.flags |= B_ALIGNED;
        }
    }
}

impl MatmulArgs {
    /// The whole product in one pass.
    pub fn single(p: &Matmul) -> Self {
        Self { splits: 1, k_per_split: p.k, ..Self::new(p, &Plan::of(p)) }
    }

    /// As [`Self::align`] for one product whose A has gapless rows, read 16 bytes at a time, and B gapless columns or
    /// rows, read `per_access` elements at a time.
    pub fn align_rows(&mut self, p: &Matmul, per_access: u64, along_k: bool) {
        let size = p.dtype.size() as u64;
        let fits = |pointer: u64, stride: i64, elements: u64| {
            pointer.is_multiple_of(elements * size) && stride % elements as i64 == 0
        };
        if fits(p.a.pointer, p.a.row, 16 / size) {
            self.flags |= A_ALIGNED;
        }
        if fits(p.b.pointer, if along_k { p.b.col } else { p.b.row }, per_access) {
            self.flags |= B_ALIGNED;
        }
    }
}

/// Whether every gapless run of 16-bit elements starts at a multiple of 16 bytes.
fn is_aligned(x: &Matrix, stride: i64) -> bool {
    x.pointer.is_multiple_of(16) && x.batch.iter().fold(stride, |all, s| all | s) % 8 == 0
}
