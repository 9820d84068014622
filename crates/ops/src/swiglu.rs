//! y = a·σ(a)·b: the gate of a Llama block, SiLU and product in one pass.
//!
//! Derivative: with s = σ(a), ∂L/∂a = g·b·s·(1 + a·(1 - s)) and ∂L/∂b = g·a·s. Shapes: `(…)`, `(…)` → `(…)`.
//! Numerics: a few roundings; for a → -∞ the result goes to 0 through the subnormals, and a = -∞ gives NaN, as the
//! product -∞·0 does in PyTorch.
//! Source: Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv 2002.05202, §2.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply, apply_single,
};
use warpsmith_kernels::binary::{self, Binary};
use warpsmith_kernels::swiglu;
use warpsmith_tensor::cpu::{dispatch, for_rows_zip, math};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::cuda;
use crate::elementwise::{binary_cpu, require_floats};

/// SiLU of the first input times the second.
#[derive(Clone, Copy, Debug)]
pub struct SwiGlu;

/// The smallest normal f32: below it, numbers are 2⁻¹⁴⁹ apart, however small they are.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// An error unless all inputs hold floats of one dtype and have one shape.
fn require_same(op: &'static str, x: &[Meta]) -> Result<()> {
    require_floats(op, x)?;
    if x.iter().all(|m| m.shape == x[0].shape) {
        return Ok(());
    }
    let message = "the inputs differ in shape";
    Err(Error::shape(op, &x.iter().map(|m| m.shape).collect::<Vec<_>>(), message))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Op for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_same(self.name(), x)?;
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let inputs = x[0].data.iter().zip(&x[1].data);
        y[0].data.iter_mut().zip(inputs).for_each(|(y, (&a, b))| *y = a * sigmoid(a) * b);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        binary_cpu(
            x,
            &y[0],
            16,
            #[inline(always)]
            |a, b| a * math::sigmoid(a) * b,
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| binary::forward(Binary::Swiglu, operands))
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grads = apply(SwiGluBackward, &[&back.grad(0)?, &back.input(0)?, &back.input(1)?])?;
        Ok(grads.into_iter().map(Some).collect())
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "4*N")
    }

    /// σ(a) is at least as uncertain as the smallest numbers are apart.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let products = x[0].data.iter().zip(&x[1].data).map(|(a, b)| (a * b).abs() * TINY);
        vec![Array { shape: y[0].shape, data: products.zip(&y[0].data).map(|(t, y)| t + y.abs()).collect() }]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        8.0
    }
}

/// The gradients of [`SwiGlu`] from (g, a, b).
#[derive(Clone, Copy, Debug)]
pub struct SwiGluBackward;

impl Op for SwiGluBackward {
    fn name(&self) -> &'static str {
        "swiglu_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_same(self.name(), x)?;
        Ok(vec![x[1], x[2]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for i in 0..x[0].data.len() {
            let (g, a, b) = (x[0].data[i], x[1].data[i], x[2].data[i]);
            let s = sigmoid(a);
            y[0].data[i] = g * b * (s + a * s * (1.0 - s));
            y[1].data[i] = g * (a * s);
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (g, a, b) = (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?);
        let mut da = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let mut db = Tensor::empty(y[1].shape, y[1].dtype, &x[0].device())?;
        for_rows_zip((da.data_mut::<f32>()?, 1), (db.data_mut::<f32>()?, 1), 20, |at, da, db| {
            let range = at..at + da.len();
            let inputs = g[range.clone()].iter().zip(&a[range.clone()]).zip(&b[range]);
            dispatch(
                #[inline(always)]
                || {
                    for ((da, db), ((g, a), b)) in da.iter_mut().zip(db).zip(inputs) {
                        let s = math::sigmoid(*a);
                        *da = g * b * (a * s).mul_add(1.0 - s, s);
                        *db = g * (a * s);
                    }
                },
            );
        });
        Ok(vec![da, db])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let mut da = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let mut db = Tensor::empty(y[1].shape, y[1].dtype, &device)?;
        let call = swiglu::SwigluBackward {
            dtype: y[0].dtype.float_on_device(self.name())?,
            da: da.device_address_mut()?,
            db: db.device_address_mut()?,
            g: x[0].device_address()?,
            a: x[1].device_address()?,
            b: x[2].device_address()?,
            elements: y[0].shape.numel() as u64,
        };
        device.launch(&swiglu::backward(&call))?;
        Ok(vec![da, db])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("3*N*s", "2*N*s", "10*N")
    }

    /// The slope is a sum of two terms of opposite sign where a < 0, and 1 - s has the rounding of s where a > 0.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = y.to_vec();
        for i in 0..x[0].data.len() {
            let (g, a, b) = (x[0].data[i], x[1].data[i], x[2].data[i]);
            let s = sigmoid(a);
            scale[0].data[i] = (g * b).abs() * (1.0 + a.abs()) * (s + TINY);
            scale[1].data[i] = (g * a).abs() * (s + TINY);
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        14.0
    }
}

methods! {
    /// SiLU of this tensor (the gate) times `up`, of the same shape.
    ///
    /// # Errors
    /// If the shapes or dtypes differ, or the dtype is not a float.
    fn swiglu(&self, up: &Tensor) -> Result<Tensor> {
        apply_single(SwiGlu, &[self, up])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "swiglu",
            summary: "silu(a)·b",
            samples: || shapes().map(|d| Sample::new(SwiGlu, [Input::any(d), Input::any(d)])).into(),
        },
        Spec {
            name: "swiglu_backward",
            summary: "the gradients of swiglu",
            samples: || shapes().map(|d| Sample::new(SwiGluBackward, [d, d, d].map(Input::any))).into(),
        },
    ]
}

fn shapes() -> [&'static [usize]; 5] {
    [&[3, 5, 37], &[4, 33], &[1], &[], &[0, 3]]
}
