//! g·f'(x), element by element, from g and x or from g and f(x). See `unary_backward.cu`.

use crate::entry::module;
use crate::map::{Map2Args, functions};

module!("unary_backward");

functions! {
    /// The gradient of a function of one number, and from what it is found.
    UnaryBackward: Map2Args;
    /// The launch of the gradient; the inputs are g and what was kept.
    backward: 2;

    /// Of eˣ, from y.
    Exp = EXP "exp_bwd";
    /// Of ln x, from x.
    Ln = LN "ln_bwd";
    /// Of √x, from y.
    Sqrt = SQRT "sqrt_bwd";
    /// Of 1/√x, from y.
    Rsqrt = RSQRT "rsqrt_bwd";
    /// Of x², from x.
    Square = SQUARE "square_bwd";
    /// Of |x|, from x.
    Abs = ABS "abs_bwd";
    /// Of max(x, 0), from y.
    Relu = RELU "relu_bwd";
    /// Of 1/(1 + e⁻ˣ), from y.
    Sigmoid = SIGMOID "sigmoid_bwd";
    /// Of tanh x, from y.
    Tanh = TANH "tanh_bwd";
    /// Of ln(1 + eˣ), from x.
    Softplus = SOFTPLUS "softplus_bwd";
    /// Of x·σ(x), from x.
    Silu = SILU "silu_bwd";
    /// Of x·Φ(x), from x.
    Gelu = GELU "gelu_bwd";
    /// Of the tanh form of GELU, from x.
    GeluTanh = GELU_TANH "gelu_tanh_bwd";
    /// Of x held between two bounds, from x.
    Clamp {
        /// The lower bound; -∞ for none.
        low,
        /// The upper bound; ∞ for none.
        high,
    } = CLAMP "clamp_bwd";
}
