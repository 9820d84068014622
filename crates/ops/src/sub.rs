//! y = a - b, with broadcasting.
//!
//! Derivative: ∂L/∂a = g and ∂L/∂b = -g, each summed over the axes along which its operand was
//! stretched. Shapes: `(…)`, `(…)` → their broadcast. Numerics: one rounding.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::binary::{self, Binary};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{BROADCASTS, binary_cpu, binary_reference, binary_shape, binary_symbols, sum_to};
use crate::neg::Neg;

/// Elementwise difference.
#[derive(Clone, Copy, Debug)]
pub struct Sub;

impl Op for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |a, b| a - b);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        binary_cpu(
            x,
            &y[0],
            1,
            #[inline(always)]
            |a, b| a - b,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| binary::forward(Binary::Sub, operands))
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (back.meta(0).shape, back.meta(1).shape);
        let grad = back.take_grad(0)?;
        let to_b = back.want(1, || {
            // Summed first: the sign is then changed in fewer places.
            let summed = sum_to(grad.clone(), &b)?;
            apply_single(Neg, &[&summed])
        })?;
        Ok(vec![back.want(0, || sum_to(grad, &a))?, to_b])
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M)*s", "R*s", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        binary_symbols(self.name(), x)
    }
}

methods! {
    /// `self - other`, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or the dtypes differ or are not floats.
    fn sub(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Sub, &[self, other])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "sub",
        summary: "a - b",
        samples: || BROADCASTS.map(|(a, b)| Sample::new(Sub, [Input::any(a), Input::any(b)])).into(),
    }]
}
