//! `wmma`: products of whole matrices, whose fragments programs must not look into. PTX manual 8.4, "Matrix
//! multiply-accumulate operation using wmma instructions".
//!
//! Which lane holds which element is left open, so it is the simplest here: element `i` of lane `l` is number 32·i + l of the
//! matrix, by rows. A fragment with more room than that holds the matrix again: f16 operands are kept twice.
//! Arithmetic is that of `mma`: exact products, summed in f64, rounded once.

use super::multiply::{Lanes, f64_to_f16};
use crate::convert::{bf16_to_f32, f16_to_f32, f64_to_f32};

/// Elements of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision, two in a register.
    F16,
    /// The upper half of an f32, two in a register.
    Bf16,
    /// f32 whose low 13 bits are ignored.
    Tf32,
    /// f32.
    F32,
}

impl Element {
    fn read(self, bits: u32) -> f64 {
        f64::from(match self {
            Element::F16 => f16_to_f32(bits as u16),
            Element::Bf16 => bf16_to_f32(bits as u16),
            Element::Tf32 => f32::from_bits(bits & !0x1fff),
            Element::F32 => f32::from_bits(bits),
        })
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        if matches!(self, Element::F16 | Element::Bf16) { 2 } else { 4 }
    }
}

/// One of the matrices of a `wmma`, as the registers of a warp hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
    /// Its elements.
    pub element: Element,
    /// 32-bit registers of each lane.
    pub registers: usize,
}

impl Matrix {
    /// The matrix that the manual calls `a`, `b`, `c` or `d`, of a shape and a type such as `m16n16k16` and `f16`. `None` if
    /// it is not implemented.
    pub fn find(letter: char, shape: &str, kind: &str) -> Option<Self> {
        let [m, n, k] = match (shape, kind) {
            ("m16n16k16", "f16" | "bf16" | "f32") => [16, 16, 16],
            ("m32n8k16", "f16" | "bf16" | "f32") => [32, 8, 16],
            ("m8n32k16", "f16" | "bf16" | "f32") => [8, 32, 16],
            ("m16n16k8", "tf32" | "f32") => [16, 16, 8],
            _ => return None,
        };
        let (element, is_operand) = match (letter, kind) {
            ('a' | 'b', "f16") => (Element::F16, true),
            ('a' | 'b', "bf16") => (Element::Bf16, true),
            ('a' | 'b', "tf32") => (Element::Tf32, true),
            ('c' | 'd', "f16") => (Element::F16, false),
            ('c' | 'd', "f32") => (Element::F32, false),
            _ => return None,
        };
        let (rows, columns) = match letter {
            'a' => (m, k),
            'b' => (k, n),
            _ => (m, n),
        };
        let registers = match (element, is_operand) {
            (Element::F16, true) => 8,
            _ => rows * columns * element.bytes() / 4 / 32,
        };
        Some(Self { rows, columns, element, registers })
    }

    /// Different elements of each lane.
    pub fn per_lane(&self) -> usize {
        self.rows * self.columns / 32
    }

    /// Row and column of element `i` of a lane.
    pub fn place(&self, lane: usize, i: usize) -> (usize, usize) {
        let number = 32 * i + lane;
        (number / self.columns, number % self.columns)
    }

    /// The registers that hold these elements: `bits(i)` gives element `i` of each lane.
    pub fn registers_of(&self, bits: impl Fn(usize) -> Lanes<u32>) -> Vec<Lanes<u32>> {
        let element = |i: usize| bits(i % self.per_lane());
        let register = |r: usize| match self.element.bytes() {
            4 => element(r),
            _ => {
                let (low, high) = (element(2 * r), element(2 * r + 1));
                std::array::from_fn(|lane| low[lane] | high[lane] << 16)
            }
        };
        (0..self.registers).map(register).collect()
    }

    /// Element `i` of each lane, in the low bits.
    pub fn element_of(&self, registers: &[Lanes<u32>], i: usize) -> Lanes<u32> {
        match self.element.bytes() {
            4 => registers[i],
            _ => registers[i / 2].map(|bits| bits >> (16 * (i % 2)) & 0xffff),
        }
    }

    /// The matrix by rows.
    fn values(&self, registers: &[Lanes<u32>]) -> Vec<f64> {
        let row = |i| self.element_of(registers, i).map(|bits| self.element.read(bits));
        (0..self.per_lane()).flat_map(row).collect()
    }
}

/// The four matrices of D = A·B + C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wmma {
    /// M × K.
    pub a: Matrix,
    /// K × N.
    pub b: Matrix,
    /// M × N.
    pub c: Matrix,
    /// M × N.
    pub d: Matrix,
}

impl Wmma {
    /// Floating-point operations: a multiplication and an addition count as two.
    pub fn flops(&self) -> u64 {
        2 * (self.a.rows * self.a.columns * self.b.columns) as u64
    }

    /// The registers of D.
    pub fn apply(&self, a: &[Lanes<u32>], b: &[Lanes<u32>], c: &[Lanes<u32>]) -> Vec<Lanes<u32>> {
        let (a, b, mut d) = (self.a.values(a), self.b.values(b), self.c.values(c));
        let (k, n) = (self.a.columns, self.b.columns);
        for (row, sums) in a.chunks(k).zip(d.chunks_mut(n)) {
            for (x, row) in row.iter().zip(b.chunks(n)) {
                sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        let bits = |value: f64| match self.d.element {
            Element::F16 => f64_to_f16(value),
            _ => f64_to_f32(value).to_bits(),
        };
        self.d.registers_of(|i| std::array::from_fn(|lane| bits(d[32 * i + lane])))
    }
}
