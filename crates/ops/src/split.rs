//! x cut along one axis into pieces of given sizes.
//!
//! Derivative: ∂L/∂x is the gradients of the pieces, joined again. Shapes: `(…, Σnᵢ, …)` → `(…, n₀, …)`, `(…, n₁, …)`, …
//! Numerics: exact; any dtype; all pieces are views.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply, apply_single};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::axis::{Around, require_axis};
use crate::cat::Cat;

/// Cuts a tensor into pieces.
#[derive(Clone, Debug)]
pub struct Split {
    /// The axis.
    pub axis: usize,
    /// The sizes of the pieces: together the size of the axis.
    pub sizes: Vec<usize>,
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        let total = self.sizes.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
        if self.sizes.is_empty() || total != Some(x[0].dims()[self.axis]) {
            let message = format!(
                "pieces of {:?} are not the {} of axis {}",
                self.sizes,
                x[0].dims()[self.axis],
                self.axis
            );
            return Err(Error::shape(self.name(), &[x[0].shape], message));
        }
        let piece = |&n: &usize| Ok(Meta::new(x[0].shape.with_dim(self.axis, n)?, x[0].dtype));
        self.sizes.iter().map(piece).collect()
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Around { outer, size, inner } = Around::new(&x[0].shape, self.axis);
        let mut start = 0;
        for (y, &n) in y.iter_mut().zip(&self.sizes) {
            for o in 0..outer {
                let from = (o * size + start) * inner;
                y.data[o * n * inner..][..n * inner].copy_from_slice(&x[0].data[from..from + n * inner]);
            }
            start += n;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut start = 0;
        let piece = |&n: &usize| {
            let layout = x[0].layout().slice(self.axis, start, n, 1)?;
            start += n;
            x[0].view(layout)
        };
        self.sizes.iter().map(piece).collect()
    }

    /// A view is one wherever the elements lie.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grads = (0..self.sizes.len()).map(|i| back.take_grad(i)).collect::<Result<Vec<_>>>()?;
        Ok(vec![Some(apply_single(Cat { axis: self.axis }, &grads.iter().collect::<Vec<_>>())?)])
    }

    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

methods! {
    /// Pieces of the given sizes along `axis` (negative: from the end), which together are the whole.
    ///
    /// # Errors
    /// If the axis does not exist or the sizes do not add up to its size.
    fn split(&self, axis: isize, sizes: &[usize]) -> Result<Vec<Tensor>> {
        let axis = self.shape().axis("split", axis)?;
        apply(Split { axis, sizes: sizes.to_vec() }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "split",
        summary: "pieces along one axis",
        samples: || {
            let cases: [(usize, &[usize], &[usize]); 5] = [
                (2, &[11, 11, 11], &[2, 3, 33]),
                (1, &[1, 0, 4], &[3, 5, 2]),
                (0, &[3, 32], &[35]),
                (0, &[1], &[1, 1]),
                (1, &[2, 1], &[0, 3]),
            ];
            let sample = |(axis, sizes, dims): (usize, &[usize], &[usize])| {
                Sample::new(Split { axis, sizes: sizes.to_vec() }, [Input::any(dims)])
            };
            cases.map(sample).into()
        },
    }]
}
