//! Layers: parameters and the op that reads them. Names are those of Hugging Face.

mod attend;
mod grouped_attention;
mod matrix;
mod rms_norm;
pub(crate) mod rotary;
mod swiglu;

use warpsmith_autograd::Parameter;
use warpsmith_ops::layer_norm;
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::weights::{Init, Weights};

pub(crate) use attend::attend;
pub use grouped_attention::{AttentionShape, GroupedAttention};
use matrix::Matrix;
pub use rms_norm::RmsNorm;
pub use rotary::{Rope, Scaling};
pub use swiglu::SwiGlu;

/// f(x·W + b).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Parameter>,
    activation: Activation,
    precision: Precision,
}

impl Linear {
    /// A layer from K to N features: weights normal with deviation `std`, bias zero. W lies as (K, N), as in `Conv1D`
    /// of Hugging Face's GPT-2.
    pub fn new(weights: &Weights, sizes: (usize, usize), bias: bool, std: f64) -> Result<Self> {
        Self::with_weight(weights, Matrix::new(weights, sizes, false, std)?, sizes.1, bias)
    }

    /// The same with W lying as (N, K), as in `torch.nn.Linear`.
    pub fn transposed(weights: &Weights, sizes: (usize, usize), bias: bool, std: f64) -> Result<Self> {
        Self::with_weight(weights, Matrix::new(weights, sizes, true, std)?, sizes.1, bias)
    }

    /// The product with a table of vectors (N, K) that another layer owns: a head tied to an embedding.
    pub fn tied(table: &Embedding) -> Self {
        let Embedding { table, precision } = table.clone();
        Self { weight: table, bias: None, activation: Activation::Identity, precision }
    }

    fn with_weight(weights: &Weights, weight: Matrix, n: usize, bias: bool) -> Result<Self> {
        let bias = bias.then(|| weights.parameter("bias", &[n], Init::Constant(0.0))).transpose()?;
        Ok(Self { weight, bias, activation: Activation::Identity, precision: weights.precision() })
    }

    /// The same layer with a function after it.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// x (…, K) → (…, N)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        self.weight.product(x, bias.as_ref(), self.activation, self.precision)
    }

    /// residual (…, N) + x·W + b, in one pass where the product can add it.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        match &self.weight {
            Matrix::Numbers { weight, transposed } if self.activation == Activation::Identity => {
                x.linear_onto(residual, &weight.get(), bias.as_ref(), *transposed, self.precision)
            }
            _ => residual.add(&self.forward(x)?),
        }
    }

    /// down(self(x)), and `residual` around it: one op where this layer ends in GELU and both can be trained.
    pub fn then(&self, down: &Self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        if let (
            Activation::Gelu(form),
            Matrix::Numbers { weight: up_weight, transposed },
            Matrix::Numbers { weight: down_weight, transposed: down_transposed },
        ) = (self.activation, &self.weight, &down.weight)
            && transposed == down_transposed
            && self.bias.is_some() == down.bias.is_some()
            && self.precision == down.precision
            && down.activation == Activation::Identity
        {
            let (weights, biases) = ([up_weight.get(), down_weight.get()], [&self.bias, &down.bias]);
            let biases = biases.map(|bias| bias.as_ref().map(Parameter::get));
            let layers = [0, 1].map(|i| (&weights[i], biases[i].as_ref()));
            return x.mlp(layers, residual, *transposed, form, self.precision);
        }
        let hidden = self.forward(x)?;
        match residual {
            Some(residual) => down.forward_onto(residual, &hidden),
            None => down.forward(&hidden),
        }
    }

    /// x (…, K) → (…, N), as products take it in this layer's precision: see `linear_rounded`.
    pub fn forward_rounded(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        match &self.weight {
            Matrix::Numbers { weight, transposed } if self.activation == Activation::Identity => {
                x.linear_rounded(&weight.get(), bias.as_ref(), *transposed, self.precision)
            }
            Matrix::Blocks(blocks) if bias.is_none() && self.activation == Activation::Identity => {
                blocks.product_rounded(x, self.precision)
            }
            _ => self.precision.operand(&self.forward(x)?),
        }
    }

    /// Weight, then bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        [self.weight.parameter(), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// Layer normalisation with learned scale and shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Option<Parameter>,
    epsilon: f64,
    precision: Precision,
}

impl LayerNorm {
    /// A layer over C features: scale one, shift zero.
    pub fn new(weights: &Weights, width: usize, bias: bool, epsilon: f64) -> Result<Self> {
        let weight = weights.parameter("weight", &[width], Init::Constant(1.0))?;
        let bias = bias.then(|| weights.parameter("bias", &[width], Init::Constant(0.0))).transpose()?;
        Ok(Self { weight, bias, epsilon, precision: weights.precision() })
    }

    /// x (…, C) → (…, C)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::get);
        x.layer_norm(&self.weight.get(), bias.as_ref(), self.epsilon)
    }

    /// The same for what products alone read: on a GPU it is bf16 if they are.
    pub fn forward_rounded(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.with(x, false)?.swap_remove(0))
    }

    /// The same, and x itself for the way around: their gradients are added where the norm's is made.
    pub fn forward_around(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let made = self.with(x, true)?;
        made.try_into().map_err(|_| Error::internal("layer_norm", "two outputs"))
    }

    fn with(&self, x: &Tensor, passes: bool) -> Result<Vec<Tensor>> {
        let (bias, is_narrow) = (self.bias.as_ref().map(Parameter::get), self.precision.is_narrow_on(x));
        let options = layer_norm::LayerNorm { eps: self.epsilon, is_narrow, passes };
        x.layer_norm_with(&self.weight.get(), bias.as_ref(), options)
    }

    /// Weight, then bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// A learned vector per id.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Matrix,
    /// Of the products of a head that is tied to the table.
    precision: Precision,
}

impl Embedding {
    /// `count` vectors of C normal numbers of deviation `std`.
    pub fn new(weights: &Weights, (count, width): (usize, usize), std: f64) -> Result<Self> {
        Ok(Self { table: Matrix::new(weights, (width, count), true, std)?, precision: weights.precision() })
    }

    /// ids (…) → (…, C)
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.table {
            Matrix::Numbers { weight, .. } => weight.get().embedding(ids),
            Matrix::Blocks(blocks) => blocks.rows(ids),
        }
    }

    /// The vectors (count, C) from id `first` on.
    pub fn slice(&self, first: usize, count: usize) -> Result<Tensor> {
        match &self.table {
            Matrix::Numbers { weight, .. } => weight.get().slice(0, first, count, 1),
            Matrix::Blocks(blocks) => blocks.slice(first, count),
        }
    }

    /// The table (count, C), unless it is quantised.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.table.parameter().into_iter().cloned().collect()
    }
}
