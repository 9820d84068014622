//! Optimisers: the state of every parameter and one fused update over all of them.

use std::collections::BTreeMap;

use warpsmith_autograd::{Gradients, Meta, Op, Parameter, apply, apply_owned};
use warpsmith_ops::adamw::{self, AdamWByNumbers};
use warpsmith_ops::clip_by_norm::{ClipByNorm, ClipFactor};
use warpsmith_ops::sgd::{self, SgdByNumbers};
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

    /// Makes sure that nobody else holds the parameter's memory, so that an update writes in place.
    fn own(&self) -> Result<()> {
        let mut taken = self.parameter.take()?;
        let mut value = taken.take()?;
        let copy = if value.is_unique() { None } else { Some(value.copy()) };
        match copy.transpose() {
            Ok(copy) => taken.put(copy.unwrap_or(value)),
            Err(error) => taken.put(value).and(Err(error)),
        }
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
        Ok(Self { config, slots: slots(&parameters, 2)?, steps: 0 })
    }

    /// Sets the learning rate of the next step.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        let ops = [true, false].map(|decays| self.op(decays));
        update(&mut self.slots, gradients, |decays| (ops[usize::from(!decays)], Vec::new()))?;
        self.steps += 1;
        Ok(())
    }

    /// The next step.
    fn op(&self, decays: bool) -> adamw::AdamW {
        let AdamWConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = self.config;
        adamw::AdamW {
            lr: learning_rate,
            beta1,
            beta2,
            eps: epsilon,
            weight_decay: if decays { weight_decay } else { 0.0 },
            step: self.steps + 1,
        }
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
        let states = usize::from(config.momentum != 0.0);
        Ok(Self { config, slots: slots(&parameters, states)?, steps: 0 })
    }

    /// Sets the learning rate of the next step.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        let ops = [true, false].map(|decays| self.op(decays));
        update(&mut self.slots, gradients, |decays| (ops[usize::from(!decays)], Vec::new()))?;
        self.steps += 1;
        Ok(())
    }

    /// The next step.
    fn op(&self, decays: bool) -> sgd::Sgd {
        let SgdConfig { learning_rate, momentum, weight_decay } = self.config;
        let weight_decay = if decays { weight_decay } else { 0.0 };
        sgd::Sgd { lr: learning_rate, momentum, nesterov: false, weight_decay }
    }
}

/// The parameters, each once: a tied one may come twice.
fn unique(parameters: &[Parameter]) -> Vec<&Parameter> {
    let mut unique: Vec<&Parameter> = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        if !unique.iter().any(|p| p.is_same(parameter)) {
            unique.push(parameter);
        }
    }
    unique
}

fn slots(parameters: &[Parameter], states: usize) -> Result<Vec<Slot>> {
    unique(parameters).into_iter().map(|p| Slot::new(p.clone(), states)).collect()
}

/// Runs one multi-tensor update per decay group, in place: inputs are the numbers of the step and the factor of its
/// gradients, if they are in tensors, and (parameter, gradient, state …) of each slot, outputs (parameter, state …).
///
/// Whatever can fail for want of memory or for shapes is done before any value is given away: after an error of that kind
/// every parameter is as it was.
fn update<O: Op>(
    slots: &mut [Slot],
    mut gradients: Gradients,
    step: impl Fn(bool) -> (O, Vec<Tensor>),
) -> Result<()> {
    let mut moving = Vec::new();
    for slot in slots {
        let Some(gradient) = gradients.take(&slot.parameter) else { continue };
        slot.own()?;
        moving.push((slot, gradient.contiguous()?));
    }
    let (decaying, others): (Vec<_>, Vec<_>) = moving.into_iter().partition(|(slot, _)| slot.decays);
    let groups = [(true, decaying), (false, others)].map(|(decays, group)| (step(decays), group));
    for ((op, numbers), group) in groups.iter().filter(|(_, group)| !group.is_empty()) {
        let metas = group.iter().flat_map(|(slot, gradient)| {
            let own = [Meta::from(&slot.parameter.get()), Meta::from(gradient)];
            own.into_iter().chain(slot.state.iter().map(Meta::from))
        });
        op.shape(&numbers.iter().map(Meta::from).chain(metas).collect::<Vec<_>>())?;
    }
    groups.into_iter().try_for_each(|((op, numbers), group)| move_group(op, numbers, group))
}

/// The update of one group, whose shapes fit.
fn move_group<O: Op>(op: O, numbers: Vec<Tensor>, group: Vec<(&mut Slot, Tensor)>) -> Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let mut inputs = numbers;
    let mut taken = Vec::new();
    for (slot, gradient) in group {
        let mut value = slot.parameter.take()?;
        inputs.extend([value.take()?, gradient]);
        inputs.append(&mut slot.state);
        taken.push((slot, value));
    }
    let mut outputs = apply_owned(op, inputs)?.into_iter();
    let states = outputs.len() / taken.len() - 1;
    for (slot, value) in taken {
        let missing = || Error::internal("optimizer", "an update returned too few tensors");
        value.put(outputs.next().ok_or_else(missing)?)?;
        slot.state = outputs.by_ref().take(states).collect();
    }
    Ok(())
}

/// The global norm of all gradients; scales them in place so that it is at most `max_norm` (0: only measures).
///
/// # Errors
/// If memory runs out.
pub fn clip_gradients(gradients: &mut Gradients, parameters: &[Parameter], max_norm: f64) -> Result<f64> {
    let mut present = unique(parameters);
    present.retain(|p| gradients.get(p).is_some());
    let inputs: Vec<Tensor> = present.iter().filter_map(|p| gradients.take(p)).collect();
    if inputs.is_empty() {
        return Ok(0.0);
    }
    let mut outputs = apply_owned(ClipByNorm { max_norm: limit(max_norm) }, inputs)?.into_iter();
    let norm = outputs.next().ok_or_else(|| Error::internal("clip_by_norm", "no norm"))?;
    present.into_iter().zip(outputs).for_each(|(p, gradient)| gradients.set(p, gradient));
    norm.item()
}

/// The global norm of all gradients and the factor by which an update must multiply them so that it is at most `max_norm`
/// (0: 1), both (), without waiting for them; `None` if there are no gradients.
pub(crate) fn clip_factor(
    gradients: &Gradients,
    parameters: &[Parameter],
    max_norm: f64,
) -> Result<Option<[Tensor; 2]>> {
    let inputs: Vec<&Tensor> = unique(parameters).into_iter().filter_map(|p| gradients.get(p)).collect();
    if inputs.is_empty() {
        return Ok(None);
    }
    let outputs = apply(ClipFactor { max_norm: limit(max_norm) }, &inputs)?;
    outputs.try_into().map(Some).map_err(|_| Error::internal("clip_factor", "not a norm and a factor"))
}

/// What the clipping takes for a setting of which 0 means none.
fn limit(max_norm: f64) -> f64 {
    if max_norm > 0.0 { max_norm } else { f64::INFINITY }
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
            Self::AdamW(o) => o.set_learning_rate(learning_rate),
            Self::Sgd(o) => o.set_learning_rate(learning_rate),
        }
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        match self {
            Self::AdamW(o) => o.step(gradients),
            Self::Sgd(o) => o.step(gradients),
        }
    }

    /// What [`Optimizer::update`] takes for the next step: for parameters that decay, and for the others.
    pub(crate) fn numbers(&self) -> [Vec<f32>; 2] {
        let rounded = |numbers: &[f64]| numbers.iter().map(|&n| n as f32).collect();
        [true, false].map(|decays| match self {
            Self::AdamW(o) => rounded(&o.op(decays).numbers()),
            Self::Sgd(o) => rounded(&o.op(decays).numbers()),
        })
    }

    /// Moves every parameter that has a gradient, by numbers and a factor of the gradients that lie where the parameters
    /// do: work that a device can record. Does not count the step: see [`Optimizer::count_step`].
    pub(crate) fn update(
        &mut self,
        gradients: Gradients,
        numbers: [Tensor; 2],
        factor: Tensor,
    ) -> Result<()> {
        let of = |decays: bool| vec![numbers[usize::from(!decays)].clone(), factor.clone()];
        match self {
            Self::AdamW(o) => update(&mut o.slots, gradients, |decays| (AdamWByNumbers, of(decays))),
            Self::Sgd(o) => {
                let op = SgdByNumbers { has_velocity: o.config.momentum != 0.0, nesterov: false };
                update(&mut o.slots, gradients, |decays| (op, of(decays)))
            }
        }
    }

    /// Makes sure that updates write in place: nobody else holds the memory of a parameter.
    pub(crate) fn own_memory(&self) -> Result<()> {
        self.slots().iter().try_for_each(Slot::own)
    }

    /// Counts a step that [`Optimizer::update`] made.
    pub(crate) fn count_step(&mut self) {
        match self {
            Self::AdamW(o) => o.steps += 1,
            Self::Sgd(o) => o.steps += 1,
        }
    }

    /// Every tensor that an update writes: parameters and states.
    pub(crate) fn written(&self) -> impl Iterator<Item = Tensor> + '_ {
        self.slots()
            .iter()
            .flat_map(|slot| std::iter::once(slot.parameter.get().detach()).chain(slot.state.iter().cloned()))
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
            for kind in names.iter().take(slot.state.len()) {
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
        slots.iter_mut().for_each(|slot| {
            let states = slot.state.len();
            slot.state = loaded.by_ref().take(states).collect();
        });
        *counter = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_tensor::Device;

    #[test]
    fn a_tied_parameter_counts_once_in_the_norm() -> Result<()> {
        let tensor = |x: &[f32]| Tensor::from_slice(x, &[x.len()], &Device::Cpu);
        let zero = tensor(&[0.0, 0.0])?;
        let (a, b) = (Parameter::new("a", &zero)?, Parameter::new("b", &zero)?);
        let parameters = [a.clone(), a.clone(), b.clone()];
        let mut gradients = Gradients::default();
        gradients.set(&a, tensor(&[3.0, 0.0])?);
        gradients.set(&b, tensor(&[0.0, 4.0])?);
        let [norm, factor] = clip_factor(&gradients, &parameters, 1.0)?.expect("there are gradients");
        assert_eq!((norm.item()?, factor.item()? as f32), (5.0, (1.0 / (5.0 + 1e-6)) as f32));
        assert_eq!(clip_gradients(&mut gradients, &parameters, 1.0)?, 5.0);
        let of = |p: &Parameter| gradients.get(p).map(Tensor::to_f64_vec).transpose();
        let near = |x: Option<Vec<f64>>, y: [f64; 2]| {
            x.is_some_and(|x| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-6))
        };
        assert!(near(of(&a)?, [0.6, 0.0]) && near(of(&b)?, [0.0, 0.8]), "{:?} {:?}", of(&a)?, of(&b)?);
        Ok(())
    }
}
