//! 32 weights that are floats as two registers of f32.

use std::arch::x86_64::*;

/// How a kind of blocks becomes numbers.
pub(super) trait Units {
    /// Weights 32·u to 32·u + 31 of a row.
    ///
    /// # Safety
    /// AVX-512F, and the row must have them.
    unsafe fn unit(row: *const u8, u: usize) -> [__m512; 2];
}

/// Declares kinds: a type and what its unit is.
macro_rules! units {
    ($($name:ident: |$row:ident, $u:ident| $body:block)*) => {$(
        pub(super) struct $name;

        impl Units for $name {
            #[inline]
            #[target_feature(enable = "avx512f")]
            unsafe fn unit($row: *const u8, $u: usize) -> [__m512; 2] {
                // SAFETY: the row has the whole block.
                unsafe { $body }
            }
        }
    )*};
}

units! {
    F32: |row, u| {
        let at = row.cast::<f32>().add(32 * u);
        [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))]
    }
    F16: |row, u| {
        let at = row.add(64 * u);
        [
            _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
            _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
        ]
    }
    Bf16: |row, u| {
        let at = row.add(64 * u);
        [upper_halves(at), upper_halves(at.add(32))]
    }
}

/// 16 numbers that are the upper halves of f32.
///
/// # Safety
/// 32 bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn upper_halves(at: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    let halves = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(at.cast()) });
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
}
