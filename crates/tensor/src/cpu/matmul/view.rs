//! The matrices a product reads and writes: strided views, checked once when they are made.

use std::ops::Range;

/// Why a matrix view or a product was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatmulError {
    /// A view reaches past the end of its slice.
    #[error(
        "a ({rows}, {cols}) matrix with strides ({row_stride}, {col_stride}) needs {needed} elements, the slice has {len}; \
         pass a longer slice or smaller strides"
    )]
    OutOfBounds {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements between neighbouring rows.
        row_stride: usize,
        /// Elements between neighbouring columns.
        col_stride: usize,
        /// Smallest slice length that holds the view (`usize::MAX` if it cannot be counted).
        needed: usize,
        /// Length of the slice that came.
        len: usize,
    },
    /// Rows of an output would share elements.
    #[error(
        "an output with {cols} columns needs a row stride of at least {cols}, not {row_stride}; its rows would overlap"
    )]
    Overlap {
        /// Columns of the output.
        cols: usize,
        /// Row stride that came.
        row_stride: usize,
    },
    /// The three matrices do not fit together.
    #[error("{what}: expected ({}, {}), got ({}, {}); a product is (M, K) times (K, N) into (M, N)", .expected.0, .expected.1, .got.0, .got.1)]
    Shape {
        /// Which matrix does not fit.
        what: &'static str,
        /// Its shape as the others ask for it.
        expected: (usize, usize),
        /// Its shape as it came.
        got: (usize, usize),
    },
    /// Quantised weights of another size than their rows have, or rows that cannot be multiplied as they are.
    #[error("{n} rows of {k} {kind} weights, in {len} bytes; rows are whole blocks and a multiple of 32")]
    Blocks {
        /// The kind of blocks.
        kind: &'static str,
        /// Rows.
        n: usize,
        /// Weights in a row.
        k: usize,
        /// Bytes that came.
        len: usize,
    },
    /// The three batches do not have one length.
    #[error("batch lengths differ: {a} products on the left, {b} on the right, {c} outputs")]
    BatchLength {
        /// Matrices on the left.
        a: usize,
        /// Matrices on the right.
        b: usize,
        /// Outputs.
        c: usize,
    },
}

/// Elements a strided view touches, from its first to its last.
fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let last = (rows - 1).checked_mul(row_stride)?.checked_add((cols - 1).checked_mul(col_stride)?)?;
    last.checked_add(1)
}

fn check(
    len: usize,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
) -> Result<(), MatmulError> {
    let needed = span(rows, cols, row_stride, col_stride).unwrap_or(usize::MAX);
    if needed > len {
        return Err(MatmulError::OutOfBounds { rows, cols, row_stride, col_stride, needed, len });
    }
    Ok(())
}

/// A read-only matrix over a slice: element (i, j) is `data[i * row_stride + j * col_stride]`. A stride may be 0.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Copy> MatRef<'a, T> {
    /// A view of any strides.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if an element lies outside `data`.
    pub fn new(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, MatmulError> {
        check(data.len(), rows, cols, row_stride, col_stride)?;
        Ok(Self { data, rows, cols, row_stride, col_stride })
    }

    /// A dense row-major view.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if `data` is shorter than `rows * cols`.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self, MatmulError> {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transpose, which moves no data.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// (rows, columns).
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Element (i, j), or `None` outside the matrix.
    #[must_use]
    pub fn get(&self, i: usize, j: usize) -> Option<T> {
        if i >= self.rows || j >= self.cols {
            return None;
        }
        self.data.get(i * self.row_stride + j * self.col_stride).copied()
    }

    pub(super) fn view(&self) -> View<T> {
        View { ptr: self.data.as_ptr(), row_stride: self.row_stride, col_stride: self.col_stride }
    }
}

/// A writable matrix, row-major with a row stride of its own and neighbouring columns side by side.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a, T> MatMut<'a, T> {
    /// A view whose rows lie `row_stride` elements apart.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if an element lies outside `data`, [`MatmulError::Overlap`] if rows would overlap.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, row_stride: usize) -> Result<Self, MatmulError> {
        check(data.len(), rows, cols, row_stride, 1)?;
        if rows > 1 && row_stride < cols {
            return Err(MatmulError::Overlap { cols, row_stride });
        }
        Ok(Self { data, rows, cols, row_stride })
    }

    /// A dense row-major view.
    ///
    /// # Errors
    /// [`MatmulError::OutOfBounds`] if `data` is shorter than `rows * cols`.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, MatmulError> {
        Self::new(data, rows, cols, cols)
    }

    /// (rows, columns).
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// One row, or `None` past the last.
    pub fn row_mut(&mut self, i: usize) -> Option<&mut [T]> {
        if i >= self.rows {
            return None;
        }
        let start = i * self.row_stride;
        self.data.get_mut(start..start + self.cols)
    }

    pub(super) fn out(&mut self) -> Out<T> {
        Out { ptr: self.data.as_mut_ptr(), row_stride: self.row_stride }
    }
}

/// A `MatRef` without its lifetime and shape, as the blocked loops pass it on.
#[derive(Clone, Copy)]
pub(super) struct View<T> {
    pub(super) ptr: *const T,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

// SAFETY: a `View` is made from a shared slice of plain numbers and only ever read.
unsafe impl<T: Sync> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for View<T> {}

impl<T> View<T> {
    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The view that begins at element (i, j).
    ///
    /// # Safety
    /// (i, j) must be an element of the matrix the view was made from.
    pub(super) unsafe fn at(self, i: usize, j: usize) -> Self {
        // SAFETY: the caller names an element of the checked matrix, so the offset stays in its slice.
        Self { ptr: unsafe { self.ptr.add(i * self.row_stride + j * self.col_stride) }, ..self }
    }
}

/// A `MatMut` without its lifetime and shape. Tasks write disjoint blocks of it.
#[derive(Clone, Copy)]
pub(super) struct Out<T> {
    pub(super) ptr: *mut T,
    pub(super) row_stride: usize,
}

// SAFETY: made from an exclusive slice of plain numbers; every task gets a block of rows and columns no other task has.
unsafe impl<T: Send> Send for Out<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Out<T> {}

impl<T> Out<T> {
    /// The output that begins at element (i, j).
    ///
    /// # Safety
    /// (i, j) must be an element of the matrix the output was made from.
    pub(super) unsafe fn at(self, i: usize, j: usize) -> Self {
        // SAFETY: the caller names an element of the checked matrix.
        Self { ptr: unsafe { self.ptr.add(i * self.row_stride + j) }, ..self }
    }

    /// The output that begins `offset` elements further on.
    ///
    /// # Safety
    /// It must begin inside the slice this output was made from.
    pub(super) unsafe fn shifted(self, offset: usize) -> Self {
        // SAFETY: the caller's promise.
        Self { ptr: unsafe { self.ptr.add(offset) }, ..self }
    }

    /// The columns `cols` of row `i`.
    ///
    /// # Safety
    /// They must lie in the matrix, and no other live reference may overlap them.
    pub(super) unsafe fn row<'a>(self, i: usize, cols: Range<usize>) -> &'a mut [T] {
        // SAFETY: the caller promises bounds and exclusivity.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(i * self.row_stride + cols.start), cols.len()) }
    }
}
