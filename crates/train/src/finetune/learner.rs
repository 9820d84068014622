//! What learns: the model's own parameters, or adapters beside them; and one step of it.

use warpsmith_autograd::{Parameter, TensorExt};
use warpsmith_tensor::{Rng, Seed};

use super::{Adapter, FinetuneConfig, Lesson, diverged};
use crate::optimizer::{AdamW, AdamWConfig, Optimizer, clip_gradients};
use crate::{Error, Result};

/// The model's own parameters, or adapters.
pub(super) struct Learner {
    parameters: Vec<Parameter>,
    adapters: Vec<Adapter>,
    optimizer: Optimizer,
    rng: Rng,
}

/// Whether a parameter is a matrix of a block: neither a table of tokens or positions, nor the head.
fn is_in_block(name: &str) -> bool {
    [".h.", ".layers.", ".layer."].iter().any(|place| name.contains(place))
}

impl Learner {
    pub(super) fn new(lesson: &impl Lesson, config: &FinetuneConfig) -> Result<Self> {
        let all = lesson.parameters();
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
                let head = lesson.head();
                let whole = free.into_iter().filter(|p| head.iter().any(|h| h.is_same(p)));
                let parameters = adapters.iter().flat_map(Adapter::parameters).chain(whole).collect();
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

    /// How many numbers learn.
    pub(super) fn numbers(&self) -> usize {
        self.parameters.iter().map(|p| p.shape().numel()).sum()
    }

    /// The parameters of the model that change.
    pub(super) fn targets(&self, lesson: &impl Lesson) -> Vec<Parameter> {
        let changes = |p: &Parameter| {
            self.adapters.iter().any(|a| a.is_of(p)) || self.parameters.iter().any(|own| own.is_same(p))
        };
        lesson.parameters().into_iter().filter(changes).collect()
    }

    /// One update; the loss and the norm of the gradients before it.
    pub(super) fn step<L: Lesson>(
        &mut self,
        lesson: &L,
        examples: &[&L::Example],
        lr: f64,
        clip: f64,
    ) -> Result<(f64, f64)> {
        let loss = lesson.loss(examples, &self.rng)?;
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
