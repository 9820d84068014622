//! `y = x`, and then `y[o, index[k], j] = source[o, k, j]`, where the middle letter stands for one axis: how a KV cache is
//! written at a position that the device knows.
//!
//! Not differentiable: caches belong to generation. Shapes: x `(…, N, …)`, index `(K,)` of i64, u32 or u8, source
//! `(…, K, …)` → the shape of x. Numerics: exact; any dtype; the last of equal indices stays. In place, without copying x,
//! when nobody else holds x.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_tensor::{Error, Result, Tensor, with_dtype};

use crate::axis::{Around, require_axis};
use crate::indices::{Unit, copy_on_device, places, require_index, walk};

/// Replaces whole slices by their place along an axis.
#[derive(Clone, Copy, Debug)]
pub struct IndexCopy {
    /// The axis.
    pub axis: usize,
}

impl Op for IndexCopy {
    fn name(&self) -> &'static str {
        "index_copy"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_axis(self.name(), &x[0], self.axis)?;
        require_index(self.name(), &x[1])?;
        let [taken] = x[1].dims() else {
            return Err(Error::shape(self.name(), &[x[1].shape], "the index must have one axis"));
        };
        let expected = Meta::new(x[0].shape.with_dim(self.axis, *taken)?, x[0].dtype);
        if x[2] != expected {
            let message = format!("the source must be of shape {} in {}", expected.shape, expected.dtype);
            return Err(
                Error::shape(self.name(), &[], message).operands(x.iter().map(|m| (m.shape, m.dtype)))
            );
        }
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        walk(self.name(), Unit::Slice, &x[1], (&x[0].shape, self.axis), |k, i| y[0].data[i] = x[2].data[k])
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let Around { outer, size, inner } = Around::new(x[0].shape(), self.axis);
        let places = places(self.name(), &x[1], size)?;
        let source = x.swap_remove(2).contiguous()?;
        let mut y = x.swap_remove(0);
        with_dtype!(y.dtype(), T => {
            let (to, from) = (y.data_mut::<T>()?, source.data::<T>()?);
            for o in 0..outer {
                for (k, place) in places.iter().enumerate() {
                    let row = &from[(o * places.len() + k) * inner..][..inner];
                    to[(o * size + place) * inner..][..inner].copy_from_slice(row);
                }
            }
        });
        Ok(vec![y])
    }

    fn cuda(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let y = x.swap_remove(0);
        copy_on_device(self.name(), y, [&x[1], &x[0]], self.axis)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("R*s + K*i", "W*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        // Of equal indices one stays, so there is no more to write than the tensor has.
        let (given, all) = (x[2].shape.numel(), x[0].shape.numel());
        vec![("R", given), ("W", given.min(all)), ("K", x[1].shape.numel()), ("i", x[1].dtype.size())]
    }
}

/// No method: the cache gives its tensor away with `apply_owned`.
pub trait Methods {}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "index_copy",
        summary: "x with whole slices replaced by their place along an axis",
        samples: || {
            let copy = |axis: usize, x: &[usize], taken: usize| {
                let mut source = x.to_vec();
                source[axis] = taken;
                let inputs = [Input::any(x), Input::index(&[taken], x[axis].max(1)), Input::any(&source)];
                Sample::new(IndexCopy { axis }, inputs)
            };
            // More places than there are: some are written twice.
            vec![copy(1, &[2, 5, 4, 8], 1), copy(1, &[3, 4, 5], 7), copy(0, &[6], 3), copy(1, &[3, 4], 0)]
        },
    }]
}
