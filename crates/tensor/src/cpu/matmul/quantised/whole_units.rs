//! 128 weights of each kind of blocks, as whole numbers in two registers: the first 16 of four blocks, and the other 16. The
//! numbers are those of [`warpsmith_gguf::Kind::unit`].
//!
//! Nothing here goes through `map` of an array: that function has not the instructions, so it is called once for each
//! element with registers in memory, unless the compiler happens to take it apart. Q8_0 was six times as slow with it.

use std::arch::x86_64::*;

/// Four blocks of 32.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// The numbers as they are stored.
    pub(super) stored: [__m512i; 2],
    /// The scales of the first 16 of each block, four times each, and those of the other 16 (the same where a block has one).
    pub(super) scales: [__m512; 2],
    /// The minimum of each block, four times.
    pub(super) least: __m512,
}

impl Weights {
    /// Absent ones.
    pub(super) const NONE: Self = {
        // SAFETY: registers may be all zeros.
        unsafe { std::mem::zeroed() }
    };
}

/// How a kind of blocks is unpacked.
pub(super) trait Packed {
    /// Whether 16 weights have a scale of their own.
    const HALF_SCALES: bool = false;
    /// Whether blocks have a minimum.
    const LEAST: bool = false;
    /// Whether an element of C has two chains of sums that are not nothing.
    const TWO_SUMS: bool = Self::HALF_SCALES || Self::LEAST;

    /// Blocks 4·g to 4·g + 3 of a row, or as many of them as there are; the others are zero.
    ///
    /// # Safety
    /// AVX-512 F and BW; the row must have `blocks` of them, 1 to 4.
    unsafe fn group(row: *const u8, g: usize, blocks: usize) -> Weights;
}

/// Declares kinds whose blocks have 32 weights: what is stored, from the first of four blocks on, and whether a minimum
/// follows the scale.
macro_rules! short_blocks {
    ($($name:ident, $bytes:literal, $least:literal, |$at:ident, $blocks:ident| $stored:expr;)*) => {$(
        pub(super) struct $name;

        impl Packed for $name {
            const LEAST: bool = $least;

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw")]
            unsafe fn group(row: *const u8, g: usize, $blocks: usize) -> Weights {
                // SAFETY: these blocks are in the row.
                unsafe {
                    let $at = row.add(4 * $bytes * g);
                    let pairs = pairs::<$bytes>($at, $blocks);
                    let scale = each::<0>(pairs);
                    let least = if $least { each::<1>(pairs) } else { _mm512_setzero_ps() };
                    Weights { stored: $stored, scales: [scale; 2], least }
                }
            }
        }
    )*};
}

short_blocks! {
    Q4_0, 18, false, |at, blocks| nibbles(sixteen::<18>(at.add(2), blocks));
    Q4_1, 20, true, |at, blocks| nibbles(sixteen::<20>(at.add(4), blocks));
    Q5_0, 22, false, |at, blocks| fifth::<22>(nibbles(sixteen::<22>(at.add(6), blocks)), at.add(2), blocks);
    Q5_1, 24, true, |at, blocks| fifth::<24>(nibbles(sixteen::<24>(at.add(8), blocks)), at.add(4), blocks);
    Q8_0, 34, false, |at, blocks| [shifted(sixteen::<34>(at.add(2), blocks)), shifted(sixteen::<34>(at.add(18), blocks))];
}

pub(super) struct Q4K;

impl Packed for Q4K {
    const LEAST: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn group(row: *const u8, g: usize, _blocks: usize) -> Weights {
        // SAFETY: a row is whole blocks of 256, two groups each.
        unsafe {
            let (block, part) = (row.add(g / 2 * 144), g % 2);
            // Blocks 0 and 1 share 32 bytes, one in the low halves and one in the high; 2 and 3 share the next.
            let [low, high] = nibbles(_mm512_loadu_si512(block.add(16 + 64 * part).cast()));
            let stored = [
                _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high),
                _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high),
            ];
            // Four scales and four minimums of 6 bits, in bytes.
            let word = |at: usize| block.add(4 + 4 * at).cast::<u32>().read_unaligned();
            let [scales, least] = match part {
                0 => [word(0) & 0x3f3f_3f3f, word(1) & 0x3f3f_3f3f],
                _ => [
                    word(2) & 0x0f0f_0f0f | word(0) >> 2 & 0x3030_3030,
                    word(2) >> 4 & 0x0f0f_0f0f | word(1) >> 2 & 0x3030_3030,
                ],
            };
            let words = _mm512_cvtepu8_epi32(_mm_setr_epi32(scales as i32, least as i32, 0, 0));
            let both = _mm512_cvtepi32_ps(words);
            let pair = _mm_cvtph_ps(_mm_cvtsi32_si128(block.cast::<i32>().read_unaligned()));
            let scale = _mm512_broadcastss_ps(pair);
            let negated = _mm512_broadcastss_ps(_mm_movehdup_ps(pair));
            let four = |first| _mm512_permutexvar_ps(quarters(first, 1), both);
            let scale = _mm512_mul_ps(four(0), scale);
            let least = _mm512_fnmadd_ps(four(4), negated, _mm512_setzero_ps());
            Weights { stored, scales: [scale; 2], least }
        }
    }
}

pub(super) struct Q6K;

impl Packed for Q6K {
    const HALF_SCALES: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn group(row: *const u8, g: usize, _blocks: usize) -> Weights {
        // SAFETY: a row is whole blocks of 256, two groups each.
        unsafe {
            let (block, part) = (row.add(g / 2 * 210), g % 2);
            // 0 and 1, then 2 and 3, each 32 in a row: four bits from 64 bytes, and two from 32, a pair for each block.
            let low = nibbles(_mm512_loadu_si512(block.add(64 * part).cast()));
            let pairs = _mm512_broadcast_i64x4(_mm256_loadu_si256(block.add(128 + 32 * part).cast()));
            let high = [
                _mm512_sllv_epi64(pairs, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2)),
                _mm512_srlv_epi64(pairs, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2)),
            ];
            let upper = _mm512_set1_epi8(0x30);
            let a = _mm512_or_si512(low[0], _mm512_and_si512(high[0], upper));
            let b = _mm512_or_si512(low[1], _mm512_and_si512(high[1], upper));
            let stored =
                [_mm512_shuffle_i64x2::<0b10_00_10_00>(a, b), _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b)];
            let own = _mm_loadl_epi64(block.add(192 + 8 * part).cast());
            let own = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(own));
            let scale = _mm_cvtph_ps(_mm_cvtsi32_si128(block.add(208).cast::<u16>().read_unaligned().into()));
            let scale = _mm512_mul_ps(own, _mm512_broadcastss_ps(scale));
            let each = |half| _mm512_permutexvar_ps(quarters(half, 2), scale);
            Weights { stored, scales: [each(0), each(1)], least: _mm512_setzero_ps() }
        }
    }
}

/// Numbers of lanes: `first` four times, `first + step` four times, and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(first: i32, step: i32) -> __m512i {
    let fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    let fours = if step == 2 { _mm512_slli_epi32::<1>(fours) } else { fours };
    _mm512_add_epi32(fours, _mm512_set1_epi32(first))
}

/// The first four bytes of each block, as pairs of f16 made f32: pair b is of block b, zero if there is none.
///
/// # Safety
/// So many blocks of `BYTES` must be readable, 1 to 4.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pairs<const BYTES: usize>(at: *const u8, blocks: usize) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtph_ps(_mm256_castsi128_si256(unsafe { words::<BYTES>(at, blocks) }))
}

/// The first four bytes of each block, zeros for absent ones.
///
/// # Safety
/// As [`pairs`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn words<const BYTES: usize>(at: *const u8, blocks: usize) -> __m128i {
    let word = |b: usize| match b < blocks {
        // SAFETY: the caller's promise.
        true => unsafe { at.add(b * BYTES).cast::<i32>().read_unaligned() },
        false => 0,
    };
    _mm_setr_epi32(word(0), word(1), word(2), word(3))
}

/// The first or the second of each of four pairs, four times each.
#[inline]
#[target_feature(enable = "avx512f")]
fn each<const SECOND: i32>(pairs: __m512) -> __m512 {
    _mm512_permutexvar_ps(quarters(SECOND, 2), pairs)
}

/// 16 bytes of each block, zeros for absent ones.
///
/// # Safety
/// So many blocks of `BYTES` must be readable from `at` on, 1 to 4, the last for 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn sixteen<const BYTES: usize>(at: *const u8, blocks: usize) -> __m512i {
    // SAFETY: the caller's promise. Masked broadcasts need no shuffle.
    unsafe {
        let from = |b: usize| _mm_loadu_si128(at.add(b * BYTES).cast());
        let mut all = _mm512_maskz_broadcast_i32x4(0x000f, from(0));
        if blocks > 1 {
            all = _mm512_mask_broadcast_i32x4(all, 0x00f0, from(1));
        }
        if blocks > 2 {
            all = _mm512_mask_broadcast_i32x4(all, 0x0f00, from(2));
        }
        if blocks > 3 {
            all = _mm512_mask_broadcast_i32x4(all, 0xf000, from(3));
        }
        all
    }
}

/// Bytes with a sign as bytes without one, 128 larger.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shifted(bytes: __m512i) -> __m512i {
    _mm512_xor_si512(bytes, _mm512_set1_epi8(-128))
}

/// The low and the high halves of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles(bytes: __m512i) -> [__m512i; 2] {
    let low = _mm512_set1_epi8(15);
    [_mm512_and_si512(bytes, low), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low)]
}

/// 16 more where a bit is set: each block has 32 bits at `at`, the lower half for the first 16 weights.
///
/// # Safety
/// As [`pairs`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn fifth<const BYTES: usize>(stored: [__m512i; 2], at: *const u8, blocks: usize) -> [__m512i; 2] {
    // SAFETY: the caller's promise.
    let bits = _mm512_castsi128_si512(unsafe { words::<BYTES>(at, blocks) });
    // Each block's four bytes four times; of these the first eight times, then the second, for the first 16 weights.
    let bits = _mm512_permutexvar_epi32(quarters(0, 1), bits);
    let [first, second] = [0, 2].map(i64::from).map(|i| {
        let eight = |i: i64| i * 0x0101_0101_0101_0101;
        _mm512_shuffle_epi8(bits, _mm512_broadcast_i32x4(_mm_set_epi64x(eight(i + 1), eight(i))))
    });
    let places = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
    let more = _mm512_set1_epi8(16);
    [
        _mm512_mask_add_epi8(stored[0], _mm512_test_epi8_mask(first, places), stored[0], more),
        _mm512_mask_add_epi8(stored[1], _mm512_test_epi8_mask(second, places), stored[1], more),
    ]
}
