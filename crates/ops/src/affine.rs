//! y = a·x + b for two numbers a and b.
//!
//! Derivative: a·g. Shapes: `(…)` → `(…)`. Numerics: a and b are rounded to f32, then one rounding.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{apply_over, unary_cpu, unary_reference, unary_shape};

/// Scales and shifts.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    /// The factor a.
    pub scale: f64,
    /// The summand b.
    pub shift: f64,
}

impl Op for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        unary_reference(x, y, |x| self.scale * x + self.shift);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let (a, b) = (self.scale as f32, self.shift as f32);
        unary_cpu(
            x,
            1,
            #[inline(always)]
            |x| x.mul_add(a, b),
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let function = Unary::Affine { scale: self.scale, shift: self.shift };
        cuda::map(self.name(), x, &y[0], |operands| unary::forward(function, operands))
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.take_grad(0)?;
        let to_x = match self.scale {
            1.0 => grad,
            scale => apply_over(Self { scale, shift: 0.0 }, vec![grad])?,
        };
        Ok(vec![Some(to_x)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "2*N")
    }

    /// |a·x| + |b|: the two may cancel.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = vec![y[0].clone()];
        unary_reference(x, &mut scale, |x| (self.scale * x).abs() + self.shift.abs());
        scale
    }
}

methods! {
    /// scale·x + shift of each element, in one pass.
    fn affine(&self, scale: f64, shift: f64) -> Result<Tensor> {
        apply_single(Affine { scale, shift }, &[self])
    }

    /// x + value of each element.
    fn add_scalar(&self, value: f64) -> Result<Tensor> {
        apply_single(Affine { scale: 1.0, shift: value }, &[self])
    }

    /// x·value of each element.
    fn mul_scalar(&self, value: f64) -> Result<Tensor> {
        apply_single(Affine { scale: value, shift: 0.0 }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "affine",
        summary: "a·x + b",
        samples: || {
            let affine =
                |scale, shift, dims: &[usize]| Sample::new(Affine { scale, shift }, [Input::any(dims)]);
            vec![
                affine(0.3, -1.7, &[3, 5, 35]),
                affine(1.0, 0.5, &[33]),
                affine(-2.0, 0.0, &[1, 1]),
                affine(0.0, 1.0, &[4]),
                affine(0.3, -1.7, &[2, 0]),
            ]
        },
    }]
}
