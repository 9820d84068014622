//! y = x, and then `y[o, index[k], j] += source[o, k, j]`, where the middle letter stands for one axis.
//!
//! Derivative: ∂L/∂x = g and `∂L/∂source[o, k, j] = g[o, index[k], j]`. Shapes: `(…, N, …)`, `(K,)` of i64, u32 or u8,
//! `(…, K, …)` → `(…, N, …)`. Numerics: terms are added in the order of k: the sources of each slice are listed first,
//! then each slice is summed by one thread.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::axis::{Around, require_axis};
use crate::elementwise::require_floats;
use crate::index_select::IndexSelect;
use crate::indices::{Unit, add_on_device, places, require_index, walk};

/// Adds whole slices at their place along an axis.
#[derive(Clone, Copy, Debug)]
pub struct IndexAdd {
    /// The axis.
    pub axis: usize,
}

impl IndexAdd {
    /// y += source at the places of the index, in f64.
    fn add(&self, index: &Array, source: impl Fn(usize) -> f64, y: &mut Array) -> Result<()> {
        let shape = y.shape;
        walk(self.name(), Unit::Slice, index, (&shape, self.axis), |k, i| y.data[i] += source(k))
    }
}

impl Op for IndexAdd {
    fn name(&self) -> &'static str {
        "index_add"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        require_floats(self.name(), &[x[0], x[2]])?;
        require_index(self.name(), &x[1])?;
        let [taken] = x[1].dims() else {
            return Err(Error::shape(self.name(), &[x[1].shape], "the index must have one axis"));
        };
        let expected = x[0].shape.with_dim(self.axis, *taken)?;
        if x[2].shape != expected {
            let message = format!("the source must have the shape {expected}");
            return Err(Error::shape(self.name(), &[x[0].shape, x[1].shape, x[2].shape], message));
        }
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        self.add(&x[1], |at| x[2].data[at], &mut y[0])
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let Around { size, inner, .. } = Around::new(x[0].shape(), self.axis);
        let places = places(self.name(), &x[1], size)?;
        let sources = by_place(&places, size);
        let source = x[2].contiguous()?;
        let source = source.data::<f32>()?;
        let mut y = x.swap_remove(0);
        for_rows(y.data_mut::<f32>()?, inner, 2, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (r, y) in block.chunks_mut(inner).enumerate() {
                        let (o, place) = ((first + r) / size, (first + r) % size);
                        for &k in &sources[place] {
                            let from = &source[(o * places.len() + k) * inner..][..inner];
                            for (y, v) in y.iter_mut().zip(from) {
                                *y += v;
                            }
                        }
                    }
                },
            );
        });
        Ok(vec![y])
    }

    fn cuda(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let y = x.swap_remove(0);
        add_on_device(self.name(), Unit::Slice, y, [&x[1], &x[0]], self.axis)
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.grad(0)?;
        let to_source =
            back.want(2, || apply_single(IndexSelect { axis: self.axis }, &[&grad, &back.input(1)?]))?;
        Ok(vec![back.want(0, || Ok(grad))?, None, to_source])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + R*s + K*i", "N*s", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[2].shape.numel()), ("K", x[1].shape.numel()), ("i", x[1].dtype.size())]
    }

    /// |x| + Σ|source|: terms may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = Array { shape: y[0].shape, data: x[0].data.iter().map(|v| v.abs()).collect() };
        // The same places as in the op itself, which did not fail.
        let _ = self.add(&x[1], |at| x[2].data[at].abs(), &mut scale);
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        x[1].shape.numel() as f64
    }
}

/// For each place, which entries of the index name it, ascending.
fn by_place(places: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut sources = vec![Vec::new(); size];
    places.iter().enumerate().for_each(|(k, &place)| sources[place].push(k));
    sources
}

methods! {
    /// This tensor with the slices of `source` added at the places that `index`, which has one axis, gives along
    /// `axis` (negative: from the end): the opposite of index_select. The order of the additions is fixed.
    ///
    /// # Errors
    /// If the axis does not exist, the sizes do not fit, the dtypes differ, or an index lies outside the axis.
    fn index_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis("index_add", axis)?;
        apply_single(IndexAdd { axis }, &[self, index, source])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "index_add",
        summary: "whole slices added at their place along an axis",
        samples: || {
            let add = |axis: usize, x: &[usize], taken: usize| {
                let mut source = x.to_vec();
                source[axis] = taken;
                let inputs = [Input::any(x), Input::index(&[taken], x[axis].max(1)), Input::any(&source)];
                Sample::new(IndexAdd { axis }, inputs)
            };
            vec![
                add(1, &[3, 5, 33], 7),
                add(2, &[3, 5, 7], 33),
                add(0, &[4, 5], 9),
                add(0, &[1], 1),
                add(1, &[3, 4], 0),
                add(1, &[0, 4], 2),
            ]
        },
    }]
}
