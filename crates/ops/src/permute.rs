//! The axes in another order: axis i of y is axis `order[i]` of x.
//!
//! Derivative: ∂L/∂x is g with the axes put back. Shapes: `(…)` → `(…)`. Numerics: exact; any dtype; always a view.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::{Error, Layout, Result, Tensor};

/// Puts the axes in another order.
#[derive(Clone, Debug)]
pub struct Permute {
    /// Which axis of the input each axis of the output is.
    pub order: Vec<usize>,
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let layout = Layout::contiguous(x[0].shape).permute(&self.order)?;
        Ok(vec![Meta::new(*layout.shape(), x[0].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let dims = x[0].dims();
        // How far one step along each axis of y goes in x.
        let steps: Vec<usize> = self.order.iter().map(|&a| dims[a + 1..].iter().product()).collect();
        let shape = y[0].shape;
        for (i, y) in y[0].data.iter_mut().enumerate() {
            let (mut left, mut from) = (i, 0);
            for (&size, &step) in shape.dims().iter().zip(&steps).rev() {
                from += left % size * step;
                left /= size;
            }
            *y = x[0].data[from];
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![x[0].view(x[0].layout().permute(&self.order)?)?])
    }

    /// A view is one wherever the elements lie.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let mut order = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(to, &from)| order[from] = to);
        Ok(vec![Some(apply_single(Self { order }, &[&back.grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

methods! {
    /// The axes in another order: axis i of the result is axis `order[i]` (negative ones count from the end).
    ///
    /// # Errors
    /// If `order` does not name each axis once.
    fn permute(&self, order: &[isize]) -> Result<Tensor> {
        if order.len() != self.rank() {
            let message = format!("{order:?} does not name each axis once");
            return Err(Error::shape("permute", &[*self.shape()], message));
        }
        let order = order.iter().map(|&a| self.shape().axis("permute", a)).collect::<Result<_>>()?;
        apply_single(Permute { order }, &[self])
    }

    /// Exchanges two axes (negative ones count from the end).
    ///
    /// # Errors
    /// If an axis does not exist.
    fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let (a, b) = (self.shape().axis("transpose", a)?, self.shape().axis("transpose", b)?);
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        apply_single(Permute { order }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "permute",
        summary: "the axes in another order",
        samples: || {
            let cases: [(&[usize], &[usize]); 5] = [
                (&[0, 2, 1, 3], &[2, 5, 3, 33]),
                (&[2, 0, 1], &[3, 1, 35]),
                (&[1, 0], &[0, 3]),
                (&[1, 0], &[1, 1]),
                (&[], &[]),
            ];
            cases
                .map(|(order, dims)| Sample::new(Permute { order: order.to_vec() }, [Input::any(dims)]))
                .into()
        },
    }]
}
