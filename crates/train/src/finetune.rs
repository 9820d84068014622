//! Fine-tuning: a model that has learned goes on learning from examples, whole, in part, or by low-rank adapters.

mod classes;
mod examples;
mod learner;
mod lora;

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_model::{CausalModel, TextClassifier};
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Rng, Seed, Tensor};

use crate::config::ScheduleKind;
use crate::schedule::LearningRate;
use crate::{Error, Result};

pub use classes::{ClassScores, Labelled, Unlabelled, judge};
pub use examples::Example;
use learner::{Ahead, Learner, Stepped};
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
    /// ε of [`fgm`](crate::adversarial::fgm): each step of a classifier also learns its examples as they look when the table of
    /// tokens is moved so far against the model. 0: not. A step takes twice as long.
    pub fgm: f64,
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
            fgm: 0.0,
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
        /// Mean loss over what is learned of its examples, before the update.
        loss: f64,
        /// Norm of the gradients before clipping.
        norm: f64,
        /// Learning rate.
        lr: f64,
        /// How many texts without a label were learned by one that the model was sure of, if there are such texts.
        pseudo_labels: Option<usize>,
    },
    /// An epoch was done, and held against examples that are not learned.
    Epoch {
        /// Its number, from 1.
        epoch: usize,
        /// Mean loss over what would be learned of these examples.
        val_loss: f64,
        /// How well their classes are told apart, if they have classes.
        scores: Option<ClassScores>,
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

/// What is learned, from examples of one kind.
trait Lesson {
    type Example;

    /// What learns.
    fn parameters(&self) -> Vec<Parameter>;

    /// What is new to the model, and so learns whole where the rest has adapters.
    fn head(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// The mean loss over what is learned of examples, with activations dropped by `rng`. Its backward pass begins with `g`, as
    /// that of [`cross_entropy_before`] does.
    fn loss(&self, examples: &[&Self::Example], rng: &Rng, g: &Tensor) -> Result<Tensor>;

    /// Logits that the largest batch has at the least.
    fn logits(&self, _examples: &[Self::Example], _batch_size: usize) -> usize {
        0
    }

    /// The table of tokens that may be moved against the model, if there is one.
    fn token_table(&self) -> Option<Parameter> {
        None
    }

    /// What is learned beside the examples of step `step` (from 0) of `of`, if there is any such thing.
    fn beside(&self, _step: usize, _of: usize, _rng: &Rng) -> Result<Option<Beside>> {
        Ok(None)
    }

    /// The mean loss over examples that are not learned, nothing dropped, and how well their classes are told apart.
    fn judge(&self, examples: &[Self::Example], batch_size: usize) -> Result<(f64, Option<ClassScores>)>;
}

/// What is learned without labels.
struct Beside {
    /// Its loss, as it is to be added to that of the examples; `None` if nothing is sure enough.
    loss: Option<Tensor>,
    /// Of how many texts.
    texts: usize,
}

/// A model learns to write.
struct Writing<'a>(&'a dyn CausalModel);

impl Lesson for Writing<'_> {
    type Example = Example;

    fn parameters(&self) -> Vec<Parameter> {
        self.0.parameters()
    }

    fn loss(&self, examples: &[&Example], rng: &Rng, g: &Tensor) -> Result<Tensor> {
        let batch = Example::batch(examples, self.0.device())?;
        let logits = self.0.forward_for_loss(&batch.ids, rng, false)?; // (B, T, V)
        Ok(cross_entropy_before(logits, &batch.targets, g, CrossEntropy::MEAN)?)
    }

    fn logits(&self, examples: &[Example], batch_size: usize) -> usize {
        // Whatever the order, no batch has fewer than the mean if all have it.
        let batches = examples.len().div_ceil(batch_size.max(1)).max(1);
        examples.iter().map(Example::positions).sum::<usize>() / batches * self.0.vocab_size()
    }

    fn judge(&self, examples: &[Example], batch_size: usize) -> Result<(f64, Option<ClassScores>)> {
        Ok((loss(self.0, examples, batch_size)?, None))
    }
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
    teach(&Writing(model), train, val, config, tell)
}

/// The same of a classifier. With adapters, its head learns whole.
///
/// # Errors
/// As [`finetune`].
pub fn finetune_classifier(
    model: &TextClassifier,
    train: &[Labelled],
    val: &[Labelled],
    config: &FinetuneConfig,
    tell: &mut dyn FnMut(Progress) -> bool,
) -> Result<Tuned> {
    teach(&classes::Classifying::new(model, None, config), train, val, config, tell)
}

/// The same with texts that nobody has labelled. At each step the model says what some of them are; what it is sure of is learned
/// with the labels as if it were true (Lee 2013; the threshold as in Sohn et al., *FixMatch*, NeurIPS 2020, eq. 4). Nothing is so
/// learned in the first fifth of the steps; from there the weight rises along a line, to `unlabelled.weight` at three fifths.
///
/// # Errors
/// As [`finetune`]; if there is no text, the threshold is not in 0..=1, or the weight is not a number of at least 0.
pub fn finetune_with_unlabelled(
    model: &TextClassifier,
    train: &[Labelled],
    unlabelled: Unlabelled<'_>,
    val: &[Labelled],
    config: &FinetuneConfig,
    tell: &mut dyn FnMut(Progress) -> bool,
) -> Result<Tuned> {
    unlabelled.check()?;
    teach(&classes::Classifying::new(model, Some(unlabelled), config), train, val, config, tell)
}

fn teach<L: Lesson>(
    lesson: &L,
    train: &[L::Example],
    val: &[L::Example],
    config: &FinetuneConfig,
    tell: &mut dyn FnMut(Progress) -> bool,
) -> Result<Tuned> {
    let steps = check(config, train.len())?;
    let ahead = Ahead {
        steps,
        logits: lesson.logits(train, config.batch_size),
        keeps_best: !val.is_empty() && config.epochs > 1,
    };
    let mut learner = Learner::new(lesson, config, &ahead)?;
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
            let Stepped { loss, norm, pseudo_labels } =
                learner.step(lesson, examples, lr, (tuned.steps, steps))?;
            tuned.steps += 1;
            if !tell(Progress::Step { step: tuned.steps, of: steps, loss, norm, lr, pseudo_labels }) {
                break 'epochs;
            }
        }
        if val.is_empty() {
            continue;
        }
        let (val_loss, scores) = lesson.judge(val, config.batch_size)?;
        if !val_loss.is_finite() {
            return Err(diverged(format!("the loss on the validation examples is {val_loss}")));
        }
        let is_best = best.as_ref().is_none_or(|(_, least, _)| val_loss < *least);
        if is_best {
            best =
                Some((epoch, val_loss, learner.targets(lesson).iter().map(|p| p.get().detach()).collect()));
        }
        let goes_on = tell(Progress::Epoch { epoch, val_loss, scores, is_best });
        let since = best.as_ref().map_or(0, |(at, ..)| epoch - at);
        tuned.is_early = config.patience > 0 && since >= config.patience && epoch < config.epochs;
        if tuned.is_early || !goes_on {
            break;
        }
    }
    if let Some((epoch, least, weights)) = best {
        learner.targets(lesson).iter().zip(&weights).try_for_each(|(p, value)| p.set(value))?;
        tuned.best = Some((epoch, least));
    }
    Ok(tuned)
}

/// That numbers were lost.
fn diverged(what: String) -> Error {
    Error::Run(format!("finetune: {what}; lower the learning rate"))
}

/// How many steps there will be.
fn check(config: &FinetuneConfig, examples: usize) -> Result<usize> {
    let problem = |what: &str| Err(Error::Run(format!("finetune: {what}")));
    if examples == 0 {
        return problem("there is no example to learn");
    }
    if config.batch_size == 0 || config.epochs == 0 {
        return problem("epochs and batch_size must be at least 1");
    }
    let numbers = [config.learning_rate, config.weight_decay, config.grad_clip, config.fgm];
    if numbers.iter().any(|n| !n.is_finite() || *n < 0.0) {
        return problem("learning_rate, weight_decay, grad_clip and fgm must be numbers, and not below 0");
    }
    Ok(config.epochs.saturating_mul(examples.div_ceil(config.batch_size)))
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
fn shuffled<'a, E>(examples: &'a [E], rng: &Rng) -> Vec<&'a E> {
    let mut keyed: Vec<(f32, usize)> = rng.uniform(examples.len()).into_iter().zip(0..).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keyed.into_iter().map(|(_, i)| &examples[i]).collect()
}

#[cfg(test)]
mod tests;
