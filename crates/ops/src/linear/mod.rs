//! y = f(x·W + b) + r: a matrix product whose last pass adds the bias, applies the activation f and adds what goes around it.
//!
//! Derivative, with p = x·W + b and d = g·f'(p): ∂L/∂x = d·Wᵀ, ∂L/∂W = xᵀ·d, ∂L/∂b = Σ d over the rows, ∂L/∂r = g.
//! Shapes: `(…, K)`, W `(K, N)` or, transposed, `(N, K)`, b `(N,)`, r `(…, N)` → `(…, N)`. Hidden output: f'(p), `(…, N)`, which costs
//! little beside f(p), and leaves one product to the backward pass.
//! Numerics: as [`crate::matmul`]; in bf16 precision the operands of the products are rounded to bf16 and sums stay f32. On a GPU a
//! row that is a token alone, x being (B, 1, K), is multiplied by `gemv`, which adds in another order, whatever B is. There x may be
//! bf16 where all else is f32, and so may y: what only products read is rounded where it is made.

mod product;
mod samples;

use std::ops::Range;

use warpsmith_autograd::{Array, Backward, Cost, Meta, Op, Saves, Spec, apply_single, is_grad_enabled};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::cpu::matmul::{Epilogue, MatMut};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::cuda_matmul::{self, Dense};
use crate::elementwise::{apply_over, require_floats};
use crate::gelu::{self, Form};
use crate::matmul::bug;
use crate::mul::Mul;
use crate::normalise::{is_rounded, narrowed};
use crate::rows::rows_of;
use crate::sum::Sum;

pub use product::{Precision, Product};
use product::{operand_roundings, product_into};

/// The function after the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None: f(p) = p.
    Identity,
    /// f = GELU.
    Gelu(Form),
}

/// A linear layer: product, bias, activation, and what goes around it. Inputs: x, W, then b and r as far as they are there.
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
    /// Whether the last input is r.
    pub residual: bool,
    /// Whether y, and the slope, are bf16 where the weights are f32: rounded as products take it. Not with r.
    pub is_narrow: bool,
}

impl Linear {
    /// x·W + b in the dtype of W.
    pub(crate) fn plain(transposed: bool, precision: Precision) -> Self {
        let activation = Activation::Identity;
        Self { transposed, activation, precision, keep: false, residual: false, is_narrow: false }
    }

    /// (M, K, N), M being all rows of x.
    fn sizes(&self, x: &[Meta]) -> (usize, usize, usize) {
        let w = x[1].dims();
        let n = if self.transposed { w[0] } else { w[1] };
        (x[0].shape.rows(), x[0].shape.last(), n)
    }

    fn keeps(&self) -> bool {
        self.keep && self.activation != Activation::Identity
    }

    /// The bias among the inputs, and r.
    fn others<'a, T>(&self, x: &'a [T]) -> [Option<&'a T>; 2] {
        match x {
            [_, _, bias, residual] => [Some(bias), Some(residual)],
            [_, _, residual] if self.residual => [None, Some(residual)],
            [_, _, bias] => [Some(bias), None],
            _ => [None, None],
        }
    }

    /// W as (K, N) in the oracle's arrays.
    fn weight_at(&self, w: &Array, k: usize, n: usize) -> f64 {
        let columns = w.last();
        w.data[if self.transposed { n * columns + k } else { k * columns + n }]
    }

    /// The gradients of x, W and b, the last two being these inputs of the op, as far as they are needed, given d. That of x is
    /// multiplied by `slope`, which has its shape.
    pub(crate) fn gradients(
        &self,
        back: &Backward,
        wants_x: bool,
        (w, b): (usize, Option<usize>),
        [x, d]: [&Tensor; 2],
        slope: Option<&Tensor>,
    ) -> Result<[Option<Tensor>; 3]> {
        // Each in the dtype of what it is the gradient of.
        let product = |out, inputs: &[&Tensor]| {
            apply_single(Product { precision: self.precision, out: Some(out) }, inputs)
        };
        let rows = self.precision.for_several(rows_of(d)?)?; // (M, N)
        let dx = || {
            let w = back.input(w)?;
            let w = if self.transposed { w } else { w.view(w.layout().transpose(0, 1)?)? };
            let slope = slope.map(rows_of).transpose()?;
            let dx = match &slope {
                Some(slope) => product(x.dtype(), &[&rows, &w, slope])?, // (M, K)
                None => product(x.dtype(), &[&rows, &w])?,
            };
            dx.view(warpsmith_tensor::Layout::contiguous(*x.shape()))
        };
        let dx = wants_x.then(dx).transpose()?;
        let dw = back.want(w, || {
            // Rounded as it lies: what is turned afterwards is read in place, and its product may be split along K.
            let x = self.precision.for_several(rows_of(x)?)?;
            let (left, right) = if self.transposed { (&rows, &x) } else { (&x, &rows) };
            product(back.meta(w).dtype, &[&left.view(left.layout().transpose(0, 1)?)?, right])
        })?;
        let sum = |b: usize| {
            let is_wide = back.meta(b).dtype != d.dtype();
            apply_single(Sum { axes: (0..d.rank() - 1).collect(), keep: false, is_wide }, &[d])
        };
        let db = b.map_or(Ok(None), |b| back.want(b, || sum(b)))?;
        Ok([dx, dw, db])
    }
}

/// Whether the rows of x (B, T, K) are tokens alone, T = 1: see [`cuda_matmul::After::is_token`].
pub(crate) fn is_token(x: &Tensor) -> bool {
    x.rank() > 2 && x.dims()[x.rank() - 2] == 1
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), if is_rounded(x[0].dtype, x[1].dtype) { &x[1..] } else { x })?;
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
        let [bias, residual] = self.others(x);
        if bias.is_some_and(|b| b.dims() != [n]) {
            return error(format!("the bias must have the {n} elements of an output row"));
        }
        let y =
            Meta::new(x[0].shape.with_dim(x[0].shape.rank() - 1, n)?, narrowed(x[1].dtype, self.is_narrow));
        if residual.is_some_and(|r| r.shape != y.shape) {
            return error(format!("what is added must have the shape of the output, {}", y.shape));
        }
        if residual.is_some_and(|r| r.dtype != y.dtype) {
            let message = format!("the output is {}, what is added {}", y.dtype, x[1].dtype);
            return Err(Error::dtype(self.name(), message));
        }
        Ok(if self.keeps() { vec![y, y] } else { vec![y] })
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (k, n) = (x[0].last(), y[0].last());
        let [bias, residual] = self.others(x);
        for (row, x_row) in x[0].data.chunks(k.max(1)).enumerate().take(y[0].data.len() / n.max(1)) {
            for col in 0..n {
                let bias = bias.map_or(0.0, |b| b.data[col]);
                let product: f64 = (0..k).map(|j| x_row[j] * self.weight_at(&x[1], j, col)).sum();
                y[0].data[row * n + col] = product + bias;
            }
        }
        if k == 0 {
            y[0].data.chunks_mut(n.max(1)).for_each(|row| {
                row.iter_mut().enumerate().for_each(|(col, v)| *v = bias.map_or(0.0, |b| b.data[col]));
            });
        }
        if let Activation::Gelu(form) = self.activation {
            let parts: Vec<_> = y[0].data.iter().map(|&p| gelu::reference_parts(form, p)).collect();
            y[0].data = parts.iter().map(|p| p.0).collect();
            if self.keeps() {
                y[1].data = parts.iter().map(|p| p.1).collect();
            }
        }
        let residual = residual.iter().flat_map(|r| &r.data);
        y[0].data.iter_mut().zip(residual).for_each(|(v, r)| *v += r);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let input = rows_of(&x[0])?;
        let (m, n) = (input.dims()[0], y[0].shape.last());
        let mut out = Tensor::empty(y[0].shape, DType::F32, &device)?;
        let mut slope = match self.keeps() {
            true => Some(Tensor::empty(y[1].shape, DType::F32, &device)?),
            false => None,
        };
        let [bias, residual] = self.others(&x).map(|t| t.map(Tensor::contiguous).transpose());
        let (bias, residual) = (bias?, residual?);
        let bias = bias.as_ref().map(|b| b.data::<f32>()).transpose()?;
        let residual = residual.as_ref().map(|r| r.data::<f32>()).transpose()?;
        let plain = |row: usize, cols: Range<usize>, c: &mut [f32]| {
            dispatch(
                #[inline(always)]
                || {
                    add(bias, cols.clone(), c);
                    activate(self.activation, c);
                    add(residual.map(|r| &r[row * n..]), cols, c);
                },
            );
        };
        let keeping = |row: usize, cols: Range<usize>, c: &mut [f32], slope: &mut [f32]| {
            dispatch(
                #[inline(always)]
                || {
                    add(bias, cols.clone(), c);
                    activate_with_slope(self.activation, c, slope);
                    add(residual.map(|r| &r[row * n..]), cols, c);
                },
            );
        };
        let nothing = bias.is_none() && residual.is_none() && self.activation == Activation::Identity;
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
        [Some(out), slope].into_iter().flatten().map(|t| t.to_dtype(y[0].dtype)).collect()
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        if y[0].shape.numel() == 0 {
            return y.iter().map(|m| Tensor::zeros(m.shape, m.dtype, &x[0].device())).collect();
        }
        let weight =
            x[1].view(if self.transposed { x[1].layout().transpose(0, 1)? } else { *x[1].layout() })?;
        let input = self.precision.of(&rows_of(&x[0])?, false)?;
        let weight = self.precision.of(&weight, true)?;
        // Rounded x, and a product in f32.
        let input = input.to_dtype(weight.dtype())?;
        let [bias, residual] = self.others(&x).map(|t| t.map(Tensor::contiguous).transpose());
        let (bias, residual) = (bias?, residual?);
        let form = match self.activation {
            Activation::Identity => None,
            Activation::Gelu(form) => Some(form),
        };
        let beside = x[1].dtype();
        let call = Dense {
            operands: [&input, &weight],
            bias: bias.as_ref(),
            residual: residual.as_ref(),
            form,
            beside,
            is_for_products: self.is_narrow && residual.is_none(),
            is_token: is_token(&x[0]),
        };
        // No 16-bit output of a product in f32, or in another dtype of 16 bits.
        let dtype = if weight.dtype() == y[0].dtype { y[0].dtype } else { DType::F32 };
        let computed: Vec<Meta> = y.iter().map(|m| Meta::new(m.shape, dtype)).collect();
        let made = cuda_matmul::linear(self.name(), call, &computed)?;
        made.into_iter().zip(y).map(|(made, promised)| made.to_dtype(promised.dtype)).collect()
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
        let residual = self.residual.then(|| grad.clone());
        let d = match self.activation {
            Activation::Identity => grad,
            Activation::Gelu(_) => apply_over(Mul, vec![grad, back.output(1)?])?,
        };
        let input = back.input(0)?;
        let b = (back.input_count() - usize::from(self.residual) == 3).then_some(2);
        let [dx, dw, db] = self.gradients(&back, back.needs(0), (1, b), [&input, &d], None)?;
        let mut grads = vec![dx, dw];
        grads.extend(b.is_some().then_some(db));
        if let Some(residual) = residual {
            grads.push(back.needs(grads.len()).then_some(residual));
        }
        Ok(grads)
    }

    fn cost(&self) -> Cost {
        match self.keeps() {
            true => Cost::new("M*K*s + (K*N + b + r)*w", "2*M*N*o", "2*M*N*K + 12*M*N"),
            false => Cost::new("M*K*s + (K*N + b + r)*w", "M*N*o", "2*M*N*K"),
        }
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let (m, k, n) = self.sizes(x);
        let size = |t: Option<&Meta>| t.map_or(0, |t| t.shape.numel());
        let [bias, residual] = self.others(x).map(size);
        let wide = x[1].dtype;
        let [w, o] = [wide, narrowed(wide, self.is_narrow)].map(DType::size);
        vec![("M", m), ("K", k), ("N", n), ("b", bias), ("r", residual), ("w", w), ("o", o)]
    }

    /// Σ|xᵢ·wᵢ| + |b|, and |r|; no activation here is steeper than 1.13, and no slope steeper than 0.8. A slope has errors of its
    /// own, as many roundings as any product has here, of two terms that together stay below 2.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = |a: &Array| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() };
        let plain = Self { activation: Activation::Identity, residual: false, ..*self };
        let [_, residual] = self.others(x);
        let x = &x[..x.len() - residual.iter().count()];
        let mut scale = vec![Array::zeros(y[0].shape)];
        // The same product of the same shapes: it cannot fail where the first did not.
        let _ = plain.reference(&x.iter().map(sizes).collect::<Vec<_>>(), &mut scale);
        if self.keeps() {
            let slope = scale[0].data.iter().map(|v| 0.8 * v + 2.0).collect();
            scale.push(Array { shape: scale[0].shape, data: slope });
        }
        scale[0].data.iter_mut().for_each(|v| *v *= 1.13);
        let residual = residual.iter().flat_map(|r| &r.data);
        scale[0].data.iter_mut().zip(residual).for_each(|(v, r)| *v += r.abs());
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        self.sizes(x).1 as f64 + 15.0 + operand_roundings(self.precision)
    }
}

/// c + b over a piece of a row. Call inside `dispatch`.
#[inline(always)]
fn add(row: Option<&[f32]>, cols: Range<usize>, c: &mut [f32]) {
    if let Some(row) = row {
        let row = &row[cols][..c.len()];
        for i in 0..c.len() {
            c[i] += row[i];
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
    let slope = &mut slope[..c.len()];
    match activation {
        Activation::Identity => slope.fill(1.0),
        Activation::Gelu(Form::Exact) => {
            for i in 0..c.len() {
                (c[i], slope[i]) = gelu::value_and_slope(Form::Exact, c[i]);
            }
        }
        Activation::Gelu(Form::Tanh) => {
            for i in 0..c.len() {
                (c[i], slope[i]) = gelu::value_and_slope(Form::Tanh, c[i]);
            }
        }
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
        let op = Linear { activation, keep: is_grad_enabled(), ..Linear::plain(transposed, precision) };
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        apply_single(op, &inputs)
    }

    /// x·W + b as products take it, in bf16 on a GPU if that is the precision: for attention, or a loss of a training step. Its
    /// rows may lie apart, each at a multiple of 16 bytes.
    ///
    /// # Errors
    /// If the sizes do not fit.
    fn linear_rounded(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        transposed: bool,
        precision: Precision,
    ) -> Result<Tensor> {
        let is_narrow = precision.is_narrow_on(self);
        let op = Linear { is_narrow, ..Linear::plain(transposed, precision) };
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        apply_single(op, &inputs)
    }

    /// residual + (x·W + b), in the product's last pass: as [`Methods::linear`] without activation, for a residual (…, N).
    ///
    /// # Errors
    /// If the sizes do not fit.
    fn linear_onto(
        &self,
        residual: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        transposed: bool,
        precision: Precision,
    ) -> Result<Tensor> {
        let op = Linear { residual: true, ..Linear::plain(transposed, precision) };
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).chain([residual]).collect();
        apply_single(op, &inputs)
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec { name: "linear", summary: "f(x·W + b), f the identity or GELU", samples: samples::of_layers },
        Spec {
            name: "linear_backward",
            summary: "a product of two matrices in a given precision, times a third element by element",
            samples: samples::of_products,
        },
    ]
}
