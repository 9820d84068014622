//! y = xᵖ, and its gradient. See `pow.cu`.

use crate::Launch;
use crate::entry::{float_entries, module};
use crate::map::{Map, Map1Args, Map2Args};

module!("pow");

float_entries! {
    POW: Map1Args = "pow_fwd";
    POW_BACKWARD: Map2Args = "pow_bwd";
}

/// The launch of y = xᵖ.
pub fn forward(exponent: f64, operands: &Map<1>) -> Launch {
    operands.launch(&POW, [exponent, 0.0])
}

/// The launch of g·p·xᵖ⁻¹; the inputs are g and x.
pub fn backward(exponent: f64, operands: &Map<2>) -> Launch {
    operands.launch(&POW_BACKWARD, [exponent, 0.0])
}
