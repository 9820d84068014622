//! y = a·b, with broadcasting.
//!
//! Derivative: ∂L/∂a = g·b and ∂L/∂b = g·a, each summed over the axes along which its operand was
//! stretched. Shapes: `(…)`, `(…)` → their broadcast. Numerics: one rounding.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_kernels::binary::{self, Binary};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{
    BROADCASTS, apply_over, binary_cpu, binary_reference, binary_shape, binary_symbols, sum_to,
};

/// Elementwise product.
#[derive(Clone, Copy, Debug)]
pub struct Mul;

impl Op for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |a, b| a * b);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        binary_cpu(
            x,
            &y[0],
            1,
            #[inline(always)]
            |a, b| a * b,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| binary::forward(Binary::Mul, operands))
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (back.meta(0).shape, back.meta(1).shape);
        let grad = back.take_grad(0)?;
        let to_a = back.want(0, || sum_to(apply_single(Self, &[&grad, &back.input(1)?])?, &a))?;
        // The last reader of the gradient gives it away, to be written over.
        let to_b = back.want(1, || sum_to(apply_over(Self, vec![grad, back.input(0)?])?, &b))?;
        Ok(vec![to_a, to_b])
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M)*s", "R*s", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        binary_symbols(self.name(), x)
    }
}

methods! {
    /// `self · other`, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or the dtypes differ or are not floats.
    fn mul(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Mul, &[self, other])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "mul",
        summary: "a·b",
        samples: || BROADCASTS.map(|(a, b)| Sample::new(Mul, [Input::any(a), Input::any(b)])).into(),
    }]
}
