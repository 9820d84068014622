//! y = a where the mask is true, b where it is false, with broadcasting.
//!
//! Derivative: ∂L/∂a = g where the mask is true, else 0; ∂L/∂b the other way round; each summed over the axes along
//! which its operand was stretched. Shapes: `(…)` bool, `(…)`, `(…)` → their broadcast. Numerics: exact; any dtype. What
//! is not chosen has no influence, not even a NaN.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_kernels::{dims, select as kernel};
use warpsmith_tensor::{Error, Result, Shape, Tensor, with_dtype};

use crate::elementwise::{broadcast_shape, sum_to, ternary_reference};
use crate::logical::require_mask;
use crate::zip::{Operand, select};

/// Chooses between two tensors.
#[derive(Clone, Copy, Debug)]
pub struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_mask(self.name(), &x[0])?;
        if x[1].dtype != x[2].dtype {
            return Err(Error::dtype(self.name(), "the two choices differ in dtype")
                .operands(x.iter().map(|m| (m.shape, m.dtype)))
                .hint("convert with to_dtype"));
        }
        Ok(vec![Meta::new(broadcast_shape(self.name(), x)?, x[1].dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        ternary_reference(x, y, |mask, a, b| if mask != 0.0 { a } else { b });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let mask = Operand::new::<bool>(&x[0], &y[0].shape)?;
        with_dtype!(y[0].dtype, T => {
            let (a, b) = (Operand::new::<T>(&x[1], &y[0].shape)?, Operand::new::<T>(&x[2], &y[0].shape)?);
            select(out.data_mut::<T>()?, &mask, &a, &b);
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (dtype, device) = (y[0].dtype.on_device(self.name())?, x[0].device());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let operand = |i: usize| x[i].operand(&y[0].shape);
        let (mask, p, q) = (operand(0)?, operand(1)?, operand(2)?);
        let y = out.operand_mut()?;
        device.launch(&kernel::where_(&kernel::Where { dtype, dims: dims(out.dims()), y, mask, p, q }))?;
        Ok(vec![out])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (mask, grad) = (back.input(0)?, back.grad(0)?);
        let zero = Tensor::zeros(Shape::scalar(), grad.dtype(), &grad.device())?;
        let to_a =
            back.want(1, || sum_to(apply_single(Self, &[&mask, &grad, &zero])?, &back.meta(1).shape))?;
        let to_b =
            back.want(2, || sum_to(apply_single(Self, &[&mask, &zero, &grad])?, &back.meta(2).shape))?;
        Ok(vec![None, to_a, to_b])
    }

    fn cost(&self) -> Cost {
        Cost::new("N + M*S", "R*S", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let result = broadcast_shape(self.name(), x).map_or(0, |shape| shape.numel());
        vec![("M", x[1].shape.numel() + x[2].shape.numel()), ("S", x[1].dtype.size()), ("R", result)]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        0.0
    }
}

methods! {
    /// `a` where this mask is true, `b` where it is false, with broadcasting.
    ///
    /// # Errors
    /// If this does not hold truth values, the shapes do not broadcast, or `a` and `b` differ in dtype.
    fn where_(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        apply_single(Where, &[self, a, b])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "where",
        summary: "one tensor or the other, by a mask",
        samples: || {
            let cases: [[&[usize]; 3]; 6] = [
                [&[3, 5, 33], &[3, 5, 33], &[3, 5, 33]],
                [&[5, 1], &[3, 5, 35], &[35]],
                [&[4, 33], &[4, 33], &[]],
                [&[4, 33], &[], &[4, 33]],
                [&[1], &[1], &[1]],
                [&[0, 3], &[3], &[1]],
            ];
            let sample =
                |[m, a, b]: [&[usize]; 3]| Sample::new(Where, [Input::mask(m), Input::any(a), Input::any(b)]);
            cases.map(sample).into()
        },
    }]
}
