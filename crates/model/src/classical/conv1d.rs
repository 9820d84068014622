//! Convolution along time: the windows of the input, and one product over all of them.

use warpsmith_autograd::Parameter;
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
pub use warpsmith_ops::unfold::Window;
use warpsmith_tensor::{Error, Result, Scope, Tensor};

use crate::weights::{Init, Weights};

/// `y[b, n, p] = bias[n] + Σ weight[n, c, k]·x[b, c, p·stride + k·dilation - padding]`.
#[derive(Clone, Debug)]
pub struct Conv1d {
    weight: Parameter,
    bias: Option<Parameter>,
    window: Window,
    groups: usize,
    precision: Precision,
}

impl Conv1d {
    /// From C to N channels; with `groups` each sees a share of the input's channels only. Weights (N, C/groups, K) and bias of
    /// the deviation that PyTorch's have.
    ///
    /// # Errors
    /// If the groups do not divide both, or a size is 0.
    pub fn new(
        weights: &Weights,
        (c, n): (usize, usize),
        window: Window,
        groups: usize,
        bias: bool,
    ) -> Result<Self> {
        let shares = c.checked_rem(groups) == Some(0) && n.checked_rem(groups) == Some(0);
        if !shares || c * n * window.taps == 0 {
            let message = format!("{groups} groups of {c} channels in, {n} out, {} taps", window.taps);
            return Err(Error::value("conv1d", message).hint("groups divide both, and no size is 0"));
        }
        let dims = [n, c / groups, window.taps];
        let init = Init::Normal(1.0 / (3.0 * (dims[1] * dims[2]) as f64).sqrt());
        let weight = weights.parameter("weight", &dims, init)?;
        let bias = bias.then(|| weights.parameter("bias", &[n], init)).transpose()?;
        Ok(Self { weight, bias, window, groups, precision: weights.precision() })
    }

    /// x (B, C, T) → (B, N, P)
    ///
    /// # Errors
    /// If x has other channels, or not one window fits.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("conv1d");
        let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Parameter::get));
        let (n, share) = (weight.dims()[0], weight.dims()[1] * self.window.taps);
        if x.rank() != 3 || x.dims()[1] != weight.dims()[1] * self.groups {
            let message = format!("takes x (B, {}, T)", weight.dims()[1] * self.groups);
            return Err(Error::shape("conv1d", &[*x.shape()], message));
        }
        let windows = x.unfold(self.window)?; // (B, P, C, K)
        let (b, p) = (windows.dims()[0], windows.dims()[1]);
        if self.groups == 1 {
            let (windows, weight) = (windows.reshape(&[b, p, share])?, weight.reshape(&[n, share])?);
            let y = windows.linear(&weight, bias.as_ref(), true, Activation::Identity, self.precision)?;
            return y.transpose(1, 2); // (B, P, N) → (B, N, P)
        }
        let groups = self.groups;
        let windows = windows.reshape(&[b * p, groups, share])?.transpose(0, 1)?; // (G, B·P, S)
        let weight = weight.reshape(&[groups, n / groups, share])?.transpose(1, 2)?; // (G, S, N/G)
        let y = windows.matmul(&weight)?.transpose(0, 1)?.reshape(&[b, p, n])?;
        let y = bias.map_or(Ok(y.clone()), |bias| y.add(&bias))?;
        y.transpose(1, 2)
    }

    /// Weight, then bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }
}
