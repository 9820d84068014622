//! One step of an LSTM from its gates p = (i, f, g, o): c' = σ(f)·c + σ(i)·tanh g and h = σ(o)·tanh c', in one pass. The gates
//! are what products leave: p = x·W + b + h·U + d.
//!
//! Derivative, with I, F, O = σ of the gates, G = tanh g, t = tanh c' and d = γ_c + γ_h·O·(1 - t²): ∂i = d·G·I(1 - I),
//! ∂f = d·c·F(1 - F), ∂g = d·I·(1 - G²), ∂o = γ_h·t·O(1 - O), ∂c = d·F. The gates are computed again and not kept.
//! Shapes: `(B, 4H)`, `(B, H)` → h `(B, H)`, c' `(B, H)`. Numerics: a few roundings; c' may cancel.
//! Source: Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; gates in the order of PyTorch's `LSTMCell`.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply, apply_owned,
};
use warpsmith_kernels::recurrent::{self, States};
use warpsmith_tensor::cpu::{dispatch, for_rows_zip, math};
use warpsmith_tensor::{Error, Result, Tensor};

use crate::cuda;
use crate::elementwise::require_floats;

/// h and c' from the gates and c.
#[derive(Clone, Copy, Debug)]
pub struct LstmCell;

/// An error unless `states` are all (B, H) and `gates` all (B, count·H).
pub(crate) fn require_gates(op: &'static str, count: usize, gates: &[Meta], states: &[Meta]) -> Result<()> {
    require_floats(op, &[gates, states].concat())?;
    let state = states[0].dims();
    let fits = |m: &Meta| m.dims() == [state[0], count * state[1]];
    if state.len() == 2 && states.iter().all(|m| m.dims() == state) && gates.iter().all(fits) {
        return Ok(());
    }
    let shapes: Vec<_> = gates.iter().chain(states).map(|m| m.shape).collect();
    Err(Error::shape(op, &shapes, format!("takes gates (B, {count}H) and states (B, H)")))
}

/// The symbols of a cell's cost: S, elements of a state.
pub(crate) fn state_symbol(state: &Meta) -> Vec<(&'static str, usize)> {
    vec![("S", state.shape.numel())]
}

/// The shape of a state as the kernels take it.
pub(crate) fn states(op: &'static str, state: &Meta) -> Result<States> {
    let (elements, width) = (state.shape.numel() as u64, state.shape.last() as u64);
    Ok(States { dtype: state.dtype.float_on_device(op)?, elements, width })
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The largest slope of tanh at what `a` may be in f32, if `size` is the sum of the sizes of its terms.
pub(crate) fn steepest(a: f64, size: f64) -> f64 {
    1.0 - (a.abs() - 1e-5 * size).max(0.0).tanh().powi(2)
}

/// One element in f64: I, F, G, O and c'.
struct Gates {
    i: f64,
    f: f64,
    g: f64,
    o: f64,
    next: f64,
    /// The steepest slope of tanh at c'.
    slope: f64,
    /// The sum of the sizes of the terms of c'.
    size: f64,
}

impl Gates {
    /// Those of element `at` of the state.
    fn of(p: &Array, c: &Array, at: usize) -> Self {
        let width = c.last();
        let gate = |k: usize| p.data[at / width * 4 * width + k * width + at % width];
        let (i, f, g, o) = (sigmoid(gate(0)), sigmoid(gate(1)), gate(2).tanh(), sigmoid(gate(3)));
        let (kept, new) = (f * c.data[at], i * g);
        let (next, size) = (kept + new, kept.abs() + new.abs());
        Self { i, f, g, o, next, slope: steepest(next, size), size }
    }
}

impl Op for LstmCell {
    fn name(&self) -> &'static str {
        "lstm_cell"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_gates(self.name(), 4, &x[..1], &x[1..])?;
        Ok(vec![x[1], x[1]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for at in 0..x[1].data.len() {
            let gates = Gates::of(&x[0], &x[1], at);
            y[0].data[at] = gates.o * gates.next.tanh();
            y[1].data[at] = gates.next;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (p, c) = (x[0].contiguous()?, x[1].contiguous()?);
        let (p, c, width) = (p.data::<f32>()?, c.data::<f32>()?, y[0].shape.last());
        let mut h = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let mut next = Tensor::empty(y[1].shape, y[1].dtype, &x[0].device())?;
        for_rows_zip(
            (h.data_mut::<f32>()?, width),
            (next.data_mut::<f32>()?, width),
            80,
            |first, h, next| {
                dispatch(
                    #[inline(always)]
                    || {
                        for (row, (h, next)) in h.chunks_mut(width).zip(next.chunks_mut(width)).enumerate() {
                            let at = (first + row) * width;
                            let [i, f, g, o] = gates_of(&p[at * 4..][..width * 4], width);
                            let c = &c[at..][..width];
                            for k in 0..width {
                                let new = math::sigmoid(i[k]) * math::tanh(g[k]);
                                next[k] = math::sigmoid(f[k]).mul_add(c[k], new);
                                h[k] = math::sigmoid(o[k]) * math::tanh(next[k]);
                            }
                        }
                    },
                );
            },
        );
        Ok(vec![h, next])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let mut h = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let mut next = Tensor::empty(y[1].shape, y[1].dtype, &device)?;
        let to = [h.device_address_mut()?, next.device_address_mut()?];
        let from = [x[0].device_address()?, x[1].device_address()?];
        device.launch(&recurrent::lstm(&states(self.name(), &y[0])?, to, from))?;
        Ok(vec![h, next])
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grads = vec![back.take_grad(0)?, back.take_grad(1)?, back.take_input(0)?, back.take_input(1)?];
        Ok(apply_owned(LstmCellBackward, grads)?.into_iter().map(Some).collect())
    }

    fn cost(&self) -> Cost {
        Cost::new("5*S*s", "2*S*s", "9*S")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        state_symbol(&x[1])
    }

    /// An error of c' passes through tanh to h.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = y.to_vec();
        for at in 0..x[1].data.len() {
            let gates = Gates::of(&x[0], &x[1], at);
            scale[0].data[at] = gates.o * (gates.next.tanh().abs() + gates.slope * gates.size);
            scale[1].data[at] = gates.size;
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        20.0
    }
}

/// The rows of a row of four gates. Call inside `dispatch`.
#[inline(always)]
fn gates_of(row: &[f32], width: usize) -> [&[f32]; 4] {
    let (i, rest) = row.split_at(width);
    let (f, rest) = rest.split_at(width);
    let (g, o) = rest.split_at(width);
    [i, f, g, o]
}

/// The gradients of [`LstmCell`] with respect to gates and c, from (γ_h, γ_c, p, c).
#[derive(Clone, Copy, Debug)]
pub struct LstmCellBackward;

impl Op for LstmCellBackward {
    fn name(&self) -> &'static str {
        "lstm_cell_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_gates(self.name(), 4, &x[2..3], &[x[3], x[0], x[1]])?;
        Ok(vec![x[2], x[3]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[3].last();
        for at in 0..x[3].data.len() {
            let Gates { i, f, g, o, next, .. } = Gates::of(&x[2], &x[3], at);
            let (gh, t) = (x[0].data[at], next.tanh());
            let d = x[1].data[at] + gh * o * (1.0 - t * t);
            let gates = [
                d * (i * (1.0 - i)) * g,
                d * (f * (1.0 - f)) * x[3].data[at],
                d * i * (1.0 - g * g),
                gh * (o * (1.0 - o)) * t,
            ];
            for (k, gate) in gates.into_iter().enumerate() {
                y[0].data[at / width * 4 * width + k * width + at % width] = gate;
            }
            y[1].data[at] = d * f;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (gh, gc) = (x[0].data::<f32>()?, x[1].data::<f32>()?);
        let (p, c, width) = (x[2].data::<f32>()?, x[3].data::<f32>()?, y[1].shape.last());
        let mut dp = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let mut dc = Tensor::empty(y[1].shape, y[1].dtype, &x[0].device())?;
        let outputs = ((dp.data_mut::<f32>()?, 4 * width), (dc.data_mut::<f32>()?, width));
        for_rows_zip(outputs.0, outputs.1, 30, |first, dp, dc| {
            dispatch(
                #[inline(always)]
                || {
                    for (row, (dp, dc)) in dp.chunks_mut(4 * width).zip(dc.chunks_mut(width)).enumerate() {
                        let at = (first + row) * width;
                        let gates = gates_of(&p[at * 4..][..width * 4], width);
                        let states = [&gh[at..][..width], &gc[at..][..width], &c[at..][..width]];
                        backward_row(states, gates, dp, dc);
                    }
                },
            );
        });
        Ok(vec![dp, dc])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let mut dp = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let mut dc = Tensor::empty(y[1].shape, y[1].dtype, &device)?;
        let to = [dp.device_address_mut()?, dc.device_address_mut()?];
        let from =
            [x[0].device_address()?, x[1].device_address()?, x[2].device_address()?, x[3].device_address()?];
        device.launch(&recurrent::lstm_backward(&states(self.name(), &y[1])?, to, from))?;
        Ok(vec![dp, dc])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("7*S*s", "5*S*s", "32*S")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        state_symbol(&x[3])
    }

    /// 1 - x has the rounding of 1 where x is near it, and an error of c' passes through the slope of tanh.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let (mut scale, width) = (y.to_vec(), x[3].last());
        for at in 0..x[3].data.len() {
            let Gates { i, f, g, o, next, slope, size } = Gates::of(&x[2], &x[3], at);
            let gh = x[0].data[at].abs();
            let d = x[1].data[at].abs() + gh * o * (1.0 + slope * size);
            let gates = [
                d * i * g.abs(),
                d * f * x[3].data[at].abs(),
                d * i,
                gh * o * (next.tanh().abs() + slope * size),
            ];
            for (k, gate) in gates.into_iter().enumerate() {
                scale[0].data[at / width * 4 * width + k * width + at % width] = gate;
            }
            scale[1].data[at] = d * f;
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        40.0
    }
}

/// One row of the backward pass, from (γ_h, γ_c, c). Call inside `dispatch`.
#[inline(always)]
fn backward_row([gh, gc, c]: [&[f32]; 3], [i, f, g, o]: [&[f32]; 4], dp: &mut [f32], dc: &mut [f32]) {
    let width = dc.len();
    let (di, rest) = dp.split_at_mut(width);
    let (df, rest) = rest.split_at_mut(width);
    let (dg, d_o) = rest.split_at_mut(width);
    for k in 0..width {
        let (i, f, o) = (math::sigmoid(i[k]), math::sigmoid(f[k]), math::sigmoid(o[k]));
        let g = math::tanh(g[k]);
        let t = math::tanh(f.mul_add(c[k], i * g));
        let d = (gh[k] * o).mul_add((-t).mul_add(t, 1.0), gc[k]);
        // The slope first: it is 0 where a gate is shut, and a large product with it would not be.
        di[k] = d * (i * (1.0 - i)) * g;
        df[k] = d * (f * (1.0 - f)) * c[k];
        dg[k] = d * i * (-g).mul_add(g, 1.0);
        d_o[k] = gh[k] * (o * (1.0 - o)) * t;
        dc[k] = d * f;
    }
}

methods! {
    /// One step of an LSTM: of these gates (B, 4H), in the order i, f, g, o and before σ and tanh, and the cell state `c` (B, H)
    /// the new h and c, each (B, H).
    ///
    /// # Errors
    /// If the shapes do not fit, the dtypes differ or are not floats.
    fn lstm_cell(&self, c: &Tensor) -> Result<(Tensor, Tensor)> {
        let outputs: [Tensor; 2] = apply(LstmCell, &[self, c])?
            .try_into()
            .map_err(|_| Error::internal("lstm_cell", "two outputs"))?;
        Ok(outputs.into())
    }
}

/// B and H.
pub(crate) const SHAPES: [[usize; 2]; 4] = [[3, 37], [1, 1], [2, 16], [0, 5]];

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "lstm_cell",
            summary: "one step of an LSTM from its gates",
            samples: || {
                let sample = |[b, h]: [usize; 2]| {
                    Sample::new(LstmCell, [Input::any(&[b, 4 * h]), Input::any(&[b, h])])
                };
                SHAPES.map(sample).into()
            },
        },
        Spec {
            name: "lstm_cell_backward",
            summary: "the gradients of lstm_cell",
            samples: || {
                let sample = |[b, h]: [usize; 2]| {
                    let inputs = [[b, h], [b, h], [b, 4 * h], [b, h]];
                    Sample::new(LstmCellBackward, inputs.map(|dims| Input::any(&dims)))
                };
                SHAPES.map(sample).into()
            },
        },
    ]
}
