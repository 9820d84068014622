//! p ← p·(1 - ηλ) - η/(1 - β₁ᵗ)·m / (√v/√(1 - β₂ᵗ) + ε) after m ← m + (1 - β₁)(g - m), v ← β₂v + (1 - β₂)g².
//!
//! An update of n parameters in one call, with no gradient of its own. Shapes: n × [p, g, m, v], each four of one
//! shape → n × [p, m, v], written over the inputs that nobody else holds. λ is decoupled: it shrinks the parameter,
//! not the gradient. Numerics: the order of operations is that of PyTorch's `AdamW`, the coefficients are rounded to
//! f32 once; a NaN gradient makes its elements of p, m and v NaN. Apply it with gradients off, and m = v = 0 at t = 1.
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019, arXiv 1711.05101, algorithm 2.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::{Result, Tensor};

use crate::multi_tensor::{
    PIECE, elements_per_slot, for_elements, for_pieces, group_shapes, require_attributes,
};

/// One step of AdamW on many parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// η, the learning rate.
    pub lr: f64,
    /// β₁, the decay of the mean gradient.
    pub beta1: f64,
    /// β₂, the decay of the mean squared gradient.
    pub beta2: f64,
    /// ε, added to the denominator.
    pub eps: f64,
    /// λ, the decoupled weight decay.
    pub weight_decay: f64,
    /// t, the number of this step, from 1: the means are divided by 1 - βᵗ, since they start at 0.
    pub step: u64,
}

/// The numbers of a step that are the same for all elements.
#[derive(Clone, Copy)]
struct Coefficients<F> {
    keep: F,
    lerp: F,
    beta2: F,
    square: F,
    root: F,
    eps: F,
    step_size: F,
}

impl AdamW {
    fn coefficients(&self) -> Coefficients<f64> {
        let power = |beta: f64| 1.0 - beta.powf(self.step as f64);
        Coefficients {
            keep: 1.0 - self.lr * self.weight_decay,
            lerp: 1.0 - self.beta1,
            beta2: self.beta2,
            square: 1.0 - self.beta2,
            root: power(self.beta2).sqrt(),
            eps: self.eps,
            step_size: self.lr / power(self.beta1),
        }
    }
}

impl Coefficients<f64> {
    fn rounded(self) -> Coefficients<f32> {
        Coefficients {
            keep: self.keep as f32,
            lerp: self.lerp as f32,
            beta2: self.beta2 as f32,
            square: self.square as f32,
            root: self.root as f32,
            eps: self.eps as f32,
            step_size: self.step_size as f32,
        }
    }
}

/// A piece of one parameter, with its gradient and its means.
struct Piece<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Op for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let unbounded = f64::INFINITY;
        require_attributes(
            self.name(),
            &[
                ("lr", self.lr, unbounded),
                ("beta1", self.beta1, 1.0),
                ("beta2", self.beta2, 1.0),
                ("eps", self.eps, unbounded),
                ("weight_decay", self.weight_decay, unbounded),
            ],
        )?;
        if self.step == 0 {
            return Err(warpsmith_tensor::Error::value(self.name(), "steps are numbered from 1"));
        }
        group_shapes(self.name(), x, 4, "parameter, gradient, mean and mean square", &[0, 2, 3])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let c = self.coefficients();
        for_elements(x, y, |[p, g, m, v]| {
            let m = m + c.lerp * (g - m);
            let v = c.beta2 * v + c.square * g * g;
            [p * c.keep - c.step_size * m / (v.sqrt() / c.root + c.eps), m, v]
        });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let elements = x.iter().step_by(4).map(Tensor::numel).sum();
        let (mut updated, mut grads) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len() / 4));
        for (i, tensor) in x.into_iter().enumerate() {
            if i % 4 == 1 { grads.push(tensor.contiguous()?) } else { updated.push(tensor) }
        }
        let mut pieces = Vec::new();
        for (group, g) in updated.chunks_exact_mut(3).zip(&grads) {
            let [p, m, v] = group else { continue };
            let (p, m, v) = (p.data_mut::<f32>()?, m.data_mut::<f32>()?, v.data_mut::<f32>()?);
            let moments = m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE));
            let parts = p.chunks_mut(PIECE).zip(g.data::<f32>()?.chunks(PIECE)).zip(moments);
            pieces.extend(parts.map(|((p, g), (m, v))| Piece { p, g, m, v }));
        }
        let c = self.coefficients().rounded();
        for_pieces(pieces, elements, |piece| {
            dispatch(
                #[inline(always)]
                || update(piece, c),
            );
        });
        Ok(updated)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("4*P*s", "3*P*s", "13*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("P", elements_per_slot(x, 4))]
    }

    /// The sizes of the terms: m may cancel, and so may the step and the parameter.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let c = self.coefficients();
        let mut scale: Vec<Array> = y.to_vec();
        for_elements(x, &mut scale, |[p, g, m, v]| {
            let m = m.abs() + c.lerp * (g - m).abs();
            let v = c.beta2 * v + c.square * g * g;
            [(p * c.keep).abs() + c.step_size * m / (v.sqrt() / c.root + c.eps), m, v]
        });
        scale
    }

    /// The rounded coefficients count, each once where it multiplies.
    fn roundings(&self, _x: &[Meta]) -> f64 {
        14.0
    }
}

/// Call inside `dispatch`.
#[inline(always)]
fn update(piece: Piece<'_>, c: Coefficients<f32>) {
    let Piece { p, g, m, v } = piece;
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        *p *= c.keep;
        *m = c.lerp.mul_add(g - *m, *m);
        *v = *v * c.beta2 + c.square * g * g;
        let denominator = v.sqrt() / c.root + c.eps;
        *p += -c.step_size * *m / denominator;
    }
}

methods! {}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "adamw",
        summary: "one step of AdamW on many parameters",
        samples: || {
            let op = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 1 };
            let group = |dims: &[usize]| {
                let square = Input::between(dims, 0.0, 4.0);
                [Input::any(dims), Input::between(dims, -3.0, 3.0), Input::between(dims, -2.0, 2.0), square]
            };
            let several = [group(&[3, 35]), group(&[1]), group(&[0]), group(&[])].concat();
            vec![
                Sample::new(op, several),
                Sample::new(AdamW { step: 1000, ..op }, group(&[40_000])),
                Sample::new(AdamW { weight_decay: 0.0, step: 7, ..op }, group(&[5, 7])),
            ]
        },
    }]
}
