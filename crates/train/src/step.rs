//! One training step as work of the device. Nothing in it waits for a result, so that a GPU can record it once and do it
//! again by one launch; what differs between steps lies in [`Inputs`].

use warpsmith_autograd::{Gradients, TensorExt};
use warpsmith_model::Gpt;
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{self as tensor, DType, Device, Error, Replay, Rng, Shape, Tensor};
use warpsmith_text::Batch;

use crate::data::TensorBatch;
use crate::optimizer::{Optimizer, clip_factor};
use crate::penalty::{Penalty, penalise};
use crate::{Result, TrainConfig};

/// What a step reads, in the same memory as long as the batches have the same shapes.
pub(crate) struct Inputs {
    batches: Vec<TensorBatch>,
    /// 1 over the number of scored tokens, ().
    share: Tensor,
    /// The numbers of the update: for parameters that decay, and for the others.
    numbers: [Tensor; 2],
}

impl Inputs {
    /// A step's inputs, in memory of their own.
    fn new(batches: &[Batch], share: f32, numbers: &[Vec<f32>; 2], device: &Device) -> Result<Self> {
        let [decaying, others] = numbers;
        let tensor = |numbers: &Vec<f32>| Tensor::from_slice(numbers, &[numbers.len()], device);
        Ok(Self {
            batches: batches.iter().map(|b| TensorBatch::new(b, device)).collect::<Result<_>>()?,
            share: Tensor::scalar(share, device)?,
            numbers: [tensor(decaying)?, tensor(others)?],
        })
    }

    /// Whether there is a place for each of these batches, and nothing else.
    fn fit(&self, batches: &[Batch]) -> bool {
        self.batches.len() == batches.len()
            && self.batches.iter().zip(batches).all(|(own, new)| own.is_like(new))
    }

    /// Another step's that [fit](Self::fit), in the same memory.
    fn overwrite(&mut self, batches: &[Batch], share: f32, numbers: &[Vec<f32>; 2]) -> Result<()> {
        self.batches.iter_mut().zip(batches).try_for_each(|(own, new)| own.overwrite(new))?;
        self.share.overwrite(&[share])?;
        for (own, new) in self.numbers.iter_mut().zip(numbers) {
            own.overwrite(new)?;
        }
        Ok(())
    }
}

/// What a step says of itself, on the device.
#[derive(Clone)]
pub(crate) struct Outcome {
    /// The sum over the scored tokens of each batch, ().
    pub losses: Vec<Tensor>,
    /// The global norm of the gradients before clipping, (); `None` without gradients.
    pub norm: Option<Tensor>,
}

/// Makes steps: eagerly at first, then by a recording where the device can and the configuration allows it.
#[derive(Default)]
pub(crate) struct Stepper {
    inputs: Option<Inputs>,
    /// 0, or NaN from the first step on whose loss or gradients were not finite: every later update then leaves all as
    /// it is, so that nothing is lost until somebody looks. ()
    health: Option<Tensor>,
    replay: Replay<Outcome>,
}

impl Stepper {
    /// Queues step number `step`, which learns from these batches.
    pub fn queue(&mut self, work: Work<'_>, step: usize, batches: &[Batch]) -> Result<Outcome> {
        let device = work.model.device().clone();
        let scored = batches.iter().map(Batch::scored).sum::<usize>().max(1);
        let (share, numbers) = ((1.0 / scored as f64) as f32, work.optimizer.numbers());
        match self.inputs.as_mut().filter(|inputs| inputs.fit(batches)) {
            Some(inputs) => inputs.overwrite(batches, share, &numbers)?,
            None => {
                // What is recorded reads the inputs where they were.
                self.replay.forget();
                self.inputs = Some(Inputs::new(batches, share, &numbers, &device)?);
            }
        }
        let mut health = match self.health.take() {
            Some(health) => health,
            None => Tensor::zeros(Shape::scalar(), DType::F32, &device)?,
        };
        let done = self.eager_or_recorded(work, step, &mut health);
        self.health = Some(health);
        done
    }

    fn eager_or_recorded(&mut self, work: Work<'_>, step: usize, health: &mut Tensor) -> Result<Outcome> {
        let Some(inputs) = &self.inputs else { return Err(Error::internal("step", "no inputs").into()) };
        let device = work.model.device().clone();
        if device.is_cpu() || !work.config.compile {
            return Ok(work.queue(inputs, step, health)?);
        }
        // A copy made while recording would be made again at each launch.
        work.optimizer.own_memory()?;
        let (addresses, draws) = (work.addresses(health)?, step * inputs.batches.len());
        Ok(self.replay.queue(&device, draws as u64, addresses, || work.queue(inputs, step, health))?)
    }

    /// Whether every step so far was finite; waits for the device.
    pub fn is_healthy(&self) -> Result<bool> {
        Ok(self.health.as_ref().map_or(Ok(0.0), Tensor::item)?.is_finite())
    }

    /// Starts anew after a step that was not finite, or when the step goes back.
    pub fn reset(&mut self) {
        self.health = None;
        self.replay.forget();
    }
}

/// What a step works on.
pub(crate) struct Work<'a> {
    pub config: &'a TrainConfig,
    pub model: &'a Gpt,
    pub optimizer: &'a mut Optimizer,
    /// Round i of it is batch number i of the run.
    pub rng: &'a Rng,
}

impl Work<'_> {
    /// Queues the step, whose number is that of its random numbers.
    fn queue(self, inputs: &Inputs, step: usize, health: &mut Tensor) -> tensor::Result<Outcome> {
        let (mut losses, mut gradients) = (Vec::new(), Gradients::default());
        for (i, batch) in inputs.batches.iter().enumerate() {
            let rng = self.rng.round((step * inputs.batches.len() + i) as u64);
            let logits = self.model.forward_for_loss(&batch.ids, &rng, self.config.recompute)?; // (B, T, V)
            let loss = CrossEntropy { label_smoothing: self.config.label_smoothing, ..CrossEntropy::SUM };
            let sum = cross_entropy_before(logits, &batch.targets, &inputs.share, loss)?; // ()
            losses.push(sum.detach());
            gradients.accumulate(sum.backward_from(inputs.share.clone())?)?;
        }
        let parameters = self.model.parameters();
        penalise(&mut gradients, &parameters, Penalty { l1: self.config.l1, l2: self.config.l2 })?;
        let clipping = clip_factor(&gradients, &parameters, self.config.grad_clip)?;
        let (norm, factor) = clipping.map(|[norm, factor]| (norm, factor)).unzip();
        for number in losses.iter().chain(&norm) {
            // 0 if the number is finite, else NaN, which stays.
            health.accumulate(&number.affine(0.0, 0.0)?)?;
        }
        if let Some(factor) = factor {
            let numbers = [inputs.numbers[0].add(health)?, inputs.numbers[1].add(health)?];
            self.optimizer.update(gradients, numbers, factor)?;
        }
        Ok(Outcome { losses, norm })
    }

    /// Where everything lies that the step writes.
    fn addresses(&self, health: &Tensor) -> tensor::Result<Vec<u64>> {
        let written = self.optimizer.written().chain([health.clone()]);
        written.map(|tensor| tensor.device_address()).collect()
    }
}
