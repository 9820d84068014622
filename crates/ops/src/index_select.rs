//! `y[o, k, j] = x[o, index[k], j]`, where the middle letter stands for one axis: whole slices by their place.
//!
//! Derivative: `∂L/∂x[o, i, j] = Σ g[o, k, j]` over the k with `index[k] = i`. Shapes: `(…, N, …)`, `(K,)` of i64, u32 or
//! u8 → `(…, K, …)`. Numerics: exact; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{Error, Result, Tensor, with_dtype};

use crate::axis::{Around, require_axis};
use crate::elementwise::apply_over;
use crate::index_add::IndexAdd;
use crate::indices::{Unit, places, require_index, take_on_device, walk};

/// Takes whole slices by their place along an axis.
#[derive(Clone, Copy, Debug)]
pub struct IndexSelect {
    /// The axis.
    pub axis: usize,
}

impl Op for IndexSelect {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        require_index(self.name(), &x[1])?;
        let [taken] = x[1].dims() else {
            return Err(Error::shape(self.name(), &[x[1].shape], "the index must have one axis"));
        };
        Ok(vec![Meta::new(x[0].shape.with_dim(self.axis, *taken)?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        walk(self.name(), Unit::Slice, &x[1], (&x[0].shape, self.axis), |k, i| y[0].data[k] = x[0].data[i])
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let Around { size, inner, .. } = Around::new(x[0].shape(), self.axis);
        let places = places(self.name(), &x[1], size)?;
        let from = x[0].contiguous()?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &from.device())?;
        with_dtype!(y[0].dtype, T => {
            let from = from.data::<T>()?;
            for_rows(out.data_mut::<T>()?, inner, 1, |first, block| {
                for (r, to) in block.chunks_mut(inner).enumerate() {
                    let (o, k) = ((first + r) / places.len(), (first + r) % places.len());
                    to.copy_from_slice(&from[(o * size + places[k]) * inner..][..inner]);
                }
            });
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        take_on_device(self.name(), Unit::Slice, [&x[0], &x[1]], self.axis, &y[0])
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
        let to_x = apply_over(IndexAdd { axis: self.axis }, vec![zeros, index, grad])?;
        Ok(vec![Some(to_x), None])
    }

    fn cost(&self) -> Cost {
        Cost::new("R*s + K*i", "R*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let Around { outer, inner, .. } = Around::new(&x[0].shape, self.axis);
        let taken = x[1].shape.numel();
        vec![("R", outer * taken * inner), ("K", taken), ("i", x[1].dtype.size())]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

methods! {
    /// Whole slices by their place along `axis` (negative: from the end), in the order of `index`, which has one axis.
    ///
    /// # Errors
    /// If the axis does not exist or an index lies outside it.
    fn index_select(&self, axis: isize, index: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis("index_select", axis)?;
        apply_single(IndexSelect { axis }, &[self, index])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "index_select",
        summary: "whole slices by their place along an axis",
        samples: || {
            let select = |axis: usize, x: &[usize], taken: usize| {
                Sample::new(IndexSelect { axis }, [Input::any(x), Input::index(&[taken], x[axis].max(1))])
            };
            vec![
                select(1, &[3, 5, 33], 7),
                select(2, &[3, 5, 40], 33),
                select(0, &[4, 5], 9),
                select(0, &[1], 1),
                select(1, &[3, 4], 0),
                select(1, &[0, 4], 2),
            ]
        },
    }]
}
