//! y = -x.
//!
//! Derivative: -g. Shapes: `(…)` → `(…)`. Numerics: exact.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{apply_over, unary_cpu, unary_reference, unary_shape};

/// The opposite number.
#[derive(Clone, Copy, Debug)]
pub struct Neg;

impl Op for Neg {
    fn name(&self) -> &'static str {
        "neg"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        unary_reference(x, y, |x| -x);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        unary_cpu(
            x,
            1,
            #[inline(always)]
            |x| -x,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| unary::forward(Unary::Neg, operands))
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_over(Self, vec![back.take_grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N")
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

methods! {
    /// The opposite of each element.
    fn neg(&self) -> Result<Tensor> {
        apply_single(Neg, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "neg",
        summary: "-x",
        samples: || [&[3, 5, 35][..], &[1], &[2, 0], &[]].map(|d| Sample::new(Neg, [Input::any(d)])).into(),
    }]
}
