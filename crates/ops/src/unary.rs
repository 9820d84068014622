//! What all ops of one input and one formula share: from the trait [`Unary`] come an op and its gradient's kernel,
//! which runs in one pass.

use std::fmt;

use warpsmith_autograd::{Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec};
use warpsmith_kernels::{Launch, Map};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{
    apply_over, binary_cpu, binary_reference, binary_shape, unary_cpu, unary_reference, unary_shape,
};

/// What the gradient is computed from, next to g.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// From x.
    Input,
    /// From y: cheaper where y is there anyway.
    Output,
}

/// A formula y = f(x) with its derivative, in f64 to be read and in f32 to be fast.
///
/// Mark the f32 functions `#[inline(always)]`: they run inside [`warpsmith_tensor::cpu::dispatch`].
pub trait Unary: Copy + fmt::Debug + Send + Sync + 'static {
    /// The op's name.
    const NAME: &'static str;
    /// The name of the op that computes the gradient.
    const BACKWARD: &'static str;
    /// What the op computes, in a few characters.
    const SUMMARY: &'static str;
    /// What the gradient is computed from.
    const KEPT: Kept;
    /// Work per element, in additions.
    const WORK: usize;
    /// The bound on f32 roundings of y and of the gradient: see [`Op::roundings`].
    const ROUNDINGS: [f64; 2] = [4.0, 4.0];
    /// Where f is smooth enough for a gradient check; everywhere if `None`.
    const DOMAIN: Option<(f64, f64)> = None;
    /// The values that are kept, if not all: the range of f for [`Kept::Output`].
    const KEPT_DOMAIN: Option<(f64, f64)> = Self::DOMAIN;

    /// An error if the attributes make no sense.
    fn check(self) -> Result<()> {
        Ok(())
    }

    /// y in f64.
    fn reference(self, x: f64) -> f64;

    /// g·dy/dx in f64, from g and what is kept.
    fn reference_gradient(self, g: f64, kept: f64) -> f64;

    /// y in f32.
    fn cpu(self, x: f32) -> f32;

    /// g·dy/dx in f32, from g and what is kept.
    fn cpu_gradient(self, g: f32, kept: f32) -> f32;

    /// The launch of y on a GPU.
    fn cuda(self, operands: &Map<1>) -> Launch;

    /// The launch of g·dy/dx on a GPU, from g and what is kept.
    fn cuda_gradient(self, operands: &Map<2>) -> Launch;

    /// What the rounding errors of y are measured against: see [`Op::scale`].
    fn scale(self, x: f64) -> f64 {
        self.reference(x).abs()
    }

    /// What the rounding errors of the gradient are measured against.
    fn gradient_scale(self, g: f64, kept: f64) -> f64 {
        self.reference_gradient(g, kept).abs()
    }

    /// Calls that the sweeps run.
    fn samples() -> Vec<Self>;
}

/// y = f(x), element by element.
#[derive(Clone, Copy, Debug)]
pub struct Elementwise<U>(pub U);

impl<U: Unary> Op for Elementwise<U> {
    fn name(&self) -> &'static str {
        U::NAME
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.0.check()?;
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        unary_reference(x, y, |x| self.0.reference(x));
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let f = self.0;
        unary_cpu(
            x,
            U::WORK,
            #[inline(always)]
            move |x| f.cpu(x),
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| self.0.cuda(operands))
    }

    fn saves(&self) -> Saves {
        match U::KEPT {
            Kept::Input => Saves::inputs(&[0]),
            Kept::Output => Saves::outputs(&[0]),
        }
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let kept = match U::KEPT {
            Kept::Input => back.input(0)?,
            Kept::Output => back.take_output(0)?,
        };
        Ok(vec![Some(apply_over(ElementwiseBackward(self.0), vec![back.take_grad(0)?, kept])?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N*W")
    }

    fn symbols(&self, _x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("W", U::WORK)]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = vec![y[0].clone()];
        unary_reference(x, &mut scale, |x| self.0.scale(x));
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        U::ROUNDINGS[0]
    }
}

/// The gradient of [`Elementwise`]: g·dy/dx, from g and what was kept.
#[derive(Clone, Copy, Debug)]
pub struct ElementwiseBackward<U>(pub U);

impl<U: Unary> Op for ElementwiseBackward<U> {
    fn name(&self) -> &'static str {
        U::BACKWARD
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |g, kept| self.0.reference_gradient(g, kept));
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let f = self.0;
        binary_cpu(
            x,
            &y[0],
            U::WORK + 2,
            #[inline(always)]
            move |g, kept| f.cpu_gradient(g, kept),
        )
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        cuda::map(self.name(), x, &y[0], |operands| self.0.cuda_gradient(operands))
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "N*(W+2)")
    }

    fn symbols(&self, _x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("W", U::WORK)]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = vec![y[0].clone()];
        binary_reference(x, &mut scale, |g, kept| self.0.gradient_scale(g, kept));
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        U::ROUNDINGS[1]
    }
}

const SHAPES: [&[usize]; 4] = [&[3, 5, 35], &[1], &[2, 0], &[]];

fn input(dims: &[usize], domain: Option<(f64, f64)>) -> Input {
    domain.map_or_else(|| Input::any(dims), |(low, high)| Input::between(dims, low, high))
}

/// The registry's entries for the op and its gradient.
pub fn unary_specs<U: Unary>() -> Vec<Spec> {
    fn forward<U: Unary>() -> Vec<Sample> {
        let calls = U::samples().into_iter().flat_map(|f| SHAPES.map(|dims| (f, dims)));
        calls.map(|(f, dims)| Sample::new(Elementwise(f), [input(dims, U::DOMAIN)])).collect()
    }
    fn backward<U: Unary>() -> Vec<Sample> {
        let calls = U::samples().into_iter().flat_map(|f| SHAPES.map(|dims| (f, dims)));
        let inputs = |dims| [Input::any(dims), input(dims, U::KEPT_DOMAIN)];
        calls.map(|(f, dims)| Sample::new(ElementwiseBackward(f), inputs(dims))).collect()
    }
    vec![
        Spec { name: U::NAME, summary: U::SUMMARY, samples: forward::<U> },
        Spec { name: U::BACKWARD, summary: "its gradient", samples: backward::<U> },
    ]
}
