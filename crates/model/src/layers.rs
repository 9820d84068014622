//! Layers: parameters and the op that reads them. Names and layouts are those of Hugging Face's GPT-2.

use warpsmith_autograd::Parameter;
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Shape, Tensor};

/// A tensor of normal numbers, scaled.
fn normal(dims: &[usize], std: f64, rng: &Rng, device: &Device) -> Result<Tensor> {
    let count = Shape::new(dims)?.numel();
    let values: Vec<f32> = rng.normal(count).into_iter().map(|v| v * std as f32).collect();
    Tensor::from_vec(values, dims, device)
}

fn constant(dims: &[usize], value: f64, device: &Device) -> Result<Tensor> {
    Tensor::full(Shape::new(dims)?, value, DType::F32, device)
}

/// f(x·W + b), W lying as (K, N).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    activation: Activation,
    precision: Precision,
}

impl Linear {
    /// A layer from K to N features: weights normal with deviation `std`, bias zero.
    pub fn new(
        name: &str,
        (k, n): (usize, usize),
        bias: bool,
        std: f64,
        rng: &Rng,
        device: &Device,
    ) -> Result<Self> {
        let weight = Parameter::new(format!("{name}.weight"), &normal(&[k, n], std, rng, device)?)?;
        let bias = match bias {
            true => Some(Parameter::new(format!("{name}.bias"), &constant(&[n], 0.0, device)?)?),
            false => None,
        };
        Ok(Self { weight, bias, activation: Activation::Identity, precision: Precision::F32 })
    }

    /// The same layer with a function after it.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The same layer with its products in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// x (…, K) → (…, N)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        x.linear(&self.weight.get(), bias.as_ref(), false, self.activation, self.precision)
    }

    /// Weight, then bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// Layer normalisation with learned scale and shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Option<Parameter>,
    epsilon: f64,
}

impl LayerNorm {
    /// A layer over C features: scale one, shift zero.
    pub fn new(name: &str, width: usize, bias: bool, epsilon: f64, device: &Device) -> Result<Self> {
        let weight = Parameter::new(format!("{name}.weight"), &constant(&[width], 1.0, device)?)?;
        let bias = match bias {
            true => Some(Parameter::new(format!("{name}.bias"), &constant(&[width], 0.0, device)?)?),
            false => None,
        };
        Ok(Self { weight, bias, epsilon })
    }

    /// x (…, C) → (…, C)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        x.layer_norm(&self.weight.get(), bias.as_ref(), self.epsilon)
    }

    /// Weight, then bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// A learned vector per id.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Parameter,
}

impl Embedding {
    /// `count` vectors of C normal numbers of deviation `std`.
    pub fn new(
        name: &str,
        (count, width): (usize, usize),
        std: f64,
        rng: &Rng,
        device: &Device,
    ) -> Result<Self> {
        let weight = Parameter::new(format!("{name}.weight"), &normal(&[count, width], std, rng, device)?)?;
        Ok(Self { weight })
    }

    /// ids (…) → (…, C)
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.weight.get().embedding(ids)
    }

    /// The table (count, C).
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }
}
