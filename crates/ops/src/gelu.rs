//! y = x·Φ(x), the Gaussian error linear unit; or its tanh form, which GPT-2 was trained with.
//!
//! Exact: Φ is the normal distribution function. Tanh: y = ½x(1 + tanh u) = x·σ(2u), u = √(2/π)·(x + 0.044715x³).
//! Derivative: exact Φ(x) + x·φ(x); tanh σ(2u) + x·σ(2u)(1 - σ(2u))·2u'. Shapes: `(…)` → `(…)`.
//! Numerics: both are computed without 1 - tanh or 1 + erf, which have no correct digit for x ≪ 0.
//! Source: Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016, arXiv 1606.08415, §2.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unary_backward::{self, UnaryBackward};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::elementwise::{
    apply_over, binary_cpu, binary_reference, binary_shape, unary_cpu, unary_reference, unary_shape,
};

/// Which of the two formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// x·Φ(x).
    Exact,
    /// The tanh approximation.
    Tanh,
}

/// 2·√(2/π): the tanh form is x·σ(SLOPE·(x + 0.044715·x³)).
const SLOPE: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

/// y in f32. Call inside `dispatch`.
#[inline(always)]
pub fn value(form: Form, x: f32) -> f32 {
    match form {
        Form::Exact => x * math::normal(x).0,
        Form::Tanh => x * math::sigmoid(SLOPE as f32 * x * (CUBIC as f32 * x).mul_add(x, 1.0)),
    }
}

/// y and dy/dx in f32, which share their exponential. Call inside `dispatch`.
#[inline(always)]
pub fn value_and_slope(form: Form, x: f32) -> (f32, f32) {
    // Beyond ±64 the slope is 0 or 1, and its terms are 0·∞.
    let near = x.clamp(-64.0, 64.0);
    match form {
        Form::Exact => {
            let (cdf, pdf) = math::normal(x);
            (x * cdf, near.mul_add(pdf, cdf))
        }
        Form::Tanh => {
            let square = near * near;
            let s = math::sigmoid(SLOPE as f32 * near * (CUBIC as f32).mul_add(square, 1.0));
            let inner = SLOPE as f32 * (3.0 * CUBIC as f32).mul_add(square, 1.0);
            (x * s, (near * s * (1.0 - s)).mul_add(inner, s))
        }
    }
}

/// erfc(x) in f64, by its series below 2.5 and its continued fraction above (Abramowitz and Stegun 7.1.6, 7.1.14).
fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let root_pi = std::f64::consts::PI.sqrt();
    let tail = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= 2.0 * a * a / (2 * n + 1) as f64;
            sum += term;
        }
        1.0 - 2.0 / root_pi * (-a * a).exp() * sum
    } else {
        let fraction = (1..200).rev().fold(0.0, |f, n| n as f64 / 2.0 / (a + f));
        (-a * a).exp() / (a + fraction) / root_pi
    };
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// y and dy/dx in f64: the oracle's formulas.
pub fn reference_parts(form: Form, x: f64) -> (f64, f64) {
    // As in f32: the slope has its limit where its terms are 0·∞.
    let near = x.clamp(-64.0, 64.0);
    match form {
        Form::Exact => {
            let cdf = 0.5 * erfc(-near * std::f64::consts::FRAC_1_SQRT_2);
            let pdf = (-0.5 * near * near).exp() / std::f64::consts::TAU.sqrt();
            (x * cdf, cdf + near * pdf)
        }
        Form::Tanh => {
            let s = 1.0 / (1.0 + (-SLOPE * near * (1.0 + CUBIC * near * near)).exp());
            (x * s, s + near * s * (1.0 - s) * SLOPE * (1.0 + 3.0 * CUBIC * near * near))
        }
    }
}

/// |t| of the e^t in the formula, up to where e^t leaves the range of f32: rounding errors of t are multiplied by it.
fn exponent(form: Form, x: f64) -> f64 {
    let t = match form {
        Form::Exact => 0.5 * x * x,
        Form::Tanh => SLOPE * x * (1.0 + CUBIC * x * x),
    };
    t.abs().min(110.0)
}

/// The Gaussian error linear unit.
#[derive(Clone, Copy, Debug)]
pub struct Gelu {
    /// Which of the two formulas.
    pub form: Form,
}

impl Op for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        unary_reference(x, y, |x| reference_parts(self.form, x).0);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        match self.form {
            Form::Exact => unary_cpu(
                x,
                24,
                #[inline(always)]
                |x| value(Form::Exact, x),
            ),
            Form::Tanh => unary_cpu(
                x,
                16,
                #[inline(always)]
                |x| value(Form::Tanh, x),
            ),
        }
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let function = match self.form {
            Form::Exact => Unary::Gelu,
            Form::Tanh => Unary::GeluTanh,
        };
        cuda::map(self.name(), x, &y[0], |operands| unary::forward(function, operands))
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let inputs = vec![back.take_grad(0)?, back.input(0)?];
        Ok(vec![Some(apply_over(GeluBackward { form: self.form }, inputs)?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "8*N")
    }

    /// The exact form has its error bound for all x; the tanh form's grows with the argument of the exponential.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let factor = |x| if self.form == Form::Tanh { 1.0 + exponent(Form::Tanh, x) } else { 1.0 };
        let sizes = x[0].data.iter().zip(&y[0].data).map(|(&x, y)| y.abs() * factor(x));
        vec![Array { shape: y[0].shape, data: sizes.collect() }]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        12.0
    }
}

/// The gradient of [`Gelu`]: g·dy/dx, from (g, x).
#[derive(Clone, Copy, Debug)]
pub struct GeluBackward {
    /// Which of the two formulas.
    pub form: Form,
}

impl Op for GeluBackward {
    fn name(&self) -> &'static str {
        "gelu_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        binary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |g, x| g * reference_parts(self.form, x).1);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        match self.form {
            Form::Exact => binary_cpu(
                x,
                &y[0],
                30,
                #[inline(always)]
                |g, x| g * value_and_slope(Form::Exact, x).1,
            ),
            Form::Tanh => binary_cpu(
                x,
                &y[0],
                20,
                #[inline(always)]
                |g, x| g * value_and_slope(Form::Tanh, x).1,
            ),
        }
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let function = match self.form {
            Form::Exact => UnaryBackward::Gelu,
            Form::Tanh => UnaryBackward::GeluTanh,
        };
        cuda::map(self.name(), x, &y[0], |operands| unary_backward::backward(function, operands))
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*N*s", "N*s", "14*N")
    }

    /// The slope is a sum of two terms of opposite sign where x < 0: errors are measured against their sizes,
    /// and those of the exponential's argument against it.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = x[0].data.iter().zip(&x[1].data).map(|(g, &x)| {
            let (value, slope) = reference_parts(self.form, x);
            let first = if x == 0.0 { 0.5 } else { (value / x).abs() };
            g.abs() * (first + (slope - first).abs()) * (1.0 + exponent(self.form, x))
        });
        vec![Array { shape: y[0].shape, data: sizes.collect() }]
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        16.0
    }
}

methods! {
    /// x·Φ(x).
    fn gelu(&self) -> Result<Tensor> {
        apply_single(Gelu { form: Form::Exact }, &[self])
    }

    /// The tanh approximation of [`Methods::gelu`], as in GPT-2.
    fn gelu_tanh(&self) -> Result<Tensor> {
        apply_single(Gelu { form: Form::Tanh }, &[self])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "gelu",
            summary: "x·Φ(x), exact or by tanh",
            samples: || {
                [Form::Exact, Form::Tanh]
                    .map(|form| Sample::new(Gelu { form }, [Input::any(&[4, 33])]))
                    .into()
            },
        },
        Spec {
            name: "gelu_backward",
            summary: "the gradient of gelu",
            samples: || {
                let inputs = || [Input::any(&[4, 33]), Input::any(&[4, 33])];
                [Form::Exact, Form::Tanh].map(|form| Sample::new(GeluBackward { form }, inputs())).into()
            },
        },
    ]
}
