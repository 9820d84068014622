//! The gated network of Llama: down(silu(gate(x)) · up(x)).
//!
//! Source: Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv 2002.05202, §2.

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

use super::Linear;
use crate::weights::Weights;

/// Three linear layers, one of which gates another.
#[derive(Clone, Debug)]
pub struct SwiGlu {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl SwiGlu {
    /// A network from C over `hidden` to C features, its weights normal with deviation `std`.
    pub fn new(weights: &Weights, (width, hidden): (usize, usize), bias: bool, std: f64) -> Result<Self> {
        let linear = |name, sizes| Linear::transposed(&weights.at(name), sizes, bias, std);
        Ok(Self {
            gate: linear("gate_proj", (width, hidden))?,
            up: linear("up_proj", (width, hidden))?,
            down: linear("down_proj", (hidden, width))?,
        })
    }

    /// x (B, T, C) → (B, T, C)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.hidden(x)?)
    }

    /// residual (B, T, C) + what [`Self::forward`] makes of x (B, T, C)
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.down.forward_onto(residual, &self.hidden(x)?)
    }

    /// x (B, T, C) → (B, T, hidden), as the last product takes it.
    fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        self.gate.forward_rounded(x)?.swiglu(&self.up.forward_rounded(x)?)
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        [self.gate.parameters(), self.up.parameters(), self.down.parameters()].concat()
    }
}
