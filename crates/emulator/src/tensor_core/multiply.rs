//! D = A·B + C on plain matrices, and the `mma` shapes that wrap it.

use super::fragment::{a8x4, a16x8_tf32, a16x16, b4x8, b8x8_tf32, b16x8, c8x8, c16x8};
use crate::convert::{Exact, F16, Rounding, Value, bf16_to_f32, f16_to_f32, f64_to_f32};

/// One register of each of the 32 lanes.
pub type Lanes<T> = [T; 32];

/// The 16-bit element types of `mma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

/// `m16n8k16` with f32 accumulators: A in four registers, B in two, C and D in four.
pub fn mma_m16n8k16(
    a: &[Lanes<u32>; 4],
    b: &[Lanes<u32>; 2],
    c: &[Lanes<f32>; 4],
    kind: Half,
) -> [Lanes<f32>; 4] {
    scatter_f32(&multiply(
        &halves::<16, 16, 4>(a, kind, a16x16),
        &halves::<16, 8, 2>(b, kind, b16x8),
        gather_f32(c),
    ))
}

/// `m16n8k16` with f16 operands and f16 accumulators, two in a register.
pub fn mma_m16n8k16_f16(a: &[Lanes<u32>; 4], b: &[Lanes<u32>; 2], c: &[Lanes<u32>; 2]) -> [Lanes<u32>; 2] {
    let (a, b) = (halves::<16, 16, 4>(a, Half::F16, a16x16), halves::<16, 8, 2>(b, Half::F16, b16x8));
    scatter_f16(&multiply(&a, &b, halves::<16, 8, 2>(c, Half::F16, c16x8)))
}

/// `m16n8k8` of f16 or bf16 with f32 accumulators.
pub fn mma_m16n8k8(
    a: &[Lanes<u32>; 2],
    b: &[Lanes<u32>; 1],
    c: &[Lanes<f32>; 4],
    kind: Half,
) -> [Lanes<f32>; 4] {
    scatter_f32(&multiply(
        &halves::<16, 8, 2>(a, kind, c16x8),
        &halves::<8, 8, 1>(b, kind, b16x8),
        gather_f32(c),
    ))
}

/// `m16n8k8` with f16 operands and f16 accumulators.
pub fn mma_m16n8k8_f16(a: &[Lanes<u32>; 2], b: &[Lanes<u32>; 1], c: &[Lanes<u32>; 2]) -> [Lanes<u32>; 2] {
    let (a, b) = (halves::<16, 8, 2>(a, Half::F16, c16x8), halves::<8, 8, 1>(b, Half::F16, b16x8));
    scatter_f16(&multiply(&a, &b, halves::<16, 8, 2>(c, Half::F16, c16x8)))
}

/// `m16n8k8` of tf32, with f32 accumulators. The low 13 bits of each operand are ignored.
pub fn mma_m16n8k8_tf32(a: &[Lanes<u32>; 4], b: &[Lanes<u32>; 2], c: &[Lanes<f32>; 4]) -> [Lanes<f32>; 4] {
    let (a, b) = (gather_tf32::<16, 8, 4>(a, a16x8_tf32), gather_tf32::<8, 8, 2>(b, b8x8_tf32));
    scatter_f32(&multiply(&a, &b, gather_f32(c)))
}

/// `m16n8k4` of tf32, with f32 accumulators.
pub fn mma_m16n8k4_tf32(a: &[Lanes<u32>; 2], b: &[Lanes<u32>; 1], c: &[Lanes<f32>; 4]) -> [Lanes<f32>; 4] {
    let (a, b) = (gather_tf32::<16, 4, 2>(a, a16x8_tf32), gather_tf32::<4, 8, 1>(b, b8x8_tf32));
    scatter_f32(&multiply(&a, &b, gather_f32(c)))
}

/// `m8n8k4` of f64: a chain of fused multiply-adds over k, each rounded to nearest.
pub fn mma_m8n8k4_f64(a: &Lanes<f64>, b: &Lanes<f64>, c: &[Lanes<f64>; 2]) -> [Lanes<f64>; 2] {
    let (mut left, mut right) = ([[0.0; 4]; 8], [[0.0; 8]; 4]);
    for lane in 0..32 {
        let ((m, k), (l, n)) = (a8x4(lane, 0), b4x8(lane, 0));
        left[m][k] = a[lane];
        right[l][n] = b[lane];
    }
    std::array::from_fn(|i| {
        std::array::from_fn(|lane| {
            let (m, n) = c8x8(lane, i);
            (0..4).fold(c[i][lane], |sum, k| f64::mul_add(left[m][k], right[k][n], sum))
        })
    })
}

/// A·B + C, the sum in f64, starting from C and going up in k. Products of the types here are exact in f64.
#[inline]
fn multiply<const K: usize>(a: &[[f64; K]; 16], b: &[[f64; 8]; K], c: [[f64; 8]; 16]) -> [[f64; 8]; 16] {
    let mut d = c;
    for (row, sums) in a.iter().zip(&mut d) {
        for (x, y) in row.iter().zip(b) {
            for n in 0..8 {
                sums[n] += x * y[n];
            }
        }
    }
    d
}

/// A matrix of 16-bit elements from its fragment.
#[inline]
fn halves<const ROWS: usize, const COLUMNS: usize, const R: usize>(
    registers: &[Lanes<u32>; R],
    kind: Half,
    place: impl Fn(usize, usize) -> (usize, usize),
) -> [[f64; COLUMNS]; ROWS] {
    match kind {
        Half::F16 => widened(registers, f16_to_f32, place),
        Half::Bf16 => widened(registers, bf16_to_f32, place),
    }
}

/// As [`halves`], one copy for each way to widen: a call through a pointer would cost more than the widening.
#[inline]
fn widened<const ROWS: usize, const COLUMNS: usize, const R: usize>(
    registers: &[Lanes<u32>; R],
    widen: impl Fn(u16) -> f32,
    place: impl Fn(usize, usize) -> (usize, usize),
) -> [[f64; COLUMNS]; ROWS] {
    let mut matrix = [[0.0; COLUMNS]; ROWS];
    for (r, lanes) in registers.iter().enumerate() {
        for (lane, bits) in lanes.iter().enumerate() {
            for half in 0..2 {
                let (row, column) = place(lane, 2 * r + half);
                matrix[row][column] = f64::from(widen((bits >> (16 * half)) as u16));
            }
        }
    }
    matrix
}

#[inline]
fn gather_tf32<const ROWS: usize, const COLUMNS: usize, const R: usize>(
    registers: &[Lanes<u32>; R],
    place: impl Fn(usize, usize) -> (usize, usize),
) -> [[f64; COLUMNS]; ROWS] {
    let mut matrix = [[0.0; COLUMNS]; ROWS];
    for (r, lanes) in registers.iter().enumerate() {
        for (lane, bits) in lanes.iter().enumerate() {
            let (row, column) = place(lane, r);
            matrix[row][column] = f64::from(f32::from_bits(bits & !0x1fff));
        }
    }
    matrix
}

#[inline]
fn gather_f32(registers: &[Lanes<f32>; 4]) -> [[f64; 8]; 16] {
    let mut matrix = [[0.0; 8]; 16];
    for (i, lanes) in registers.iter().enumerate() {
        for (lane, value) in lanes.iter().enumerate() {
            let (row, column) = c16x8(lane, i);
            matrix[row][column] = f64::from(*value);
        }
    }
    matrix
}

#[inline]
fn scatter_f32(matrix: &[[f64; 8]; 16]) -> [Lanes<f32>; 4] {
    std::array::from_fn(|i| {
        std::array::from_fn(|lane| {
            let (row, column) = c16x8(lane, i);
            f64_to_f32(matrix[row][column])
        })
    })
}

fn scatter_f16(matrix: &[[f64; 8]; 16]) -> [Lanes<u32>; 2] {
    std::array::from_fn(|r| {
        std::array::from_fn(|lane| {
            let half = |i: usize| {
                let (row, column) = c16x8(lane, 2 * r + i);
                f64_to_f16(matrix[row][column])
            };
            half(0) | half(1) << 16
        })
    })
}

/// Rounded once: by way of f32 it would be twice.
pub(super) fn f64_to_f16(value: f64) -> u32 {
    let exact: Exact = match crate::convert::F64.decode(value.to_bits()) {
        Value::Finite(exact) => exact,
        Value::Infinite { negative } => return F16.signed(F16.infinity(), negative) as u32,
        Value::Nan { .. } => return F16.canonical_nan() as u32,
    };
    F16.encode(exact, Rounding::Nearest) as u32
}
