//! y = a/b, with broadcasting.
//!
//! Derivative: ∂L/∂a = g/b and ∂L/∂b = -g·y/b, each summed over the axes along which its operand was
//! stretched. Shapes: `(…)`, `(…)` → their broadcast. Numerics: one rounding.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_kernels::binary::{self, Binary, BinaryBackward};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{
    binary_cpu, binary_reference, binary_shape, binary_symbols, broadcast_shape, require_floats, sum_to,
    ternary_cpu, ternary_reference,
};

/// Elementwise quotient.
#[derive(Clone, Copy, Debug)]
pub struct Div;

impl Op for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |a, b| a / b);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        binary_cpu(
            x,
            &y[0],
            4,
            #[inline(always)]
            |a, b| a / b,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| binary::forward(Binary::Div, operands))
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[1], outputs: &[0] }
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (back.meta(0).shape, back.meta(1).shape);
        let grad = back.take_grad(0)?;
        let divisor = back.input(1)?;
        let to_a = back.want(0, || sum_to(apply_single(Self, &[&grad, &divisor])?, &a))?;
        let to_b =
            back.want(1, || sum_to(apply_single(DivBackward, &[&grad, &back.output(0)?, &divisor])?, &b))?;
        Ok(vec![to_a, to_b])
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M)*s", "R*s", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        binary_symbols(self.name(), x)
    }
}

/// The gradient of [`Div`] with respect to the divisor, before it is summed: -g·y/b from (g, y, b).
#[derive(Clone, Copy, Debug)]
pub struct DivBackward;

impl Op for DivBackward {
    fn name(&self) -> &'static str {
        "div_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        Ok(vec![Meta::new(broadcast_shape(self.name(), x)?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        ternary_reference(x, y, |g, y, b| -g * y / b);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        ternary_cpu(
            &x,
            &y[0],
            5,
            #[inline(always)]
            |g, y, b| -g * y / b,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| binary::backward(BinaryBackward::Div, operands))
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("(2*N+M)*s", "N*s", "3*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("M", x[2].shape.numel())]
    }
}

methods! {
    /// `self / other`, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or the dtypes differ or are not floats.
    fn div(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Div, &[self, other])
    }
}

const CASES: [(&[usize], &[usize]); 6] = [
    (&[3, 5, 7], &[3, 5, 7]),
    (&[4, 1, 33], &[3, 1]),
    (&[35], &[2, 35]),
    (&[2, 3], &[]),
    (&[1], &[1]),
    (&[0, 3], &[1, 3]),
];

fn divisor(dims: &[usize]) -> Input {
    Input::between(dims, 0.2, 3.0)
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    let quotient = Spec {
        name: "div",
        summary: "a/b",
        samples: || CASES.map(|(a, b)| Sample::new(Div, [Input::any(a), divisor(b)])).into(),
    };
    let gradient = Spec {
        name: "div_backward",
        summary: "the gradient of div",
        samples: || {
            let sample = |(a, b)| Sample::new(DivBackward, [Input::any(a), Input::any(a), divisor(b)]);
            [CASES[0], (&[2, 35], &[35]), (&[1], &[1]), (&[2, 0], &[])].map(sample).into()
        },
    };
    vec![quotient, gradient]
}
