//! y = f(x), element by element. See `unary.cu`.

use crate::entry::module;
use crate::map::{Map1Args, functions};

module!("unary");

functions! {
    /// A function of one number.
    Unary: Map1Args;
    /// The launch of y = f(x).
    forward: 1;

    /// eˣ.
    Exp = EXP "exp_fwd";
    /// ln x.
    Ln = LN "ln_fwd";
    /// √x.
    Sqrt = SQRT "sqrt_fwd";
    /// 1/√x.
    Rsqrt = RSQRT "rsqrt_fwd";
    /// x².
    Square = SQUARE "square_fwd";
    /// |x|.
    Abs = ABS "abs_fwd";
    /// -x.
    Neg = NEG "neg_fwd";
    /// max(x, 0).
    Relu = RELU "relu_fwd";
    /// 1/(1 + e⁻ˣ).
    Sigmoid = SIGMOID "sigmoid_fwd";
    /// tanh x.
    Tanh = TANH "tanh_fwd";
    /// ln(1 + eˣ).
    Softplus = SOFTPLUS "softplus_fwd";
    /// x·σ(x).
    Silu = SILU "silu_fwd";
    /// x·Φ(x).
    Gelu = GELU "gelu_fwd";
    /// The tanh form of GELU.
    GeluTanh = GELU_TANH "gelu_tanh_fwd";
    /// scale·x + shift.
    Affine {
        /// The factor.
        scale,
        /// The summand.
        shift,
    } = AFFINE "affine_fwd";
    /// x held between two bounds.
    Clamp {
        /// The lower bound; -∞ for none.
        low,
        /// The upper bound; ∞ for none.
        high,
    } = CLAMP "clamp_fwd";
}
