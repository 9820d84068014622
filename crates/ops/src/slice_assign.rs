//! y = x with the part from `start` along one axis replaced by v: how a KV cache grows.
//!
//! Not differentiable: caches belong to generation. Shapes: x `(…, S, …)`, v `(…, T, …)` → the shape of x.
//! In place, without copying x, when nobody else holds x.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_tensor::{Error, Result, Shape, Tensor, with_dtype};

use crate::cuda;

/// Replaces a part of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct SliceAssign {
    /// The axis along which the part lies.
    pub axis: usize,
    /// Where it starts.
    pub start: usize,
}

impl SliceAssign {
    /// (outer, S, inner) of a shape: the axis between all before and all after it.
    fn split(&self, shape: &Shape) -> (usize, usize, usize) {
        let dims = shape.dims();
        (dims[..self.axis].iter().product(), dims[self.axis], dims[self.axis + 1..].iter().product())
    }

    fn copy<T: Copy>(&self, y: &mut [T], v: &[T], x: &Shape, part: &Shape) {
        let (outer, s, inner) = self.split(x);
        let t = part.dims()[self.axis];
        for i in 0..outer {
            let to = &mut y[(i * s + self.start) * inner..][..t * inner];
            to.copy_from_slice(&v[i * t * inner..][..t * inner]);
        }
    }
}

impl Op for SliceAssign {
    fn name(&self) -> &'static str {
        "slice_assign"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let (whole, part) = (x[0].shape, x[1].shape);
        let same = |a: usize| a == self.axis || whole.dims()[a] == part.dims()[a];
        let fits = whole.rank() == part.rank() && self.axis < whole.rank() && (0..whole.rank()).all(same);
        if !fits || x[0].dtype != x[1].dtype {
            return Err(Error::shape(
                self.name(),
                &[],
                "the part must equal the whole in dtype and all other axes",
            )
            .operands(x.iter().map(|m| (m.shape, m.dtype))));
        }
        if self.start + part.dims()[self.axis] > whole.dims()[self.axis] {
            let message = format!("{} from {} do not fit", part.dims()[self.axis], self.start);
            return Err(Error::shape(self.name(), &[whole, part], message));
        }
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.clone_from(&x[0].data);
        self.copy(&mut y[0].data, &x[1].data, &x[0].shape, &x[1].shape);
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let part = x.swap_remove(1).contiguous()?;
        let mut whole = x.swap_remove(0);
        let shape = *whole.shape();
        with_dtype!(whole.dtype(), T => {
            self.copy(whole.data_mut::<T>()?, part.data::<T>()?, &shape, part.shape());
        });
        Ok(vec![whole])
    }

    fn cuda(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let part = x.swap_remove(1);
        let mut whole = x.swap_remove(0);
        cuda::write_slice(&mut whole, self.axis, [self.start, 1], &part, self.name())?;
        Ok(vec![whole])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("P*s", "P*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("P", x[1].shape.numel())]
    }
}

/// No method: the cache gives its tensor away with `apply_owned`.
pub trait Methods {}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "slice_assign",
        summary: "x with a part along one axis replaced",
        samples: || {
            let sample = |axis, start, x: &[usize], v: &[usize]| {
                Sample::new(SliceAssign { axis, start }, [Input::any(x), Input::any(v)])
            };
            vec![
                sample(1, 2, &[2, 9, 3, 4], &[2, 3, 3, 4]),
                sample(0, 0, &[5, 33], &[1, 33]),
                sample(1, 4, &[3, 4], &[3, 0]),
            ]
        },
    }]
}
