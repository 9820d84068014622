//! The same numbers in another dtype.
//!
//! Derivative: ∂L/∂x is g in the dtype of x; a cast to integers is constant almost everywhere and has none.
//! Shapes: `(…)` → `(…)`. Numerics: floats round to nearest even (to ±∞ beyond the largest), integers truncate,
//! truth is anything but 0.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single,
};
use warpsmith_tensor::{DType, Result, Tensor};

/// Changes the dtype.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// The new dtype.
    pub to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        if self.to.is_float() { "cast" } else { "cast_to_whole" }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta::new(x[0].shape, self.to)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let convert = |v: f64| match self.to {
            DType::Bool => f64::from(v != 0.0),
            to if to.is_index() => v.trunc(),
            // The rounding of the output to its own dtype is the engine's.
            _ => v,
        };
        y[0].data.iter_mut().zip(&x[0].data).for_each(|(y, &x)| *y = convert(x));
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![x[0].to_dtype(self.to)?])
    }

    /// The tensor does this by itself, wherever it lies.
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn differentiability(&self) -> Differentiability {
        if self.to.is_float() {
            Differentiability::Differentiable
        } else {
            Differentiability::ByDefinitionNot
        }
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let to = back.meta(0).dtype;
        Ok(vec![Some(apply_single(Self { to }, &[&back.grad(0)?])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*S", "0")
    }

    fn symbols(&self, _x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("S", self.to.size())]
    }
}

methods! {
    /// The same numbers in another dtype; unlike [`Tensor::to_dtype`] with a gradient, if both dtypes are floats.
    ///
    /// # Errors
    /// If an integer does not fit in a narrower integer.
    fn cast(&self, to: DType) -> Result<Tensor> {
        apply_single(Cast { to }, &[self])
    }
}

/// The registry's entries. (To narrower floats the formula of the gradient cannot be compared with differences.)
pub fn specs() -> Vec<Spec> {
    let to_float = || {
        let shapes: [&[usize]; 4] = [&[3, 5, 33], &[1], &[0, 2], &[]];
        shapes.map(|dims| Sample::new(Cast { to: DType::F64 }, [Input::any(dims)])).into()
    };
    let to_whole = || {
        let cast = |to, input| Sample::new(Cast { to }, [input]);
        vec![
            cast(DType::I64, Input::between(&[33], -1e6, 1e6)),
            cast(DType::U8, Input::index(&[3, 35], 256)),
            cast(DType::Bool, Input::index(&[3, 3], 2)),
            cast(DType::U32, Input::mask(&[1])),
            cast(DType::I64, Input::index(&[0], 1)),
        ]
    };
    vec![
        Spec { name: "cast", summary: "another float dtype", samples: to_float },
        Spec { name: "cast_to_whole", summary: "integers or truth values", samples: to_whole },
    ]
}
