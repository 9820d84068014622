//! What learns: the model's own parameters, or adapters beside them; and one step of it.

use warpsmith_autograd::{Parameter, TensorExt};
use warpsmith_tensor::{Rng, Seed, Tensor};

use super::{Adapter, FinetuneConfig, Lesson, diverged};
use crate::adversarial::fgm;
use crate::memory::{self, Need};
use crate::optimizer::{AdamW, AdamWConfig, Optimizer, clip_gradients};
use crate::{Error, Result};

/// The model's own parameters, or adapters.
pub(super) struct Learner {
    parameters: Vec<Parameter>,
    adapters: Vec<Adapter>,
    optimizer: Optimizer,
    rng: Rng,
    clip: f64,
    /// 1 (): with what the backward pass of a mean loss begins.
    one: Tensor,
    /// The table that is moved against the model, and how far.
    against: Option<(Parameter, f64)>,
}

/// What there will be to hold in memory beside what learns.
pub(super) struct Ahead {
    /// How many updates.
    pub steps: usize,
    /// Logits of the largest batch, or fewer.
    pub logits: usize,
    /// Whether the weights that did best stay beside those that go on learning.
    pub keeps_best: bool,
}

/// What a step came to.
pub(super) struct Stepped {
    /// The mean loss of the examples before the update.
    pub loss: f64,
    /// The norm of all gradients before clipping.
    pub norm: f64,
    /// How many texts were learned by a label of the model's own.
    pub pseudo_labels: Option<usize>,
}

/// A loss fails by what its tensors say.
fn of_tensors(error: Error) -> warpsmith_tensor::Error {
    match error {
        Error::Tensor(error) => error,
        other => warpsmith_tensor::Error::value("loss", other.to_string()),
    }
}

/// Whether a parameter is a matrix of a block: neither a table of tokens or positions, nor the head.
fn is_in_block(name: &str) -> bool {
    [".h.", ".layers.", ".layer."].iter().any(|place| name.contains(place))
}

/// Those of `free` that get adapters, and those that learn whole: what is new to the model.
fn adapted_and_whole<'p>(
    free: impl Iterator<Item = &'p Parameter>,
    head: &[Parameter],
) -> (Vec<Parameter>, Vec<Parameter>) {
    let (whole, rest): (Vec<Parameter>, Vec<_>) =
        free.cloned().partition(|p| head.iter().any(|new| new.is_same(p)));
    (rest.into_iter().filter(|p| p.get().rank() == 2 && is_in_block(p.name())).collect(), whole)
}

/// How many numbers there are.
fn numbers(parameters: &[Parameter]) -> usize {
    parameters.iter().map(|p| p.shape().numel()).sum()
}

impl Learner {
    /// What learns, if the memory of its device can hold it.
    pub(super) fn new(lesson: &impl Lesson, config: &FinetuneConfig, ahead: &Ahead) -> Result<Self> {
        let all = lesson.parameters();
        if let Some(name) = config.freeze.iter().find(|name| !all.iter().any(|p| p.name().starts_with(*name)))
        {
            let first = all.first().map_or("", |p| p.name());
            return Err(Error::Run(format!(
                "freeze: no parameter's name begins with `{name}`; one is {first}"
            )));
        }
        let is_free = |p: &Parameter| !config.freeze.iter().any(|name| p.name().starts_with(name));
        let (adapted, whole) = match config.lora {
            None => (Vec::new(), all.iter().filter(|p| is_free(p)).cloned().collect()),
            Some(_) => adapted_and_whole(all.iter().filter(|p| is_free(p)), &lesson.head()),
        };
        let nothing = || Error::Run("finetune: nothing is left to learn".into());
        let device = adapted.first().or(whole.first()).ok_or_else(nothing)?.get().device();
        let of_adapters = config.lora.map_or(0, |lora| lora.numbers(&adapted));
        let (of_adapted, of_whole) = (numbers(&adapted), numbers(&whole));
        // After the first step an adapted matrix is there twice: as it was, and with its adapter.
        let merged = if ahead.steps > 1 { of_adapted } else { 0 };
        let best = if ahead.keeps_best { of_adapted + of_whole } else { 0 };
        let fresh = of_adapters.saturating_add(merged + best);
        let need = Need::to_tune(numbers(&all), of_adapters.saturating_add(of_whole), fresh, ahead.logits);
        memory::check(&need, &device)?;
        let rng = Rng::new(Seed(config.seed));
        let adapters = match config.lora {
            None => Vec::new(),
            Some(lora) => adapted.iter().map(|p| Adapter::new(p, lora, &rng)).collect::<Result<_, _>>()?,
        };
        let parameters: Vec<_> = adapters.iter().flat_map(Adapter::parameters).chain(whole).collect();
        let adam = AdamWConfig {
            learning_rate: config.learning_rate,
            beta2: 0.999,
            weight_decay: config.weight_decay,
            ..AdamWConfig::default()
        };
        let optimizer = Optimizer::AdamW(AdamW::new(parameters.clone(), adam)?);
        let table = || {
            let none =
                || Error::Run("fgm: a classifier's table of tokens is moved, and there is none here".into());
            lesson.token_table().ok_or_else(none)
        };
        let against = if config.fgm > 0.0 { Some((table()?, config.fgm)) } else { None };
        let one = Tensor::scalar(1f32, &device)?;
        Ok(Self { parameters, adapters, optimizer, rng, clip: config.grad_clip, one, against })
    }

    /// How many numbers learn.
    pub(super) fn numbers(&self) -> usize {
        numbers(&self.parameters)
    }

    /// The parameters of the model that change.
    pub(super) fn targets(&self, lesson: &impl Lesson) -> Vec<Parameter> {
        let changes = |p: &Parameter| {
            self.adapters.iter().any(|a| a.is_of(p)) || self.parameters.iter().any(|own| own.is_same(p))
        };
        lesson.parameters().into_iter().filter(changes).collect()
    }

    /// One update: step `step` (from 0) of `of`.
    pub(super) fn step<L: Lesson>(
        &mut self,
        lesson: &L,
        examples: &[&L::Example],
        lr: f64,
        (step, of): (usize, usize),
    ) -> Result<Stepped> {
        // Hands out what the loss is about to draw, so that dropout is the same where the table is moved.
        let again = Rng::restore(self.rng.seed(), self.rng.next_stream());
        let loss = lesson.loss(examples, &self.rng, &self.one)?;
        let mean = loss.item()?;
        if !mean.is_finite() {
            return Err(diverged(format!("the loss is {mean}")));
        }
        let mut gradients = loss.backward_from(self.one.clone())?;
        if let Some((table, epsilon)) = &self.against {
            let moved = || {
                let loss = lesson.loss(examples, &again, &self.one).map_err(of_tensors)?;
                loss.backward_from(self.one.clone())
            };
            fgm(table, *epsilon, &mut gradients, moved)?;
        }
        let beside = lesson.beside(step, of, &self.rng)?;
        if let Some(loss) = beside.as_ref().and_then(|beside| beside.loss.as_ref()) {
            gradients.accumulate(loss.backward()?)?;
        }
        self.adapters.iter().try_for_each(|adapter| adapter.replace(&mut gradients))?;
        let norm = clip_gradients(&mut gradients, &self.parameters, self.clip)?;
        if !norm.is_finite() {
            return Err(diverged(format!("the loss is {mean}, the norm of its gradients {norm}")));
        }
        self.optimizer.set_learning_rate(lr);
        self.optimizer.step(gradients)?;
        self.adapters.iter().try_for_each(Adapter::merge)?;
        Ok(Stepped { loss: mean, norm, pseudo_labels: beside.map(|beside| beside.texts) })
    }
}
