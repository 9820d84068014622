//! Attention with [`Mask::Trailing`](super::Mask::Trailing), under a name of its own: it is the same but for having no gradient.

use warpsmith_autograd::{Array, Cost, Differentiability, Meta, Op};
use warpsmith_tensor::{Result, Tensor};

use super::Attention;

/// A step of decoding, from (q, k, v, key_lengths) as [`Attention`] takes them.
#[derive(Clone, Copy, Debug)]
pub struct DecodingAttention(pub Attention);

impl Op for DecodingAttention {
    fn name(&self) -> &'static str {
        "attention_decoding"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.0.shape(x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.0.reference(x, y)
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.0.cpu(x, y)
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.0.cuda(x, y)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn hidden_outputs(&self) -> usize {
        self.0.hidden_outputs()
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.0.symbols(x)
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        self.0.scale(x, y)
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        self.0.roundings(x)
    }

    fn device_roundings(&self, x: &[Meta]) -> f64 {
        self.0.device_roundings(x)
    }
}
