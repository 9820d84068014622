//! Elements start, start + step, … (len of them) along one axis.
//!
//! Derivative: ∂L/∂x is g at the places that were taken and 0 at all others. Shapes: `(…, N, …)` → `(…, len, …)`.
//! Numerics: exact; any dtype; always a view.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single,
};
use warpsmith_tensor::cpu::for_rows;
use warpsmith_tensor::{Error, Layout, Result, Shape, Tensor, with_dtype};

use crate::axis::{Around, require_axis};
use crate::cuda;

/// Takes a run along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// The first place taken.
    pub start: usize,
    /// How many are taken.
    pub len: usize,
    /// How far apart they are: 1 for neighbours.
    pub step: usize,
}

impl Slice {
    fn sliced(&self, op: &'static str, x: &Meta) -> Result<Shape> {
        require_axis(op, x, self.axis)?;
        Ok(*Layout::contiguous(x.shape).slice(self.axis, self.start, self.len, self.step)?.shape())
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta::new(self.sliced(self.name(), &x[0])?, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Around { outer, size, inner } = Around::new(&x[0].shape, self.axis);
        for o in 0..outer {
            for i in 0..self.len {
                for j in 0..inner {
                    let from = (o * size + self.start + i * self.step) * inner + j;
                    y[0].data[(o * self.len + i) * inner + j] = x[0].data[from];
                }
            }
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let layout = x[0].layout().slice(self.axis, self.start, self.len, self.step)?;
        Ok(vec![x[0].view(layout)?])
    }

    /// A view is one wherever the elements lie.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let op = SliceBackward { slice: *self, to: back.meta(0).shape };
        Ok(vec![Some(apply_single(op, &[&back.grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

/// The gradient of [`Slice`]: g among zeros.
#[derive(Clone, Copy, Debug)]
pub struct SliceBackward {
    /// What was taken.
    pub slice: Slice,
    /// The shape that it was taken from.
    pub to: Shape,
}

impl Op for SliceBackward {
    fn name(&self) -> &'static str {
        "slice_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let whole = Meta::new(self.to, x[0].dtype);
        let expected = self.slice.sliced(self.name(), &whole)?;
        if x[0].shape != expected {
            return Err(Error::shape(self.name(), &[x[0].shape, expected], "not the shape of the slice"));
        }
        Ok(vec![whole])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Slice { axis, start, len, step } = self.slice;
        let Around { outer, size, inner } = Around::new(&self.to, axis);
        for o in 0..outer {
            for i in 0..len {
                for j in 0..inner {
                    let to = (o * size + start + i * step) * inner + j;
                    y[0].data[to] = x[0].data[(o * len + i) * inner + j];
                }
            }
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let Slice { axis, start, len, step } = self.slice;
        let Around { size, inner, .. } = Around::new(&self.to, axis);
        let mut out = Tensor::zeros(self.to, y[0].dtype, &x[0].device())?;
        let from = x[0].contiguous()?;
        with_dtype!(y[0].dtype, T => {
            let from = from.data::<T>()?;
            for_rows(out.data_mut::<T>()?, size * inner, 1, |first, block| {
                for (r, block) in block.chunks_mut(size * inner).enumerate() {
                    for i in 0..len {
                        let (to, at) = ((start + i * step) * inner, ((first + r) * len + i) * inner);
                        block[to..to + inner].copy_from_slice(&from[at..at + inner]);
                    }
                }
            });
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let Slice { axis, start, step, .. } = self.slice;
        let mut out = Tensor::zeros(self.to, y[0].dtype, &x[0].device())?;
        cuda::write_slice(&mut out, axis, [start, step], &x[0], self.name())?;
        Ok(vec![out])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "R*s", "0")
    }

    fn symbols(&self, _x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", self.to.numel())]
    }
}

methods! {
    /// Elements `start`, `start + step`, … (`len` of them) along `axis` (negative: from the end).
    ///
    /// # Errors
    /// If the axis does not exist, an element lies outside it, or `step` is 0.
    fn slice(&self, axis: isize, start: usize, len: usize, step: usize) -> Result<Tensor> {
        let axis = self.shape().axis("slice", axis)?;
        apply_single(Slice { axis, start, len, step }, &[self])
    }

    /// The `len` neighbours from `start` along `axis` (negative: from the end).
    ///
    /// # Errors
    /// As [`Methods::slice`].
    fn narrow(&self, axis: isize, start: usize, len: usize) -> Result<Tensor> {
        let axis = self.shape().axis("slice", axis)?;
        apply_single(Slice { axis, start, len, step: 1 }, &[self])
    }
}

/// Slices, with the shapes that they are taken from.
fn cases() -> Vec<(Slice, Vec<usize>)> {
    let case = |axis, start, len, step, dims: &[usize]| (Slice { axis, start, len, step }, dims.to_vec());
    vec![
        case(1, 2, 33, 1, &[3, 40, 2]),
        case(2, 1, 11, 3, &[2, 3, 35]),
        case(0, 3, 2, 1, &[5, 7]),
        case(1, 0, 1, 1, &[1, 1]),
        case(0, 2, 0, 1, &[2, 3]),
    ]
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "slice",
            summary: "a run along one axis",
            samples: || cases().into_iter().map(|(op, dims)| Sample::new(op, [Input::any(&dims)])).collect(),
        },
        Spec {
            name: "slice_backward",
            summary: "the gradient of slice",
            samples: || {
                let sample = |(slice, mut dims): (Slice, Vec<usize>)| {
                    let to = Shape::new(&dims).ok()?;
                    dims[slice.axis] = slice.len;
                    Some(Sample::new(SliceBackward { slice, to }, [Input::any(&dims)]))
                };
                cases().into_iter().filter_map(sample).collect()
            },
        },
    ]
}
