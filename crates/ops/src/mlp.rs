//! y = f(x·W₁ + b₁)·W₂ + b₂ + r: the two linear layers of a Transformer block, with what goes around them, as one op.
//!
//! As one op the slope of f is multiplied in the last pass of the product that makes the gradient of the hidden row, which
//! two layers apart could not know of. With p = x·W₁ + b₁, h = f(p) and g = ∂L/∂y: d = (g·W₂ᵀ)∘f'(p), ∂L/∂x = d·W₁ᵀ,
//! ∂L/∂W₁ = xᵀ·d, ∂L/∂b₁ = Σ d, ∂L/∂W₂ = hᵀ·g, ∂L/∂b₂ = Σ g, ∂L/∂r = g.
//! Shapes: `(…, K)`, W₁ `(K, H)`, b₁ `(H,)`, W₂ `(H, N)`, b₂ `(N,)`, r `(…, N)` → `(…, N)`; transposed, W₁ is `(H, K)` and W₂
//! `(N, H)`. Hidden outputs: h and f'(p), `(…, H)`.
//! Numerics: as [`crate::linear`]. Where products are in bf16 on a GPU, h and f'(p) are bf16, as products take them.
//! Source: Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, §3.3.

use warpsmith_autograd::{
    Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single, is_grad_enabled,
};
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::gelu::Form;
use crate::linear::{Activation, Linear, Precision};

/// Two linear layers. Inputs: x, W₁, W₂, then b₁ and b₂ if there are biases, then r if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    /// Whether weights lie as in `torch.nn.Linear`.
    pub transposed: bool,
    /// Which GELU is f.
    pub form: Form,
    /// The precision of the products.
    pub precision: Precision,
    /// Whether h and f'(p) are kept for the backward pass.
    pub keep: bool,
    /// Whether h and f'(p) are bf16 where the weights are f32.
    pub is_narrow: bool,
    /// Whether the last input is r.
    pub residual: bool,
}

/// The inputs by their names.
struct Inputs<'a, T> {
    x: &'a T,
    weights: [&'a T; 2],
    biases: Option<[&'a T; 2]>,
    residual: Option<&'a T>,
}

impl Mlp {
    fn layers(&self) -> [Linear; 2] {
        let plain = Linear::plain(self.transposed, self.precision);
        let (activation, keep, is_narrow) = (Activation::Gelu(self.form), self.keep, self.is_narrow);
        [Linear { activation, keep, is_narrow, ..plain }, Linear { residual: self.residual, ..plain }]
    }

    fn inputs<'a, T>(&self, all: &'a [T]) -> Result<Inputs<'a, T>> {
        let (own, residual) = match all.split_last() {
            Some((residual, own)) if self.residual => (own, Some(residual)),
            _ => (all, None),
        };
        match own {
            [x, up, down] => Ok(Inputs { x, weights: [up, down], biases: None, residual }),
            [x, up, down, b_up, b_down] => {
                Ok(Inputs { x, weights: [up, down], biases: Some([b_up, b_down]), residual })
            }
            _ => Err(Error::internal("mlp", format!("{} inputs", all.len()))),
        }
    }

    /// What the first layer takes, and what the second takes besides h.
    fn of_layers<T: Clone>(&self, all: &[T]) -> Result<[Vec<T>; 2]> {
        let Inputs { x, weights: [up, down], biases, residual } = self.inputs(all)?;
        let mut taken = [vec![x.clone(), up.clone()], vec![down.clone()]];
        for (own, bias) in taken.iter_mut().zip(biases.into_iter().flatten()) {
            own.push(bias.clone());
        }
        taken[1].extend(residual.cloned());
        Ok(taken)
    }

    /// Shape and dtype of h, and f'(p) if it is kept; then those of y.
    fn metas(&self, x: &[Meta]) -> Result<(Vec<Meta>, Vec<Meta>)> {
        let ([up, down], [first, rest]) = (self.layers(), self.of_layers(x)?);
        let hidden = up.shape(&first).map_err(|error| error.while_running("mlp"))?;
        let second: Vec<Meta> = hidden[..1].iter().copied().chain(rest).collect();
        let y = down.shape(&second).map_err(|error| error.while_running("mlp"))?;
        Ok((hidden, y))
    }

    /// Both layers, each by `run`, which takes a layer, its inputs and its outputs' shapes; `h` says how h comes out.
    fn run<T: Clone>(
        &self,
        x: &[T],
        (hidden, y): (Vec<Meta>, &[Meta]),
        run: impl Fn(&Linear, Vec<T>, &[Meta]) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let ([up, down], [first, rest]) = (self.layers(), self.of_layers(x)?);
        let mut made = run(&up, first, &hidden)?;
        let h = if self.keep { made[0].clone() } else { made.swap_remove(0) };
        let mut outputs = run(&down, std::iter::once(h).chain(rest).collect(), &y[..1])?;
        if self.keep {
            outputs.append(&mut made);
        }
        Ok(outputs)
    }
}

impl Op for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let (mut hidden, mut y) = self.metas(x)?;
        if self.keep {
            y.append(&mut hidden);
        }
        Ok(y)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let metas: Vec<Meta> = x.iter().map(|a| Meta::new(a.shape, DType::F64)).collect();
        let (hidden, out) = self.metas(&metas)?;
        let made = self.run(x, (hidden, &out), |layer, x, y| {
            let mut y: Vec<Array> = y.iter().map(|m| Array::zeros(m.shape)).collect();
            layer.reference(&x, &mut y)?;
            Ok(y)
        })?;
        y.iter_mut().zip(made).for_each(|(y, made)| *y = made);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        // Rounded in the end: products on the host take f32.
        let wide = Self { is_narrow: false, ..*self };
        let (hidden, _) = wide.metas(&x.iter().map(Meta::from).collect::<Vec<_>>())?;
        let made = wide.run(&x, (hidden, y), |layer, x, y| layer.cpu(x, y))?;
        made.into_iter().zip(y).map(|(made, promised)| made.to_dtype(promised.dtype)).collect()
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (hidden, _) = self.metas(&x.iter().map(Meta::from).collect::<Vec<_>>())?;
        self.run(&x, (hidden, y), |layer, x, y| layer.cuda(x, y))
    }

    fn saves(&self) -> Saves {
        match self.keep {
            true => Saves { inputs: &[0, 1, 2], outputs: &[1, 2] },
            false => Saves::NOTHING,
        }
    }

    fn hidden_outputs(&self) -> usize {
        if self.keep { 2 } else { 0 }
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let ([up, down], g) = (self.layers(), back.take_grad(0)?);
        let [b_up, b_down] = [3, 4].map(|b| (back.input_count() >= 5).then_some(b));
        let (h, slope) = (back.take_output(1)?, back.take_output(2)?);
        let reaches_up = [0, 1].into_iter().chain(b_up).any(|i| back.needs(i));
        let [d, dw2, db2] = down.gradients(&back, reaches_up, (2, b_down), [&h, &g], Some(&slope))?;
        drop((h, slope));
        let [dx, dw1, db1] = match d {
            Some(d) => up.gradients(&back, back.needs(0), (1, b_up), [&back.input(0)?, &d], None)?,
            None => [None, None, None],
        };
        let mut grads = vec![dx, dw1, dw2];
        if b_up.is_some() {
            grads.extend([db1, db2]);
        }
        if self.residual {
            grads.push(back.needs(grads.len()).then_some(g));
        }
        Ok(grads)
    }

    fn cost(&self) -> Cost {
        match self.keep {
            true => Cost::new("M*K*s + (K*H + H*N + b + r)*w", "M*N*w + 2*M*H*n", "2*M*H*(K + N) + 12*M*H"),
            false => Cost::new("M*K*s + (K*H + H*N + b + r)*w", "M*N*w", "2*M*H*(K + N) + 10*M*H"),
        }
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let (Ok(Inputs { biases, residual, .. }), Ok((hidden, y))) = (self.inputs(x), self.metas(x)) else {
            return Vec::new();
        };
        let bias = biases.map_or(0, |both| both.iter().map(|b| b.shape.numel()).sum());
        vec![
            ("M", x[0].shape.rows()),
            ("K", x[0].shape.last()),
            ("H", hidden[0].shape.last()),
            ("N", y[0].shape.last()),
            ("b", bias),
            ("r", residual.map_or(0, |r| r.shape.numel())),
            ("w", y[0].dtype.size()),
            ("n", hidden[0].dtype.size()),
        ]
    }

    /// An error of h, which is relative to its own scale, is multiplied by W₂ as h is.
    fn scale(&self, x: &[Array], _y: &[Array]) -> Vec<Array> {
        let sizes = |a: &Array| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() };
        let absolute: Vec<Array> = x.iter().map(sizes).collect();
        let metas: Vec<Meta> = x.iter().map(|a| Meta::new(a.shape, DType::F64)).collect();
        let Ok((hidden, out)) = self.metas(&metas) else { return Vec::new() };
        let made = self.run(&absolute, (hidden, &out), |layer, x, y| {
            let y: Vec<Array> = y.iter().map(|m| Array::zeros(m.shape)).collect();
            Ok(layer.scale(&x, &y))
        });
        made.unwrap_or_default()
    }

    /// Those of both layers, since a sum of errors is at most the sum of both times the scale; and that of h, rounded.
    fn roundings(&self, x: &[Meta]) -> f64 {
        let ([up, down], Ok([first, rest]), Ok((hidden, _))) =
            (self.layers(), self.of_layers(x), self.metas(x))
        else {
            return 0.0;
        };
        let second: Vec<Meta> = hidden[..1].iter().copied().chain(rest).collect();
        // h in the dtype in which it goes into the second layer.
        let kept = hidden[0].dtype.unit_roundoff() * 24f64.exp2();
        up.roundings(&first) + down.roundings(&second) + kept
    }
}

/// The weight and the bias of one layer.
pub type Layer<'a> = (&'a Tensor, Option<&'a Tensor>);

methods! {
    /// f(x·W₁ + b₁)·W₂ + b₂ + r with f a GELU, for x (…, K) and two layers (K, H) and (H, N), or transposed, as
    /// [`crate::linear::Methods::linear`] takes them. Both have a bias or none has.
    ///
    /// # Errors
    /// If the sizes do not fit, or one layer alone has a bias.
    fn mlp(
        &self,
        layers: [Layer<'_>; 2],
        residual: Option<&Tensor>,
        transposed: bool,
        form: Form,
        precision: Precision,
    ) -> Result<Tensor> {
        let [(up, b_up), (down, b_down)] = layers;
        if b_up.is_some() != b_down.is_some() {
            return Err(Error::value("mlp", "one of two layers has a bias").hint("give both one, or none"));
        }
        let is_narrow = precision.is_narrow_on(self);
        let (keep, has_residual) = (is_grad_enabled(), residual.is_some());
        let op = Mlp { transposed, form, precision, keep, is_narrow, residual: has_residual };
        let inputs: Vec<&Tensor> =
            [self, up, down].into_iter().chain(b_up).chain(b_down).chain(residual).collect();
        apply_single(op, &inputs)
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "mlp",
        summary: "two linear layers with GELU between, and what goes around them",
        samples: || {
            let op = |transposed, form| Mlp {
                transposed,
                form,
                precision: Precision::F32,
                keep: true,
                is_narrow: false,
                residual: false,
            };
            let small = |dims: &[usize]| Input::between(dims, -0.5, 0.5);
            let (plain, exact) = (op(false, Form::Tanh), op(true, Form::Exact));
            let x = || Input::any(&[2, 3, 9]);
            let weights = || [small(&[9, 20]), small(&[20, 7])];
            let transposed = || [small(&[20, 9]), small(&[7, 20])];
            let biases = || [small(&[20]), small(&[7])];
            let around = || Input::any(&[2, 3, 7]);
            let [w1, w2] = weights();
            let [t1, t2] = transposed();
            let [b1, b2] = biases();
            let full = |op: Mlp| {
                let ([w1, w2], [b1, b2]) = (weights(), biases());
                Sample::new(Mlp { residual: true, ..op }, [x(), w1, w2, b1, b2, around()])
            };
            vec![
                full(plain),
                Sample::new(plain, [x(), w1, w2]),
                Sample::new(exact, [x(), t1, t2, b1, b2]),
                full(Mlp { precision: Precision::Bf16, is_narrow: true, ..plain }),
                Sample::new(plain, [Input::any(&[3, 1, 9]), small(&[9, 20]), small(&[20, 7])]),
            ]
        },
    }]
}
