//! The training loop's inside: one step, one evaluation, one sample.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use warpsmith_autograd::no_grad;
use warpsmith_model::{Gpt, GptConfig, Sampling, Weights};
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};
use warpsmith_text::{Batch, Side};

use crate::config::OptimizerKind;
use crate::data::{BatchSource, TensorBatch, TrainData};
use crate::optimizer::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use crate::schedule::LearningRate;
use crate::step::{Outcome, Stepper, Work};
use crate::{Error, Result, TrainConfig, memory};

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step's number, from 0.
    pub step: usize,
    /// Mean loss over the unmasked tokens of the step, in nats, before the update; `None` if it was not waited for.
    pub loss: Option<f64>,
    /// Global norm of the gradients before clipping; `None` if it was not waited for.
    pub grad_norm: Option<f64>,
    /// The learning rate used.
    pub lr: f64,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Wall time in seconds; of a step that was not waited for, the time it took to queue.
    pub seconds: f64,
}

/// A model in training, with everything that the next step depends on.
pub struct Trainer {
    config: TrainConfig,
    model: Gpt,
    optimizer: Optimizer,
    data: TrainData,
    batches: BatchSource,
    schedule: LearningRate,
    rng: Rng,
    stepper: Stepper,
    /// What the last step came to, on the device, and how many tokens it scored.
    unread: Option<(Outcome, usize)>,
    step: usize,
    tokens: u64,
}

/// The model that a configuration and a vocabulary ask for.
pub fn gpt_config(config: &TrainConfig, vocab_size: usize) -> GptConfig {
    GptConfig {
        vocab_size,
        block_size: config.block_size,
        n_layer: config.n_layer,
        n_head: config.n_head,
        n_embd: config.n_embd,
        dropout: config.dropout,
        bias: config.bias,
        ..GptConfig::default()
    }
}

impl Trainer {
    /// A fresh model before its first step.
    ///
    /// # Errors
    /// If the configuration cannot be trained, the data is too short for it, or memory is.
    pub fn new(config: TrainConfig, data: TrainData, device: &Device) -> Result<Self> {
        config.validate()?;
        data.check(&config)?;
        let shape = gpt_config(&config, data.tokenizer().vocab_size());
        memory::check(&memory::Need::of(&config, &shape, !device.is_cpu()), device)?;
        let weights = Weights::random(Seed(config.seed), device).with_precision(config.dtype);
        let model = Gpt::build(shape, &weights)?;
        Self::with_model(config, data, model)
    }

    /// As [`Trainer::new`] with a given model: to go on from weights of one's own.
    pub fn with_model(config: TrainConfig, data: TrainData, model: Gpt) -> Result<Self> {
        let parameters = model.parameters();
        let optimizer = match config.optimizer {
            OptimizerKind::AdamW => Optimizer::AdamW(AdamW::new(
                parameters,
                AdamWConfig {
                    learning_rate: config.learning_rate,
                    beta1: config.beta1,
                    beta2: config.beta2,
                    weight_decay: config.weight_decay,
                    ..AdamWConfig::default()
                },
            )?),
            OptimizerKind::Sgd => Optimizer::Sgd(Sgd::new(
                parameters,
                SgdConfig {
                    learning_rate: config.learning_rate,
                    momentum: config.momentum,
                    weight_decay: config.weight_decay,
                },
            )?),
        };
        // Dropout draws from a generator of its own: weights must not depend on whether anything is dropped.
        let rng = Rng::new(Seed(config.seed)).child();
        let schedule = LearningRate::new(&config);
        let batches = data.batches(Side::Train, &config)?;
        let (stepper, unread) = (Stepper::default(), None);
        Ok(Self {
            config,
            model,
            optimizer,
            data,
            batches,
            schedule,
            rng,
            stepper,
            unread,
            step: 0,
            tokens: 0,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The model, as it is now.
    pub fn model(&self) -> &Gpt {
        &self.model
    }

    /// The data.
    pub fn data(&self) -> &TrainData {
        &self.data
    }

    /// The optimiser.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The generator that dropout draws from.
    pub fn rng(&self) -> &Rng {
        &self.rng
    }

    /// How many steps were made.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// How many tokens went through the model in training.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The share of the device's measured ceiling that so many tokens per second are (model FLOPs utilisation: Chowdhery
    /// et al., *PaLM*, 2022, appendix B); NaN where no ceiling is known.
    pub fn mfu(&self, tokens_per_second: f64) -> f64 {
        match self.config.peak_tflops * 1e12 {
            0.0 => f64::NAN,
            ceiling => self.model.flops_per_token() * tokens_per_second / ceiling,
        }
    }

    /// Puts the trainer where a checkpoint says that it was.
    pub(crate) fn restore(&mut self, step: usize, tokens: u64, rng: Rng) -> &mut Optimizer {
        (self.step, self.tokens, self.rng) = (step, tokens, rng);
        self.stepper.reset();
        &mut self.optimizer
    }

    /// One update from `gradient_accumulation_steps` batches.
    ///
    /// The loss is the sum over all unmasked tokens of all batches divided by their number, so that k batches weigh as
    /// one batch of their size, also when they hold unequal numbers of unmasked tokens.
    ///
    /// # Errors
    /// If the loss or the gradients are not finite, or memory ends: the parameters are then those before the step. Only if
    /// reading loss and norm fails is the step made, and counted; [`Trainer::wait`] reads them again.
    pub fn step(&mut self) -> Result<StepReport> {
        let report = self.queue_step()?;
        self.wait(report)
    }

    /// As [`Trainer::step`], without waiting for a GPU: loss and norm are read on the CPU alone, where that is free.
    ///
    /// If a step was not finite, the parameters stay as they were before it, and the next [`Trainer::step`] tells.
    ///
    /// # Errors
    /// As [`Trainer::step`], but for that.
    pub fn step_unread(&mut self) -> Result<StepReport> {
        if self.model.device().is_cpu() { self.step() } else { self.queue_step() }
    }

    fn queue_step(&mut self) -> Result<StepReport> {
        let start = Instant::now();
        let micro = self.config.gradient_accumulation_steps;
        let first = (self.step * micro) as u64;
        let batches: Vec<Batch> =
            (first..first + micro as u64).map(|i| self.batches.at(i)).collect::<Result<_>>()?;
        let report = self.queue_on(&batches)?;
        Ok(StepReport { seconds: start.elapsed().as_secs_f64(), ..report })
    }

    /// Queues one update from batches of the caller's, without waiting for a GPU: neither loss nor norm is told.
    ///
    /// # Errors
    /// If the batches do not fit the model, or the device refuses.
    pub fn queue_on(&mut self, batches: &[Batch]) -> Result<StepReport> {
        let start = Instant::now();
        let tokens: usize = batches.iter().map(|b| b.ids.len()).sum();
        let lr = self.schedule.at(self.step);
        self.optimizer.set_learning_rate(lr);
        let Self { config, model, optimizer, rng, stepper, step, .. } = self;
        let outcome = stepper.queue(Work { config, model, optimizer, rng }, *step, batches)?;
        self.unread = Some((outcome, batches.iter().map(Batch::scored).sum::<usize>().max(1)));
        let report = StepReport {
            step: self.step,
            loss: None,
            grad_norm: None,
            lr,
            tokens: tokens as u64,
            seconds: start.elapsed().as_secs_f64(),
        };
        self.optimizer.count_step();
        self.step += 1;
        self.tokens += tokens as u64;
        Ok(report)
    }

    /// Waits for the step that was queued last and adds what it came to.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn wait(&mut self, mut report: StepReport) -> Result<StepReport> {
        let start = Instant::now();
        // Kept until all is read, so that who meets an error here can ask again.
        let Some((outcome, scored)) = &self.unread else { return Ok(report) };
        let losses = outcome.losses.iter().map(Tensor::item).collect::<Result<Vec<f64>, _>>()?;
        let loss = losses.iter().sum::<f64>() / *scored as f64;
        let grad_norm = outcome.norm.as_ref().map_or(Ok(0.0), Tensor::item)?;
        let is_sound = loss.is_finite() && grad_norm.is_finite() && self.stepper.is_healthy()?;
        self.unread = None;
        if !is_sound {
            let error = self.diverged(report.step, loss, grad_norm);
            self.stepper.reset();
            return Err(error);
        }
        (report.loss, report.grad_norm) = (Some(loss), Some(grad_norm));
        report.seconds += start.elapsed().as_secs_f64();
        Ok(report)
    }

    fn diverged(&self, step: usize, loss: f64, grad_norm: f64) -> Error {
        let broken = |t: &Tensor| t.to_f64_vec().is_ok_and(|v| v.iter().any(|x| !x.is_finite()));
        let first = self.model.parameters().into_iter().find(|p| broken(&p.get()));
        let place = match first {
            Some(parameter) => format!("{} already holds numbers that are not finite", parameter.name()),
            None => "all parameters are finite, so the forward or backward pass overflowed".into(),
        };
        let earlier = if loss.is_finite() && grad_norm.is_finite() { " or before" } else { "" };
        Error::Diverged(format!(
            "training diverged at step {step}{earlier}: loss {loss}, gradient norm {grad_norm}; {place}; lower learning_rate or raise warmup_iters"
        ))
    }

    /// Mean loss in nats over `eval_iters` fixed batches of the validation part.
    pub fn evaluate(&self) -> Result<f64> {
        Ok(self.evaluate_unless(&AtomicBool::new(false))?.unwrap_or(f64::NAN))
    }

    /// [`Self::evaluate`]; nothing if `stop` is raised before the loss is known.
    pub fn evaluate_unless(&self, stop: &AtomicBool) -> Result<Option<f64>> {
        let mut batches = self.data.batches(Side::Val, &self.config)?;
        let (mut sums, mut scored) = (Vec::new(), 0);
        for i in 0..self.config.eval_iters.max(1) as u64 {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let batch = TensorBatch::new(&batches.at(i)?, self.model.device())?;
            let loss = no_grad(|| {
                self.model.forward(&batch.ids)?.cross_entropy_with(&batch.targets, CrossEntropy::SUM)
            });
            sums.push(loss?);
            scored += batch.scored;
        }
        // Read when all are queued: a GPU does not wait in between.
        let sums = sums.iter().map(Tensor::item).collect::<Result<Vec<f64>, _>>()?;
        Ok(Some(sums.iter().sum::<f64>() / scored.max(1) as f64))
    }

    /// Text that the model writes now, after a prompt of the data's; the same seed each time.
    pub fn sample(&self, tokens: usize) -> Result<String> {
        let tokenizer = self.data.tokenizer();
        let prompt = tokenizer.encode(&self.data.prompt(&self.config)?)?;
        let sampling = Sampling { top_k: 200, ..Sampling::default() }
            .temperature(0.8)
            .max_new_tokens(tokens)
            .seed(self.config.seed);
        let written = self.model.generate_ids(&prompt, &sampling, tokenizer.eos())?;
        Ok(tokenizer.decode(&[prompt, written].concat())?)
    }
}

#[cfg(test)]
mod tests;
