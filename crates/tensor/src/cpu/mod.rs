//! The host processor: one thread pool, SIMD chosen at run time, and the moves that every op needs.

pub mod blocks;
pub mod columns;
pub mod convert;
pub mod math;
pub mod matmul;
pub mod pool;
pub mod strided;
mod team;

pub use pool::{for_each, for_rows, for_rows_zip};

/// Runs `body` compiled for the widest SIMD that this processor has.
///
/// The closure must be marked `#[inline(always)]` (write `dispatch(#[inline(always)] || …)`): only then is it
/// compiled anew inside each variant, where plain loops over slices become AVX-512, AVX2 or NEON code.
///
/// Write loops as `for`, not as `for_each` or `fold` with a closure of some size: the compiler may keep such a closure
/// as a function of its own, which then has none of the instruction sets and pays a library call per multiply-add. Short inner
/// loops count (`for i in 0..n`) and assign arrays: `zip` and `copy_from_slice` are functions of their own in builds without
/// link-time optimisation, and registers are saved around them.
#[inline]
pub fn dispatch<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Body<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Body(body))
}
