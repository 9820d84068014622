//! Sums of a row in f64: Σ (xᵢ - c) and Σ (xᵢ - c)².
//!
//! By registers, and not by a loop that the compiler makes SIMD code of: it leaves running sums of f64 in memory, or takes
//! them apart, and was four times as slow. 32 running sums, then a fixed tree: the order depends on the length alone.

use pulp::{Arch, Simd, WithSimd};

/// Running sums: four AVX-512 registers, enough to hide the latency of an addition.
const LANES: usize = 32;

/// Σ (xᵢ - c).
pub(crate) fn sum(x: &[f32], c: f64) -> f64 {
    Arch::new().dispatch(Moment::<1> { x, c })
}

/// Σ (xᵢ - c)².
pub(crate) fn squares(x: &[f32], c: f64) -> f64 {
    Arch::new().dispatch(Moment::<2> { x, c })
}

/// Σ (xᵢ - c)ᴾ.
struct Moment<'a, const P: usize> {
    x: &'a [f32],
    c: f64,
}

impl<const P: usize> WithSimd for Moment<'_, P> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        match const { S::F64_LANES } {
            8 => self.run::<S, 4>(simd),
            4 => self.run::<S, 8>(simd),
            2 => self.run::<S, 16>(simd),
            _ => self.run::<S, LANES>(simd),
        }
    }
}

impl<const P: usize> Moment<'_, P> {
    /// With the running sums in `R` registers.
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) -> f64 {
        let c = simd.splat_f64s(self.c);
        let mut sums = [simd.splat_f64s(0.0); R];
        let (chunks, rest) = self.x.as_chunks::<LANES>();
        for chunk in chunks {
            let mut wide = [0.0; LANES];
            for i in 0..LANES {
                wide[i] = chunk[i] as f64;
            }
            add::<S, R, P>(simd, &mut sums, &wide, c);
        }
        if !rest.is_empty() {
            // What is not there is c, and adds nothing.
            let mut wide = [self.c; LANES];
            for i in 0..rest.len() {
                wide[i] = rest[i] as f64;
            }
            add::<S, R, P>(simd, &mut sums, &wide, c);
        }
        let mut width = R;
        while width > 1 {
            width /= 2;
            for r in 0..width {
                sums[r] = simd.add_f64s(sums[r], sums[r + width]);
            }
        }
        let mut lanes = [0.0; LANES];
        S::as_mut_simd_f64s(&mut lanes).0[0] = sums[0];
        let mut width = S::F64_LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }
}

/// sums += (wide - c)ᴾ
#[inline(always)]
fn add<S: Simd, const R: usize, const P: usize>(
    simd: S,
    sums: &mut [S::f64s; R],
    wide: &[f64; LANES],
    c: S::f64s,
) {
    let (wide, _) = S::as_simd_f64s(wide);
    for r in 0..R {
        let x = simd.sub_f64s(wide[r], c);
        let term = if P == 2 { simd.mul_f64s(x, x) } else { x };
        sums[r] = simd.add_f64s(sums[r], term);
    }
}
