//! 32 weights of each kind of blocks as two registers of f32, with the bits of [`warpsmith_gguf::Kind::dequantise`]: products
//! of a scale and a whole number are exact in f32, or rounded once there as here.

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
    Q4_0: |row, u| {
        let block = row.add(18 * u);
        scaled(nibbles(block.add(2), from(-8.0)), half(block))
    }
    Q4_1: |row, u| {
        let block = row.add(20 * u);
        scaled_above(nibbles(block.add(4), from(0.0)), half(block), half(block.add(2)))
    }
    Q5_0: |row, u| {
        let block = row.add(22 * u);
        scaled(fifth(nibbles(block.add(6), from(-16.0)), block.add(2)), half(block))
    }
    Q5_1: |row, u| {
        let block = row.add(24 * u);
        let q = fifth(nibbles(block.add(8), from(0.0)), block.add(4));
        scaled_above(q, half(block), half(block.add(2)))
    }
    Q8_0: |row, u| {
        let block = row.add(34 * u);
        scaled([signed(block.add(2)), signed(block.add(18))], half(block))
    }
    Q4K: |row, u| {
        // Eight units in a block, each with a scale and a minimum of 6 bits.
        let (block, i) = (row.add(u / 8 * 144), u % 8);
        let packed = block.add(4);
        let (scale, least) = match i {
            0..4 => (*packed.add(i) & 63, *packed.add(i + 4) & 63),
            _ => (
                *packed.add(i + 4) & 15 | *packed.add(i - 4) >> 6 << 4,
                *packed.add(i + 4) >> 4 | *packed.add(i) >> 6 << 4,
            ),
        };
        let scale = _mm512_mul_ps(half(block), _mm512_set1_ps(f32::from(scale)));
        let least = _mm512_mul_ps(half(block.add(2)), _mm512_set1_ps(-f32::from(least)));
        // Two units share 32 bytes, one in the low halves and one in the high.
        let (bytes, shift) = (block.add(16 + i / 2 * 32), i % 2 * 4);
        scaled_above([nibble(bytes, shift), nibble(bytes.add(16), shift)], scale, least)
    }
    Q6K: |row, u| {
        // Eight units in a block: two parts of four lines of 32 weights. See `q6_k` of the crate `warpsmith-gguf`.
        let (block, part, line) = (row.add(u / 8 * 210), u % 8 / 4, u % 4);
        let (low, high) = (block.add(part * 64 + line % 2 * 32), block.add(128 + part * 32));
        let (scale, own) = (half(block.add(208)), block.add(192 + u % 8 * 2));
        let shifts = (line / 2 * 4, 2 * line);
        let first = six_bits(low, high, shifts);
        let second = six_bits(low.add(16), high.add(16), shifts);
        [
            _mm512_mul_ps(first, _mm512_mul_ps(scale, _mm512_set1_ps(f32::from(*own as i8)))),
            _mm512_mul_ps(second, _mm512_mul_ps(scale, _mm512_set1_ps(f32::from(*own.add(1) as i8)))),
        ]
    }
}

/// q·scale
#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(q: [__m512; 2], scale: __m512) -> [__m512; 2] {
    [_mm512_mul_ps(q[0], scale), _mm512_mul_ps(q[1], scale)]
}

/// q·scale + least
#[inline]
#[target_feature(enable = "avx512f")]
fn scaled_above(q: [__m512; 2], scale: __m512, least: __m512) -> [__m512; 2] {
    [_mm512_fmadd_ps(q[0], scale, least), _mm512_fmadd_ps(q[1], scale, least)]
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

/// 16 numbers of 8 bits with a sign.
///
/// # Safety
/// 16 bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn signed(at: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}

/// Four bits of 16 bytes, from bit `shift` on.
///
/// # Safety
/// 16 bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn nibble(at: *const u8, shift: usize) -> __m512 {
    // SAFETY: the caller's promise.
    let words = _mm512_srl_epi32(unsafe { words(at) }, _mm_cvtsi32_si128(shift as i32));
    _mm512_permutexvar_ps(words, from(0.0))
}

/// Numbers of 6 bits, less 32: four bits of 16 bytes at `low` and two of 16 at `high`, from these bits on.
///
/// # Safety
/// 16 bytes must be readable at each.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn six_bits(low: *const u8, high: *const u8, (four, two): (usize, usize)) -> __m512 {
    // SAFETY: the caller's promise.
    let (low, high) = unsafe { (words(low), words(high)) };
    let [four, two] = [_mm_cvtsi32_si128(four as i32), _mm_cvtsi32_si128(two as i32)];
    let low = _mm512_and_si512(_mm512_srl_epi32(low, four), _mm512_set1_epi32(15));
    let high = _mm512_and_si512(_mm512_srl_epi32(high, two), _mm512_set1_epi32(3));
    let q = _mm512_or_si512(low, _mm512_slli_epi32::<4>(high));
    _mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(32)))
}

/// An f16 in every lane, as f32.
///
/// # Safety
/// Two bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn half(at: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtph_ps(_mm256_set1_epi16(unsafe { at.cast::<i16>().read_unaligned() }))
}

/// 16 bytes, each in a word of its own.
///
/// # Safety
/// They must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn words(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) })
}

/// The numbers `first`, `first` + 1, … `first` + 15.
#[inline]
#[target_feature(enable = "avx512f")]
fn from(first: f32) -> __m512 {
    let count =
        _mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0);
    _mm512_add_ps(count, _mm512_set1_ps(first))
}

/// The low halves of 16 bytes, then the high ones, each looked up in `table`: a lookup reads four bits of its index.
///
/// # Safety
/// 16 bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn nibbles(at: *const u8, table: __m512) -> [__m512; 2] {
    // SAFETY: the caller's promise.
    let words = unsafe { words(at) };
    [_mm512_permutexvar_ps(words, table), _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(words), table)]
}

/// 16 more where a bit of 32 is set.
///
/// # Safety
/// Four bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn fifth(q: [__m512; 2], at: *const u8) -> [__m512; 2] {
    // SAFETY: the caller's promise.
    let bits = u32::from_le(unsafe { at.cast::<u32>().read_unaligned() });
    let sixteen = _mm512_set1_ps(16.0);
    [
        _mm512_mask_add_ps(q[0], bits as u16, q[0], sixteen),
        _mm512_mask_add_ps(q[1], (bits >> 16) as u16, q[1], sixteen),
    ]
}
