//! Elementwise kernels of one and of two inputs.

use warpsmith::autograd::Op;
use warpsmith::ops::add::Add;
use warpsmith::ops::div::Div;
use warpsmith::ops::gelu::{Form, Gelu, GeluBackward};
use warpsmith::ops::maximum::{Maximum, Winner};
use warpsmith::ops::mul::Mul;
use warpsmith::ops::neg::Neg;
use warpsmith::ops::sub::Sub;
use warpsmith::ops::swiglu::{SwiGlu, SwiGluBackward};
use warpsmith::ops::unary::{Elementwise, ElementwiseBackward, Kept, Unary};
use warpsmith::ops::{abs, clamp, exp, ln, pow, relu, rsqrt, sigmoid, silu, sqrt, square, tanh};
use warpsmith_kernels::binary::{self, Binary};
use warpsmith_kernels::swiglu::{self, SwigluBackward};
use warpsmith_kernels::{Float, Map, Operand, dims};
use warpsmith_kernels::{unary, unary_backward};

use super::super::case::{Call, Case, Draw, Given};
use crate::cli::Failure;

type Made = Result<Call, Failure>;

/// Gapless operands of one shape.
fn map<const N: usize>(sizes: &[usize], dtype: Float, y: u64, x: [u64; N]) -> Map<N> {
    let dims = dims(sizes);
    let at = |pointer| Operand::contiguous(pointer, dims);
    Map { dtype, dims, y: at(y), x: x.map(at) }
}

fn two(d: &Draw<'_>) -> Result<Vec<Given>, Failure> {
    Ok(vec![d.numbers(d.sizes, -2.0, 2.0)?, d.numbers(d.sizes, 0.5, 2.0)?])
}

fn pair(d: &Draw<'_>, op: impl Op, function: Binary) -> Made {
    let (sizes, dtype) = (d.sizes.to_vec(), d.float);
    Ok(Call::new(op, two(d)?, move |at| {
        Ok(vec![binary::forward(function, &map(&sizes, dtype, at.y[0], [at.x[0], at.x[1]]))])
    }))
}

pub fn add(d: &Draw<'_>) -> Made {
    pair(d, Add, Binary::Add)
}

pub fn sub(d: &Draw<'_>) -> Made {
    pair(d, Sub, Binary::Sub)
}

pub fn mul(d: &Draw<'_>) -> Made {
    pair(d, Mul, Binary::Mul)
}

pub fn div(d: &Draw<'_>) -> Made {
    pair(d, Div, Binary::Div)
}

pub fn maximum(d: &Draw<'_>) -> Made {
    pair(d, Maximum { winner: Winner::Larger }, Binary::Maximum)
}

pub fn swiglu(d: &Draw<'_>) -> Made {
    pair(d, SwiGlu, Binary::Swiglu)
}

pub fn swiglu_backward(d: &Draw<'_>) -> Made {
    let mut inputs = two(d)?;
    inputs.insert(0, d.numbers(d.sizes, -2.0, 2.0)?);
    let (dtype, elements) = (d.float, d.sizes.iter().product::<usize>() as u64);
    Ok(Call::new(SwiGluBackward, inputs, move |at| {
        let ([g, a, b], [da, db]) = ([at.x[0], at.x[1], at.x[2]], [at.y[0], at.y[1]]);
        Ok(vec![swiglu::backward(&SwigluBackward { dtype, da, db, g, a, b, elements })])
    }))
}

pub fn neg(d: &Draw<'_>) -> Made {
    let (sizes, dtype, x) = (d.sizes.to_vec(), d.float, d.numbers(d.sizes, -4.0, 4.0)?);
    Ok(Call::new(Neg, vec![x], move |at| {
        Ok(vec![unary::forward(unary::Unary::Neg, &map(&sizes, dtype, at.y[0], [at.x[0]]))])
    }))
}

pub fn gelu(d: &Draw<'_>) -> Made {
    let (sizes, dtype, x) = (d.sizes.to_vec(), d.float, d.numbers(d.sizes, -4.0, 4.0)?);
    Ok(Call::new(Gelu { form: Form::Tanh }, vec![x], move |at| {
        Ok(vec![unary::forward(unary::Unary::GeluTanh, &map(&sizes, dtype, at.y[0], [at.x[0]]))])
    }))
}

pub fn gelu_backward(d: &Draw<'_>) -> Made {
    let (sizes, dtype) = (d.sizes.to_vec(), d.float);
    let inputs = vec![d.numbers(d.sizes, -2.0, 2.0)?, d.numbers(d.sizes, -4.0, 4.0)?];
    Ok(Call::new(GeluBackward { form: Form::Tanh }, inputs, move |at| {
        let operands = map(&sizes, dtype, at.y[0], [at.x[0], at.x[1]]);
        Ok(vec![unary_backward::backward(unary_backward::UnaryBackward::GeluTanh, &operands)])
    }))
}

/// The kernels of the functions of one number, and of their gradients.
pub fn functions() -> Vec<Case> {
    [
        both::<abs::Abs>(),
        both::<pow::Pow>(),
        both::<clamp::Clamp>(),
        both::<exp::Exp>(),
        both::<ln::Ln>(),
        both::<relu::Relu>(),
        both::<rsqrt::Rsqrt>(),
        both::<sigmoid::Sigmoid>(),
        both::<silu::Silu>(),
        both::<sqrt::Sqrt>(),
        both::<square::Square>(),
        both::<tanh::Tanh>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn both<U: Unary>() -> [Case; 2] {
    let case =
        |name, make| Case { name, letters: &["ROWS", "N"], default: &[4, 256], dtypes: &Float::ALL, make };
    [case(U::NAME, value::<U>), case(U::BACKWARD, gradient::<U>)]
}

/// The first of the functions of that name that the sweeps run.
fn function<U: Unary>() -> Result<U, Failure> {
    U::samples().first().copied().ok_or_else(|| Failure::Failed(format!("{} has no sample", U::NAME)))
}

fn value<U: Unary>(d: &Draw<'_>) -> Made {
    let (f, sizes, dtype) = (function::<U>()?, d.sizes.to_vec(), d.float);
    let (low, high) = U::DOMAIN.unwrap_or((-4.0, 4.0));
    let x = d.numbers(d.sizes, low, high)?;
    Ok(Call::new(Elementwise(f), vec![x], move |at| {
        Ok(vec![f.cuda(&map(&sizes, dtype, at.y[0], [at.x[0]]))])
    }))
}

fn gradient<U: Unary>(d: &Draw<'_>) -> Made {
    let (f, sizes, dtype) = (function::<U>()?, d.sizes.to_vec(), d.float);
    let domain = if U::KEPT == Kept::Output { U::KEPT_DOMAIN } else { U::DOMAIN };
    let (low, high) = domain.unwrap_or((-4.0, 4.0));
    let inputs = vec![d.numbers(d.sizes, -2.0, 2.0)?, d.numbers(d.sizes, low, high)?];
    Ok(Call::new(ElementwiseBackward(f), inputs, move |at| {
        Ok(vec![f.cuda_gradient(&map(&sizes, dtype, at.y[0], [at.x[0], at.x[1]]))])
    }))
}
