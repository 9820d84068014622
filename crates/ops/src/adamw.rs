//! p ← p·(1 - ηλ) - η/(1 - β₁ᵗ)·m / (√v/√(1 - β₂ᵗ) + ε) after m ← m + (1 - β₁)(g - m), v ← β₂v + (1 - β₂)g².
//!
//! An update of n parameters in one call, with no gradient of its own. Shapes: n × [p, g, m, v], each four of one
//! shape → n × [p, m, v], written over the inputs that nobody else holds. λ is decoupled: it shrinks the parameter,
//! not the gradient. Numerics: the order of operations is that of PyTorch's `AdamW`, the coefficients are rounded to
//! f32 once; a NaN gradient makes its elements of p, m and v NaN. Apply it with gradients off, and m = v = 0 at t = 1.
//!
//! [`AdamW`] holds η, t and the rest itself. [`AdamWByNumbers`] reads what it makes of them from a tensor, so that a step
//! that a GPU has recorded can be replayed with others; a NaN rate there leaves everything as it was. It multiplies the
//! gradients by a factor as it reads them, that of clipping.
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019, arXiv 1711.05101, algorithm 2.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_kernels::optimise::{self, Numbers};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::multi_tensor::{
    PIECE, elements_per_slot, for_elements, for_pieces, group_shapes, require_attributes, require_numbers,
    update_on_device,
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
    /// Multiplies the gradients, which are rounded then.
    factor: F,
}

impl AdamW {
    /// What [`AdamWByNumbers`] takes for this step: 1 - ηλ, 1 - β₁, β₂, 1 - β₂, √(1 - β₂ᵗ), ε, η/(1 - β₁ᵗ).
    pub fn numbers(&self) -> [f64; 7] {
        let Self { lr, beta1, beta2, eps, weight_decay, step } = *self;
        optimise::adamw_numbers(lr, [beta1, beta2], eps, weight_decay, step)
    }
}

impl<F> Coefficients<F> {
    fn new([keep, lerp, beta2, square, root, eps, step_size]: [F; 7], factor: F) -> Self {
        Self { keep, lerp, beta2, square, root, eps, step_size, factor }
    }
}

impl Coefficients<f64> {
    fn reference(&self, x: &[Array], y: &mut [Array]) {
        for_elements(x, y, |[p, g, m, v]| {
            if self.step_size.is_nan() {
                return [p, m, v];
            }
            let g = g * self.factor;
            let (now_m, now_v) = (m + self.lerp * (g - m), self.beta2 * v + self.square * g * g);
            let step = self.step_size * now_m / (now_v.sqrt() / self.root + self.eps);
            [p * self.keep - step, now_m, now_v]
        });
    }

    /// The sizes of the terms: m may cancel, and so may the step and the parameter.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale: Vec<Array> = y.to_vec();
        for_elements(x, &mut scale, |[p, g, m, v]| {
            let g = g * self.factor;
            let m = m.abs() + self.lerp * (g - m).abs();
            let v = self.beta2 * v + self.square * g * g;
            [(p * self.keep).abs() + self.step_size * m / (v.sqrt() / self.root + self.eps), m, v]
        });
        scale
    }
}

/// All groups on the host.
fn update_on_host(x: Vec<Tensor>, c: Coefficients<f32>) -> Result<Vec<Tensor>> {
    let elements = x.iter().step_by(4).map(Tensor::numel).sum();
    let (mut updated, mut grads) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len() / 4));
    for (i, tensor) in x.into_iter().enumerate() {
        if i % 4 == 1 { grads.push(tensor.contiguous()?) } else { updated.push(tensor) }
    }
    if c.step_size.is_nan() {
        return Ok(updated);
    }
    let mut pieces = Vec::new();
    for (group, g) in updated.chunks_exact_mut(3).zip(&grads) {
        let [p, m, v] = group else { continue };
        let (p, m, v) = (p.data_mut::<f32>()?, m.data_mut::<f32>()?, v.data_mut::<f32>()?);
        let moments = m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE));
        let parts = p.chunks_mut(PIECE).zip(g.data::<f32>()?.chunks(PIECE)).zip(moments);
        pieces.extend(parts.map(|((p, g), (m, v))| Piece { p, g, m, v }));
    }
    for_pieces(pieces, elements, |piece| {
        dispatch(
            #[inline(always)]
            || update(piece, c),
        );
    });
    Ok(updated)
}

const INPUTS: &str = "parameter, gradient, mean and mean square";

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
            return Err(Error::value(self.name(), "steps are numbered from 1"));
        }
        group_shapes(self.name(), x, 4, INPUTS, &[0, 2, 3])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        Coefficients::new(self.numbers(), 1.0).reference(x, y);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        update_on_host(x, Coefficients::new(self.numbers().map(|n| n as f32), 1.0))
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let numbers = Numbers::Known(self.numbers());
        update_on_device(self.name(), x, y, 4, |dtypes, of| optimise::adamw(dtypes, of, numbers, 0))
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

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        Coefficients::new(self.numbers(), 1.0).scale(x, y)
    }

    /// The rounded coefficients count, each once where it multiplies.
    fn roundings(&self, _x: &[Meta]) -> f64 {
        14.0
    }
}

/// As [`AdamW`], with [`AdamW::numbers`] in a tensor, `(7,)` f32, and a factor of the gradients, `()` f32, before the
/// groups. If the last of the numbers is NaN, the outputs are the inputs.
#[derive(Clone, Copy, Debug)]
pub struct AdamWByNumbers;

impl AdamWByNumbers {
    /// The coefficients, and the groups after them.
    fn split(x: &[Array]) -> (Coefficients<f64>, &[Array]) {
        (Coefficients::new(std::array::from_fn(|i| x[0].data[i]), x[1].data[0]), &x[2..])
    }
}

impl Op for AdamWByNumbers {
    fn name(&self) -> &'static str {
        "adamw_by_numbers"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_numbers(self.name(), x, 7)?;
        group_shapes(self.name(), &x[2..], 4, INPUTS, &[0, 2, 3])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (coefficients, groups) = Self::split(x);
        coefficients.reference(groups, y);
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let groups = x.split_off(2);
        let (numbers, factor) = (x[0].to_vec::<f32>()?, x[1].to_vec::<f32>()?);
        update_on_host(groups, Coefficients::new(std::array::from_fn(|i| numbers[i]), factor[0]))
    }

    fn cuda(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let groups = x.split_off(2);
        let (numbers, factor) = (x[0].contiguous()?, x[1].contiguous()?);
        let (numbers, factor) = (Numbers::At(numbers.device_address()?), factor.device_address()?);
        update_on_device(self.name(), groups, y, 4, |dtypes, of| optimise::adamw(dtypes, of, numbers, factor))
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("32 + 4*P*s", "3*P*s", "14*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        // The first inputs hold the numbers of the step, which are f32 whatever the parameters are.
        vec![("P", elements_per_slot(&x[2..], 4)), ("s", x.get(2).map_or(0, |p| p.dtype.size()))]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let (coefficients, groups) = Self::split(x);
        coefficients.scale(groups, y)
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        15.0
    }
}

/// Call inside `dispatch`.
#[inline(always)]
fn update(piece: Piece<'_>, c: Coefficients<f32>) {
    let Piece { p, g, m, v } = piece;
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * c.factor;
        *p *= c.keep;
        *m = c.lerp.mul_add(g - *m, *m);
        *v = *v * c.beta2 + c.square * g * g;
        let denominator = v.sqrt() / c.root + c.eps;
        *p += -c.step_size * *m / denominator;
    }
}

methods! {}

fn group(dims: &[usize]) -> [Input; 4] {
    let square = Input::between(dims, 0.0, 4.0);
    [Input::any(dims), Input::between(dims, -3.0, 3.0), Input::between(dims, -2.0, 2.0), square]
}

fn several() -> Vec<Input> {
    [group(&[3, 35]), group(&[1]), group(&[0]), group(&[])].concat()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "adamw",
            summary: "one step of AdamW on many parameters",
            samples: || {
                let op = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 1 };
                vec![
                    Sample::new(op, several()),
                    Sample::new(AdamW { step: 1000, ..op }, group(&[40_000])),
                    Sample::new(AdamW { weight_decay: 0.0, step: 7, ..op }, group(&[5, 7])),
                ]
            },
        },
        Spec {
            name: "adamw_by_numbers",
            summary: "as adamw, with the numbers of the step in a tensor",
            samples: || {
                let numbers = Input::between(&[7], 0.25, 0.75).wide();
                let factor = Input::between(&[], 0.25, 1.0).wide();
                vec![Sample::new(AdamWByNumbers, [numbers, factor].into_iter().chain(several()))]
            },
        },
    ]
}
