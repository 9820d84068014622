//! One step of a GRU from the gates u of the input and v of the state, both (r, z, n): r = σ(u_r + v_r), z = σ(u_z + v_z),
//! n = tanh(u_n + r·v_n) and h' = (1 - z)·n + z·h, in one pass. The gates are what products leave: u = x·W + b, v = h·U + d.
//!
//! Derivative, with γ the gradient of h': ∂n = γ·(1 - z)·(1 - n²), ∂z = γ·(h - n)·z(1 - z), ∂r = ∂n·v_n·r(1 - r); those of u
//! are (∂r, ∂z, ∂n), those of v (∂r, ∂z, ∂n·r), that of h is γ·z. The gates are computed again and not kept.
//! Shapes: `(B, 3H)`, `(B, 3H)`, `(B, H)` → `(B, H)`. Numerics: a few roundings; u_n + r·v_n may cancel.
//! Source: Cho et al., *Learning Phrase Representations using RNN Encoder–Decoder*, 2014, arXiv 1406.1078, §2.3; order of
//! the gates, and v's bias inside r·v_n, as in PyTorch's `GRUCell`.

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_owned, apply_single,
};
use warpsmith_kernels::recurrent;
use warpsmith_tensor::cpu::{dispatch, for_rows, for_rows_zip, math};
use warpsmith_tensor::{Result, Tensor};

use crate::cuda;
use crate::lstm_cell::{SHAPES, require_gates, sigmoid, state_symbol, states, steepest};

/// h' from the gates of the input, those of the state, and h.
#[derive(Clone, Copy, Debug)]
pub struct GruCell;

/// One element in f64: r, z, n and v_n.
struct Gates {
    r: f64,
    z: f64,
    n: f64,
    state: f64,
    /// What the errors of n, r and z are measured against.
    size: f64,
    r_size: f64,
    z_size: f64,
}

impl Gates {
    /// Those of element `at` of a state of `width`.
    fn of(u: &Array, v: &Array, width: usize, at: usize) -> Self {
        let gate = |x: &Array, k: usize| x.data[at / width * 3 * width + k * width + at % width];
        let (of_r, of_z) = (gate(u, 0) + gate(v, 0), gate(u, 1) + gate(v, 1));
        let (r, z) = (sigmoid(of_r), sigmoid(of_z));
        let (input, state) = (gate(u, 2), gate(v, 2));
        let a = input + r * state;
        let size = input.abs() + (r * state).abs() * error(of_r);
        let (r_size, z_size) = (r * error(of_r), z * error(of_z));
        Self { r, z, n: a.tanh(), state, size: steepest(a, size) * size, r_size, z_size }
    }
}

/// The error of σ of a sum over that of σ: the sum is rounded before. Beyond 200 σ is 0 or 1 whatever it is.
fn error(sum: f64) -> f64 {
    1.0 + sum.abs().min(200.0) * (1.0 - sigmoid(sum))
}

impl Op for GruCell {
    fn name(&self) -> &'static str {
        "gru_cell"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_gates(self.name(), 3, &x[..2], &x[2..])?;
        Ok(vec![x[2]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for (at, h) in x[2].data.iter().enumerate() {
            let Gates { z, n, .. } = Gates::of(&x[0], &x[1], x[2].last(), at);
            y[0].data[at] = (1.0 - z) * n + z * h;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (u, v, h) = (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?);
        let width = y[0].shape.last();
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        for_rows(out.data_mut::<f32>()?, width, 60, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (row, y) in block.chunks_mut(width).enumerate() {
                        let at = (first + row) * width;
                        let u = gates_of(&u[at * 3..][..width * 3], width);
                        let v = gates_of(&v[at * 3..][..width * 3], width);
                        let h = &h[at..][..width];
                        for k in 0..width {
                            let z = math::sigmoid(u[1][k] + v[1][k]);
                            let r = math::sigmoid(u[0][k] + v[0][k]);
                            let n = math::tanh(r.mul_add(v[2][k], u[2][k]));
                            y[k] = z.mul_add(h[k], (1.0 - z) * n);
                        }
                    }
                },
            );
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let from = [x[0].device_address()?, x[1].device_address()?, x[2].device_address()?];
        device.launch(&recurrent::gru(&states(self.name(), &y[0])?, out.device_address_mut()?, from))?;
        Ok(vec![out])
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1, 2])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let (u, v, h) = (back.take_input(0)?, back.take_input(1)?, back.take_input(2)?);
        let grads = apply_owned(GruCellBackward, vec![back.take_grad(0)?, u, v, h])?;
        Ok(grads.into_iter().map(Some).collect())
    }

    fn cost(&self) -> Cost {
        Cost::new("7*S*s", "S*s", "10*S")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        state_symbol(&x[2])
    }

    /// 1 - z has the rounding of 1, and σ that of the sum it is taken of.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let (mut scale, width) = (y.to_vec(), x[2].last());
        for (at, h) in x[2].data.iter().enumerate() {
            let Gates { z, n, size, z_size, .. } = Gates::of(&x[0], &x[1], width, at);
            scale[0].data[at] = n.abs() + (1.0 - z) * size + z_size * (h.abs() + n.abs());
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        20.0
    }
}

/// The rows of a row of three gates. Call inside `dispatch`.
#[inline(always)]
fn gates_of(row: &[f32], width: usize) -> [&[f32]; 3] {
    let (r, rest) = row.split_at(width);
    let (z, n) = rest.split_at(width);
    [r, z, n]
}

/// The gradients of [`GruCell`] with respect to both gates and h, from (γ, u, v, h).
#[derive(Clone, Copy, Debug)]
pub struct GruCellBackward;

impl Op for GruCellBackward {
    fn name(&self) -> &'static str {
        "gru_cell_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_gates(self.name(), 3, &x[1..3], &[x[3], x[0]])?;
        Ok(vec![x[1], x[2], x[3]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let width = x[3].last();
        for (at, g) in x[0].data.iter().enumerate() {
            let Gates { r, z, n, state, .. } = Gates::of(&x[1], &x[2], width, at);
            let dn = g * (1.0 - z) * (1.0 - n * n);
            let gates = [dn * (r * (1.0 - r)) * state, g * (z * (1.0 - z)) * (x[3].data[at] - n), dn];
            for (k, gate) in gates.into_iter().enumerate() {
                let place = at / width * 3 * width + k * width + at % width;
                y[0].data[place] = gate;
                y[1].data[place] = if k == 2 { gate * r } else { gate };
            }
            y[2].data[at] = g * z;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let (g, u, v, h) =
            (x[0].data::<f32>()?, x[1].data::<f32>()?, x[2].data::<f32>()?, x[3].data::<f32>()?);
        let width = y[2].shape.last();
        let empty = |m: &Meta| Tensor::empty(m.shape, m.dtype, &x[0].device());
        let (mut du, mut dv, mut dh) = (empty(&y[0])?, empty(&y[1])?, empty(&y[2])?);
        let outputs = ((du.data_mut::<f32>()?, 3 * width), (dv.data_mut::<f32>()?, 3 * width));
        for_rows_zip(outputs.0, outputs.1, 25, |first, du, dv| {
            dispatch(
                #[inline(always)]
                || {
                    for (row, (du, dv)) in du.chunks_mut(3 * width).zip(dv.chunks_mut(3 * width)).enumerate()
                    {
                        let at = (first + row) * width;
                        let u = gates_of(&u[at * 3..][..width * 3], width);
                        let v = gates_of(&v[at * 3..][..width * 3], width);
                        backward_row([&g[at..][..width], &h[at..][..width]], u, v, du, dv);
                    }
                },
            );
        });
        for_rows(dh.data_mut::<f32>()?, width, 16, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (row, dh) in block.chunks_mut(width).enumerate() {
                        let at = (first + row) * width;
                        let (u, v) = (&u[at * 3 + width..][..width], &v[at * 3 + width..][..width]);
                        let g = &g[at..][..width];
                        for k in 0..width {
                            dh[k] = g[k] * math::sigmoid(u[k] + v[k]);
                        }
                    }
                },
            );
        });
        Ok(vec![du, dv, dh])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, device) = (cuda::contiguous(&x)?, x[0].device());
        let empty = |m: &Meta| Tensor::empty(m.shape, m.dtype, &device);
        let mut out = y.iter().map(empty).collect::<Result<Vec<_>>>()?;
        let to = [out[0].device_address_mut()?, out[1].device_address_mut()?, out[2].device_address_mut()?];
        let from =
            [x[0].device_address()?, x[1].device_address()?, x[2].device_address()?, x[3].device_address()?];
        device.launch(&recurrent::gru_backward(&states(self.name(), &y[2])?, to, from))?;
        Ok(out)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("8*S*s", "7*S*s", "26*S")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        state_symbol(&x[3])
    }

    /// As for the forward pass; a slope x(1 - x) is measured against x.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let (mut scale, width) = (y.to_vec(), x[3].last());
        for (at, g) in x[0].data.iter().enumerate() {
            let Gates { n, state, size, r_size, z_size, .. } = Gates::of(&x[1], &x[2], width, at);
            let (g, h) = (g.abs(), x[3].data[at].abs());
            let dn = g * (1.0 + z_size) * (1.0 + size);
            let gates = [dn * r_size * state.abs(), g * z_size * (h + n.abs() + size), dn];
            for (k, gate) in gates.into_iter().enumerate() {
                let place = at / width * 3 * width + k * width + at % width;
                scale[0].data[place] = gate;
                scale[1].data[place] = if k == 2 { gate * r_size } else { gate };
            }
            scale[2].data[at] = g * z_size;
        }
        scale
    }

    fn roundings(&self, _x: &[Meta]) -> f64 {
        40.0
    }
}

/// One row of the backward pass, from (γ, h). Call inside `dispatch`.
#[inline(always)]
fn backward_row([g, h]: [&[f32]; 2], u: [&[f32]; 3], v: [&[f32]; 3], du: &mut [f32], dv: &mut [f32]) {
    let width = g.len();
    let (dr, rest) = du.split_at_mut(width);
    let (dz, dn) = rest.split_at_mut(width);
    let (to_r, rest) = dv.split_at_mut(width);
    let (to_z, to_n) = rest.split_at_mut(width);
    for k in 0..width {
        let (r, z) = (math::sigmoid(u[0][k] + v[0][k]), math::sigmoid(u[1][k] + v[1][k]));
        let n = math::tanh(r.mul_add(v[2][k], u[2][k]));
        dn[k] = g[k] * (1.0 - z) * (-n).mul_add(n, 1.0);
        // The slope first: it is 0 where a gate is shut, and a large product with it would not be.
        dr[k] = dn[k] * (r * (1.0 - r)) * v[2][k];
        dz[k] = g[k] * (z * (1.0 - z)) * (h[k] - n);
        to_r[k] = dr[k];
        to_z[k] = dz[k];
        to_n[k] = dn[k] * r;
    }
}

methods! {
    /// One step of a GRU: of these gates of the input (B, 3H) and those of the state (B, 3H), both in the order r, z, n and before
    /// σ and tanh, and the state `h` (B, H) the new state (B, H).
    ///
    /// # Errors
    /// If the shapes do not fit, the dtypes differ or are not floats.
    fn gru_cell(&self, state_gates: &Tensor, h: &Tensor) -> Result<Tensor> {
        apply_single(GruCell, &[self, state_gates, h])
    }
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "gru_cell",
            summary: "one step of a GRU from its gates",
            samples: || {
                let sample = |[b, h]: [usize; 2]| {
                    let inputs = [[b, 3 * h], [b, 3 * h], [b, h]];
                    Sample::new(GruCell, inputs.map(|dims| Input::any(&dims)))
                };
                SHAPES.map(sample).into()
            },
        },
        Spec {
            name: "gru_cell_backward",
            summary: "the gradients of gru_cell",
            samples: || {
                let sample = |[b, h]: [usize; 2]| {
                    let inputs = [[b, h], [b, 3 * h], [b, 3 * h], [b, h]];
                    Sample::new(GruCellBackward, inputs.map(|dims| Input::any(&dims)))
                };
                SHAPES.map(sample).into()
            },
        },
    ]
}
