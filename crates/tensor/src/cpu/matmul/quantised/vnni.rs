//! Products of whole numbers on AVX-512 with VNNI, whose `vpdpbusd` multiplies 64 bytes without a sign by 64 with one, and adds
//! them up by fours: once for each byte of A. For one row of A weights are unpacked in registers and multiplied there; for
//! several the rows of a task are unpacked first, into the second-level cache, and multiplied in tiles.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::avx512::halves;
use super::rounded::{Group, Stored, TOGETHER, steps};
use super::whole::Rounded;
use super::whole_units::{Packed, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q6K, Q8_0, Weights};
use super::{Blocks, STREAMS, UNIT};
use crate::cpu::matmul::scratch::with_thread_scratch;
use crate::cpu::matmul::view::Out;
use warpsmith_gguf::Kind;

/// Rows of A in a tile.
const MR: usize = 4;
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
    // SAFETY: rows of C for those of A, and columns for those of W.
    unsafe {
        if m < MR {
            let whole = w.n / STREAMS * STREAMS;
            for i in 0..m {
                one_row::<P, STREAMS>(a.row(i), w.rows(0..whole), out.at(i, 0));
                one_row::<P, 1>(a.row(i), w.rows(whole..w.n), out.at(i, whole));
            }
            return;
        }
        let groups = (w.k / UNIT).div_ceil(TOGETHER);
        with_thread_scratch(|scratch| {
            let (unpacked, _) = scratch.buffers::<u8>(w.n * groups * size_of::<Weights>(), 0);
            let unpacked = unpacked.cast::<Weights>();
            unpack::<P>(w, groups, unpacked);
            for i in (0..m - m % MR).step_by(MR) {
                let (x, out): ([_; MR], _) = (from_fn(|j| a.row(i + j)), out.at(i, 0));
                match P::TWO_SUMS {
                    false => tiles::<P, MR, 4>(&x, unpacked, w.n, out),
                    true => tiles::<P, MR, 2>(&x, unpacked, w.n, out),
                }
            }
            (m - m % MR..m).for_each(|i| tiles::<P, 1, 4>(&[a.row(i)], unpacked, w.n, out.at(i, 0)));
        });
    }
}

/// All groups of all rows of W, row after row.
///
/// # Safety
/// As [`product`], and `to` must have the space, at multiples of 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn unpack<P: Packed>(w: Blocks<'_>, groups: usize, to: *mut Weights) {
    for (n, row) in w.bytes.chunks_exact(Blocks::row_bytes(w.kind, w.k)).enumerate() {
        for g in 0..groups {
            // SAFETY: a row has so many blocks; the caller's promise.
            unsafe { *to.add(n * groups + g) = P::group(row.as_ptr(), g, (w.k / UNIT - 4 * g).min(4)) };
        }
    }
}

/// M rows of A times `n` rows of W, N at a time, and those that are left over one by one.
///
/// # Safety
/// As [`product`], with M rows of A and as many groups in each row of W.
unsafe fn tiles<P: Packed, const M: usize, const N: usize>(
    x: &[&[Group]; M],
    w: *const Weights,
    n: usize,
    out: Out<f32>,
) {
    let groups = x[0].len();
    // SAFETY: the caller's promise.
    unsafe {
        for j in (0..n / N * N).step_by(N) {
            tile::<P, M, N>(x, w.add(j * groups), out.at(0, j));
        }
        for j in n / N * N..n {
            tile::<P, M, 1>(x, w.add(j * groups), out.at(0, j));
        }
    }
}

/// M rows of A times N rows of W.
///
/// # Safety
/// As [`tiles`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile<P: Packed, const M: usize, const N: usize>(
    x: &[&[Group]; M],
    w: *const Weights,
    out: Out<f32>,
) {
    let groups = x[0].len();
    let mut sums = [[[_mm512_setzero_ps(); 2]; N]; M];
    for g in 0..groups {
        // SAFETY: all rows have so many groups.
        unsafe {
            let w: [&Weights; N] = from_fn(|j| &*w.add(j * groups + g));
            let x: [&Group; M] = from_fn(|i| x[i].get_unchecked(g));
            add::<P, M, N>(&x, &w, &mut sums);
        }
    }
    for i in 0..M {
        for j in 0..N {
            // SAFETY: `out` has a row for each of A and a column for each of W.
            unsafe { *out.at(i, j).ptr = halves(sums[i][j]) };
        }
    }
}

/// One row of A times all rows of W, N at a time.
///
/// # Safety
/// As [`product`], with one row of A and a multiple of N of W.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn one_row<P: Packed, const N: usize>(x: &[Group], w: Blocks<'_>, out: Out<f32>) {
    let (blocks, width) = (w.k / UNIT, Blocks::row_bytes(w.kind, w.k));
    let ahead = N * 4 * w.kind.block_bytes() * UNIT / w.kind.block_len();
    for (n, rows) in w.bytes.chunks_exact(N * width).enumerate() {
        let mut sums = [[[_mm512_setzero_ps(); 2]; N]];
        // SAFETY: a row has so many blocks, and A as many groups; `out` has a column for each row of W.
        unsafe {
            let mut add = |g, blocks| {
                let mut w = [Weights::NONE; N];
                for j in 0..N {
                    w[j] = P::group(rows.as_ptr().add(j * width), g, blocks);
                }
                add::<P, 1, N>(&[x.get_unchecked(g)], &w.each_ref(), &mut sums);
            };
            for g in 0..blocks / 4 {
                for line in (g * ahead..(g + 1) * ahead).step_by(64) {
                    // What lies beyond the weights is not read.
                    _mm_prefetch::<_MM_HINT_T0>(rows.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                add(g, 4);
            }
            if !blocks.is_multiple_of(4) {
                add(blocks / 4, blocks % 4);
            }
            for (j, sums) in sums[0].iter().enumerate() {
                *out.at(0, N * n + j).ptr = halves(*sums);
            }
        }
    }
}

/// Adds the products of a group of M rows of A and N of W.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add<P: Packed, const M: usize, const N: usize>(
    x: &[&Group; M],
    w: &[&Weights; N],
    sums: &mut [[[__m512; 2]; N]; M],
) {
    for i in 0..M {
        let x = x[i];
        let (scale, total) = (floats(&x.scale), floats(&x.total));
        let coarse = [whole(&x.coarse[0]), whole(&x.coarse[1])];
        let fine = [whole(&x.fine[0]), whole(&x.fine[1])];
        let begin = [whole(&x.begin[0]), whole(&x.begin[1])];
        for j in 0..N {
            let (w, sums) = (w[j], &mut sums[i][j]);
            let mut upper = [_mm512_setzero_si512(); 2];
            let mut lower = begin;
            for half in 0..2 {
                let to = if P::HALF_SCALES { half } else { 0 };
                upper[to] = _mm512_dpbusd_epi32(upper[to], w.stored[half], coarse[half]);
                lower[to] = _mm512_dpbusd_epi32(lower[to], w.stored[half], fine[half]);
            }
            for half in 0..if P::HALF_SCALES { 2 } else { 1 } {
                let sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(upper[half]), lower[half]);
                let scale = _mm512_mul_ps(w.scales[half], scale);
                sums[half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, sums[half]);
            }
            if P::LEAST {
                sums[1] = _mm512_fmadd_ps(w.least, total, sums[1]);
            }
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
