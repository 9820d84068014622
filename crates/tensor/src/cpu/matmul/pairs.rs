//! Loads for the bf16 engine: sources that are bf16 already, and f32 rounded (to nearest, ties to even) on the way.

use std::arch::x86_64::*;

use half::bf16;

/// A source of bf16 values.
pub(super) trait PairSource: Copy + Send + Sync + 'static {
    /// Whether values lie in memory as the tile wants them.
    const IS_BF16: bool;

    /// `n` (at most 16) values, each in the low half of a 32-bit lane; the other lanes are zero.
    ///
    /// # Safety
    /// `n` values must be readable, and the CPU must have AVX-512 F, BW and BF16.
    unsafe fn load_low(from: *const Self, n: usize) -> __m512i;

    /// `n` (at most 32) values side by side; the rest is zero.
    ///
    /// # Safety
    /// As [`Self::load_low`].
    unsafe fn load(from: *const Self, n: usize) -> __m512i;

    /// One value.
    fn to_bf16(self) -> bf16;
}

/// The lowest `n` of 32 lanes.
#[inline]
fn mask_32(n: usize) -> __mmask32 {
    ((1u64 << n.min(32)) - 1) as __mmask32
}

/// The lowest `n` of 16 lanes.
#[inline]
fn mask_16(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

impl PairSource for bf16 {
    const IS_BF16: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn load_low(from: *const Self, n: usize) -> __m512i {
        // SAFETY: the mask keeps the load to values that exist.
        let values = unsafe { _mm512_maskz_loadu_epi16(mask_32(n.min(16)), from.cast()) };
        _mm512_cvtepu16_epi32(_mm512_castsi512_si256(values))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn load(from: *const Self, n: usize) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_maskz_loadu_epi16(mask_32(n), from.cast()) }
    }

    fn to_bf16(self) -> bf16 {
        self
    }
}

impl PairSource for f32 {
    const IS_BF16: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn load_low(from: *const Self, n: usize) -> __m512i {
        // SAFETY: the mask keeps the load to values that exist.
        let rounded = _mm512_cvtneps_pbh(unsafe { _mm512_maskz_loadu_ps(mask_16(n), from) });
        // SAFETY: both are 256 bits without invalid values.
        _mm512_cvtepu16_epi32(unsafe { std::mem::transmute::<__m256bh, __m256i>(rounded) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn load(from: *const Self, n: usize) -> __m512i {
        // SAFETY: the masks keep the loads to values that exist.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask_16(n), from);
            let high = _mm512_maskz_loadu_ps(mask_16(n.saturating_sub(16)), from.wrapping_add(16));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        }
    }

    fn to_bf16(self) -> bf16 {
        bf16::from_f32(self)
    }
}
