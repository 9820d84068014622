//! Products of whole numbers on AVX-512 with VNNI, whose `vpdpbusd` multiplies 64 bytes without a sign by 64 with one, and adds
//! them up by fours: once for each byte of A. 128 weights are unpacked in registers, and multiplied there with some rows of A.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::avx512::halves;
use super::rounded::{Group, Stored, TOGETHER, steps};
use super::whole::Rounded;
use super::whole_units::{Packed, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q6K, Q8_0};
use super::{Blocks, STREAMS, UNIT};
use crate::cpu::matmul::view::Out;
use warpsmith_gguf::Kind;

/// Rows of A that pass by unpacked weights.
const MR: usize = 6;
/// Bytes of weights that are fetched ahead for one row of A: the processor itself stops at the end of a page.
const AHEAD: usize = 4096;

/// Whether this processor has the instructions.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// As [`round`](super::rounded::round), with its bits.
///
/// # Safety
/// The processor must be [`available`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn round(row: &[f32], stored: Stored, groups: &mut [Group]) -> bool {
    let mut within = true;
    for (row, group) in row.chunks(TOGETHER * UNIT).zip(groups) {
        for (b, block) in row.as_chunks::<UNIT>().0.iter().enumerate() {
            // SAFETY: two registers of values; a group has room for four blocks.
            unsafe {
                let x = [_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(16))];
                // NaN is the larger of two as a whole number, and so is infinity.
                let sizes = _mm512_max_epu32(size(x[0]), size(x[1]));
                let largest = f32::from_bits(_mm512_reduce_max_epu32(sizes));
                let Some((step, inverse)) = steps(largest) else {
                    within = false;
                    continue;
                };
                let inverse = _mm512_set1_ps(inverse);
                let whole = [
                    _mm512_cvtps_epi32(_mm512_mul_ps(x[0], inverse)),
                    _mm512_cvtps_epi32(_mm512_mul_ps(x[1], inverse)),
                ];
                let [mut first, mut second] = [_mm_setzero_si128(); 2];
                for (half, total) in [(0, &mut first), (1, &mut second)] {
                    let coarse = _mm512_srai_epi32::<7>(_mm512_add_epi32(whole[half], _mm512_set1_epi32(64)));
                    let fine = _mm512_sub_epi32(whole[half], _mm512_slli_epi32::<7>(coarse));
                    let (coarse, fine) = (_mm512_cvtepi32_epi8(coarse), _mm512_cvtepi32_epi8(fine));
                    _mm_store_si128(group.coarse[half].as_mut_ptr().add(16 * b).cast(), coarse);
                    _mm_store_si128(group.fine[half].as_mut_ptr().add(16 * b).cast(), fine);
                    let fours = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), coarse);
                    *total = _mm_dpbusd_epi32(_mm_slli_epi32::<7>(fours), _mm_set1_epi8(1), fine);
                }
                let (both, offset) = (_mm_add_epi32(first, second), _mm_set1_epi32(-stored.offset));
                let begin = if stored.in_halves { [first, second] } else { [both, _mm_setzero_si128()] };
                for half in 0..2 {
                    let begin = _mm_mullo_epi32(begin[half], offset);
                    _mm_store_si128(group.begin[half].as_mut_ptr().add(4 * b).cast(), begin);
                }
                let step = _mm_set1_ps(step);
                _mm_store_ps(group.scale.as_mut_ptr().add(4 * b), step);
                _mm_store_ps(group.total.as_mut_ptr().add(4 * b), _mm_mul_ps(step, _mm_cvtepi32_ps(both)));
            }
        }
    }
    within
}

/// As [`Rounded::product`], on this thread.
///
/// # Safety
/// As there, and the processor must be [`available`].
pub(super) unsafe fn product(a: &Rounded, w: Blocks<'_>, out: Out<f32>) {
    // SAFETY: the caller's promise.
    unsafe {
        match w.kind {
            // Not of whole numbers: `Rounded` is not made for them.
            Kind::F32 | Kind::F16 | Kind::Bf16 => {}
            Kind::Q4_0 => product_of::<Q4_0>(a, w, out),
            Kind::Q4_1 => product_of::<Q4_1>(a, w, out),
            Kind::Q5_0 => product_of::<Q5_0>(a, w, out),
            Kind::Q5_1 => product_of::<Q5_1>(a, w, out),
            Kind::Q8_0 => product_of::<Q8_0>(a, w, out),
            Kind::Q4K => product_of::<Q4K>(a, w, out),
            Kind::Q6K => product_of::<Q6K>(a, w, out),
        }
    }
}

/// # Safety
/// As [`product`].
unsafe fn product_of<P: Packed>(a: &Rounded, w: Blocks<'_>, out: Out<f32>) {
    let m = a.rows().len();
    let (some, together) = (m / MR * MR, w.n / STREAMS * STREAMS);
    // SAFETY: rows of C for the rows of A.
    unsafe {
        for i in (0..some).step_by(MR) {
            few_rows::<P, MR, 1>(&from_fn(|j| a.row(i + j)), w, out.at(i, 0));
        }
        for i in some..m {
            few_rows::<P, 1, STREAMS>(&[a.row(i)], w.rows(0..together), out.at(i, 0));
            few_rows::<P, 1, 1>(&[a.row(i)], w.rows(together..w.n), out.at(i, together));
        }
    }
}

/// M rows of A times all rows of W, N at a time.
///
/// # Safety
/// As [`product`], with M rows of A and a multiple of N of W.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn few_rows<P: Packed, const M: usize, const N: usize>(
    x: &[&[Group]; M],
    w: Blocks<'_>,
    out: Out<f32>,
) {
    let (blocks, width) = (w.k / UNIT, Blocks::row_bytes(w.kind, w.k));
    let ahead = N * 4 * w.kind.block_bytes() * UNIT / w.kind.block_len();
    for (n, rows) in w.bytes.chunks_exact(N * width).enumerate() {
        let mut sums = [[[_mm512_setzero_ps(); 2]; M]; N];
        // SAFETY: a row has so many blocks, those of A too; `out` has a row for each of A and a column for each of W.
        unsafe {
            for g in 0..blocks / 4 {
                if M == 1 {
                    for line in (g * ahead..(g + 1) * ahead).step_by(64) {
                        // What lies beyond the weights is not read.
                        _mm_prefetch::<_MM_HINT_T0>(rows.as_ptr().wrapping_add(AHEAD + line).cast());
                    }
                }
                for j in 0..N {
                    add_group::<P, M>(x, rows.as_ptr().add(j * width), g, 4, &mut sums[j]);
                }
            }
            if !blocks.is_multiple_of(4) {
                for j in 0..N {
                    let row = rows.as_ptr().add(j * width);
                    add_group::<P, M>(x, row, blocks / 4, blocks % 4, &mut sums[j]);
                }
            }
            for i in 0..M {
                for (j, sums) in sums.iter().enumerate() {
                    *out.at(i, N * n + j).ptr = halves(sums[i]);
                }
            }
        }
    }
}

/// # Safety
/// `row` must have group `g` with so many blocks, and each of `x` a group `g`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_group<P: Packed, const M: usize>(
    x: &[&[Group]; M],
    row: *const u8,
    g: usize,
    blocks: usize,
    sums: &mut [[__m512; 2]; M],
) {
    // SAFETY: the caller's promise.
    let w = unsafe { P::group(row, g, blocks) };
    for i in 0..M {
        // SAFETY: the caller's promise.
        let x = unsafe { x[i].get_unchecked(g) };
        let scale = floats(&x.scale);
        if P::HALF_SCALES {
            for half in 0..2 {
                let coarse =
                    _mm512_dpbusd_epi32(_mm512_setzero_si512(), w.stored[half], whole(&x.coarse[half]));
                let fine = _mm512_dpbusd_epi32(whole(&x.begin[half]), w.stored[half], whole(&x.fine[half]));
                let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<7>(coarse), fine));
                sums[i][half] = _mm512_fmadd_ps(sum, _mm512_mul_ps(w.scales[half], scale), sums[i][half]);
            }
        } else {
            let coarse = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w.stored[0], whole(&x.coarse[0]));
            let coarse = _mm512_dpbusd_epi32(coarse, w.stored[1], whole(&x.coarse[1]));
            let fine = _mm512_dpbusd_epi32(whole(&x.begin[0]), w.stored[0], whole(&x.fine[0]));
            let fine = _mm512_dpbusd_epi32(fine, w.stored[1], whole(&x.fine[1]));
            let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<7>(coarse), fine));
            sums[i][0] = _mm512_fmadd_ps(sum, _mm512_mul_ps(w.scales[0], scale), sums[i][0]);
        }
        if P::LEAST {
            sums[i][1] = _mm512_fmadd_ps(w.least, floats(&x.total), sums[i][1]);
        }
    }
}

/// Sizes whose order as whole numbers is that of the values.
#[inline]
#[target_feature(enable = "avx512f")]
fn size(x: __m512) -> __m512i {
    _mm512_castps_si512(_mm512_abs_ps(x))
}

/// 64 bytes of whole numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole<T: bytemuck::Pod, const N: usize>(numbers: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: so many bytes are there.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

/// 16 numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn floats(numbers: &[f32; 16]) -> __m512 {
    // SAFETY: they are there.
    unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
}
