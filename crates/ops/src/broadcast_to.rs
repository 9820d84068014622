//! Sizes of 1 stretched, and axes added in front, to reach a shape.
//!
//! Derivative: ∂L/∂x = g, summed over the stretched axes. Shapes: `(…)` → `to`. Numerics: exact; any dtype; always a
//! view, whose stretched axes have stride 0.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::{Layout, Result, Shape, Tensor};

use crate::elementwise::{broadcast_index, sum_to};

/// Stretches a tensor to a shape.
#[derive(Clone, Copy, Debug)]
pub struct BroadcastTo {
    /// The new shape.
    pub to: Shape,
}

impl Op for BroadcastTo {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Layout::contiguous(x[0].shape).broadcast_to(&self.to)?;
        Ok(vec![Meta::new(self.to, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for (i, y) in y[0].data.iter_mut().enumerate() {
            *y = x[0].data[broadcast_index(i, &self.to, &x[0].shape)];
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![x[0].view(x[0].layout().broadcast_to(&self.to)?)?])
    }

    /// A view is one wherever the elements lie.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let x = back.meta(0).shape;
        Ok(vec![Some(sum_to(back.take_grad(0)?, &x)?)])
    }

    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

methods! {
    /// Stretched to the shape `dims`, by the rule of all elementwise ops.
    ///
    /// # Errors
    /// If a size is neither 1 nor the one in `dims`.
    fn broadcast_to(&self, dims: &[usize]) -> Result<Tensor> {
        apply_single(BroadcastTo { to: Shape::new(dims)? }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "broadcast_to",
        summary: "stretched to a shape",
        samples: || {
            let cases: [(&[usize], &[usize]); 5] = [
                (&[5, 1, 33], &[5, 4, 33]),
                (&[35], &[3, 2, 35]),
                (&[], &[2, 3]),
                (&[1, 3], &[0, 3]),
                (&[1], &[1]),
            ];
            let sample = |(from, to): (&[usize], &[usize])| {
                Shape::new(to).ok().map(|to| Sample::new(BroadcastTo { to }, [Input::any(from)]))
            };
            cases.into_iter().filter_map(sample).collect()
        },
    }]
}
