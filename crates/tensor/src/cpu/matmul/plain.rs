//! The f64 product, for references and gradient checks: plain loops, multiply then add, in the order of k.

use super::epilogue::Epilogue;
use super::view::{MatMut, MatRef, MatmulError, Out, View};
use super::{Finish, check_shapes};
use crate::cpu::pool::for_tasks;

/// Multiply-adds worth a task of their own.
const TASK_WORK: usize = 1 << 18;

/// C = A B in f64. Each element is one chain of multiplications and additions, separately rounded, over k = 0..K.
///
/// # Errors
/// [`MatmulError::Shape`] if A, B and C do not fit together.
pub fn matmul_f64(a: MatRef<'_, f64>, b: MatRef<'_, f64>, mut c: MatMut<'_, f64>) -> Result<(), MatmulError> {
    let (m, n, k) =
        check_shapes(a.shape(), b.shape(), c.shape(), &Epilogue { accumulate: false, finish: Finish::None })?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let rows_per_task = (TASK_WORK / (n * k.max(1))).max(1);
    let (a, b, c) = (a.view(), b.view(), c.out());
    for_tasks(m.div_ceil(rows_per_task), &|task| {
        for i in task * rows_per_task..((task + 1) * rows_per_task).min(m) {
            // SAFETY: row i belongs to this task; shapes are checked.
            unsafe { row(i, (n, k), a, b, c) };
        }
    });
    Ok(())
}

/// Row `i` of C.
///
/// # Safety
/// It must lie in C and belong to the caller; (i, 0..k) must lie in A and (0..k, 0..n) in B.
unsafe fn row(i: usize, (n, k): (usize, usize), a: View<f64>, b: View<f64>, c: Out<f64>) {
    // SAFETY: the caller's promise.
    unsafe {
        let c = c.row(i, 0..n);
        c.fill(0.0);
        for p in 0..k {
            let x = *a.ptr.add(i * a.row_stride + p * a.col_stride);
            for (j, c) in c.iter_mut().enumerate() {
                *c += x * *b.ptr.add(p * b.row_stride + j * b.col_stride);
            }
        }
    }
}
