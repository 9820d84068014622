//! y[o, k, j] = x[o, index[o, k, j], j], where the middle letter stands for one axis: elements by their place.
//!
//! Derivative: ∂L/∂x[o, i, j] = Σ g[o, k, j] over the k with index[o, k, j] = i. Shapes: `(…, N, …)`,
//! `(…, K, …)` of i64, u32 or u8 → `(…, K, …)`. Numerics: exact; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{Result, Tensor, with_dtype};

use crate::axis::{Around, require_axis};
use crate::elementwise::apply_over;
use crate::indices::{Unit, places, require_alike_off, require_index, take_on_device, walk};
use crate::scatter_add::ScatterAdd;

/// Takes elements by their place along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        require_index(self.name(), &x[1])?;
        require_alike_off(self.name(), self.axis, &x[0].shape, &x[1].shape)?;
        Ok(vec![Meta::new(x[1].shape, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        walk(self.name(), Unit::Element, &x[1], (&x[0].shape, self.axis), |k, i| y[0].data[k] = x[0].data[i])
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let Around { size, inner, .. } = Around::new(x[0].shape(), self.axis);
        let block = y[0].dims()[self.axis] * inner;
        let places = places(self.name(), &x[1], size)?;
        let from = x[0].contiguous()?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &from.device())?;
        with_dtype!(y[0].dtype, T => {
            let from = from.data::<T>()?;
            for_rows(out.data_mut::<T>()?, block, 2, |first, blocks| {
                for (r, to) in blocks.chunks_mut(block).enumerate() {
                    let o = first + r;
                    let from = &from[o * size * inner..];
                    for (i, (to, place)) in to.iter_mut().zip(&places[o * block..]).enumerate() {
                        *to = from[place * inner + i % inner];
                    }
                }
            });
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        take_on_device(self.name(), Unit::Element, [&x[0], &x[1]], self.axis, &y[0])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[1])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (x, index, grad) = (back.meta(0), back.input(1)?, back.take_grad(0)?);
        let zeros = Tensor::zeros(x.shape, x.dtype, &grad.device())?;
        let to_x = apply_over(ScatterAdd { axis: self.axis }, vec![zeros, index, grad])?;
        Ok(vec![Some(to_x), None])
    }

    fn cost(&self) -> Cost {
        Cost::new("K*(s+i)", "K*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("K", x[1].shape.numel()), ("i", x[1].dtype.size())]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

methods! {
    /// Elements by their place along `axis` (negative: from the end): `index` says for each element of the result
    /// where along the axis it stands; off the axis both have the same sizes.
    ///
    /// # Errors
    /// If the axis does not exist, the sizes differ, or an index lies outside the axis.
    fn gather(&self, axis: isize, index: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis("gather", axis)?;
        apply_single(Gather { axis }, &[self, index])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "gather",
        summary: "elements by their place along an axis",
        samples: || {
            let gather = |axis: usize, x: &[usize], index: &[usize]| {
                Sample::new(Gather { axis }, [Input::any(x), Input::index(index, x[axis].max(1))])
            };
            vec![
                gather(2, &[3, 5, 40], &[3, 5, 33]),
                gather(1, &[2, 7, 3], &[2, 1, 3]),
                gather(0, &[4, 5], &[9, 5]),
                gather(0, &[1], &[1]),
                gather(1, &[3, 4], &[3, 0]),
                gather(1, &[0, 4], &[0, 2]),
            ]
        },
    }]
}
