//! y = x, and then y[o, index[o, k, j], j] += source[o, k, j], where the middle letter stands for one axis.
//!
//! Derivative: ∂L/∂x = g and ∂L/∂source[o, k, j] = g[o, index[o, k, j], j]. Shapes: `(…, N, …)`, `(…, K, …)` of i64,
//! u32 or u8, `(…, K, …)` → `(…, N, …)`. Numerics: terms are added in the order of k, whatever the number of threads.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::axis::{Around, require_axis};
use crate::elementwise::require_floats;
use crate::gather::Gather;
use crate::indices::{Unit, add_on_device, places, require_alike_off, require_index, walk};

/// Adds elements at their place along an axis.
#[derive(Clone, Copy, Debug)]
pub struct ScatterAdd {
    /// The axis.
    pub axis: usize,
}

impl ScatterAdd {
    /// y += source at the places of the index, all row-major, in f64.
    fn add(&self, index: &Array, source: impl Fn(usize) -> f64, y: &mut Array) -> Result<()> {
        let shape = y.shape;
        walk(self.name(), Unit::Element, index, (&shape, self.axis), |k, i| y.data[i] += source(k))
    }
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        require_floats(self.name(), &[x[0], x[2]])?;
        require_index(self.name(), &x[1])?;
        require_alike_off(self.name(), self.axis, &x[0].shape, &x[1].shape)?;
        if x[1].shape != x[2].shape {
            let message = "the index and the source differ in shape";
            return Err(Error::shape(self.name(), &[x[1].shape, x[2].shape], message));
        }
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        self.add(&x[1], |at| x[2].data[at], &mut y[0])
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let Around { size, inner, .. } = Around::new(x[0].shape(), self.axis);
        let block = x[1].dims()[self.axis] * inner;
        let places = places(self.name(), &x[1], size)?;
        let source = x[2].contiguous()?;
        let source = source.data::<f32>()?;
        let mut y = x.swap_remove(0);
        for_rows(y.data_mut::<f32>()?, size * inner, 2, |first, blocks| {
            for (r, y) in blocks.chunks_mut(size * inner).enumerate() {
                let at = (first + r) * block;
                for (i, (v, place)) in source[at..].iter().zip(&places[at..at + block]).enumerate() {
                    y[place * inner + i % inner] += v;
                }
            }
        });
        Ok(vec![y])
    }

    fn cuda(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let y = x.swap_remove(0);
        add_on_device(self.name(), Unit::Element, y, [&x[1], &x[0]], self.axis)
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.grad(0)?;
        let to_source =
            back.want(2, || apply_single(Gather { axis: self.axis }, &[&grad, &back.input(1)?]))?;
        Ok(vec![back.want(0, || Ok(grad))?, None, to_source])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + K*(s+i)", "N*s", "K")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("K", x[1].shape.numel()), ("i", x[1].dtype.size())]
    }

    /// |x| + Σ|source|: terms may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = Array { shape: y[0].shape, data: x[0].data.iter().map(|v| v.abs()).collect() };
        // The same places as in the op itself, which did not fail.
        let _ = self.add(&x[1], |at| x[2].data[at].abs(), &mut scale);
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        x[1].dims()[self.axis] as f64
    }
}

methods! {
    /// This tensor with the elements of `source` added at the places that `index` gives along `axis` (negative: from
    /// the end): the opposite of gather. The order of the additions is fixed.
    ///
    /// # Errors
    /// If the axis does not exist, the sizes do not fit, the dtypes differ, or an index lies outside the axis.
    fn scatter_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis("scatter_add", axis)?;
        apply_single(ScatterAdd { axis }, &[self, index, source])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "scatter_add",
        summary: "elements added at their place along an axis",
        samples: || {
            let scatter = |axis: usize, x: &[usize], index: &[usize]| {
                let inputs = [Input::any(x), Input::index(index, x[axis].max(1)), Input::any(index)];
                Sample::new(ScatterAdd { axis }, inputs)
            };
            vec![
                scatter(2, &[3, 5, 7], &[3, 5, 33]),
                scatter(1, &[2, 7, 3], &[2, 4, 3]),
                scatter(0, &[4, 5], &[9, 5]),
                scatter(0, &[1], &[1]),
                scatter(1, &[3, 4], &[3, 0]),
                scatter(1, &[0, 4], &[0, 2]),
            ]
        },
    }]
}
