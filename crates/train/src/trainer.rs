//! The training loop's inside: one step, one evaluation, one sample.

use std::time::Instant;

use warpsmith_autograd::{Gradients, TensorExt, no_grad};
use warpsmith_model::{Gpt, GptConfig, Sampling};
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::linear;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

use crate::config::{OptimizerKind, Precision};
use crate::data::{TensorBatch, TrainData};
use crate::optimizer::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig, clip_gradients};
use crate::schedule::LearningRate;
use crate::{Error, Result, TrainConfig};

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step's number, from 0.
    pub step: usize,
    /// Mean loss over the unmasked tokens of the step, in nats, before the update.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// The learning rate used.
    pub lr: f64,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A model in training, with everything that the next step depends on.
pub struct Trainer {
    config: TrainConfig,
    model: Gpt,
    optimizer: Optimizer,
    data: TrainData,
    schedule: LearningRate,
    rng: Rng,
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
        precision: match config.dtype {
            Precision::Float32 => linear::Precision::F32,
            Precision::Bfloat16 => linear::Precision::Bf16,
        },
        ..GptConfig::default()
    }
}

impl Trainer {
    /// A fresh model before its first step.
    ///
    /// # Errors
    /// If the configuration cannot be trained or the data is too short for it.
    pub fn new(config: TrainConfig, data: TrainData, device: &Device) -> Result<Self> {
        config.validate()?;
        data.check(&config)?;
        let model = Gpt::new(gpt_config(&config, data.tokenizer().vocab_size()), device, Seed(config.seed))?;
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
        Ok(Self { config, model, optimizer, data, schedule, rng, step: 0, tokens: 0 })
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

    /// Puts the trainer where a checkpoint says that it was.
    pub(crate) fn restore(&mut self, step: usize, tokens: u64, rng: Rng) -> &mut Optimizer {
        (self.step, self.tokens, self.rng) = (step, tokens, rng);
        &mut self.optimizer
    }

    /// One update from `gradient_accumulation_steps` batches.
    ///
    /// The loss is the sum over all unmasked tokens of all batches divided by their number, so that k batches weigh as
    /// one batch of their size, also when they hold unequal numbers of unmasked tokens.
    ///
    /// # Errors
    /// If the loss or the gradients are not finite: the parameters are then those before the step.
    pub fn step(&mut self) -> Result<StepReport> {
        let start = Instant::now();
        let micro = self.config.gradient_accumulation_steps;
        let device = self.model.device().clone();
        let batches = (0..micro)
            .map(|i| {
                let batch = self.data.train((self.step * micro + i) as u64, &self.config)?;
                TensorBatch::new(&batch, &device)
            })
            .collect::<Result<Vec<_>>>()?;
        let scored = batches.iter().map(|b| b.scored).sum::<usize>().max(1);
        let tokens: usize = batches.iter().map(|b| b.ids.numel()).sum();
        let (mut loss, mut gradients) = (0.0, Gradients::default());
        for batch in batches {
            let (batch_loss, batch_gradients) = self.forward_backward(&batch, scored)?;
            loss += batch_loss;
            gradients.accumulate(batch_gradients)?;
        }
        let grad_norm = clip_gradients(&mut gradients, &self.model.parameters(), self.config.grad_clip)?;
        if !loss.is_finite() || !grad_norm.is_finite() {
            return Err(self.diverged(loss, grad_norm));
        }
        let lr = self.schedule.at(self.step);
        self.optimizer.set_learning_rate(lr);
        self.optimizer.step(gradients)?;
        let report = StepReport {
            step: self.step,
            loss,
            grad_norm,
            lr,
            tokens: tokens as u64,
            seconds: start.elapsed().as_secs_f64(),
        };
        self.step += 1;
        self.tokens += tokens as u64;
        Ok(report)
    }

    /// This batch's part of the mean loss over `scored` tokens, and its gradients.
    fn forward_backward(&self, batch: &TensorBatch, scored: usize) -> Result<(f64, Gradients)> {
        let logits = self.model.forward_train(&batch.ids, &self.rng, self.config.recompute)?; // (B, T, V)
        let sum = logits.cross_entropy_with(&batch.targets, CrossEntropy::SUM)?;
        drop(logits);
        let share = Tensor::full(*sum.shape(), 1.0 / scored as f64, sum.dtype(), self.model.device())?;
        let loss = sum.item()? / scored as f64;
        Ok((loss, sum.backward_from(share)?))
    }

    fn diverged(&self, loss: f64, grad_norm: f64) -> Error {
        let broken = |t: &Tensor| t.to_f64_vec().is_ok_and(|v| v.iter().any(|x| !x.is_finite()));
        let first = self.model.parameters().into_iter().find(|p| broken(&p.get()));
        let place = match first {
            Some(parameter) => format!("{} already holds numbers that are not finite", parameter.name()),
            None => "all parameters are finite, so the forward or backward pass overflowed".into(),
        };
        Error::Run(format!(
            "training diverged at step {}: loss {loss}, gradient norm {grad_norm}; {place}; lower learning_rate or raise warmup_iters",
            self.step
        ))
    }

    /// Mean loss in nats over `eval_iters` fixed batches of the validation part.
    pub fn evaluate(&self) -> Result<f64> {
        let (mut sum, mut scored) = (0.0, 0);
        for i in 0..self.config.eval_iters.max(1) {
            let batch = TensorBatch::new(&self.data.val(i as u64, &self.config)?, self.model.device())?;
            sum += no_grad(|| {
                self.model.forward(&batch.ids)?.cross_entropy_with(&batch.targets, CrossEntropy::SUM)?.item()
            })?;
            scored += batch.scored;
        }
        Ok(sum / scored.max(1) as f64)
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
