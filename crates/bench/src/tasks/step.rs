//! One training step of a GPT: `BxTxLxHxCxV`, B sequences of T tokens. Forward, loss, backward, clipping of the gradients to
//! norm 1, AdamW; it has no backward pass of its own.
//!
//! A contender gives the mean loss before the update and, from moments that were zero, each parameter's new first moment
//! and its new value. Loss and moments (the clipped gradients times 1 − β₁) are held to the oracle's, each tensor by its norm;
//! new values to what AdamW makes of the contender's own moments, each number within its rounding.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use warpsmith_autograd::{Meta, Op, TensorExt};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Rng, Shape, Tensor};
use warpsmith_train::TrainConfig;
use warpsmith_train::memory::Need;
use warpsmith_train::optimizer::{AdamWConfig, clip_gradients};

use super::gpt::{Beside, GptSizes, distance, precision, sum_error};
use super::{Case, Pass, Workload, meta};
use crate::contender::Contender;
use crate::engine::StepEngine;
use crate::memory::{Footprint, numbers};
use crate::oracle::{Slack, Verdict, Wrong};
use crate::tensors::whole_numbers;
use crate::{Error, Result};

/// A training step.
#[derive(Debug)]
pub struct Step {
    /// B.
    pub batch: usize,
    /// The model; its context is T.
    pub gpt: GptSizes,
    /// What the oracle said of inputs, newest last: every contender is asked about the same.
    answers: Mutex<Vec<Arc<Answer>>>,
}

const EXPECTED: &str = "BxTxLxHxCxV";
/// As many sets of inputs as a case is proven on.
const KEPT: usize = 3;

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    Ok(Arc::new(Step::read(text)?))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GptSizes { context, layers, heads, width, classes } = self.gpt;
        write!(f, "{}x{context}x{layers}x{heads}x{width}x{classes}", self.batch)
    }
}

/// What the oracle says of one set of inputs, and how far from it an answer may lie.
#[derive(Debug)]
struct Answer {
    dtype: DType,
    /// Of all inputs.
    fingerprint: u64,
    loss: [f64; 2],
    /// Each parameter's gradient, clipped.
    gradients: Vec<Tensor>,
    /// The norm of the largest difference from each.
    allowed: Vec<f64>,
}

impl Step {
    fn new(batch: usize, gpt: GptSizes) -> Self {
        Self { batch, gpt, answers: Mutex::default() }
    }

    /// The sizes that [`Step`] prints.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let ([batch, _], gpt) = GptSizes::parse(text, EXPECTED, |_, time| time)?;
        Ok(Self::new(batch, gpt))
    }

    /// The settings of the run that the step is of.
    pub fn train_config(&self, dtype: DType) -> TrainConfig {
        TrainConfig {
            n_layer: self.gpt.layers,
            n_head: self.gpt.heads,
            n_embd: self.gpt.width,
            block_size: self.gpt.context,
            bias: true,
            dropout: 0.0,
            batch_size: self.batch,
            decay_lr: false,
            dtype: precision(dtype),
            ..TrainConfig::default()
        }
    }

    fn flops(&self) -> f64 {
        let tokens = self.batch as f64 * self.gpt.context as f64;
        // A token sees half of the keys on average; the backward pass is two products for each of the forward pass.
        3.0 * tokens * self.gpt.flops_of_token(0.5 * (self.gpt.context as f64 + 1.0))
    }

    /// Loss and clipped gradients for parameters on the host, in their dtype, and the factor by which they were clipped.
    fn gradients(&self, values: &[Tensor], inputs: &[Tensor]) -> Result<(f64, Vec<Tensor>, f64)> {
        let model = self.gpt.model(DType::F32, values)?;
        let [ids, targets] = [0, 1].map(|i| inputs[i].to_device(&Device::Cpu));
        let loss = model.forward(&ids?)?.cross_entropy(&targets?)?;
        let value = loss.item()?;
        let (mut gradients, parameters) = (loss.backward()?, model.parameters());
        let most = self.train_config(DType::F32).grad_clip;
        let norm = clip_gradients(&mut gradients, &parameters, most)?;
        let of = |p| gradients.take(p).ok_or_else(|| Error::Failed("a parameter has no gradient".into()));
        let gradients = parameters.iter().map(of).collect::<Result<_>>()?;
        Ok((value, gradients, (most / norm).min(1.0)))
    }

    fn answer(&self, dtype: DType, inputs: &[Tensor]) -> Result<Arc<Answer>> {
        let fingerprint = fingerprint(inputs)?;
        let mut kept = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) =
            kept.iter().find(|answer| answer.dtype == dtype && answer.fingerprint == fingerprint)
        {
            return Ok(known.clone());
        }
        let oracle = GptSizes::oracle_dtype(self.flops());
        let beside = Beside::new(&self.gpt, &inputs[2..], dtype, oracle, 3.0)?;
        let (loss, gradients, clipped) = self.gradients(&beside.values, inputs)?;
        let (_, moved, _) = self.gradients(&beside.moved, inputs)?;
        let moved_by = |(a, b): (&Tensor, &Tensor)| Ok(distance(&a.to_f64_vec()?, &b.to_f64_vec()?));
        let distances = gradients.iter().zip(&moved).map(moved_by).collect::<Result<Vec<f64>>>()?;
        // The loss is one number, whose move may be small by chance: it is told by its slope. Its own mean is in f32.
        let tokens = (self.batch * self.gpt.context) as f64;
        let own = DType::F32.unit_roundoff() * loss.abs() * (4.0 + tokens.sqrt());
        let loss_allowed = beside.allowed * beside.delta * slope(&beside.values, &gradients)? / clipped + own;
        // Gradients that are clipped share the error of the norm, a plain sum of as many squares as there are parameters.
        let of_norm = if clipped < 1.0 { sum_error(self.gpt.parameters()) } else { 0.0 };
        let allowed = |(gradient, distance): (&Tensor, &f64)| -> Result<f64> {
            let gradient = gradient.to_f64_vec()?;
            let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            Ok(beside.allowed * distance + of_norm * length)
        };
        let allowed = gradients.iter().zip(&distances).map(allowed).collect::<Result<_>>()?;
        let answer = Arc::new(Answer { dtype, fingerprint, loss: [loss, loss_allowed], gradients, allowed });
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(answer.clone());
        Ok(answer)
    }

    /// The worst share of a bound over the moments; the first tensor that is beyond.
    fn judge_moments(&self, answer: &Answer, beta1: f64, outputs: &[Tensor]) -> Result<Verdict> {
        let (mut worst, mut compared) = (0.0f64, 0);
        for (i, (gradient, moment)) in answer.gradients.iter().zip(outputs).enumerate() {
            let expected: Vec<f64> = gradient.to_f64_vec()?.into_iter().map(|g| (1.0 - beta1) * g).collect();
            let got = moment.to_f64_vec()?;
            let share = distance(&got, &expected) / ((1.0 - beta1) * answer.allowed[i]);
            compared += got.len();
            worst = worst.max(share);
            if share.is_nan() || share > 1.0 {
                let furthest = |a: usize, b: usize| {
                    let off = |i: usize| (got[i] - expected[i]).abs();
                    // NaN is as far off as anything can be.
                    if off(b).is_nan() || off(b) > off(a) { b } else { a }
                };
                let at = (0..got.len()).reduce(furthest).unwrap_or(0);
                let allowed = (1.0 - beta1) * answer.allowed[i] / (got.len() as f64).sqrt();
                let mut wrong = wrong(1 + i, at, moment.dims(), &got, &expected, allowed);
                wrong.looks_like =
                    wrong.looks_like.or(Some("a moment whose norm is further off than rounding explains"));
                return Ok(Verdict::Wrong(Box::new(wrong)));
            }
        }
        Ok(Verdict::Right { worst, compared })
    }

    /// Whether the new values are what AdamW makes of the old ones and the first moments.
    fn judge_values(&self, config: &TrainConfig, inputs: &[Tensor], outputs: &[Tensor]) -> Result<Verdict> {
        let n = inputs.len();
        let u = DType::F32.unit_roundoff();
        let epsilon = AdamWConfig::default().epsilon;
        let (mut worst, mut compared) = (0.0f64, 0);
        for (i, old) in inputs.iter().enumerate() {
            let decay = if old.rank() >= 2 { config.weight_decay } else { 0.0 };
            let (old, moment) = (old.to_f64_vec()?, outputs[i].to_f64_vec()?);
            let got = outputs[n + i].to_f64_vec()?;
            let expected: Vec<f64> = (0..old.len())
                .map(|j| {
                    let gradient = moment[j] / (1.0 - config.beta1);
                    let step = gradient / (gradient.abs() + epsilon);
                    old[j] * (1.0 - config.learning_rate * decay) - config.learning_rate * step
                })
                .collect();
            // Of the old value the product and the sum are rounded; of the step (at most 1) the moments, their corrections, a
            // root, a quotient and a product.
            let allowed = |j: usize| 4.0 * u * old[j].abs() + 16.0 * u * config.learning_rate;
            let share = |j: usize| (got[j] - expected[j]).abs() / allowed(j);
            compared += got.len();
            if let Some(at) = (0..got.len()).find(|&j| share(j).is_nan() || share(j) > 1.0) {
                let wrong = wrong(1 + n + i, at, outputs[n + i].dims(), &got, &expected, allowed(at));
                return Ok(Verdict::Wrong(Box::new(wrong)));
            }
            worst = (0..got.len()).map(share).fold(worst, f64::max);
        }
        Ok(Verdict::Right { worst, compared })
    }
}

/// A number that tells inputs apart.
fn fingerprint(inputs: &[Tensor]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for x in inputs {
        match x.dtype() {
            DType::I64 => x.to_vec::<i64>()?.hash(&mut hasher),
            _ => x.to_vec::<f32>()?.into_iter().for_each(|value| value.to_bits().hash(&mut hasher)),
        }
    }
    Ok(hasher.finish())
}

/// How far the loss moves, by its slope, if each parameter moves by a share of itself and the signs are drawn: the root of
/// the sum of the squares of parameter times gradient, as a multiple of that share.
fn slope(values: &[Tensor], gradients: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for (value, gradient) in values.iter().zip(gradients) {
        let pairs = value.to_f64_vec()?.into_iter().zip(gradient.to_f64_vec()?);
        sum += pairs.map(|(p, g)| (p * g) * (p * g)).sum::<f64>();
    }
    Ok(sum.sqrt())
}

/// One wrong element with its neighbours.
fn wrong(output: usize, at: usize, dims: &[usize], got: &[f64], expected: &[f64], allowed: f64) -> Wrong {
    let around = at.saturating_sub(2)..(at + 3).min(got.len());
    let zeros = got.iter().all(|v| *v == 0.0);
    // NaN is as far off as anything can be.
    let is_off = |(a, b): &(&f64, &f64)| (**a - **b).is_nan() || (**a - **b).abs() > allowed;
    let off = got.iter().zip(expected).filter(is_off).count();
    Wrong {
        output,
        place: crate::oracle::place(at, dims, &Vec::new()),
        got: got[at],
        expected: expected[at],
        allowed,
        count: (off, got.len()),
        around: [got[around.clone()].to_vec(), expected[around].to_vec()],
        looks_like: zeros.then_some("all zeros"),
    }
}

impl Workload for Step {
    fn task(&self) -> &'static str {
        "step"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        let GptSizes { context, layers, heads, width, classes } = self.gpt;
        vec![("B", self.batch), ("T", context), ("L", layers), ("H", heads), ("C", width), ("V", classes)]
    }

    fn attributes(&self) -> Vec<(&'static str, f64)> {
        let config = self.train_config(DType::F32);
        vec![
            ("lr", config.learning_rate),
            ("beta1", config.beta1),
            ("beta2", config.beta2),
            ("eps", AdamWConfig::default().epsilon),
            ("weight_decay", config.weight_decay),
            ("grad_clip", config.grad_clip),
        ]
    }

    fn names(&self, _pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        (&["ids", "targets", "parameters"], &["loss", "moments", "parameters"])
    }

    fn op(&self, _pass: Pass) -> Result<Arc<dyn Op>> {
        Err(Error::Unsupported("a training step is many ops, forward and backward in one pass: fwd".into()))
    }

    fn has(&self, pass: Pass) -> bool {
        pass == Pass::Forward
    }

    fn inputs(&self, _pass: Pass, _dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let dims = [self.batch, self.gpt.context];
        let tokens = || -> Result<Tensor> {
            let flat = whole_numbers(dims[0] * dims[1], self.gpt.classes, rng, device)?;
            Ok(flat.reshape(&dims)?)
        };
        Ok([vec![tokens()?, tokens()?], self.gpt.draw(rng, device)?].concat())
    }

    fn metas(&self, _pass: Pass, _dtype: DType) -> Result<Vec<Meta>> {
        let tokens = meta(&[self.batch, self.gpt.context], DType::I64)?;
        Ok([vec![tokens, tokens], self.gpt.metas()?].concat())
    }

    /// Each contender trains a model of its own. The oracle's gradients take as much as the parameters once more.
    fn footprint(&self, _pass: Pass, dtype: DType) -> Result<Footprint> {
        let (config, model) = (self.train_config(dtype), self.gpt.bytes());
        // The less of the two, since a refusal must not be wrong.
        let need = Need::of(&config, &self.gpt.config(), true);
        // A contender's own set of inputs is the weights that its optimiser's moments stand beside.
        let (outputs, between) = (need.model - model, need.bytes() - need.model);
        let oracle = 1.5 * self.gpt.oracle_bytes(self.flops());
        let ids = 2.0 * numbers(&[self.batch, self.gpt.context]) * DType::I64.size() as f64;
        Ok(Footprint { inputs: ids + model, outputs, between, oracle })
    }

    fn outputs(&self, _pass: Pass, inputs: &[Meta]) -> Result<Vec<Meta>> {
        let loss = Meta { shape: Shape::scalar(), dtype: DType::F32 };
        let parameters = &inputs[2.min(inputs.len())..];
        Ok([&[loss][..], parameters, parameters].concat())
    }

    /// Parameters and both moments, read and written.
    fn cost(&self, pass: Pass, _inputs: &[Meta]) -> Result<(u64, u64)> {
        if pass == Pass::Backward {
            self.op(pass)?;
        }
        Ok((6 * 4 * self.gpt.parameters() as u64, self.flops() as u64))
    }

    fn tokens(&self) -> Option<u64> {
        Some((self.batch * self.gpt.context) as u64)
    }

    fn judge(&self, case: &Case, inputs: &[Tensor], outputs: &[Tensor], _slack: Slack) -> Result<Verdict> {
        let answer = self.answer(case.dtype, inputs)?;
        let config = self.train_config(case.dtype);
        let (loss, [expected, allowed]) = (outputs[0].item()?, answer.loss);
        let share = (loss - expected).abs() / allowed;
        if share.is_nan() || share > 1.0 {
            let wrong = wrong(0, 0, &[], &[loss], &[expected], allowed);
            return Ok(Verdict::Wrong(Box::new(wrong)));
        }
        let moments = self.judge_moments(&answer, config.beta1, &outputs[1..])?;
        let Verdict::Right { worst, compared } = moments else { return Ok(moments) };
        let values = self.judge_values(&config, &inputs[2..], &outputs[1..])?;
        let Verdict::Right { worst: of_values, compared: more } = values else { return Ok(values) };
        Ok(Verdict::Right { worst: share.max(worst).max(of_values), compared: 1 + compared + more })
    }

    fn wants_proof_on_small(&self) -> bool {
        GptSizes::oracle_dtype(self.flops()) != DType::F64
    }

    fn engine(&self) -> Box<dyn Contender> {
        Box::new(StepEngine)
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        let shape = |batch, context, layers, heads, width, classes| -> Arc<dyn Workload> {
            Arc::new(Self::new(batch, GptSizes { context, layers, heads, width, classes }))
        };
        vec![shape(1, 1, 1, 1, 8, 5), shape(3, 7, 2, 2, 16, 37), shape(2, 33, 1, 3, 24, 65)]
    }
}
