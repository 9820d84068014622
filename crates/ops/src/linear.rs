//! y = f(x·W + b): a matrix product whose last pass adds the bias and applies the activation f.
//!
//! Derivative, with p = x·W + b and d = g·f'(p): ∂L/∂x = d·Wᵀ, ∂L/∂W = xᵀ·d, ∂L/∂b = Σ d over the rows.
//! Shapes: `(…, K)`, W `(K, N)` or, transposed, `(N, K)`, b `(N,)` → `(…, N)`. Hidden output: f'(p), `(…, N)`, which costs
//! little beside f(p), and leaves one product to the backward pass.
//! Numerics: as [`crate::matmul`]; in bf16 precision the operands of the products are rounded to bf16 and sums stay f32.

use std::ops::Range;

use warpsmith_autograd::{
    Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single, is_grad_enabled,
};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::cpu::matmul::{self as kernel, Epilogue, MatMut, MatRef};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::cast::Methods as _;
use crate::cuda_matmul::{self, After};
use crate::elementwise::{apply_over, require_floats};
use crate::gelu::{self, Form};
use crate::matmul::bug;
use crate::mul::Mul;
use crate::sum::Sum;

/// The function after the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None: f(p) = p.
    Identity,
    /// f = GELU.
    Gelu(Form),
}

/// In what precision the operands of a product are multiplied; sums are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16.
    Bf16,
}

impl Precision {
    /// An operand of attention, in the precision in which it is multiplied: on a GPU that of the products, with a gradient. A CPU
    /// multiplies f32 in attention, so that rounding would cost time and save none.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn for_attention(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Bf16 if x.dtype() == DType::F32 && !x.device().is_cpu() => x.cast(DType::BF16),
            _ => Ok(x.clone()),
        }
    }

    /// An operand on a GPU, in the precision in which it is multiplied.
    fn of(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Bf16 if x.dtype() == DType::F32 => x.to_dtype(DType::BF16),
            _ => Ok(x.detach()),
        }
    }
}

/// A linear layer: product, bias, activation.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// Whether W lies as (N, K), as in `torch.nn.Linear`, rather than (K, N).
    pub transposed: bool,
    /// The function after the product.
    pub activation: Activation,
    /// The precision of the products, forward and backward.
    pub precision: Precision,
    /// Whether f'(p) is kept for the backward pass.
    pub keep: bool,
}

impl Linear {
    /// (M, K, N), M being all rows of x.
    fn sizes(&self, x: &[Meta]) -> (usize, usize, usize) {
        let w = x[1].dims();
        let n = if self.transposed { w[0] } else { w[1] };
        (x[0].shape.rows(), x[0].shape.last(), n)
    }

    fn keeps(&self) -> bool {
        self.keep && self.activation != Activation::Identity
    }

    /// W as (K, N) in the oracle's arrays.
    fn weight_at(&self, w: &Array, k: usize, n: usize) -> f64 {
        let columns = w.last();
        w.data[if self.transposed { n * columns + k } else { k * columns + n }]
    }

    /// The vector-Jacobian product of the two operands of x·W, given d.
    fn operand_grads(&self, back: &Backward, d: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let flat = |t: &Tensor| rows_of(t);
        let product = |a: &Tensor, b: &Tensor| apply_single(Product { precision: self.precision }, &[a, b]);
        let d = flat(d)?;
        let dx = back.want(0, || {
            let w = back.input(1)?;
            let w = if self.transposed { w } else { w.view(w.layout().transpose(0, 1)?)? };
            let dx = product(&d, &w)?; // (M, K)
            dx.view(warpsmith_tensor::Layout::contiguous(back.meta(0).shape))
        })?;
        let dw = back.want(1, || {
            let x = flat(&back.input(0)?)?;
            let (left, right) = if self.transposed { (&d, &x) } else { (&x, &d) };
            product(&left.view(left.layout().transpose(0, 1)?)?, right)
        })?;
        Ok([dx, dw])
    }
}

/// All rows of a tensor as one matrix (M, C).
fn rows_of(t: &Tensor) -> Result<Tensor> {
    let t = t.contiguous()?;
    let offset = t.layout().offset();
    let shape = Shape::new(&[t.shape().rows(), t.shape().last()])?;
    t.view(warpsmith_tensor::Layout::new(shape, &[shape.last(), 1], offset, t.storage_len())?)
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        let shapes: Vec<Shape> = x.iter().map(|m| m.shape).collect();
        let error = |message: String| Err(Error::shape(self.name(), &shapes, message));
        if x[0].shape.rank() == 0 || x[1].shape.rank() != 2 {
            return error("takes x (…, K) and a weight of two axes".into());
        }
        let (_, k, n) = self.sizes(x);
        let inner = x[1].dims()[if self.transposed { 1 } else { 0 }];
        if k != inner {
            return error(format!("inner sizes differ: x has {k}, the weight {inner}"));
        }
        if x.len() == 3 && x[2].dims() != [n] {
            return error(format!("the bias must have the {n} elements of an output row"));
        }
        let y = Meta::new(x[0].shape.with_dim(x[0].shape.rank() - 1, n)?, x[0].dtype);
        Ok(if self.keeps() { vec![y, y] } else { vec![y] })
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (k, n) = (x[0].last(), y[0].last());
        for (row, x_row) in x[0].data.chunks(k.max(1)).enumerate().take(y[0].data.len() / n.max(1)) {
            for col in 0..n {
                let bias = x.get(2).map_or(0.0, |b| b.data[col]);
                let product: f64 = (0..k).map(|j| x_row[j] * self.weight_at(&x[1], j, col)).sum();
                y[0].data[row * n + col] = product + bias;
            }
        }
        if k == 0 {
            y[0].data.chunks_mut(n.max(1)).for_each(|row| {
                row.iter_mut().enumerate().for_each(|(col, v)| *v = x.get(2).map_or(0.0, |b| b.data[col]));
            });
        }
        if let Activation::Gelu(form) = self.activation {
            let parts: Vec<_> = y[0].data.iter().map(|&p| gelu::reference_parts(form, p)).collect();
            y[0].data = parts.iter().map(|p| p.0).collect();
            if self.keeps() {
                y[1].data = parts.iter().map(|p| p.1).collect();
            }
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let input = rows_of(&x[0])?;
        let (m, n) = (input.dims()[0], y[0].shape.last());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let mut slope = match self.keeps() {
            true => Some(Tensor::empty(y[1].shape, y[1].dtype, &device)?),
            false => None,
        };
        let bias = x.get(2).map(Tensor::contiguous).transpose()?;
        let bias = bias.as_ref().map(|b| b.data::<f32>()).transpose()?;
        let plain = |_: usize, cols: Range<usize>, c: &mut [f32]| {
            dispatch(
                #[inline(always)]
                || {
                    add_bias(bias, cols, c);
                    activate(self.activation, c);
                },
            );
        };
        let keeping = |_: usize, cols: Range<usize>, c: &mut [f32], slope: &mut [f32]| {
            dispatch(
                #[inline(always)]
                || {
                    add_bias(bias, cols, c);
                    activate_with_slope(self.activation, c, slope);
                },
            );
        };
        let nothing = bias.is_none() && self.activation == Activation::Identity;
        let epilogue = match &mut slope {
            Some(slope) => {
                let second = MatMut::row_major(slope.data_mut::<f32>()?, m, n).map_err(bug(self.name()))?;
                Epilogue::rows_with(second, &keeping)
            }
            None if nothing => Epilogue::default(),
            None => Epilogue::rows(&plain),
        };
        let weight =
            x[1].view(if self.transposed { x[1].layout().transpose(0, 1)? } else { *x[1].layout() })?;
        product_into(self.precision, &input, &weight, &mut out, (m, n), epilogue)?;
        Ok([Some(out), slope].into_iter().flatten().collect())
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        if y[0].shape.numel() == 0 {
            return y.iter().map(|m| Tensor::zeros(m.shape, m.dtype, &x[0].device())).collect();
        }
        let weight =
            x[1].view(if self.transposed { x[1].layout().transpose(0, 1)? } else { *x[1].layout() })?;
        let (input, weight) = (self.precision.of(&rows_of(&x[0])?)?, self.precision.of(&weight)?);
        let bias = x.get(2).map(Tensor::contiguous).transpose()?;
        let form = match self.activation {
            Activation::Identity => None,
            Activation::Gelu(form) => Some(form),
        };
        cuda_matmul::linear(self.name(), [&input, &weight], bias.as_ref(), y, form)
    }

    fn saves(&self) -> Saves {
        match self.keeps() {
            true => Saves { inputs: &[0, 1], outputs: &[1] },
            false => Saves::inputs(&[0, 1]),
        }
    }

    fn hidden_outputs(&self) -> usize {
        self.keeps() as usize
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.take_grad(0)?;
        let d = match self.activation {
            Activation::Identity => grad.contiguous()?,
            Activation::Gelu(_) => apply_over(Mul, vec![grad, back.output(1)?])?,
        };
        let [dx, dw] = self.operand_grads(&back, &d)?;
        let mut grads = vec![dx, dw];
        if back.input_count() == 3 {
            let axes = (0..d.rank() - 1).collect();
            grads.push(back.want(2, || apply_single(Sum { axes, keep: false }, &[&d]))?);
        }
        Ok(grads)
    }

    fn cost(&self) -> Cost {
        match self.keeps() {
            true => Cost::new("(M*K + K*N + b)*s", "2*M*N*s", "2*M*N*K + 12*M*N"),
            false => Cost::new("(M*K + K*N + b)*s", "M*N*s", "2*M*N*K"),
        }
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let (m, k, n) = self.sizes(x);
        vec![("M", m), ("K", k), ("N", n), ("b", if x.len() == 3 { n } else { 0 })]
    }

    /// Σ|xᵢ·wᵢ| + |b|; no activation here is steeper than 1.13, and no slope steeper than 0.8. A slope has errors of its
    /// own, as many roundings as any product has here, of two terms that together stay below 2.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = |a: &Array| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() };
        let plain = Self { activation: Activation::Identity, ..*self };
        let mut scale = vec![Array::zeros(y[0].shape)];
        // The same product of the same shapes: it cannot fail where the first did not.
        let _ = plain.reference(&x.iter().map(sizes).collect::<Vec<_>>(), &mut scale);
        if self.keeps() {
            let slope = scale[0].data.iter().map(|v| 0.8 * v + 2.0).collect();
            scale.push(Array { shape: scale[0].shape, data: slope });
        }
        scale[0].data.iter_mut().for_each(|v| *v *= 1.13);
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        self.sizes(x).1 as f64 + 14.0 + operand_roundings(self.precision)
    }
}

/// Rounding to bf16 changes a number by at most 2⁻⁸ of itself, a product of two by 2⁻⁷ (and 2⁻¹⁶): 2¹⁷ roundings of f32.
fn operand_roundings(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => 131_072.0 * (1.0 + 1.0 / 512.0),
    }
}

/// c + b over a piece of a row. Call inside `dispatch`.
#[inline(always)]
fn add_bias(bias: Option<&[f32]>, cols: Range<usize>, c: &mut [f32]) {
    if let Some(bias) = bias {
        for (c, b) in c.iter_mut().zip(&bias[cols]) {
            *c += b;
        }
    }
}

/// f over a piece of a row. Call inside `dispatch`.
#[inline(always)]
fn activate(activation: Activation, c: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Gelu(Form::Exact) => {
            for v in c.iter_mut() {
                *v = gelu::value(Form::Exact, *v);
            }
        }
        Activation::Gelu(Form::Tanh) => {
            for v in c.iter_mut() {
                *v = gelu::value(Form::Tanh, *v);
            }
        }
    }
}

/// f and f' over a piece of a row. Call inside `dispatch`.
#[inline(always)]
fn activate_with_slope(activation: Activation, c: &mut [f32], slope: &mut [f32]) {
    match activation {
        Activation::Identity => slope.fill(1.0),
        Activation::Gelu(Form::Exact) => {
            for (v, s) in c.iter_mut().zip(slope) {
                (*v, *s) = gelu::value_and_slope(Form::Exact, *v);
            }
        }
        Activation::Gelu(Form::Tanh) => {
            for (v, s) in c.iter_mut().zip(slope) {
                (*v, *s) = gelu::value_and_slope(Form::Tanh, *v);
            }
        }
    }
}

/// out = epilogue(a·b), matrices of any strides.
fn product_into(
    precision: Precision,
    a: &Tensor,
    b: &Tensor,
    out: &mut Tensor,
    (m, n): (usize, usize),
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let a = matrix(a)?;
    let b = matrix(b)?;
    let c = MatMut::row_major(out.data_mut::<f32>()?, m, n).map_err(bug("linear"))?;
    match precision {
        Precision::F32 => kernel::matmul(a, b, c, epilogue),
        Precision::Bf16 => kernel::matmul_f32_as_bf16(a, b, c, epilogue),
    }
    .map_err(bug("linear"))
}

fn matrix(t: &Tensor) -> Result<MatRef<'_, f32>> {
    let (dims, strides) = (t.dims(), t.layout().strides());
    let data = t.storage_data::<f32>()?;
    let start = t.layout().offset().min(data.len());
    MatRef::new(&data[start..], dims[0], dims[1], strides[0], strides[1]).map_err(bug("linear"))
}

/// A plain product of two matrices in a given precision: the backward pass of [`Linear`].
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The precision of the operands.
    pub precision: Precision,
}

impl Op for Product {
    fn name(&self) -> &'static str {
        "linear_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        crate::matmul::Matmul.shape(x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        crate::matmul::Matmul.reference(x, y)
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let (m, n) = (y[0].dims()[0], y[0].dims()[1]);
        product_into(self.precision, &x[0], &x[1], &mut out, (m, n), Epilogue::default())?;
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        if out.numel() > 0 {
            let operands = [self.precision.of(&x[0])?, self.precision.of(&x[1])?];
            let one = Shape::scalar();
            let after = After::default();
            cuda_matmul::product(self.name(), [&operands[0], &operands[1]], &one, &mut out, after)?;
        }
        Ok(vec![out])
    }

    fn differentiability(&self) -> warpsmith_autograd::Differentiability {
        warpsmith_autograd::Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        crate::matmul::Matmul.cost()
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        crate::matmul::Matmul.symbols(x)
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        crate::matmul::Matmul.scale(x, y)
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        crate::matmul::Matmul.roundings(x) + operand_roundings(self.precision)
    }
}

methods! {
    /// f(x·W + b) for x (…, K), a weight (K, N), or (N, K) if `transposed`, and a bias (N,).
    ///
    /// # Errors
    /// If the sizes do not fit.
    fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        transposed: bool,
        activation: Activation,
        precision: Precision,
    ) -> Result<Tensor> {
        let op = Linear { transposed, activation, precision, keep: is_grad_enabled() };
        match bias {
            Some(bias) => apply_single(op, &[self, weight, bias]),
            None => apply_single(op, &[self, weight]),
        }
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "linear",
            summary: "f(x·W + b), f the identity or GELU",
            samples: || {
                let op = |transposed, activation| Linear {
                    transposed,
                    activation,
                    precision: Precision::F32,
                    keep: true,
                };
                let x = || Input::any(&[3, 5, 33]);
                let bias = || Input::any(&[17]);
                vec![
                    Sample::new(op(false, Activation::Identity), [x(), Input::any(&[33, 17]), bias()]),
                    Sample::new(op(true, Activation::Identity), [x(), Input::any(&[17, 33])]),
                    Sample::new(
                        op(false, Activation::Gelu(Form::Exact)),
                        [x(), Input::any(&[33, 17]), bias()],
                    ),
                    Sample::new(op(true, Activation::Gelu(Form::Tanh)), [x(), Input::any(&[17, 33]), bias()]),
                    Sample::new(
                        Linear { precision: Precision::Bf16, ..op(false, Activation::Identity) },
                        [x(), Input::any(&[33, 17]), bias()],
                    ),
                    Sample::new(op(false, Activation::Identity), [Input::any(&[0, 4]), Input::any(&[4, 3])]),
                ]
            },
        },
        Spec {
            name: "linear_backward",
            summary: "a product of two matrices in a given precision",
            samples: || {
                [Precision::F32, Precision::Bf16]
                    .map(|precision| {
                        Sample::new(Product { precision }, [Input::any(&[17, 33]), Input::any(&[33, 9])])
                    })
                    .into()
            },
        },
    ]
}
