//! Sums of a row in f64: Σ (xᵢ - c) and Σ (xᵢ - c)².
//!
//! By registers, and not by a loop that the compiler makes SIMD code of: it leaves running sums of f64 in memory, or takes
//! them apart, and was four times as slow. 32 running sums, then a fixed tree: the order depends on the length alone.

use pulp::{Arch, Simd, WithSimd};

/// Running sums: four AVX-512 registers, enough to hide the latency of an addition.
const LANES: usize = 32;

/// Σ xᵢ.
pub(crate) fn sum(x: &[f32]) -> f64 {
    Arch::new().dispatch(Moments::<true, false> { x, c: 0.0 })[0]
}

/// Σ xᵢ².
pub(crate) fn squares(x: &[f32]) -> f64 {
    Arch::new().dispatch(Moments::<false, true> { x, c: 0.0 })[1]
}

/// Mean and variance of a row that is not empty, Σ (xᵢ - x̄)² / n, in one pass.
///
/// With d = x - c, the variance is Σ d² / n - (Σ d / n)². For any c that would cancel where c is far from the mean, but c is x₀,
/// itself one of the numbers: (x̄ - x₀)² ≤ n·variance, so no more than a factor of n + 1 is lost, of which f64 has 2²⁹.
pub(crate) fn mean_and_variance(x: &[f32]) -> (f64, f64) {
    let (n, c) = (x.len() as f64, x[0] as f64);
    let [sum, squares] = Arch::new().dispatch(Moments::<true, true> { x, c }).map(|s| s / n);
    let variance = squares - sum * sum;
    // Rounding may leave less than nothing; NaN stays.
    (c + sum, if variance < 0.0 { 0.0 } else { variance })
}

/// Σ (xᵢ - c), if `FIRST`, and Σ (xᵢ - c)², if `SECOND`.
struct Moments<'a, const FIRST: bool, const SECOND: bool> {
    x: &'a [f32],
    c: f64,
}

impl<const FIRST: bool, const SECOND: bool> WithSimd for Moments<'_, FIRST, SECOND> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
        match const { S::F64_LANES } {
            8 => self.run::<S, 4>(simd),
            4 => self.run::<S, 8>(simd),
            2 => self.run::<S, 16>(simd),
            _ => self.run::<S, LANES>(simd),
        }
    }
}

impl<const FIRST: bool, const SECOND: bool> Moments<'_, FIRST, SECOND> {
    /// With each of the running sums in `R` registers.
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) -> [f64; 2] {
        let mut sums = [[simd.splat_f64s(0.0); R]; 2];
        let (chunks, rest) = self.x.as_chunks::<LANES>();
        for chunk in chunks {
            let mut wide = [0.0; LANES];
            for i in 0..LANES {
                wide[i] = chunk[i] as f64;
            }
            self.add(simd, &mut sums, &wide);
        }
        if !rest.is_empty() {
            // What is not there is c, and adds nothing.
            let mut wide = [self.c; LANES];
            for i in 0..rest.len() {
                wide[i] = rest[i] as f64;
            }
            self.add(simd, &mut sums, &wide);
        }
        sums.map(
            #[inline(always)]
            |sums| joined(simd, sums),
        )
    }

    #[inline(always)]
    fn add<S: Simd, const R: usize>(&self, simd: S, sums: &mut [[S::f64s; R]; 2], wide: &[f64; LANES]) {
        let c = simd.splat_f64s(self.c);
        let (wide, _) = S::as_simd_f64s(wide);
        for r in 0..R {
            let d = simd.sub_f64s(wide[r], c);
            if FIRST {
                sums[0][r] = simd.add_f64s(sums[0][r], d);
            }
            if SECOND {
                sums[1][r] = simd.add_f64s(sums[1][r], simd.mul_f64s(d, d));
            }
        }
    }
}

/// The sum of all lanes of all registers, by a tree.
#[inline(always)]
fn joined<S: Simd, const R: usize>(simd: S, mut sums: [S::f64s; R]) -> f64 {
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
