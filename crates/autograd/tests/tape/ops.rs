//! Three small ops that tell what the engine did with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Meta, Op, Parameter, Saves, TensorExt, apply_single,
};
use warpsmith_tensor::{Device, Error, Result, Tensor};

/// x·y, element by element. Counts how often its vjp computes the gradient of either input.
#[derive(Clone, Debug, Default)]
pub struct Times {
    pub computed: [Arc<AtomicUsize>; 2],
    /// The vjp fails.
    pub breaks: bool,
}

impl Times {
    pub fn counts(&self) -> [usize; 2] {
        [0, 1].map(|i| self.computed[i].load(Ordering::Relaxed))
    }
}

impl Op for Times {
    fn name(&self) -> &'static str {
        "times"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if x[0] != x[1] {
            return Err(Error::shape("times", &[x[0].shape, x[1].shape], "operands differ"));
        }
        Ok(vec![x[0]])
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        (0..y[0].data.len()).for_each(|i| y[0].data[i] = x[0].data[i] * x[1].data[i]);
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (a, b) = (x[0].to_vec::<f32>()?, x[1].to_vec::<f32>()?);
        let product: Vec<f32> = a.iter().zip(b).map(|(a, b)| a * b).collect();
        Ok(vec![Tensor::from_vec(product, y[0].dims(), &Device::Cpu)?])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        if self.breaks {
            return Err(Error::value("times", "broken on purpose"));
        }
        let grad = back.grad(0)?;
        let with = |i: usize, other: usize| {
            back.want(i, || {
                self.computed[i].fetch_add(1, Ordering::Relaxed);
                apply_single(Self::default(), &[&grad, &back.input(other)?])
            })
        };
        Ok(vec![with(0, 1)?, with(1, 0)?])
    }
    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "N")
    }
}

/// One input, two outputs: (2·x, 3·x).
#[derive(Clone, Debug)]
pub struct Fork;

impl Op for Fork {
    fn name(&self) -> &'static str {
        "fork"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![x[0], x[0]])
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for (y, factor) in y.iter_mut().zip([2.0, 3.0]) {
            y.data.iter_mut().zip(&x[0].data).for_each(|(y, x)| *y = factor * x);
        }
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x[0].to_f64_vec()?;
        let times = |factor: f64, meta: &Meta| {
            let values: Vec<f64> = x.iter().map(|v| factor * v).collect();
            Tensor::from_f64(&values, meta.shape, meta.dtype, &Device::Cpu)
        };
        Ok(vec![times(2.0, &y[0])?, times(3.0, &y[1])?])
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (back.grad(0)?.to_f64_vec()?, back.grad(1)?.to_f64_vec()?);
        let sum: Vec<f64> = a.iter().zip(b).map(|(a, b)| 2.0 * a + 3.0 * b).collect();
        let meta = back.meta(0);
        Ok(vec![Some(Tensor::from_f64(&sum, meta.shape, meta.dtype, &Device::Cpu)?)])
    }
    fn cost(&self) -> Cost {
        Cost::new("N*s", "2*N*s", "2*N")
    }
}

/// The identity, with the stand to gradients and the vjp that a test asks for.
#[derive(Clone, Copy, Debug)]
pub struct Odd {
    pub stands: Differentiability,
    /// How many gradients the vjp gives for the one input, all `None`.
    pub gives: usize,
}

impl Op for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![x[0]])
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.copy_from_slice(&x[0].data);
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(x)
    }
    fn differentiability(&self) -> Differentiability {
        self.stands
    }
    fn vjp(&self, _back: Backward) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None; self.gives])
    }
    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

pub fn times(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply_single(Times::default(), &[a, b])
}

pub fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()], &Device::Cpu).unwrap()
}

pub fn leaf(values: &[f32]) -> Tensor {
    vector(values).requires_grad().unwrap()
}

pub fn parameter(name: &str, values: &[f32]) -> Parameter {
    Parameter::new(name, &vector(values)).unwrap()
}

pub fn ones(like: &Tensor) -> Tensor {
    Tensor::full(*like.shape(), 1.0, like.dtype(), &Device::Cpu).unwrap()
}

pub fn numbers(tensor: Option<&Tensor>) -> Vec<f32> {
    tensor.expect("a gradient").to_vec::<f32>().unwrap()
}
