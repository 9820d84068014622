//! What happens to C around the product: add to the old values, and a last pass over each finished row piece.

use std::ops::Range;

use super::view::{MatMut, Out};

/// Called on a finished piece of C with (row, columns, the piece), while it is still in cache.
///
/// How C is cut into pieces depends on the shape and on the number of threads, so a function must treat each element on
/// its own.
pub type FinishRow<'a> = dyn Fn(usize, Range<usize>, &mut [f32]) + Sync + 'a;

/// Like [`FinishRow`], with the same piece of a second matrix: (row, columns, piece of C, piece of the second).
pub type FinishRowWith<'a> = dyn Fn(usize, Range<usize>, &mut [f32], &mut [f32]) + Sync + 'a;

/// The last pass over C.
#[derive(Default)]
pub enum Finish<'a> {
    /// C is left as the product made it.
    #[default]
    None,
    /// A bias, an activation, a residual: anything that works element by element.
    Rows(&'a FinishRow<'a>),
    /// The same with a second (M, N) matrix to write, for instance the values before the activation.
    RowsWith(MatMut<'a, f32>, &'a FinishRowWith<'a>),
}

/// Everything a product does besides multiply. `Epilogue::default()` writes C = A B.
#[derive(Default)]
pub struct Epilogue<'a> {
    /// C += A B instead of C = A B. The sum of each element starts from its old value.
    pub accumulate: bool,
    /// The last pass.
    pub finish: Finish<'a>,
}

impl<'a> Epilogue<'a> {
    /// C += A B.
    #[must_use]
    pub fn accumulate() -> Self {
        Self { accumulate: true, finish: Finish::None }
    }

    /// C = finish(A B).
    #[must_use]
    pub fn rows(finish: &'a FinishRow<'a>) -> Self {
        Self { accumulate: false, finish: Finish::Rows(finish) }
    }

    /// C, second = finish(A B).
    #[must_use]
    pub fn rows_with(second: MatMut<'a, f32>, finish: &'a FinishRowWith<'a>) -> Self {
        Self { accumulate: false, finish: Finish::RowsWith(second, finish) }
    }
}

/// An epilogue without its exclusive borrow, so that tasks can share it.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub(super) accumulate: bool,
    pub(super) finish: LastPass<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum LastPass<'a> {
    None,
    Rows(&'a FinishRow<'a>),
    RowsWith(Out<f32>, &'a FinishRowWith<'a>),
}

impl Last<'_> {
    /// Runs the last pass on one piece.
    ///
    /// # Safety
    /// The piece must lie in C (and in the second matrix), and belong to the calling task alone.
    pub(super) unsafe fn apply(&self, c: Out<f32>, row: usize, cols: Range<usize>) {
        match self.finish {
            LastPass::None => {}
            // SAFETY: the caller owns the piece.
            LastPass::Rows(f) => f(row, cols.clone(), unsafe { c.row(row, cols) }),
            LastPass::RowsWith(second, f) => {
                // SAFETY: the caller owns the piece in both matrices, which are distinct exclusive borrows.
                let (c, second) = unsafe { (c.row(row, cols.clone()), second.row(row, cols.clone())) };
                f(row, cols, c, second);
            }
        }
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self.finish, LastPass::None)
    }
}
