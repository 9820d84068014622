//! bf16 products on an f32 engine, for processors without (fast) bf16 multiply-add: values are widened (or rounded to bf16 and
//! widened) while they are packed. The order of the sums is the f32 engine's, one product at a time.

use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;

use super::engine::{Engine, Lhs, Rhs, Tile};
use super::pack;
use super::scratch::Scratch;
use super::view::{Out, View};

/// A value of bf16 precision as f32.
pub(super) trait Widen: Copy + Send + Sync + 'static {
    /// The value, rounded to bf16 if it is not one.
    fn widen(self) -> f32;

    /// [`Engine::few_rows`] where [`Engine::STREAMS`].
    ///
    /// # Safety
    /// As there, and the CPU must have AVX-512F.
    unsafe fn few_rows(
        _a: View<Self>,
        _b: View<Self>,
        _c: Out<f32>,
        _block: (Range<usize>, usize, Range<usize>),
        _accumulate: bool,
    ) -> bool {
        false
    }
}

impl Widen for bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn few_rows(
        a: View<Self>,
        b: View<Self>,
        c: Out<f32>,
        block: (Range<usize>, usize, Range<usize>),
        accumulate: bool,
    ) -> bool {
        use super::gemv;
        // SAFETY: the caller's promise.
        block.0.len() <= gemv::MAX_ROWS && unsafe { gemv::few_rows(a, b, c, block, accumulate) }
    }
}

impl Widen for f32 {
    fn widen(self) -> f32 {
        bf16::from_f32(self).to_f32()
    }
}

/// Engine `E` fed with bf16 precision from a source of `S`.
pub(super) struct Widened<S, E>(PhantomData<(S, E)>);

impl<S: Widen, E: Engine<Packed = f32>> Engine for Widened<S, E> {
    type Source = S;
    type Packed = f32;
    const LANES: usize = E::LANES;
    const MR: usize = E::MR;
    const NV: usize = E::NV;
    const K_STEP: usize = 1;

    fn direct_a(_a: View<S>, _k: usize) -> Option<Lhs<f32>> {
        None
    }

    fn direct_b(_b: View<S>) -> Option<Rhs<f32>> {
        None
    }

    unsafe fn pack_a(a: View<S>, rows: usize, k: usize, out: *mut f32) -> Lhs<f32> {
        // SAFETY: the caller's promise.
        unsafe { pack::pack_a(a, (rows, k), 1, out, S::widen) }
    }

    unsafe fn pack_b(b: View<S>, k: usize, cols: usize, nv: usize, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { pack::pack_b(b, (k, cols), nv * E::LANES, 1, out, S::widen) }
    }

    unsafe fn few_rows(
        a: View<S>,
        b: View<S>,
        c: Out<f32>,
        block: (Range<usize>, usize, Range<usize>),
        accumulate: bool,
        _scratch: &mut Scratch,
    ) -> bool {
        // SAFETY: the caller's promise; an engine that streams has AVX-512F.
        E::STREAMS && unsafe { S::few_rows(a, b, c, block, accumulate) }
    }

    unsafe fn tile(mr: usize, nv: usize, t: &Tile<f32>) {
        // SAFETY: the caller's promise.
        unsafe { E::tile(mr, nv, t) }
    }
}
