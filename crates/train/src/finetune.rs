//! Fine-tuning: a model that has learned goes on learning from examples, whole, in part, or by low-rank adapters.

mod examples;
mod lora;

use warpsmith_autograd::{Parameter, TensorExt, no_grad};
use warpsmith_model::CausalModel;
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Rng, Seed, Tensor};

use crate::config::ScheduleKind;
use crate::optimizer::{AdamW, AdamWConfig, Optimizer, clip_gradients};
use crate::schedule::LearningRate;
use crate::{Error, Result};

pub use examples::Example;
pub use lora::{Adapter, LoraConfig};

/// How to fine-tune.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneConfig {
    /// How often each example is seen.
    pub epochs: usize,
    /// Examples of a step.
    pub batch_size: usize,
    /// The rate that the warm-up reaches; it falls to 0 along a line.
    pub learning_rate: f64,
    /// Steps of warm-up.
    pub warmup_iters: usize,
    /// Weight decay of matrices.
    pub weight_decay: f64,
    /// The largest norm of all gradients together; 0: any.
    pub grad_clip: f64,
    /// For the order of examples, adapters and dropout.
    pub seed: u64,
    /// Learns adapters of the matrices of the blocks instead of the weights.
    pub lora: Option<LoraConfig>,
    /// Parameters whose names begin with one of these stay as they are.
    pub freeze: Vec<String>,
    /// Ends after so many evaluations that were not better; 0: never.
    pub patience: usize,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 8,
            learning_rate: 1e-4,
            warmup_iters: 10,
            weight_decay: 0.0,
            grad_clip: 1.0,
            seed: 1337,
            lora: None,
            freeze: Vec::new(),
            patience: 0,
        }
    }
}

/// What there is to say after a step, or after an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// A step was done.
    Step {
        /// Its number, from 1.
        step: usize,
        /// How many there will be, unless nothing gets better.
        of: usize,
        /// Mean loss over the learned tokens of its examples, before the update.
        loss: f64,
        /// Norm of the gradients before clipping.
        norm: f64,
        /// Learning rate.
        lr: f64,
    },
    /// An epoch was done, and held against examples that are not learned.
    Epoch {
        /// Its number, from 1.
        epoch: usize,
        /// Mean loss over the tokens of these examples.
        val_loss: f64,
        /// Whether it is the least so far.
        is_best: bool,
    },
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// Numbers that were learned.
    pub numbers: usize,
    /// Steps that were made.
    pub steps: usize,
    /// The least loss on examples that were not learned, and its epoch: the model has the weights of that time.
    pub best: Option<(usize, f64)>,
    /// Whether it ended early, since nothing got better.
    pub is_early: bool,
}

/// What learns: the model's own parameters, or adapters.
struct Learner {
    parameters: Vec<Parameter>,
    adapters: Vec<Adapter>,
    optimizer: Optimizer,
    rng: Rng,
}

/// Teaches `model` the examples `train`. With examples in `val` it is held against them after each epoch, and ends with the
/// weights that did best. `tell` is told how it goes; it ends if `tell` says so.
///
/// # Errors
/// If there is no example, a number is out of range, a name of `freeze` is no parameter's, nothing is left to learn, or the
/// loss is no number.
pub fn finetune(
    model: &dyn CausalModel,
    train: &[Example],
    val: &[Example],
    config: &FinetuneConfig,
    tell: &mut dyn FnMut(Progress) -> bool,
) -> Result<Tuned> {
    let steps = check(config, train)?;
    let mut learner = Learner::new(model, config)?;
    let rate = LearningRate {
        shape: Some(ScheduleKind::Linear),
        peak: config.learning_rate,
        min: 0.0,
        warmup: config.warmup_iters.min(steps / 2),
        decay_end: steps,
        decay_fraction: 1.0,
    };
    let order = Rng::new(Seed(config.seed)).child();
    let mut best: Option<(usize, f64, Vec<Tensor>)> = None;
    let mut tuned = Tuned { numbers: learner.numbers(), steps: 0, best: None, is_early: false };
    'epochs: for epoch in 1..=config.epochs {
        for examples in shuffled(train, &order).chunks(config.batch_size) {
            let lr = rate.at(tuned.steps);
            let (loss, norm) = learner.step(model, examples, lr, config.grad_clip)?;
            tuned.steps += 1;
            if !tell(Progress::Step { step: tuned.steps, of: steps, loss, norm, lr }) {
                break 'epochs;
            }
        }
        if val.is_empty() {
            continue;
        }
        let val_loss = loss(model, val, config.batch_size)?;
        if !val_loss.is_finite() {
            return Err(diverged(format!("the loss on the validation examples is {val_loss}")));
        }
        let is_best = best.as_ref().is_none_or(|(_, least, _)| val_loss < *least);
        if is_best {
            best = Some((epoch, val_loss, learner.targets(model).iter().map(|p| p.get().detach()).collect()));
        }
        let goes_on = tell(Progress::Epoch { epoch, val_loss, is_best });
        let since = best.as_ref().map_or(0, |(at, ..)| epoch - at);
        tuned.is_early = config.patience > 0 && since >= config.patience && epoch < config.epochs;
        if tuned.is_early || !goes_on {
            break;
        }
    }
    if let Some((epoch, least, weights)) = best {
        learner.targets(model).iter().zip(&weights).try_for_each(|(p, value)| p.set(value))?;
        tuned.best = Some((epoch, least));
    }
    Ok(tuned)
}

/// That numbers were lost.
fn diverged(what: String) -> Error {
    Error::Run(format!("finetune: {what}; lower the learning rate"))
}

/// How many steps there will be.
fn check(config: &FinetuneConfig, train: &[Example]) -> Result<usize> {
    let problem = |what: &str| Err(Error::Run(format!("finetune: {what}")));
    if train.is_empty() {
        return problem("there is no example to learn");
    }
    if config.batch_size == 0 || config.epochs == 0 {
        return problem("epochs and batch_size must be at least 1");
    }
    let numbers = [config.learning_rate, config.weight_decay, config.grad_clip];
    if numbers.iter().any(|n| !n.is_finite() || *n < 0.0) {
        return problem("learning_rate, weight_decay and grad_clip must be numbers, and not below 0");
    }
    Ok(config.epochs.saturating_mul(train.len().div_ceil(config.batch_size)))
}

/// The mean loss over the learned tokens of examples.
///
/// # Errors
/// If the model refuses them.
pub fn loss(model: &dyn CausalModel, examples: &[Example], batch_size: usize) -> Result<f64> {
    let (mut sum, mut scored) = (0.0, 0);
    for examples in examples.chunks(batch_size.max(1)) {
        let batch = Example::batch(&examples.iter().collect::<Vec<_>>(), model.device())?;
        sum += no_grad(|| {
            model.forward(&batch.ids)?.cross_entropy_with(&batch.targets, CrossEntropy::SUM)?.item()
        })?;
        scored += batch.scored;
    }
    Ok(sum / scored.max(1) as f64)
}

/// The examples in an order that is drawn anew for each epoch.
fn shuffled<'a>(examples: &'a [Example], rng: &Rng) -> Vec<&'a Example> {
    let mut keyed: Vec<(f32, usize)> = rng.uniform(examples.len()).into_iter().zip(0..).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keyed.into_iter().map(|(_, i)| &examples[i]).collect()
}

/// Whether a parameter is a matrix of a block: neither a table of tokens or positions, nor the head.
fn is_in_block(name: &str) -> bool {
    name.contains(".h.") || name.contains(".layers.")
}

impl Learner {
    fn new(model: &dyn CausalModel, config: &FinetuneConfig) -> Result<Self> {
        let all = model.parameters();
        if let Some(name) = config.freeze.iter().find(|name| !all.iter().any(|p| p.name().starts_with(*name)))
        {
            let first = all.first().map_or("", |p| p.name());
            return Err(Error::Run(format!(
                "freeze: no parameter's name begins with `{name}`; one is {first}"
            )));
        }
        let is_free = |p: &Parameter| !config.freeze.iter().any(|name| p.name().starts_with(name));
        let free: Vec<Parameter> = all.into_iter().filter(is_free).collect();
        let rng = Rng::new(Seed(config.seed));
        let (adapters, parameters) = match config.lora {
            None => (Vec::new(), free),
            Some(lora) => {
                let targets = free.iter().filter(|p| p.get().rank() == 2 && is_in_block(p.name()));
                let adapters =
                    targets.map(|p| Ok(Adapter::new(p, lora, &rng)?)).collect::<Result<Vec<Adapter>>>()?;
                let parameters = adapters.iter().flat_map(Adapter::parameters).collect();
                (adapters, parameters)
            }
        };
        if parameters.is_empty() {
            return Err(Error::Run("finetune: nothing is left to learn".into()));
        }
        let config = AdamWConfig {
            learning_rate: config.learning_rate,
            beta2: 0.999,
            weight_decay: config.weight_decay,
            ..AdamWConfig::default()
        };
        let optimizer = Optimizer::AdamW(AdamW::new(parameters.clone(), config)?);
        Ok(Self { parameters, adapters, optimizer, rng })
    }

    fn numbers(&self) -> usize {
        self.parameters.iter().map(|p| p.shape().numel()).sum()
    }

    /// The parameters of the model that change.
    fn targets(&self, model: &dyn CausalModel) -> Vec<Parameter> {
        match self.adapters.is_empty() {
            true => self.parameters.clone(),
            false => {
                model.parameters().into_iter().filter(|p| self.adapters.iter().any(|a| a.is_of(p))).collect()
            }
        }
    }

    /// One update; the loss and the norm of the gradients before it.
    fn step(
        &mut self,
        model: &dyn CausalModel,
        examples: &[&Example],
        lr: f64,
        clip: f64,
    ) -> Result<(f64, f64)> {
        let batch = Example::batch(examples, model.device())?;
        let loss = model.forward_train(&batch.ids, &self.rng, false)?.cross_entropy(&batch.targets)?;
        let mean = loss.item()?;
        let mut gradients = loss.backward()?;
        self.adapters.iter().try_for_each(|adapter| adapter.replace(&mut gradients))?;
        let norm = clip_gradients(&mut gradients, &self.parameters, clip)?;
        if !(mean.is_finite() && norm.is_finite()) {
            return Err(diverged(format!("the loss is {mean}, the norm of its gradients {norm}")));
        }
        self.optimizer.set_learning_rate(lr);
        self.optimizer.step(gradients)?;
        self.adapters.iter().try_for_each(Adapter::merge)?;
        Ok((mean, norm))
    }
}

#[cfg(test)]
mod tests;
