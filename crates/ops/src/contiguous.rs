//! The same numbers, row-major without gaps.
//!
//! A copy if they lie otherwise, else the tensor itself. Derivative: ∂L/∂x = g. Shapes: `(…)` → `(…)`.
//! Numerics: exact; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::{Result, Tensor};

/// Lays the elements out row by row.
#[derive(Clone, Copy, Debug)]
pub struct Contiguous;

impl Op for Contiguous {
    fn name(&self) -> &'static str {
        "contiguous"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![x[0].contiguous()?])
    }

    /// The tensor does this by itself, wherever it lies.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(back.take_grad(0)?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "0")
    }
}

methods! {
    /// The same numbers, row-major without gaps; unlike [`Tensor::contiguous`] with a gradient.
    fn to_contiguous(&self) -> Result<Tensor> {
        apply_single(Contiguous, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "contiguous",
        summary: "row-major without gaps",
        samples: || {
            [&[3, 5, 33][..], &[1, 1], &[2, 0], &[]].map(|d| Sample::new(Contiguous, [Input::any(d)])).into()
        },
    }]
}
