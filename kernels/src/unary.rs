//! y = f(x), element by element. See `unary.cu`.

use crate::Launch;
use crate::entry::{float_entries, module};
use crate::map::{Map, Map1Args};

module!("unary");

float_entries! {
    EXP: Map1Args = "exp_fwd";
    LN: Map1Args = "ln_fwd";
    SQRT: Map1Args = "sqrt_fwd";
    RSQRT: Map1Args = "rsqrt_fwd";
    SQUARE: Map1Args = "square_fwd";
    ABS: Map1Args = "abs_fwd";
    NEG: Map1Args = "neg_fwd";
    RELU: Map1Args = "relu_fwd";
    SIGMOID: Map1Args = "sigmoid_fwd";
    TANH: Map1Args = "tanh_fwd";
    SILU: Map1Args = "silu_fwd";
    GELU: Map1Args = "gelu_fwd";
    GELU_TANH: Map1Args = "gelu_tanh_fwd";
    AFFINE: Map1Args = "affine_fwd";
    CLAMP: Map1Args = "clamp_fwd";
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// eˣ.
    Exp,
    /// ln x.
    Ln,
    /// √x.
    Sqrt,
    /// 1/√x.
    Rsqrt,
    /// x².
    Square,
    /// |x|.
    Abs,
    /// -x.
    Neg,
    /// max(x, 0).
    Relu,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// x·σ(x).
    Silu,
    /// x·Φ(x).
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// scale·x + shift.
    Affine {
        /// The factor.
        scale: f64,
        /// The summand.
        shift: f64,
    },
    /// x held between two bounds.
    Clamp {
        /// The lower bound; -∞ for none.
        low: f64,
        /// The upper bound; ∞ for none.
        high: f64,
    },
}

/// The launch of y = f(x).
pub fn forward(function: Unary, operands: &Map<1>) -> Launch {
    let (entries, attributes) = match function {
        Unary::Exp => (&EXP, [0.0; 2]),
        Unary::Ln => (&LN, [0.0; 2]),
        Unary::Sqrt => (&SQRT, [0.0; 2]),
        Unary::Rsqrt => (&RSQRT, [0.0; 2]),
        Unary::Square => (&SQUARE, [0.0; 2]),
        Unary::Abs => (&ABS, [0.0; 2]),
        Unary::Neg => (&NEG, [0.0; 2]),
        Unary::Relu => (&RELU, [0.0; 2]),
        Unary::Sigmoid => (&SIGMOID, [0.0; 2]),
        Unary::Tanh => (&TANH, [0.0; 2]),
        Unary::Silu => (&SILU, [0.0; 2]),
        Unary::Gelu => (&GELU, [0.0; 2]),
        Unary::GeluTanh => (&GELU_TANH, [0.0; 2]),
        Unary::Affine { scale, shift } => (&AFFINE, [scale, shift]),
        Unary::Clamp { low, high } => (&CLAMP, [low, high]),
    };
    operands.launch(entries, attributes)
}
