//! A 16 x 16 transpose of 32-bit values in registers.

use std::arch::x86_64::*;

/// Row i of the result is column i of `r`: 2 x 2, 4 x 4, then 8 x 8 and 16 x 16 by 128-bit lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::cpu) fn transpose_16(r: [__m512; 16]) -> [__m512; 16] {
    let mut pairs = r;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    // quads[4 g + c], lane l: column 4 l + c of rows 4 g .. 4 g + 4.
    let mut quads = pairs;
    for g in (0..16).step_by(4) {
        let low = |x, y| (_mm512_castps_pd(x), _mm512_castps_pd(y));
        let (a, b) = low(pairs[g], pairs[g + 2]);
        let (c, d) = low(pairs[g + 1], pairs[g + 3]);
        quads[g] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        quads[g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        quads[g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        quads[g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
    let mut out = quads;
    for c in 0..4 {
        let even_low = _mm512_shuffle_f32x4::<0b10_00_10_00>(quads[c], quads[4 + c]);
        let odd_low = _mm512_shuffle_f32x4::<0b11_01_11_01>(quads[c], quads[4 + c]);
        let even_high = _mm512_shuffle_f32x4::<0b10_00_10_00>(quads[8 + c], quads[12 + c]);
        let odd_high = _mm512_shuffle_f32x4::<0b11_01_11_01>(quads[8 + c], quads[12 + c]);
        out[c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(even_low, even_high);
        out[4 + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(odd_low, odd_high);
        out[8 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(even_low, even_high);
        out[12 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(odd_low, odd_high);
    }
    out
}
