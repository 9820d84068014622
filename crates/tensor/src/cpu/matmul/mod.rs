//! Matrix products on the host, written from scratch: C (M, N) = A (M, K) B (K, N), any strides, f32 sums.
//!
//! **Order of the sums.** Each element of C is one chain of multiply-adds over k = 0, 1, …, K - 1, whatever M and N are,
//! wherever the element lies, however the operands are laid out and however many threads run. So a row computed alone has
//! the bits of the same row in a batch. Between instruction sets the bits differ: AVX-512 and AVX2 fuse the multiply and
//! the add into one rounding, the portable engine rounds twice.
//!
//! **Threads.** Products share rayon's current pool, one block of C per task; small ones stay on the calling thread. Helpers
//! stay awake for a moment, so that a row of products pays for waking them once ([`super::pool`]).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod batch;
mod block;
mod engine;
mod epilogue;
#[cfg(target_arch = "x86_64")]
mod gemv;
#[cfg(target_arch = "x86_64")]
mod gemv_bf16;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack_pairs;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod parallel;
mod plain;
mod portable;
mod quantised;
mod scratch;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_bf16;
#[cfg(target_arch = "x86_64")]
pub(in crate::cpu) mod transpose;
mod view;
mod widened;

pub use batch::{BatchMut, matmul_batched};
use block::Product;
use engine::Engine;
pub use epilogue::{Epilogue, Finish, FinishRow, FinishRowWith};
use epilogue::{Last, LastPass};
use half::bf16;
pub use plain::matmul_f64;
pub use quantised::{Blocks, matmul_quantised};
pub use scratch::Scratch;
use scratch::with_thread_scratch;
pub use view::{MatMut, MatRef, MatmulError};

use crate::cpu::pool::for_tasks;

/// C = A B in f32, or what `epilogue` asks for, on all threads of the current pool.
///
/// # Errors
/// [`MatmulError::Shape`] if A, B, C (or the epilogue's second matrix) do not fit together.
pub fn matmul(
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
) -> Result<(), MatmulError> {
    dispatch_f32(a, b, c, epilogue, None)
}

/// [`matmul`] on the calling thread alone, with the caller's packing space: for small products inside a parallel task.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_serial(
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
    scratch: &mut Scratch,
) -> Result<(), MatmulError> {
    dispatch_f32(a, b, c, epilogue, Some(scratch))
}

/// Whether the f32 engine of this processor rounds a multiply-add once (AVX-512, AVX2 with FMA) or twice.
#[must_use]
pub fn fused() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f") || avx2::available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Picks the widest engine this processor has.
fn dispatch_f32(
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
    scratch: Option<&mut Scratch>,
) -> Result<(), MatmulError> {
    // SAFETY: each engine runs only where its instruction set was found.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            return run::<avx512::Avx512>(a, b, c, epilogue, scratch);
        }
        #[cfg(target_arch = "x86_64")]
        if avx2::available() {
            return run::<avx2::Avx2>(a, b, c, epilogue, scratch);
        }
        run::<portable::Portable>(a, b, c, epilogue, scratch)
    }
}

/// C = A B of bf16 operands with f32 sums, on all threads of the current pool.
///
/// On processors with matrix tiles (AMX-BF16) the products of each 32 values of k add up in two chains, even and odd; on
/// others with AVX512-BF16 in pairs, k = 1 before k = 0, then 3 before 2, and so on. Both count subnormal values as zero.
/// Elsewhere products are summed one by one as in [`matmul`]. Each order is the same for every shape.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_bf16(
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
) -> Result<(), MatmulError> {
    dispatch_bf16(a, b, c, epilogue)
}

/// C = A B of f32 operands that are rounded to bf16 (to nearest, ties to even) on the way, as mixed-precision training
/// wants it. The bits are those of rounding first and calling [`matmul_bf16`].
///
/// # Errors
/// As [`matmul`].
pub fn matmul_f32_as_bf16(
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
) -> Result<(), MatmulError> {
    dispatch_bf16(a, b, c, epilogue)
}

/// A source of bf16 products.
#[cfg(target_arch = "x86_64")]
trait Bf16Source: widened::Widen + pairs::PairSource {}
#[cfg(target_arch = "x86_64")]
impl<T: widened::Widen + pairs::PairSource> Bf16Source for T {}
/// A source of bf16 products.
#[cfg(not(target_arch = "x86_64"))]
trait Bf16Source: widened::Widen {}
#[cfg(not(target_arch = "x86_64"))]
impl<T: widened::Widen> Bf16Source for T {}

/// Picks the widest engine this processor has.
fn dispatch_bf16<S: Bf16Source>(
    a: MatRef<'_, S>,
    b: MatRef<'_, S>,
    c: MatMut<'_, f32>,
    epilogue: Epilogue<'_>,
) -> Result<(), MatmulError> {
    // SAFETY: each engine runs only where its instruction set was found.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if amx::available() {
            return run::<amx::Amx<S>>(a, b, c, epilogue, None);
        }
        #[cfg(target_arch = "x86_64")]
        if avx512_bf16::fast() {
            return run::<avx512_bf16::Avx512Bf16<S>>(a, b, c, epilogue, None);
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            return run::<widened::Widened<S, avx512::Avx512>>(a, b, c, epilogue, None);
        }
        #[cfg(target_arch = "x86_64")]
        if avx2::available() {
            return run::<widened::Widened<S, avx2::Avx2>>(a, b, c, epilogue, None);
        }
        run::<widened::Widened<S, portable::Portable>>(a, b, c, epilogue, None)
    }
}

/// Checks shapes, then runs the product on `scratch` here, or on the pool.
///
/// # Safety
/// The processor must have the engine's instruction set.
unsafe fn run<E: Engine>(
    a: MatRef<'_, E::Source>,
    b: MatRef<'_, E::Source>,
    mut c: MatMut<'_, f32>,
    mut epilogue: Epilogue<'_>,
    scratch: Option<&mut Scratch>,
) -> Result<(), MatmulError> {
    let (m, n, k) = check_shapes(a.shape(), b.shape(), c.shape(), &epilogue)?;
    let finish = match &mut epilogue.finish {
        Finish::None => LastPass::None,
        Finish::Rows(f) => LastPass::Rows(*f),
        Finish::RowsWith(second, f) => LastPass::RowsWith(second.out(), *f),
    };
    let last = Last { accumulate: epilogue.accumulate, finish };
    let product = Product::<E> { a: a.view(), b: b.view(), c: c.out(), k, last };
    if let Some(scratch) = scratch {
        // SAFETY: the whole of C, which we hold exclusively; shapes are checked.
        unsafe { product.run(0..m, 0..n, scratch) };
        return Ok(());
    }
    let grid = parallel::Grid::new((m, n, k), 1, E::LANES);
    for_tasks(grid.len(), &|i| {
        let (rows, cols) = grid.block(i);
        // SAFETY: blocks of the grid are disjoint and lie in C; shapes are checked.
        with_thread_scratch(|scratch| unsafe { product.run(rows, cols, scratch) });
    });
    Ok(())
}

/// (M, N, K), if everything fits together.
fn check_shapes(
    (m, k): (usize, usize),
    (k_b, n): (usize, usize),
    c: (usize, usize),
    epilogue: &Epilogue<'_>,
) -> Result<(usize, usize, usize), MatmulError> {
    let fits = |what, got, expected| {
        if got == expected { Ok(()) } else { Err(MatmulError::Shape { what, expected, got }) }
    };
    fits("right operand", (k_b, n), (k, n))?;
    fits("output", c, (m, n))?;
    if let Finish::RowsWith(second, _) = &epilogue.finish {
        fits("second output", second.shape(), (m, n))?;
    }
    Ok((m, n, k))
}
