//! Recurrent layers: tanh, GRU and LSTM, in layers, one way or both, with parameters named and laid out as PyTorch's.
//!
//! The input's product is one for all times; in the loop over time is the state's, and a fused cell. A tanh cell is tanh of a
//! sum and needs no op of its own.
//!
//! Sources: Elman, *Finding Structure in Time*, 1990; Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; Cho et al.,
//! 2014, arXiv 1406.1078.

use warpsmith_autograd::Parameter;
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Error, Result, Rng, Scope, Shape, Tensor};

use crate::block::drop_out;
use crate::weights::{Init, Weights};

/// What happens in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h' = tanh(x·W + b + h·U + d).
    Tanh,
    /// Gates r, z, n.
    Gru,
    /// Gates i, f, g, o, and a state c that no gate squashes.
    Lstm,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Tanh => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// The shape of a [`Recurrent`] layer, in PyTorch's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// What happens in one step.
    pub cell: Cell,
    /// C: the width of the input.
    pub input_size: usize,
    /// H: the width of a state.
    pub hidden_size: usize,
    /// How many layers stand on each other.
    pub num_layers: usize,
    /// Whether each layer also runs backwards in time, and gives both states side by side.
    pub bidirectional: bool,
    /// The share of numbers dropped between layers in training.
    pub dropout: f64,
}

impl RecurrentConfig {
    /// One layer, forwards.
    pub fn new(cell: Cell, input_size: usize, hidden_size: usize) -> Self {
        Self { cell, input_size, hidden_size, num_layers: 1, bidirectional: false, dropout: 0.0 }
    }
}

/// What a [`Recurrent`] layer remembers: a tensor (B, H) for each layer, and each direction in it, forwards first.
#[derive(Clone, Debug)]
pub struct RecurrentState {
    /// h.
    pub h: Vec<Tensor>,
    /// c, of an LSTM; else empty.
    pub c: Vec<Tensor>,
}

/// Layers of cells.
#[derive(Clone, Debug)]
pub struct Recurrent {
    config: RecurrentConfig,
    /// Direction d of layer l is at l·directions + d.
    passes: Vec<Pass>,
}

/// One direction of one layer.
#[derive(Clone, Debug)]
struct Pass {
    cell: Cell,
    backwards: bool,
    weight_ih: Parameter,
    weight_hh: Parameter,
    bias_ih: Parameter,
    bias_hh: Parameter,
    precision: Precision,
}

/// Which rows still go on at each time: bool (B, 1), or `None` where all do.
type Going = Vec<Option<Tensor>>;

impl Recurrent {
    /// A layer with weights of the deviation that PyTorch's have, 1/√(3H).
    ///
    /// # Errors
    /// If a size is 0, or memory runs out.
    pub fn new(weights: &Weights, config: RecurrentConfig) -> Result<Self> {
        let RecurrentConfig { input_size, hidden_size, num_layers, .. } = config;
        if input_size == 0 || hidden_size == 0 || num_layers == 0 {
            let message = format!("makes no layers of {config:?}");
            return Err(Error::value("recurrent", message).hint("every size is at least 1"));
        }
        let directions = 1 + usize::from(config.bidirectional);
        let of = |i: usize| {
            let input = if i < directions { input_size } else { directions * hidden_size };
            Pass::new(weights, config.cell, (i / directions, i % directions == 1), [input, hidden_size])
        };
        let passes = (0..num_layers * directions).map(of).collect::<Result<_>>()?;
        Ok(Self { config, passes })
    }

    /// The shape of the layer.
    pub fn config(&self) -> &RecurrentConfig {
        &self.config
    }

    /// The state of `batch` sequences before their first element: zeros.
    pub fn start(&self, batch: usize, device: &Device) -> Result<RecurrentState> {
        let zero = || Tensor::zeros(Shape::new(&[batch, self.config.hidden_size])?, DType::F32, device);
        let all = || self.passes.iter().map(|_| zero()).collect::<Result<Vec<_>>>();
        let c = if self.config.cell == Cell::Lstm { all()? } else { Vec::new() };
        Ok(RecurrentState { h: all()?, c })
    }

    /// x (B, T, C) → the last layer's states (B, T, H), or (B, T, 2H) of both directions, and what is remembered behind the
    /// last element. Without `state` it starts from zeros; with `lengths` row b ends behind its first `lengths[b]` elements, its
    /// further outputs are zeros, and the way back starts at its end. With `rng` numbers are dropped between layers.
    ///
    /// # Errors
    /// If the shapes do not fit, T is 0, or a length is above T.
    pub fn forward(
        &self,
        x: &Tensor,
        state: Option<&RecurrentState>,
        lengths: Option<&[usize]>,
        rng: Option<&Rng>,
    ) -> Result<(Tensor, RecurrentState)> {
        let &[batch, times, width] = x.dims() else { return Err(self.refuse(x, "takes x (B, T, C)")) };
        if times == 0 || width != self.config.input_size {
            return Err(
                self.refuse(x, &format!("takes x (B, T, {}) with T at least 1", self.config.input_size))
            );
        }
        let going = going(x, lengths)?;
        let state = state.map_or_else(|| self.start(batch, &x.device()), |state| Ok(state.clone()))?;
        let fits = |t: &Tensor| t.dims() == [batch, self.config.hidden_size];
        if state.h.len() != self.passes.len() || !state.h.iter().chain(&state.c).all(fits) {
            let message =
                format!("takes {} states of ({batch}, {})", self.passes.len(), self.config.hidden_size);
            return Err(self.refuse(x, &message));
        }
        let mut last = RecurrentState { h: Vec::new(), c: Vec::new() };
        let directions = 1 + usize::from(self.config.bidirectional);
        let mut x = x.transpose(0, 1)?; // (T, B, C)
        for (layer, passes) in self.passes.chunks(directions).enumerate() {
            let _scope = Scope::enter(format!("layers.{layer}"));
            if layer > 0 {
                x = drop_out(x, self.config.dropout, rng)?;
            }
            let mut outputs = Vec::with_capacity(directions);
            for (d, pass) in passes.iter().enumerate() {
                let at = layer * directions + d;
                let (y, h, c) = pass.run(&x, (&state.h[at], state.c.get(at)), &going)?;
                outputs.push(y); // (T, B, H)
                last.h.push(h);
                last.c.extend(c);
            }
            x = match &outputs[..] {
                [one] => one.clone(),
                many => many[0].cat(&many[1..].iter().collect::<Vec<_>>(), -1)?,
            };
        }
        Ok((x.transpose(0, 1)?, last))
    }

    fn refuse(&self, x: &Tensor, message: &str) -> Error {
        Error::shape("recurrent", &[*x.shape()], message)
    }

    /// Of each layer and direction: weight_ih, weight_hh, bias_ih, bias_hh.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.passes.iter().flat_map(Pass::parameters).collect()
    }
}

impl Pass {
    fn new(
        weights: &Weights,
        cell: Cell,
        (layer, backwards): (usize, bool),
        [input, hidden]: [usize; 2],
    ) -> Result<Self> {
        let rows = cell.gates() * hidden;
        let init = Init::Normal(1.0 / (3.0 * hidden as f64).sqrt());
        let suffix = if backwards { "_reverse" } else { "" };
        let draw =
            |what: &str, dims: &[usize]| weights.parameter(&format!("{what}_l{layer}{suffix}"), dims, init);
        Ok(Self {
            cell,
            backwards,
            weight_ih: draw("weight_ih", &[rows, input])?,
            weight_hh: draw("weight_hh", &[rows, hidden])?,
            bias_ih: draw("bias_ih", &[rows])?,
            bias_hh: draw("bias_hh", &[rows])?,
            precision: weights.precision(),
        })
    }

    fn parameters(&self) -> Vec<Parameter> {
        [&self.weight_ih, &self.weight_hh, &self.bias_ih, &self.bias_hh].map(Parameter::clone).into()
    }

    /// x·Wᵀ + b for W (N, K).
    fn product(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        x.linear(weight, Some(bias), true, Activation::Identity, self.precision)
    }

    /// x (T, B, C) → (T, B, H), and the last h and c.
    fn run(
        &self,
        x: &Tensor,
        (h, c): (&Tensor, Option<&Tensor>),
        going: &Going,
    ) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let times = x.dims()[0];
        let gates = self.product(x, &self.weight_ih.get(), &self.bias_ih.get())?; // (T, B, GH)
        let gates = gates.split(0, &vec![1; times])?;
        // Taken once: parameters are behind a lock.
        let (weight, bias) = (self.weight_hh.get(), self.bias_hh.get());
        let (mut h, mut c) = (h.clone(), c.cloned());
        let mut outputs = vec![None; times];
        for step in 0..times {
            let t = if self.backwards { times - 1 - step } else { step };
            let state = self.product(&h, &weight, &bias)?; // (B, GH)
            let (mut next, mut next_c) = self.step(&gates[t].squeeze(0)?, state, &h, c.as_ref())?;
            let mut output = next.clone();
            if let Some(going) = &going[t] {
                next = going.where_(&next, &h)?;
                next_c = next_c.zip(c.as_ref()).map(|(next, c)| going.where_(&next, c)).transpose()?;
                output = going.where_(&output, &Tensor::zeros(*h.shape(), h.dtype(), &h.device())?)?;
            }
            outputs[t] = Some(output);
            (h, c) = (next, next_c);
        }
        let outputs: Vec<Tensor> = outputs.into_iter().flatten().collect();
        let y = outputs[0].stack(&outputs[1..].iter().collect::<Vec<_>>(), 0)?; // (T, B, H)
        Ok((y, h, c))
    }

    /// The next h and c, from the gates of the input and those of the state.
    fn step(
        &self,
        input: &Tensor,
        state: Tensor,
        h: &Tensor,
        c: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        match (self.cell, c) {
            (Cell::Tanh, _) => Ok((state.add(input)?.tanh()?, None)),
            (Cell::Gru, _) => Ok((input.gru_cell(&state, h)?, None)),
            (Cell::Lstm, Some(c)) => {
                let (h, c) = state.add(input)?.lstm_cell(c)?;
                Ok((h, Some(c)))
            }
            (Cell::Lstm, None) => Err(Error::value("recurrent", "the state of an LSTM has a c for each h")),
        }
    }
}

/// Where rows of these lengths still go on, over the times of x (B, T, C).
fn going(x: &Tensor, lengths: Option<&[usize]>) -> Result<Going> {
    let (batch, times) = (x.dims()[0], x.dims()[1]);
    let Some(lengths) = lengths else { return Ok(vec![None; times]) };
    if lengths.len() != batch || lengths.iter().any(|&n| n > times) {
        let message = format!("takes {batch} lengths of at most {times}, not {lengths:?}");
        return Err(Error::value("recurrent", message));
    }
    let at = |t: usize| {
        let still: Vec<bool> = lengths.iter().map(|&n| t < n).collect();
        if still.iter().all(|s| *s) {
            Ok(None)
        } else {
            Tensor::from_slice(&still, &[batch, 1], &x.device()).map(Some)
        }
    };
    (0..times).map(at).collect()
}
