//! Where the largest or the smallest element stands along one axis, as i64.
//!
//! Derivative: none, the place is constant almost everywhere. Shapes: `(…, N, …)` → `(…)` without the axis, or with
//! size 1 in its place. Numerics: exact; the first of equal elements; the first NaN wins, as in PyTorch.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::{DType, Result, Tensor};

use crate::max::{CASES, reduced, reference_search, search, search_on_device};
use crate::maximum::Winner;

/// The place of the largest or smallest element along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    /// Which of two elements wins.
    pub winner: Winner,
    /// The axis.
    pub axis: usize,
    /// Whether the axis stays, with size 1.
    pub keep: bool,
}

impl Op for Argmax {
    fn name(&self) -> &'static str {
        match self.winner {
            Winner::Larger => "argmax",
            Winner::Smaller => "argmin",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta::new(reduced(self.name(), x, self.axis, self.keep)?, DType::I64)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        reference_search(self.winner, &x[0], self.axis, |at, _, place| y[0].data[at] = place as f64);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (_, places) = search(self.winner, &x[0], self.axis, y[0].shape, y[0].shape)?;
        Ok(vec![places])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![search_on_device(self.name(), self.winner, &x[0], self.axis, y[0].shape, None)?])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::ByDefinitionNot
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "R*8", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[0].shape.without(self.axis, true).numel())]
    }
}

methods! {
    /// The place of the largest element along `axis` (negative: from the end), which goes away, or stays with size 1
    /// if `keep`; of equal elements the first.
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    fn argmax(&self, axis: isize, keep: bool) -> Result<Tensor> {
        let axis = self.shape().axis("argmax", axis)?;
        apply_single(Argmax { winner: Winner::Larger, axis, keep }, &[self])
    }

    /// The place of the smallest element along `axis`: see [`Methods::argmax`].
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    fn argmin(&self, axis: isize, keep: bool) -> Result<Tensor> {
        let axis = self.shape().axis("argmin", axis)?;
        apply_single(Argmax { winner: Winner::Smaller, axis, keep }, &[self])
    }
}

fn samples(winner: Winner) -> Vec<Sample> {
    let sample = |((axis, dims), keep): ((usize, &[usize]), bool)| {
        Sample::new(Argmax { winner, axis, keep }, [Input::any(dims)])
    };
    CASES.into_iter().zip([false, true].into_iter().cycle()).map(sample).collect()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec { name: "argmax", summary: "where the largest stands", samples: || samples(Winner::Larger) },
        Spec { name: "argmin", summary: "where the smallest stands", samples: || samples(Winner::Smaller) },
    ]
}
