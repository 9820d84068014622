//! Products with weights that stay quantised: C (M, N) = A (M, K) Wᵀ, W (N, K) in the blocks of a GGUF file.
//!
//! **Weights of whole numbers** (Q4_0 to Q6_K) meet an A that is rounded to 15 bits for the product, 32 neighbours to a scale: a
//! value moves by at most 1/32638 of the largest of the 32. Products are then exact whole numbers; see [`whole`]. Rows
//! of A with NaN, infinity or a largest value outside of 1e-28 to 1e28 are not rounded: their weights become the f32 numbers of
//! [`Kind::dequantise`], and all is as for weights that are floats. **Floats** (F32, F16, BF16) meet A as it is.
//!
//! W is read once, and never written out to memory beyond the caches.
//!
//! **Order of the sums** of floats: step k of an element adds to sum k mod 32, and the 32 sums are then added by halves: 16 to
//! 16, 8 to 8 and so on. That order, and the one of [`whole`], hold for every M, N and number of threads: a row alone has the
//! bits of the same row in a batch.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod rounded;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod units;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod whole;
#[cfg(target_arch = "x86_64")]
mod whole_units;

use std::ops::Range;

use warpsmith_gguf::Kind;

use super::scratch::with_thread_scratch;
use super::view::{MatMut, MatRef, MatmulError, Out, View};
use crate::cpu::pool::for_tasks;
use whole::Rounded;

/// Weights that are read as one: so many sums an element has.
const UNIT: usize = 32;
/// Multiply-adds of a task: about 10 µs of one core, or 100 where memory is what limits. Smaller ones begin too often where
/// nothing was fetched ahead.
const TASK_WORK: usize = 1 << 18;
/// Rows of W in a task when A has more than a [`FEW`]: a tile of A stays in the first-level cache while those of W pass by, and
/// all of A is read once for each task.
const W_ROWS: usize = 48;
/// Rows of A that are few.
const FEW: usize = 16;
/// Numbers of W that are kept as f32 while all rows of A pass by: a part of the second-level cache.
const KEPT: usize = 48 * 1024;
/// Rows of W that are read side by side: what is read of A serves them all, and one alone is a single stream, which the memory
/// serves at half of its speed.
const STREAMS: usize = 4;

/// Rows of quantised weights, (N, K).
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    kind: Kind,
    bytes: &'a [u8],
    n: usize,
    k: usize,
}

impl<'a> Blocks<'a> {
    /// `n` rows of `k` weights.
    ///
    /// # Errors
    /// [`MatmulError::Blocks`] if `k` is not what [`Blocks::fits`], or there are more or fewer bytes than the rows have.
    pub fn new(kind: Kind, bytes: &'a [u8], n: usize, k: usize) -> Result<Self, MatmulError> {
        let needed = Self::row_bytes(kind, k).checked_mul(n);
        if !Self::fits(kind, k) || needed != Some(bytes.len()) {
            return Err(MatmulError::Blocks { kind: kind.name(), n, k, len: bytes.len() });
        }
        Ok(Self { kind, bytes, n, k })
    }

    /// Whether rows of `k` weights can be multiplied as they are: whole blocks, and a multiple of 32.
    pub fn fits(kind: Kind, k: usize) -> bool {
        k.is_multiple_of(kind.block_len()) && k.is_multiple_of(UNIT)
    }

    /// The bytes of a row of `k` weights.
    pub fn row_bytes(kind: Kind, k: usize) -> usize {
        k / kind.block_len() * kind.block_bytes()
    }

    /// Some of the rows.
    fn rows(&self, rows: Range<usize>) -> Self {
        let width = Self::row_bytes(self.kind, self.k);
        Self { bytes: &self.bytes[rows.start * width..rows.end * width], n: rows.len(), ..*self }
    }
}

/// C = A Wᵀ on all threads of the current pool. A has contiguous rows (a column stride of 1).
///
/// # Errors
/// [`MatmulError::Shape`] if A, W and C do not fit together, or the rows of A are not contiguous.
pub fn matmul_quantised(
    a: MatRef<'_, f32>,
    w: Blocks<'_>,
    mut c: MatMut<'_, f32>,
) -> Result<(), MatmulError> {
    let (m, k) = a.shape();
    let fits = |what, got, expected| {
        if got == expected { Ok(()) } else { Err(MatmulError::Shape { what, expected, got }) }
    };
    fits("quantised weights", (w.n, w.k), (w.n, k))?;
    fits("output", c.shape(), (m, w.n))?;
    if a.view().col_stride != 1 && k > 1 {
        let expected = (a.view().row_stride, 1);
        return Err(MatmulError::Shape {
            what: "strides of A",
            expected,
            got: (expected.0, a.view().col_stride),
        });
    }
    if m == 0 || w.n == 0 || k == 0 {
        (0..m).for_each(|i| c.row_mut(i).into_iter().for_each(|row| row.fill(0.0)));
        return Ok(());
    }
    let out = c.out();
    // SAFETY: C is ours alone; shapes are checked, and row i is one of A and of C.
    unsafe {
        match Rounded::new(&a, w.kind) {
            None => as_floats(a.view(), m, w, out),
            Some(rounded) => {
                rounded.product(w, out);
                rounded.left.iter().for_each(|&i| as_floats(a.view().at(i, 0), 1, w, out.at(i, 0)));
            }
        }
    }
    Ok(())
}

/// C = A Wᵀ for `m` rows, with the weights as f32 numbers.
///
/// # Safety
/// C must lie at `out`, and nobody else may see it; A must have m rows, as long as those of W.
unsafe fn as_floats(a: View<f32>, m: usize, w: Blocks<'_>, out: Out<f32>) {
    for_rows_of(&w, m, &|range| {
        let first = range.start;
        // SAFETY: these columns of C are this task's alone.
        unsafe { columns(a, m, w.rows(range), out.at(0, first)) };
    });
}

/// Calls `body` with all rows of W, some at a time, on all threads: whoever is free takes the next. `m` is the number of rows of
/// A. Parts are multiples of [`STREAMS`], but for the last, and as many for each thread.
fn for_rows_of(w: &Blocks<'_>, m: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    let least = if m < FEW { STREAMS } else { W_ROWS };
    let rows = (TASK_WORK / (m * w.k)).max(least);
    let tasks = w.n.div_ceil(rows).next_multiple_of(rayon::current_num_threads());
    let rows = w.n.div_ceil(tasks).next_multiple_of(STREAMS);
    for_tasks(w.n.div_ceil(rows), &|i| body(i * rows..((i + 1) * rows).min(w.n)));
}

/// All rows of C, in the columns of these rows of W.
///
/// # Safety
/// As [`as_floats`].
unsafe fn columns(a: View<f32>, m: usize, w: Blocks<'_>, out: Out<f32>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the instruction set was found; the caller's promise.
        return unsafe {
            match (m, w.kind.offset()) {
                (1, None) => avx512::one_row(a, w, out),
                _ => in_parts(w, avx512::dequantise, &mut |first, part| {
                    avx512::rows(a, m, part, out.at(0, first));
                }),
            }
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        in_parts(w, portable::dequantise, &mut |first, part| {
            portable::rows(a, m, part, out.at(0, first));
        });
    }
}

/// Rows of W as f32, one behind the other.
#[derive(Clone, Copy)]
struct Part {
    numbers: *const f32,
    rows: usize,
    k: usize,
}

/// Calls `body` with some rows of W after the other, and the place of the first of them.
///
/// # Safety
/// `dequantise` gets rows and as many places, which it must fill; the processor must have what it needs.
unsafe fn in_parts(
    w: Blocks<'_>,
    dequantise: unsafe fn(Blocks<'_>, *mut f32),
    body: &mut dyn FnMut(usize, Part),
) {
    let height = ((KEPT / w.k / STREAMS).max(1) * STREAMS).min(w.n);
    with_thread_scratch(|scratch| {
        let (numbers, _) = scratch.buffers::<f32>(height * w.k, 0);
        for first in (0..w.n).step_by(height) {
            let some = w.rows(first..(first + height).min(w.n));
            // SAFETY: the scratch holds `height` rows; the caller's promise.
            unsafe { dequantise(some, numbers) };
            body(first, Part { numbers, rows: some.n, k: w.k });
        }
    });
}
