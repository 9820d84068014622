//! Rows copied as columns: the transpose that puts keys side by side, 16 x 16 at a time in registers.

use crate::{Error, Result};

/// Writes number `c` of row `r` to `out[c * out_row + r]`, for `rows` rows of `width` numbers that lie `stride` apart.
///
/// # Errors
/// If `from` or `out` is too short for that.
pub fn copy_columns(
    from: &[f32],
    stride: usize,
    (rows, width): (usize, usize),
    out: &mut [f32],
    out_row: usize,
) -> Result<()> {
    if rows == 0 || width == 0 {
        return Ok(());
    }
    let needs = |lines: usize, step: usize, len: usize| (lines - 1).checked_mul(step)?.checked_add(len);
    let fits = |need: Option<usize>, have: usize| need.is_some_and(|need| need <= have);
    if !fits(needs(rows, stride, width), from.len()) || !fits(needs(width, out_row, rows), out.len()) {
        return Err(Error::internal("copy_columns", format!("{rows} rows of {width} leave their slice")));
    }
    let (mut whole_rows, mut whole_width) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        (whole_rows, whole_width) = (rows / 16 * 16, width / 16 * 16);
        // SAFETY: the processor has AVX-512F; all rows and columns lie in their slices, as checked above.
        unsafe { blocks_of_16(from.as_ptr(), stride, (whole_rows, whole_width), out.as_mut_ptr(), out_row) };
    }
    for r in 0..rows {
        let first = if r < whole_rows { whole_width } else { 0 };
        for c in first..width {
            out[c * out_row + r] = from[r * stride + c];
        }
    }
    Ok(())
}

/// # Safety
/// AVX-512F; `rows` and `width` are multiples of 16, and both slices hold them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn blocks_of_16(
    from: *const f32,
    stride: usize,
    (rows, width): (usize, usize),
    out: *mut f32,
    out_row: usize,
) {
    use std::arch::x86_64::{_mm512_loadu_ps, _mm512_setzero_ps, _mm512_storeu_ps};
    for r in (0..rows).step_by(16) {
        for c in (0..width).step_by(16) {
            let mut block = [_mm512_setzero_ps(); 16];
            for (i, line) in block.iter_mut().enumerate() {
                // SAFETY: 16 numbers of row r + i < rows, up to column c + 15 < width.
                *line = unsafe { _mm512_loadu_ps(from.add((r + i) * stride + c)) };
            }
            for (i, line) in super::matmul::transpose::transpose_16(block).into_iter().enumerate() {
                // SAFETY: 16 numbers of line c + i < width, up to row r + 15 < rows.
                unsafe { _mm512_storeu_ps(out.add((c + i) * out_row + r), line) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lands_in_its_column() {
        for (rows, width, stride, out_row) in
            [(64, 64, 200, 64), (37, 50, 50, 40), (16, 5, 9, 16), (3, 33, 33, 3)]
        {
            let from: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            let mut out = vec![-1.0; width * out_row];
            copy_columns(&from, stride, (rows, width), &mut out, out_row).unwrap();
            for (at, &v) in out.iter().enumerate() {
                let (c, r) = (at / out_row, at % out_row);
                assert_eq!(v, if r < rows { (r * stride + c) as f32 } else { -1.0 });
            }
        }
    }

    #[test]
    fn what_leaves_its_slice_is_an_error() {
        assert!(copy_columns(&[0.0; 11], 6, (2, 6), &mut [0.0; 12], 2).is_err());
        assert!(copy_columns(&[0.0; 12], 6, (2, 6), &mut [0.0; 11], 2).is_err());
        assert!(copy_columns(&[], 0, (0, 6), &mut [], 2).is_ok());
    }
}
