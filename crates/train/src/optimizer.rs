//! Optimisers: the state of every parameter and one fused update over all of them.

use std::collections::BTreeMap;

use warpsmith_autograd::{Gradients, Parameter, apply_owned};
use warpsmith_ops::adamw;
use warpsmith_ops::clip_by_norm::ClipByNorm;
use warpsmith_ops::sgd;
use warpsmith_tensor::{Error, Kind, Result, Tensor};

/// The settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// ε, added to the root of the mean square.
    pub epsilon: f64,
    /// Decoupled weight decay of parameters with two axes or more; vectors are not decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1 }
    }
}

/// The settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay of parameters with two axes or more.
    pub weight_decay: f64,
}

/// One parameter and the tensors that its optimiser keeps for it.
struct Slot {
    parameter: Parameter,
    state: Vec<Tensor>,
    decays: bool,
}

impl Slot {
    fn new(parameter: Parameter, states: usize) -> Result<Self> {
        let value = parameter.get();
        let zeros = |_| Tensor::zeros(*value.shape(), value.dtype(), &value.device());
        let state = (0..states).map(zeros).collect::<Result<_>>()?;
        Ok(Self { state, decays: value.rank() >= 2, parameter })
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019,
/// arXiv 1711.05101, algorithm 2).
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    steps: u64,
}

impl AdamW {
    /// An optimiser of these parameters; a parameter that comes twice (tied) is updated once.
    pub fn new(parameters: Vec<Parameter>, config: AdamWConfig) -> Result<Self> {
        Ok(Self { config, slots: slots(parameters, 2)?, steps: 0 })
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        self.steps += 1;
        let AdamWConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = self.config;
        let steps = self.steps;
        update(&mut self.slots, gradients, |decays| adamw::AdamW {
            lr: learning_rate,
            beta1,
            beta2,
            eps: epsilon,
            weight_decay: if decays { weight_decay } else { 0.0 },
            step: steps,
        })
    }
}

/// Stochastic gradient descent with momentum.
pub struct Sgd {
    config: SgdConfig,
    slots: Vec<Slot>,
    steps: u64,
}

impl Sgd {
    /// An optimiser of these parameters; a parameter that comes twice (tied) is updated once.
    pub fn new(parameters: Vec<Parameter>, config: SgdConfig) -> Result<Self> {
        Ok(Self { config, slots: slots(parameters, 1)?, steps: 0 })
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        self.steps += 1;
        let SgdConfig { learning_rate, momentum, weight_decay } = self.config;
        update(&mut self.slots, gradients, |decays| sgd::Sgd {
            lr: learning_rate,
            momentum,
            nesterov: false,
            weight_decay: if decays { weight_decay } else { 0.0 },
        })
    }
}

fn slots(parameters: Vec<Parameter>, states: usize) -> Result<Vec<Slot>> {
    let mut unique: Vec<Parameter> = Vec::new();
    for parameter in parameters {
        if !unique.iter().any(|p| p.is_same(&parameter)) {
            unique.push(parameter);
        }
    }
    unique.into_iter().map(|p| Slot::new(p, states)).collect()
}

/// Runs one multi-tensor update per decay group, in place: inputs are (parameter, gradient, state …) of each slot,
/// outputs (parameter, state …).
fn update<O: warpsmith_autograd::Op>(
    slots: &mut [Slot],
    mut gradients: Gradients,
    op: impl Fn(bool) -> O,
) -> Result<()> {
    for decays in [true, false] {
        let mut taken = Vec::new();
        let mut inputs = Vec::new();
        for slot in slots.iter_mut().filter(|slot| slot.decays == decays) {
            let Some(gradient) = gradients.take(&slot.parameter) else { continue };
            let mut value = slot.parameter.take()?;
            inputs.push(value.take()?);
            inputs.push(gradient);
            inputs.append(&mut slot.state);
            taken.push((slot, value));
        }
        if taken.is_empty() {
            continue;
        }
        let mut outputs = apply_owned(op(decays), inputs)?.into_iter();
        let states = outputs.len() / taken.len() - 1;
        for (slot, value) in taken {
            let missing = || Error::internal("optimizer", "an update returned too few tensors");
            value.put(outputs.next().ok_or_else(missing)?)?;
            slot.state = outputs.by_ref().take(states).collect();
        }
    }
    Ok(())
}

/// The global norm of all gradients; scales them in place so that it is at most `max_norm` (0: only measures).
///
/// # Errors
/// If memory runs out.
pub fn clip_gradients(gradients: &mut Gradients, parameters: &[Parameter], max_norm: f64) -> Result<f64> {
    let present: Vec<&Parameter> = parameters.iter().filter(|p| gradients.get(p).is_some()).collect();
    let inputs: Vec<Tensor> = present.iter().filter_map(|p| gradients.take(p)).collect();
    if inputs.is_empty() {
        return Ok(0.0);
    }
    let max_norm = if max_norm > 0.0 { max_norm } else { f64::INFINITY };
    let mut outputs = apply_owned(ClipByNorm { max_norm }, inputs)?.into_iter();
    let norm = outputs.next().ok_or_else(|| Error::internal("clip_by_norm", "no norm"))?.item()?;
    present.into_iter().zip(outputs).for_each(|(p, gradient)| gradients.set(p, gradient));
    Ok(norm)
}

/// Either optimiser, behind one handle: what the training loop holds.
pub enum Optimizer {
    /// AdamW.
    AdamW(AdamW),
    /// SGD with momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// Sets the learning rate of the next step.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        match self {
            Self::AdamW(o) => o.config.learning_rate = learning_rate,
            Self::Sgd(o) => o.config.learning_rate = learning_rate,
        }
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        match self {
            Self::AdamW(o) => o.step(gradients),
            Self::Sgd(o) => o.step(gradients),
        }
    }

    fn slots(&self) -> &[Slot] {
        match self {
            Self::AdamW(o) => &o.slots,
            Self::Sgd(o) => &o.slots,
        }
    }

    /// The names of the state tensors of one parameter, in order.
    fn names(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
            Self::Sgd(_) => &["momentum_buffer"],
        }
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        match self {
            Self::AdamW(o) => o.steps,
            Self::Sgd(o) => o.steps,
        }
    }

    /// All state tensors, named `<parameter>.<PyTorch's name of the state>`.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let slot = |slot: &Slot| -> Vec<(String, Tensor)> {
            let name = |kind: &str| format!("{}.{kind}", slot.parameter.name());
            self.names().iter().zip(&slot.state).map(|(kind, t)| (name(kind), t.clone())).collect()
        };
        self.slots().iter().flat_map(slot).collect()
    }

    /// Replaces the state; nothing is changed unless everything fits.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>, steps: u64) -> Result<()> {
        let names = self.names();
        let mut loaded = Vec::new();
        for slot in self.slots() {
            for kind in names {
                let name = format!("{}.{kind}", slot.parameter.name());
                let tensor = state.get(&name).filter(|t| *t.shape() == slot.parameter.shape());
                let tensor = tensor.ok_or_else(|| {
                    Error::new(Kind::File, "optimizer", format!("{name} is missing or has another shape"))
                        .hint("the checkpoint belongs to another model or optimiser")
                })?;
                loaded.push(tensor.copy()?);
            }
        }
        let (slots, counter) = match self {
            Self::AdamW(o) => (&mut o.slots, &mut o.steps),
            Self::Sgd(o) => (&mut o.slots, &mut o.steps),
        };
        let mut loaded = loaded.into_iter();
        slots.iter_mut().for_each(|slot| slot.state = loaded.by_ref().take(names.len()).collect());
        *counter = steps;
        Ok(())
    }
}
