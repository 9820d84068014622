//! g·f'(x), element by element, from g and x or from g and f(x). See `unary_backward.cu`.

use crate::Launch;
use crate::entry::{float_entries, module};
use crate::map::{Map, Map2Args};

module!("unary_backward");

float_entries! {
    EXP: Map2Args = "exp_bwd";
    LN: Map2Args = "ln_bwd";
    SQRT: Map2Args = "sqrt_bwd";
    RSQRT: Map2Args = "rsqrt_bwd";
    SQUARE: Map2Args = "square_bwd";
    ABS: Map2Args = "abs_bwd";
    RELU: Map2Args = "relu_bwd";
    SIGMOID: Map2Args = "sigmoid_bwd";
    TANH: Map2Args = "tanh_bwd";
    SILU: Map2Args = "silu_bwd";
    GELU: Map2Args = "gelu_bwd";
    GELU_TANH: Map2Args = "gelu_tanh_bwd";
    CLAMP: Map2Args = "clamp_bwd";
}

/// The gradient of a function of one number, and from what it is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnaryBackward {
    /// Of eˣ, from y.
    Exp,
    /// Of ln x, from x.
    Ln,
    /// Of √x, from y.
    Sqrt,
    /// Of 1/√x, from y.
    Rsqrt,
    /// Of x², from x.
    Square,
    /// Of |x|, from x.
    Abs,
    /// Of max(x, 0), from y.
    Relu,
    /// Of 1/(1 + e⁻ˣ), from y.
    Sigmoid,
    /// Of tanh x, from y.
    Tanh,
    /// Of x·σ(x), from x.
    Silu,
    /// Of x·Φ(x), from x.
    Gelu,
    /// Of the tanh form of GELU, from x.
    GeluTanh,
    /// Of x held between two bounds, from x.
    Clamp {
        /// The lower bound; -∞ for none.
        low: f64,
        /// The upper bound; ∞ for none.
        high: f64,
    },
}

/// The launch of the gradient; the inputs are g and what was kept.
pub fn backward(function: UnaryBackward, operands: &Map<2>) -> Launch {
    let (entries, attributes) = match function {
        UnaryBackward::Exp => (&EXP, [0.0; 2]),
        UnaryBackward::Ln => (&LN, [0.0; 2]),
        UnaryBackward::Sqrt => (&SQRT, [0.0; 2]),
        UnaryBackward::Rsqrt => (&RSQRT, [0.0; 2]),
        UnaryBackward::Square => (&SQUARE, [0.0; 2]),
        UnaryBackward::Abs => (&ABS, [0.0; 2]),
        UnaryBackward::Relu => (&RELU, [0.0; 2]),
        UnaryBackward::Sigmoid => (&SIGMOID, [0.0; 2]),
        UnaryBackward::Tanh => (&TANH, [0.0; 2]),
        UnaryBackward::Silu => (&SILU, [0.0; 2]),
        UnaryBackward::Gelu => (&GELU, [0.0; 2]),
        UnaryBackward::GeluTanh => (&GELU_TANH, [0.0; 2]),
        UnaryBackward::Clamp { low, high } => (&CLAMP, [low, high]),
    };
    operands.launch(entries, attributes)
}
