//! The heart of both kernels: small products of tiles, one chain of fused multiply-adds per element.
//!
//! Element (r, n) of C is fma(a(r, K-1), b(K-1, n), … fma(a(r, 0), b(0, n), c)): the order of the sum depends on K alone,
//! whatever the number of rows and columns, so a row has the same bits in any company. Tiles of 6 rows by 4 registers
//! keep 24 sums in flight, which hides the latency of the multiply-add and leaves room for one row of B.

use pulp::{Simd, WithSimd};

/// Rows per tile: with 4 registers of columns, 24 sums of 32 registers.
pub(super) const ROWS: usize = 6;

/// Columns come in multiples of this: one AVX-512 register.
pub(super) const LANES: usize = 16;

/// C = A·B or C += A·B, for row-major B and C whose `cols` are a multiple of [`LANES`].
pub(super) struct Product<'a> {
    /// A, see [`Product::run`].
    pub a: &'a [f32],
    /// From one row of `a` to the next in memory.
    pub a_row: usize,
    /// (steps, cols)
    pub b: &'a [f32],
    /// From one row of `b` to the next.
    pub b_row: usize,
    /// (rows, cols)
    pub c: &'a mut [f32],
    /// From one row of `c` to the next.
    pub c_row: usize,
    /// Rows of C.
    pub rows: usize,
    /// Columns of C.
    pub cols: usize,
    /// The inner size.
    pub steps: usize,
    /// Whether C is added to.
    pub accumulate: bool,
}

impl Product<'_> {
    /// Runs it. A is (rows, steps) row-major, or if `TRANSPOSED` (steps, rows).
    #[inline(always)]
    pub fn run<S: Simd, const TRANSPOSED: bool>(mut self, simd: S) {
        let mut col = 0;
        while col < self.cols {
            let left = self.cols - col;
            if const { S::F32_LANES == LANES } {
                match left / LANES {
                    1 => simd.vectorize(Strip::<1, TRANSPOSED> { product: &mut self, col }),
                    2 => simd.vectorize(Strip::<2, TRANSPOSED> { product: &mut self, col }),
                    3 => simd.vectorize(Strip::<3, TRANSPOSED> { product: &mut self, col }),
                    _ => simd.vectorize(Strip::<4, TRANSPOSED> { product: &mut self, col }),
                }
                col += left.min(4 * LANES);
            } else if const { S::F32_LANES > 4 } {
                simd.vectorize(Strip::<2, TRANSPOSED> { product: &mut self, col });
                col += 2 * S::F32_LANES;
            } else {
                simd.vectorize(Strip::<4, TRANSPOSED> { product: &mut self, col });
                col += 4 * S::F32_LANES;
            }
        }
    }
}

/// All rows of `REGISTERS` registers of columns from `col` on.
struct Strip<'a, 'b, const REGISTERS: usize, const TRANSPOSED: bool> {
    product: &'a mut Product<'b>,
    col: usize,
}

impl<const REGISTERS: usize, const TRANSPOSED: bool> WithSimd for Strip<'_, '_, REGISTERS, TRANSPOSED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (p, col) = (self.product, self.col);
        let mut row = 0;
        while row + ROWS <= p.rows {
            tile::<S, ROWS, REGISTERS, TRANSPOSED>(simd, p, row, col);
            row += ROWS;
        }
        if p.rows - row >= 4 {
            tile::<S, 4, REGISTERS, TRANSPOSED>(simd, p, row, col);
            row += 4;
        }
        if p.rows - row >= 2 {
            tile::<S, 2, REGISTERS, TRANSPOSED>(simd, p, row, col);
            row += 2;
        }
        if p.rows > row {
            tile::<S, 1, REGISTERS, TRANSPOSED>(simd, p, row, col);
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const R: usize, const REGISTERS: usize, const TRANSPOSED: bool>(
    simd: S,
    p: &mut Product,
    row: usize,
    col: usize,
) {
    let width = REGISTERS * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; R];
    if p.accumulate {
        for r in 0..R {
            sums[r] = registers::<S, REGISTERS>(&p.c[(row + r) * p.c_row + col..][..width]);
        }
    }
    // The row of B is cut out before A is read: with no check between them, reading a number of A and spreading it over
    // a register are one instruction.
    if TRANSPOSED {
        for k in 0..p.steps {
            let column = &p.a[k * p.a_row + row..][..R];
            let b = registers::<S, REGISTERS>(&p.b[k * p.b_row + col..][..width]);
            for r in 0..R {
                let a = simd.splat_f32s(column[r]);
                for n in 0..REGISTERS {
                    sums[r][n] = simd.mul_add_f32s(a, b[n], sums[r][n]);
                }
            }
        }
    } else {
        let mut rows: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            rows[r] = &p.a[(row + r) * p.a_row..][..p.steps];
        }
        for k in 0..p.steps {
            let b = registers::<S, REGISTERS>(&p.b[k * p.b_row + col..][..width]);
            for r in 0..R {
                let a = simd.splat_f32s(rows[r][k]);
                for n in 0..REGISTERS {
                    sums[r][n] = simd.mul_add_f32s(a, b[n], sums[r][n]);
                }
            }
        }
    }
    for r in 0..R {
        let (to, _) = S::as_mut_simd_f32s(&mut p.c[(row + r) * p.c_row + col..][..width]);
        to.as_chunks_mut().0[0] = sums[r];
    }
}

/// A slice of `N` registers.
#[inline(always)]
fn registers<S: Simd, const N: usize>(from: &[f32]) -> [S::f32s; N] {
    S::as_simd_f32s(from).0.as_chunks().0[0]
}

/// Σ x, of a multiple of [`LANES`] numbers: one running sum per lane, then a fixed tree.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (x, _) = S::as_simd_f32s(x);
    let mut sum = simd.splat_f32s(0.0);
    for x in x {
        sum = simd.add_f32s(sum, *x);
    }
    simd.reduce_sum_f32s(sum)
}

/// Σ x·y, of a multiple of [`LANES`] numbers, as [`sum`].
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let ((x, _), (y, _)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let mut sum = simd.splat_f32s(0.0);
    for i in 0..x.len() {
        sum = simd.mul_add_f32s(x[i], y[i], sum);
    }
    simd.reduce_sum_f32s(sum)
}

/// The largest of a multiple of [`LANES`] numbers; whether NaN counts is not specified.
#[inline(always)]
pub(super) fn largest<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (x, _) = S::as_simd_f32s(x);
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for x in x {
        max = simd.max_f32s(max, *x);
    }
    simd.reduce_max_f32s(max)
}
