//! The fragments of a product as matrices: which lane holds each element, in which register, and its value.

use half::{bf16, f16};

use super::listing::{Line, Register};
use super::step::Step;
use crate::tensor_core::{
    Fragment, Half, M8N8K4_F64, M16N8K4_TF32, M16N8K8, M16N8K8_TF32, M16N8K16, Mma, Shape,
};

/// An element.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The lane that holds it.
    pub lane: u8,
    /// The register that holds it.
    pub register: String,
    /// Which part of the register, if two elements share it: 0 lower, 1 upper.
    pub half: Option<u8>,
    /// Its value.
    pub value: f64,
}

/// One operand of a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// `A`, `B`, `C`, or `D` for the result.
    pub letter: char,
    /// The shape of the product, such as `m16n8k16`.
    pub shape: &'static str,
    /// Rows downwards.
    pub rows: Vec<Vec<Cell>>,
}

/// How an operand's elements lie in its registers.
#[derive(Clone, Copy)]
enum Element {
    Half(Half),
    Single,
    Double,
}

/// The operands that a product reads, if it is before it, or its result behind it. Nothing if it is no product.
pub fn matrices(step: &Step<'_>, line: &Line, is_done: bool) -> Vec<Matrix> {
    let Some(form) = step.product() else { return Vec::new() };
    let (shape, factor, sum) = describe(form);
    if is_done {
        return vec![matrix('D', shape, &shape.c, &line.writes, sum, step)];
    }
    let [a, b, c] = form.registers();
    let (Some(first), Some(second), Some(third)) =
        (line.reads.get(..a), line.reads.get(a..a + b), line.reads.get(a + b..a + b + c))
    else {
        // A constant in place of a register: there is no whole fragment to show.
        return Vec::new();
    };
    vec![
        matrix('A', shape, &shape.a, first, factor, step),
        matrix('B', shape, &shape.b, second, factor, step),
        matrix('C', shape, &shape.c, third, sum, step),
    ]
}

fn describe(form: Mma) -> (&'static Shape, Element, Element) {
    use Element::{Double, Half as Short, Single};
    match form {
        Mma::K16(kind) => (&M16N8K16, Short(kind), Single),
        Mma::K16F16 => (&M16N8K16, Short(Half::F16), Short(Half::F16)),
        Mma::K8(kind) => (&M16N8K8, Short(kind), Single),
        Mma::K8F16 => (&M16N8K8, Short(Half::F16), Short(Half::F16)),
        Mma::K8Tf32 => (&M16N8K8_TF32, Single, Single),
        Mma::K4Tf32 => (&M16N8K4_TF32, Single, Single),
        Mma::F64 => (&M8N8K4_F64, Double, Double),
    }
}

fn matrix(
    letter: char,
    shape: &'static Shape,
    fragment: &Fragment,
    registers: &[Register],
    element: Element,
    step: &Step<'_>,
) -> Matrix {
    let empty = Cell { lane: 0, register: String::new(), half: None, value: f64::NAN };
    let mut rows = vec![vec![empty; fragment.columns]; fragment.rows];
    let values: Vec<[u64; 32]> = registers.iter().map(|register| step.value(register)).collect();
    for lane in 0..32 {
        for at in 0..fragment.per_lane {
            let (index, half) = match element {
                Element::Half(_) => (at / 2, Some((at % 2) as u8)),
                _ => (at, None),
            };
            let (Some(register), Some(bits)) = (registers.get(index), values.get(index)) else { continue };
            let (row, column) = fragment.place(lane, at);
            let value = number(element, bits[lane], half.unwrap_or(0));
            rows[row][column] = Cell { lane: lane as u8, register: register.name.clone(), half, value };
        }
    }
    Matrix { letter, shape: shape.name, rows }
}

fn number(element: Element, bits: u64, half: u8) -> f64 {
    let short = (bits >> (16 * half)) as u16;
    match element {
        Element::Half(Half::F16) => f16::from_bits(short).to_f64(),
        Element::Half(Half::Bf16) => bf16::from_bits(short).to_f64(),
        Element::Single => f32::from_bits(bits as u32).into(),
        Element::Double => f64::from_bits(bits),
    }
}
