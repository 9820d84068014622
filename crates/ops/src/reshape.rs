//! The same elements in the same row-major order under another shape.
//!
//! A view if strides can say it; else (a transposed tensor flattened) a copy.
//! Derivative: ∂L/∂x is g in the shape of x. Shapes: `(…)` → any of equal size. Numerics: exact; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::{Error, Result, Shape, Tensor};

use crate::elementwise::apply_over;

/// Reads the elements under another shape.
#[derive(Clone, Copy, Debug)]
pub struct Reshape {
    /// The new shape.
    pub to: Shape,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if x[0].shape.numel() != self.to.numel() {
            let message = format!("{} elements cannot become {}", x[0].shape.numel(), self.to.numel());
            return Err(Error::shape(self.name(), &[x[0].shape, self.to], message));
        }
        Ok(vec![Meta::new(self.to, x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        if let Some(layout) = x[0].layout().reshape(&self.to)? {
            return Ok(vec![x[0].view(layout)?]);
        }
        let copy = x[0].contiguous()?;
        let layout = copy.layout().reshape(&self.to)?;
        let layout =
            layout.ok_or_else(|| Error::internal(self.name(), "a gapless tensor has every shape"))?;
        Ok(vec![copy.view(layout)?])
    }

    /// A view is one wherever the elements lie.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let to = back.meta(0).shape;
        Ok(vec![Some(apply_over(Self { to }, vec![back.take_grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

/// What may stand for a size in a shape: any integer, where -1 means "what is left".
pub trait Size: Copy {
    /// The number, whatever its type.
    fn number(self) -> i128;
}

impl Size for usize {
    fn number(self) -> i128 {
        self as i128
    }
}

impl Size for isize {
    fn number(self) -> i128 {
        self as i128
    }
}

impl Size for i32 {
    fn number(self) -> i128 {
        self as i128
    }
}

/// The shape that `sizes` mean for `numel` elements.
fn resolve(from: &Shape, sizes: &[impl Size]) -> Result<Shape> {
    let error = |message: String| {
        Error::shape("reshape", &[*from], message).hint("sizes are counts, and one of them may be -1")
    };
    let mut dims = Vec::with_capacity(sizes.len());
    let mut left = None;
    for (axis, size) in sizes.iter().map(|s| s.number()).enumerate() {
        match usize::try_from(size) {
            Ok(size) => dims.push(size),
            Err(_) if size == -1 && left.is_none() => {
                left = Some(axis);
                dims.push(1);
            }
            Err(_) if size == -1 => return Err(error("more than one size is -1".into())),
            Err(_) => return Err(error(format!("size {size} of axis {axis}"))),
        }
    }
    if let Some(axis) = left {
        let others = Shape::new(&dims)?.numel();
        if others == 0 || !from.numel().is_multiple_of(others) {
            return Err(error(format!("{} elements do not divide by the other sizes", from.numel())));
        }
        dims[axis] = from.numel() / others;
    }
    Shape::new(&dims)
}

methods! {
    /// The same elements in the same order under another shape; one size may be -1: what is left.
    ///
    /// # Errors
    /// If the number of elements differs, or more than one size is -1, or one is below.
    fn reshape(&self, sizes: &[impl Size]) -> Result<Tensor> {
        apply_single(Reshape { to: resolve(self.shape(), sizes)? }, &[self])
    }

    /// The axes from `first` to `last` (both included; negative ones count from the end) made one.
    ///
    /// # Errors
    /// If an axis does not exist or `first` comes after `last`.
    fn flatten(&self, first: isize, last: isize) -> Result<Tensor> {
        let (a, b) = (self.shape().axis("flatten", first)?, self.shape().axis("flatten", last)?);
        if a > b {
            return Err(Error::shape("flatten", &[*self.shape()], format!("axis {first} comes after {last}")));
        }
        let dims = self.dims();
        let size: usize = dims[a..=b].iter().product();
        let to = Shape::new(&[&dims[..a], &[size], &dims[b + 1..]].concat())?;
        apply_single(Reshape { to }, &[self])
    }

    /// A new axis of size 1 that will be axis `axis` of the result (-1: the last).
    ///
    /// # Errors
    /// If the result has no such axis, or too many axes.
    fn unsqueeze(&self, axis: isize) -> Result<Tensor> {
        let rank = self.rank() as isize;
        let at = if axis < 0 { axis + rank + 1 } else { axis };
        if !(0..=rank).contains(&at) {
            let message = format!("the result has {} axes and no axis {axis}", rank + 1);
            return Err(Error::shape("unsqueeze", &[*self.shape()], message));
        }
        let (before, after) = self.dims().split_at(at as usize);
        apply_single(Reshape { to: Shape::new(&[before, &[1], after].concat())? }, &[self])
    }

    /// The tensor without `axis`, whose size must be 1.
    ///
    /// # Errors
    /// If the axis does not exist or has another size.
    fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let at = self.shape().axis("squeeze", axis)?;
        if self.dims()[at] != 1 {
            let message = format!("axis {axis} has size {}, not 1", self.dims()[at]);
            return Err(Error::shape("squeeze", &[*self.shape()], message));
        }
        apply_single(Reshape { to: self.shape().without(at, false) }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "reshape",
        summary: "the same elements under another shape",
        samples: || {
            let cases: [(&[usize], &[usize]); 5] = [
                (&[3, 5, 35], &[15, 7, 5]),
                (&[4, 1, 33], &[132]),
                (&[1], &[]),
                (&[2, 0], &[0, 7]),
                (&[6], &[1, 2, 1, 3]),
            ];
            let sample = |(from, to): (&[usize], &[usize])| {
                Shape::new(to).ok().map(|to| Sample::new(Reshape { to }, [Input::any(from)]))
            };
            cases.into_iter().filter_map(sample).collect()
        },
    }]
}
