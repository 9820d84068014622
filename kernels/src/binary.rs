//! y = f(a, b) with broadcasting, element by element, and gradients that three inputs give. See `binary.cu`.

use crate::Launch;
use crate::entry::{float_entries, module};
use crate::map::{Map, Map2Args, Map3Args};

module!("binary");

float_entries! {
    ADD: Map2Args = "add_fwd";
    SUB: Map2Args = "sub_fwd";
    MUL: Map2Args = "mul_fwd";
    DIV: Map2Args = "div_fwd";
    MAXIMUM: Map2Args = "maximum_fwd";
    MINIMUM: Map2Args = "minimum_fwd";
    SWIGLU: Map2Args = "swiglu_fwd";
    DIV_BACKWARD: Map3Args = "div_bwd";
    MAXIMUM_BACKWARD: Map3Args = "maximum_bwd";
    MINIMUM_BACKWARD: Map3Args = "minimum_bwd";
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a·b.
    Mul,
    /// a/b.
    Div,
    /// The larger; NaN wins.
    Maximum,
    /// The smaller; NaN wins.
    Minimum,
    /// a·σ(a)·b.
    Swiglu,
}

/// The gradient of a function of two numbers with respect to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryBackward {
    /// -g·y/b from (g, y, b): of a/b, for b.
    Div,
    /// g where the operand is the larger, half where it ties, from (g, operand, other).
    Maximum,
    /// g where the operand is the smaller, half where it ties, from (g, operand, other).
    Minimum,
}

/// The launch of y = f(a, b).
pub fn forward(function: Binary, operands: &Map<2>) -> Launch {
    let entries = match function {
        Binary::Add => &ADD,
        Binary::Sub => &SUB,
        Binary::Mul => &MUL,
        Binary::Div => &DIV,
        Binary::Maximum => &MAXIMUM,
        Binary::Minimum => &MINIMUM,
        Binary::Swiglu => &SWIGLU,
    };
    operands.launch(entries, [0.0; 2])
}

/// The launch of a gradient.
pub fn backward(function: BinaryBackward, operands: &Map<3>) -> Launch {
    let entries = match function {
        BinaryBackward::Div => &DIV_BACKWARD,
        BinaryBackward::Maximum => &MAXIMUM_BACKWARD,
        BinaryBackward::Minimum => &MINIMUM_BACKWARD,
    };
    operands.launch(entries, [0.0; 2])
}
