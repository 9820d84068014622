//! y = max(a, b) or min(a, b), element by element, with broadcasting.
//!
//! Derivative: g to the operand that won, half to each in a tie, summed over the axes along which it was stretched.
//! Shapes: `(…)`, `(…)` → their broadcast. Numerics: exact; NaN wins, and lets g pass to both, as in PyTorch.

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

/// Which of two numbers wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The larger.
    Larger,
    /// The smaller.
    Smaller,
}

/// The larger or the smaller of two numbers.
#[derive(Clone, Copy, Debug)]
pub struct Maximum {
    /// Which of the two.
    pub winner: Winner,
}

impl Op for Maximum {
    fn name(&self) -> &'static str {
        match self.winner {
            Winner::Larger => "maximum",
            Winner::Smaller => "minimum",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |a, b| match self.winner {
            _ if a.is_nan() || b.is_nan() => f64::NAN,
            Winner::Larger => a.max(b),
            Winner::Smaller => a.min(b),
        });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        match self.winner {
            Winner::Larger => binary_cpu(
                x,
                &y[0],
                1,
                #[inline(always)]
                |a, b| if a > b || a.is_nan() { a } else { b },
            ),
            Winner::Smaller => binary_cpu(
                x,
                &y[0],
                1,
                #[inline(always)]
                |a, b| if a < b || a.is_nan() { a } else { b },
            ),
        }
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let function = match self.winner {
            Winner::Larger => Binary::Maximum,
            Winner::Smaller => Binary::Minimum,
        };
        cuda::map(self.name(), x, &y[0], |operands| binary::forward(function, operands))
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (grad, a, b) = (back.grad(0)?, back.input(0)?, back.input(1)?);
        let op = MaximumBackward { winner: self.winner };
        Ok(vec![
            back.want(0, || sum_to(apply_single(op, &[&grad, &a, &b])?, a.shape()))?,
            back.want(1, || sum_to(apply_single(op, &[&grad, &b, &a])?, b.shape()))?,
        ])
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M)*s", "R*s", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        binary_symbols(self.name(), x)
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

/// The gradient of [`Maximum`] with respect to one operand, before it is summed, from (g, that operand, the other).
#[derive(Clone, Copy, Debug)]
pub struct MaximumBackward {
    /// Which of the two.
    pub winner: Winner,
}

impl Op for MaximumBackward {
    fn name(&self) -> &'static str {
        match self.winner {
            Winner::Larger => "maximum_backward",
            Winner::Smaller => "minimum_backward",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        Ok(vec![Meta::new(broadcast_shape(self.name(), x)?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        ternary_reference(x, y, |g, own, other| {
            let lost = if self.winner == Winner::Larger { own < other } else { own > other };
            match () {
                _ if lost => 0.0,
                _ if own == other => g / 2.0,
                _ => g,
            }
        });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        match self.winner {
            Winner::Larger => ternary_cpu(
                &x,
                &y[0],
                2,
                #[inline(always)]
                |g, own, other| share(g, own < other, own == other),
            ),
            Winner::Smaller => ternary_cpu(
                &x,
                &y[0],
                2,
                #[inline(always)]
                |g, own, other| share(g, own > other, own == other),
            ),
        }
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let function = match self.winner {
            Winner::Larger => BinaryBackward::Maximum,
            Winner::Smaller => BinaryBackward::Minimum,
        };
        cuda::map(self.name(), x, &y[0], |operands| binary::backward(function, operands))
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M+K)*s", "N*s", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("M", x[1].shape.numel()), ("K", x[2].shape.numel())]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

/// What an operand gets of g. Call inside `dispatch`.
#[inline(always)]
fn share(g: f32, lost: bool, tied: bool) -> f32 {
    let kept = if tied { 0.5 * g } else { g };
    if lost { 0.0 } else { kept }
}

methods! {
    /// The larger of the two, element by element, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or the dtypes differ or are not floats.
    fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Maximum { winner: Winner::Larger }, &[self, other])
    }

    /// The smaller of the two, element by element, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or the dtypes differ or are not floats.
    fn minimum(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Maximum { winner: Winner::Smaller }, &[self, other])
    }
}

const CASES: [(&[usize], &[usize]); 5] =
    [(&[3, 5, 7], &[3, 5, 7]), (&[4, 1, 33], &[3, 1]), (&[35], &[2, 35]), (&[1], &[1]), (&[0, 3], &[1, 3])];

fn forward(winner: Winner) -> Vec<Sample> {
    CASES.map(|(a, b)| Sample::new(Maximum { winner }, [Input::any(a), Input::any(b)])).into()
}

fn backward(winner: Winner) -> Vec<Sample> {
    let ties = |dims: &[usize]| Input::between(dims, 1.0, 1.0);
    let sample = |dims| Sample::new(MaximumBackward { winner }, [0; 3].map(|_| Input::any(dims)));
    let tied = Sample::new(MaximumBackward { winner }, [Input::any(&[5]), ties(&[5]), ties(&[5])]);
    let shapes: [&[usize]; 4] = [&[3, 5, 7], &[33], &[1], &[2, 0]];
    shapes.into_iter().map(sample).chain([tied]).collect()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec { name: "maximum", summary: "the larger of two", samples: || forward(Winner::Larger) },
        Spec { name: "minimum", summary: "the smaller of two", samples: || forward(Winner::Smaller) },
        Spec {
            name: "maximum_backward",
            summary: "the gradient of maximum",
            samples: || backward(Winner::Larger),
        },
        Spec {
            name: "minimum_backward",
            summary: "the gradient of minimum",
            samples: || backward(Winner::Smaller),
        },
    ]
}
