//! p ← p - η·d with g' = g + λp, b ← μb + g', and d = b, or g' + μb with Nesterov's momentum.
//!
//! An update of n parameters in one call, with no gradient of its own. Shapes: n × [p, g, b], each three of one shape
//! → n × [p, b], written over the inputs that nobody else holds; without momentum (μ = 0) there is no b: n × [p, g] →
//! `n × [p]`. Numerics: the order of operations is that of PyTorch's `SGD` without dampening; b = 0 before the first
//! step is its first step, too. A NaN gradient makes its elements NaN. Apply it with gradients off.
//!
//! [`Sgd`] holds η, μ and λ itself. [`SgdByNumbers`] reads them from a tensor, so that a step that a GPU has recorded can
//! be replayed with others; a NaN rate there leaves everything as it was. It multiplies the gradients by a factor as it reads
//! them, that of clipping.
//! Source: Sutskever et al., *On the importance of initialization and momentum in deep learning*, ICML 2013, §2.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec};
use warpsmith_kernels::optimise::{self, Numbers};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::multi_tensor::{
    PIECE, elements_per_slot, for_elements, for_pieces, group_shapes, require_attributes, require_numbers,
    update_on_device,
};

/// One step of stochastic gradient descent on many parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// η, the learning rate.
    pub lr: f64,
    /// μ, the decay of the velocity; 0: no velocity.
    pub momentum: f64,
    /// Whether the step looks ahead along the velocity; needs momentum.
    pub nesterov: bool,
    /// λ, the weight decay, added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    /// What [`SgdByNumbers`] takes for this step: η, μ, λ.
    pub fn numbers(&self) -> [f64; 3] {
        [self.lr, self.momentum, self.weight_decay]
    }

    /// How many inputs there are per parameter.
    fn group(&self) -> usize {
        if self.momentum == 0.0 { 2 } else { 3 }
    }
}

/// A piece of one parameter, with its gradient and, if there is momentum, its velocity.
struct Piece<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    b: Option<&'a mut [f32]>,
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let unbounded = f64::INFINITY;
        let attributes = [
            ("lr", self.lr, unbounded),
            ("momentum", self.momentum, unbounded),
            ("weight_decay", self.weight_decay, unbounded),
        ];
        require_attributes(self.name(), &attributes)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::value(self.name(), "nesterov needs a momentum above 0"));
        }
        match self.group() {
            2 => group_shapes(self.name(), x, 2, "parameter and gradient", &[0]),
            _ => group_shapes(self.name(), x, 3, "parameter, gradient and velocity", &[0, 2]),
        }
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.reference_with(1.0, x, y);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        self.update_on_host(1.0, x)
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (numbers, group) = (Numbers::Known(self.numbers()), self.group());
        update_on_device(self.name(), x, y, group, |dtypes, of| {
            optimise::sgd(dtypes, of, numbers, 0, self.nesterov)
        })
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("G*P*s", "(G-1)*P*s", "6*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("G", self.group()), ("P", elements_per_slot(x, self.group()))]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        self.scale_with(1.0, x, y)
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        10.0
    }
}

/// The step of gradients that are multiplied by a factor.
impl Sgd {
    fn reference_with(&self, factor: f64, x: &[Array], y: &mut [Array]) {
        if self.group() == 2 {
            for_elements(x, y, |[p, g]| [p - self.lr * (g * factor + self.weight_decay * p)]);
            return;
        }
        for_elements(x, y, |[p, g, b]| {
            let g = g * factor + self.weight_decay * p;
            let b = self.momentum * b + g;
            let d = if self.nesterov { g + self.momentum * b } else { b };
            [p - self.lr * d, b]
        });
    }

    /// The sizes of the terms, all of which may cancel.
    fn scale_with(&self, factor: f64, x: &[Array], y: &[Array]) -> Vec<Array> {
        let sizes = |a: &Array| Array { shape: a.shape, data: a.data.iter().map(|v| v.abs()).collect() };
        let x: Vec<Array> = x.iter().map(sizes).collect();
        let mut scale = y.to_vec();
        // With a negative rate the step adds to the parameter instead of being taken from it.
        Self { lr: -self.lr, ..*self }.reference_with(factor.abs(), &x, &mut scale);
        scale
    }

    fn update_on_host(&self, factor: f32, x: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let group = self.group();
        let elements = x.iter().step_by(group).map(Tensor::numel).sum();
        let (mut updated, mut grads) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len() / group));
        for (i, tensor) in x.into_iter().enumerate() {
            if i % group == 1 { grads.push(tensor.contiguous()?) } else { updated.push(tensor) }
        }
        let mut pieces = Vec::new();
        for (group, g) in updated.chunks_exact_mut(group - 1).zip(&grads) {
            let Some((p, b)) = group.split_first_mut() else { continue };
            let mut velocity = match b.first_mut() {
                Some(b) => Some(b.data_mut::<f32>()?.chunks_mut(PIECE)),
                None => None,
            };
            let parts = p.data_mut::<f32>()?.chunks_mut(PIECE).zip(g.data::<f32>()?.chunks(PIECE));
            pieces.extend(parts.map(|(p, g)| Piece { p, g, b: velocity.as_mut().and_then(Iterator::next) }));
        }
        for_pieces(pieces, elements, |piece| {
            dispatch(
                #[inline(always)]
                || self.update(factor, piece),
            );
        });
        Ok(updated)
    }

    /// Call inside `dispatch`.
    #[inline(always)]
    fn update(&self, factor: f32, piece: Piece<'_>) {
        let (lr, decay, momentum) = (self.lr as f32, self.weight_decay as f32, self.momentum as f32);
        let Piece { p, g, b } = piece;
        let Some(b) = b else {
            for (p, &g) in p.iter_mut().zip(g) {
                *p += -lr * (g * factor + decay * *p);
            }
            return;
        };
        for ((p, &g), b) in p.iter_mut().zip(g).zip(b) {
            let g = g * factor + decay * *p;
            *b = *b * momentum + g;
            let d = if self.nesterov { g + momentum * *b } else { *b };
            *p += -lr * d;
        }
    }
}

/// As [`Sgd`], with [`Sgd::numbers`] in a tensor, `(3,)` f32, and a factor of the gradients, `()` f32, before the groups. If
/// the first of the numbers is NaN, the outputs are the inputs.
#[derive(Clone, Copy, Debug)]
pub struct SgdByNumbers {
    /// Whether there is a velocity: groups are [p, g, b], and [p, g] without one.
    pub has_velocity: bool,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
}

impl SgdByNumbers {
    /// The step with these numbers; `None` if the rate is NaN.
    fn known(&self, numbers: impl IntoIterator<Item = f64>) -> Option<Sgd> {
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        let (lr, momentum, weight_decay) = (next(), next(), next());
        // Without a velocity a momentum means nothing; `Sgd` tells by it whether there is one.
        let momentum = if self.has_velocity { momentum } else { 0.0 };
        (!lr.is_nan()).then_some(Sgd { lr, momentum, nesterov: self.nesterov, weight_decay })
    }

    fn group(&self) -> usize {
        if self.has_velocity { 3 } else { 2 }
    }

    /// Which of the inputs come out.
    fn kept(&self) -> &'static [usize] {
        if self.has_velocity { &[0, 2] } else { &[0] }
    }
}

impl Op for SgdByNumbers {
    fn name(&self) -> &'static str {
        "sgd_by_numbers"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_numbers(self.name(), x, 3)?;
        group_shapes(self.name(), &x[2..], self.group(), "parameter, gradient and velocity", self.kept())
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        match self.known(x[0].data.iter().copied()) {
            Some(step) => {
                step.reference_with(x[1].data[0], &x[2..], y);
                Ok(())
            }
            None => {
                let kept =
                    x[2..].chunks(self.group()).flat_map(|group| self.kept().iter().map(|&i| &group[i]));
                y.iter_mut().zip(kept).for_each(|(y, x)| y.clone_from(x));
                Ok(())
            }
        }
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let groups = x.split_off(2);
        match self.known(x[0].to_f64_vec()?) {
            Some(step) => step.update_on_host(x[1].to_vec::<f32>()?[0], groups),
            None => Ok(groups
                .into_iter()
                .enumerate()
                .filter(|(i, _)| i % self.group() != 1)
                .map(|(_, t)| t)
                .collect()),
        }
    }

    fn cuda(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let groups = x.split_off(2);
        let (numbers, factor) = (x[0].contiguous()?, x[1].contiguous()?);
        let (numbers, factor) = (Numbers::At(numbers.device_address()?), factor.device_address()?);
        update_on_device(self.name(), groups, y, self.group(), |dtypes, of| {
            optimise::sgd(dtypes, of, numbers, factor, self.nesterov)
        })
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("16 + G*P*s", "(G-1)*P*s", "7*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let elements = elements_per_slot(&x[2..], self.group());
        // The first inputs hold the numbers of the step, which are f32 whatever the parameters are.
        vec![("G", self.group()), ("P", elements), ("s", x.get(2).map_or(0, |p| p.dtype.size()))]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        self.known(x[0].data.iter().copied())
            .map_or_else(|| y.to_vec(), |step| step.scale_with(x[1].data[0], &x[2..], y))
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        11.0
    }
}

methods! {}

fn group(dims: &[usize], inputs: usize) -> Vec<Input> {
    vec![Input::between(dims, -3.0, 3.0); inputs]
}

fn several() -> Vec<Input> {
    [group(&[3, 35], 3), group(&[1], 3), group(&[0], 3)].concat()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "sgd",
            summary: "one step of gradient descent on many parameters",
            samples: || {
                let op = Sgd { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.01 };
                let plain = [group(&[5, 7], 2), group(&[2], 2)].concat();
                vec![
                    Sample::new(op, several()),
                    Sample::new(Sgd { nesterov: true, ..op }, group(&[40_000], 3)),
                    Sample::new(Sgd { momentum: 0.0, ..op }, plain),
                ]
            },
        },
        Spec {
            name: "sgd_by_numbers",
            summary: "as sgd, with the numbers of the step in a tensor",
            samples: || {
                let sample = |has_velocity, nesterov, groups: Vec<Input>| {
                    let numbers = Input::between(&[3], 0.25, 0.75).wide();
                    let factor = Input::between(&[], 0.25, 1.0).wide();
                    let inputs = [numbers, factor].into_iter().chain(groups);
                    Sample::new(SgdByNumbers { has_velocity, nesterov }, inputs)
                };
                vec![sample(true, true, several()), sample(false, false, group(&[5, 7], 2))]
            },
        },
    ]
}
