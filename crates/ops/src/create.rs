//! Tensors that come from no other: counting numbers, and the masks of attention.

use warpsmith_tensor::{DType, Device, Error, Result, Tensor};

/// The numbers 0, 1, …, n - 1 in `dtype`.
///
/// # Errors
/// If `dtype` cannot hold n - 1 (and every number before it) exactly.
pub fn arange(n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    // So many numbers from 0 on have no gap.
    let limit: u64 = match dtype {
        DType::F64 | DType::I64 => 1 << 53,
        DType::F32 => 1 << 24,
        DType::U32 => 1 << 32,
        DType::F16 => 1 << 11,
        DType::BF16 | DType::U8 => 1 << 8,
        DType::Bool => 2,
    };
    if n as u64 > limit {
        return Err(
            Error::value("arange", format!("{dtype} does not hold every number below {n}")).hint("use i64")
        );
    }
    Tensor::count(n, dtype, device)
}

/// The mask `(queries, keys)` that is true where a key lies behind its query, so where attention must not look; the
/// last query stands at the last key.
pub fn future_mask(queries: usize, keys: usize, device: &Device) -> Result<Tensor> {
    triangle(queries, keys, keys as isize - queries as isize + 1, device)
}

/// The mask `(rows, columns)` that is true where column - row ≥ `diagonal`: the upper triangle.
pub fn triangle(rows: usize, columns: usize, diagonal: isize, device: &Device) -> Result<Tensor> {
    let above = |row: usize, column: usize| column as isize - row as isize >= diagonal;
    let values = (0..rows).flat_map(|row| (0..columns).map(move |column| above(row, column))).collect();
    Tensor::from_vec::<bool>(values, &[rows, columns], device)
}
