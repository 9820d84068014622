//! Many independent products of one shape, shared out together.

use super::engine::Engine;
use super::epilogue::{Epilogue, Last, LastPass};
use super::scratch::with_thread_scratch;
use super::view::{MatMut, MatRef, MatmulError};
use super::{Product, check_shapes, parallel};
use crate::cpu::pool::for_tasks;

/// The outputs of a batch: `count` row-major matrices in one slice.
#[derive(Debug)]
pub struct BatchMut<'a, T> {
    data: &'a mut [T],
    count: usize,
    stride: usize,
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a, T> BatchMut<'a, T> {
    /// Matrices of (rows, cols) that begin `stride` elements apart, with rows `row_stride` apart.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if an element lies outside `data`, [`MatmulError::Overlap`] if rows or matrices would
    /// overlap.
    pub fn new(
        data: &'a mut [T],
        (count, stride): (usize, usize),
        (rows, cols): (usize, usize),
        row_stride: usize,
    ) -> Result<Self, MatmulError> {
        let len = data.len();
        if count > 0 {
            MatMut::new(&mut *data, rows, cols, row_stride)?;
        }
        if count > 1 && rows > 0 && cols > 0 {
            let one = (rows - 1) * row_stride + cols;
            if stride < one {
                return Err(MatmulError::Overlap { cols: one, row_stride: stride });
            }
            let needed = (count - 1)
                .checked_mul(stride)
                .and_then(|first| first.checked_add(one))
                .unwrap_or(usize::MAX);
            if needed > len {
                let (rows, cols, row_stride, col_stride) = (count, one, stride, 1);
                return Err(MatmulError::OutOfBounds { rows, cols, row_stride, col_stride, needed, len });
            }
        }
        Ok(Self { data, count, stride, rows, cols, row_stride })
    }

    /// Dense matrices one after the other.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if `data` is too short.
    pub fn row_major(data: &'a mut [T], count: usize, rows: usize, cols: usize) -> Result<Self, MatmulError> {
        Self::new(data, (count, rows.saturating_mul(cols)), (rows, cols), cols)
    }
}

/// `C[i] = A[i] B[i]`, or `C[i] += A[i] B[i]`, for a whole batch; parallel over matrices and over blocks of each. The operands
/// may overlap and repeat, as a broadcast batch does.
///
/// # Errors
/// [`MatmulError::BatchLength`] if the batches differ in length, [`MatmulError::Shape`] if a product does not fit.
pub fn matmul_batched(
    a: &[MatRef<'_, f32>],
    b: &[MatRef<'_, f32>],
    c: BatchMut<'_, f32>,
    accumulate: bool,
) -> Result<(), MatmulError> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { run::<super::avx512::Avx512>(a, b, c, accumulate) };
    }
    #[cfg(target_arch = "x86_64")]
    if super::avx2::available() {
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { run::<super::avx2::Avx2>(a, b, c, accumulate) };
    }
    // SAFETY: the portable engine needs no instruction set.
    unsafe { run::<super::portable::Portable>(a, b, c, accumulate) }
}

/// # Safety
/// The processor must have the engine's instruction set.
unsafe fn run<E: Engine<Source = f32>>(
    a: &[MatRef<'_, f32>],
    b: &[MatRef<'_, f32>],
    c: BatchMut<'_, f32>,
    accumulate: bool,
) -> Result<(), MatmulError> {
    if a.len() != c.count || b.len() != c.count {
        return Err(MatmulError::BatchLength { a: a.len(), b: b.len(), c: c.count });
    }
    let (m, n, stride) = (c.rows, c.cols, c.stride);
    let Some(k) = a.first().map(|a| a.shape().1) else { return Ok(()) };
    for (a, b) in a.iter().zip(b) {
        if a.shape().1 != k {
            return Err(MatmulError::Shape { what: "left operand", expected: (m, k), got: a.shape() });
        }
        check_shapes(a.shape(), b.shape(), (m, n), &Epilogue::default())?;
    }
    if m == 0 || n == 0 {
        return Ok(());
    }
    let whole = MatMut { data: c.data, rows: 0, cols: 0, row_stride: c.row_stride }.out();
    let count = c.count;
    let grid = parallel::Grid::new((m, n, k), count, E::LANES);
    let one = |scratch: &mut _, task: usize| {
        let (i, (rows, cols)) = (task / grid.len(), grid.block(task % grid.len()));
        // SAFETY: matrix i begins inside the checked slice, matrices do not overlap, and blocks of the grid are disjoint.
        unsafe {
            let out = whole.shifted(i * stride);
            let last = Last { accumulate, finish: LastPass::None };
            Product::<E> { a: a[i].view(), b: b[i].view(), c: out, k, last }.run(rows, cols, scratch);
        }
    };
    let tasks = count * grid.len();
    // Small products go in groups, so that a task is worth its start.
    let group = (tasks / (8 * rayon::current_num_threads())).max(1);
    let group = if parallel::worth_sharing((m, n, k), count) { group } else { tasks };
    for_tasks(tasks.div_ceil(group), &|g| {
        with_thread_scratch(|scratch| {
            (g * group..((g + 1) * group).min(tasks)).for_each(|task| one(scratch, task))
        });
    });
    Ok(())
}
