//! The GPT that `step` trains and `decode` writes with: its sizes, its parameters as a list, and how far rounding may take
//! what is computed with them.
//!
//! A whole model has no error bound of its own, so its sensitivity is measured: the oracle computes once more with each
//! parameter multiplied by 1 ± δ, signs drawn, and sees how far the result moves. One rounding of relative size u moves it u/δ
//! as far, and n independent ones, one behind the other, √n times that (Higham and Mary, *A New Approach to Probabilistic
//! Rounding Error Analysis*, 2019, theorem 2.4). Allowed is [`CONFIDENCE`] times that.

use warpsmith_autograd::{Meta, Parameter};
use warpsmith_model::{Gpt, GptConfig, Weights};
use warpsmith_ops::linear::Precision;
use warpsmith_tensor::{DType, Device, Rng, Seed, Tensor};

use super::{meta, sizes};
use crate::Result;
use crate::tensors::scaled_normal;

/// The precision of products in a bench of this dtype.
pub(super) fn precision(dtype: DType) -> Precision {
    if dtype == DType::BF16 { Precision::Bf16 } else { Precision::F32 }
}

/// How many of the deviations that rounding explains are let pass.
const CONFIDENCE: f64 = 4.0;
/// Operations above which the oracle computes in f32, by the engine's CPU: its f64 loops would take minutes.
const WHOLE: f64 = 1e8;

/// The sizes of a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GptSizes {
    /// The longest sequence: how many positions have a vector.
    pub context: usize,
    /// L.
    pub layers: usize,
    /// H, a divisor of C.
    pub heads: usize,
    /// C.
    pub width: usize,
    /// V.
    pub classes: usize,
}

impl GptSizes {
    /// Reads `AxBxLxHxCxV`, of which the first two are the task's own.
    pub(super) fn parse(
        text: &str,
        expected: &str,
        context: fn(usize, usize) -> usize,
    ) -> Result<([usize; 2], Self)> {
        let expected = format!("{expected} with H a divisor of C");
        let [first, second, layers, heads, width, classes] = sizes(text, &expected)?;
        let found = Self { context: context(first, second), layers, heads, width, classes };
        if width % heads != 0 {
            return Err(crate::Error::Usage(format!("{text:?} is no shape: expected {expected}")));
        }
        Ok(([first, second], found))
    }

    /// The model's configuration.
    pub fn config(&self) -> GptConfig {
        GptConfig {
            vocab_size: self.classes,
            block_size: self.context,
            n_layer: self.layers,
            n_head: self.heads,
            n_embd: self.width,
            bias: true,
            ..GptConfig::default()
        }
    }

    /// The shapes of all parameters, in the order of the forward pass: embeddings of tokens and positions; of each layer a
    /// norm, the projection to q, k and v, that of the heads' outputs, a norm, and the two of the network, each as gain or
    /// weight (in, out) and bias; the last norm.
    pub fn parameter_shapes(&self) -> Vec<Vec<usize>> {
        let c = self.width;
        let pair = |shape: &[usize]| vec![shape.to_vec(), vec![shape[shape.len() - 1]]];
        let layer =
            [pair(&[c]), pair(&[c, 3 * c]), pair(&[c, c]), pair(&[c]), pair(&[c, 4 * c]), pair(&[4 * c, c])];
        let embeddings = vec![vec![self.classes, c], vec![self.context, c]];
        [embeddings, vec![layer.concat(); self.layers].concat(), pair(&[c])].concat()
    }

    /// Shapes and dtypes of what [`GptSizes::draw`] gives.
    pub(super) fn metas(&self) -> Result<Vec<Meta>> {
        self.parameter_shapes().iter().map(|shape| meta(shape, DType::F32)).collect()
    }

    /// Bytes of all parameters in f32, whatever the sizes.
    pub(super) fn bytes(&self) -> f64 {
        DType::F32.size() as f64 * self.config().parameter_count()
    }

    /// Bytes that the oracle takes of the host: parameters as they are, and moved.
    pub(super) fn oracle_bytes(&self, flops: f64) -> f64 {
        2.0 * self.bytes() * Self::oracle_dtype(flops).size() as f64 / DType::F32.size() as f64
    }

    /// Numbers in all parameters.
    pub fn parameters(&self) -> usize {
        self.parameter_shapes().iter().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Random parameters: none is 0 or 1 throughout, so that each of them matters. Positions weigh more than tokens, or a
    /// model with a tied head would write its last token again and again, and hide what is wrong with a cache.
    pub fn draw(&self, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let deviation = 0.5 / (self.width as f32).sqrt();
        let is_gain = |i: usize, shape: &[usize]| shape.len() == 1 && i.is_multiple_of(2);
        let all = self.parameter_shapes();
        // Gains stand at even places and biases behind them: the shapes come in pairs.
        let one = |(i, shape): (usize, &Vec<usize>)| {
            let mean = if is_gain(i, shape) { 1.0 } else { 0.0 };
            let is_position = i == 1;
            scaled_normal(shape, mean, if is_position { 1.0 } else { deviation }, rng, device)
        };
        all.iter().enumerate().map(one).collect()
    }

    /// A model with these parameters, on the device where they lie; its products are in bf16 if `dtype` is.
    pub fn model(&self, dtype: DType, values: &[Tensor]) -> Result<Gpt> {
        let device = values.first().map_or(Device::Cpu, Tensor::device);
        let weights = Weights::random(Seed(0), &device).with_precision(precision(dtype));
        let model = Gpt::build(self.config(), &weights)?;
        for (parameter, value) in model.parameters().iter().zip(values) {
            replace(parameter, value)?;
        }
        Ok(model)
    }

    /// Floating-point operations of the products of one forward pass over one token that sees `keys` keys, attention's too.
    pub fn flops_of_token(&self, keys: f64) -> f64 {
        let (c, l) = (self.width as f64, self.layers as f64);
        2.0 * (l * 12.0 * c * c + c * self.classes as f64) + l * 4.0 * c * keys
    }

    /// Roundings that follow one another on the way through the model: two for each of a layer's six parts, and the ends.
    fn roundings(&self) -> f64 {
        12.0 * self.layers as f64 + 4.0
    }

    /// What the oracle computes in if the case takes so many operations.
    pub(super) fn oracle_dtype(flops: f64) -> DType {
        if flops > WHOLE { DType::F32 } else { DType::F64 }
    }
}

/// Puts a value of any dtype in the place of a parameter's.
fn replace(parameter: &Parameter, value: &Tensor) -> Result<()> {
    let mut taken = parameter.take()?;
    drop(taken.take()?);
    Ok(taken.put(value.copy()?)?)
}

/// The parameters of a case on the host, as the oracle takes them, and once more a little beside that.
pub(super) struct Beside {
    /// The parameters.
    pub values: Vec<Tensor>,
    /// Each multiplied by 1 ± δ.
    pub moved: Vec<Tensor>,
    /// δ.
    pub delta: f64,
    /// How far the result may lie from the oracle's, as a multiple of how far it moved.
    pub allowed: f64,
}

impl Beside {
    /// Of parameters, for a contender that computes in `dtype` with `passes` times the roundings of a forward pass.
    pub fn new(
        sizes: &GptSizes,
        values: &[Tensor],
        dtype: DType,
        oracle: DType,
        passes: f64,
    ) -> Result<Self> {
        let u = dtype.unit_roundoff();
        // Far above the rounding of an oracle in f32, and small enough for its answer to be in proportion.
        let delta = u.max(2f64.powi(-14));
        let rng = Rng::new(Seed(1));
        let host = |x: &Tensor| Ok(x.to_device(&Device::Cpu)?.to_dtype(oracle)?);
        let values = values.iter().map(host).collect::<Result<Vec<_>>>()?;
        let moved = values.iter().map(|x| beside(x, delta, &rng)).collect::<Result<Vec<_>>>()?;
        let allowed = CONFIDENCE * (passes * sizes.roundings()).sqrt() * u / delta;
        Ok(Self { values, moved, delta, allowed })
    }
}

/// Each number multiplied by 1 + δ or 1 − δ.
fn beside(x: &Tensor, delta: f64, rng: &Rng) -> Result<Tensor> {
    let signs = rng.uniform(x.numel());
    let factor = |u: f32| if u < 0.5 { 1.0 - delta } else { 1.0 + delta };
    let moved: Vec<f64> = x.to_f64_vec()?.iter().zip(&signs).map(|(x, u)| x * factor(*u)).collect();
    Ok(Tensor::from_vec(moved, x.dims(), &Device::Cpu)?.to_dtype(x.dtype())?)
}

/// What rounding may do to a plain sum of so many positive numbers in f32, as a share of it: √n roundings by the same theorem.
pub(super) fn sum_error(n: usize) -> f64 {
    CONFIDENCE * (n as f64).sqrt() * DType::F32.unit_roundoff()
}

/// The root of the sum of the squares of the differences.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_those_of_the_model_in_its_order() {
        let sizes = GptSizes { context: 5, layers: 2, heads: 2, width: 8, classes: 11 };
        let model = Gpt::new(sizes.config(), &Device::Cpu, Seed(0)).unwrap();
        let own: Vec<Vec<usize>> = model.parameters().iter().map(|p| p.shape().dims().to_vec()).collect();
        assert_eq!(sizes.parameter_shapes(), own);
        assert_eq!(sizes.parameters(), model.parameter_count());
    }

    #[test]
    fn no_parameter_is_drawn_zero_or_one_throughout() {
        let sizes = GptSizes { context: 5, layers: 1, heads: 2, width: 8, classes: 11 };
        let names: Vec<String> = Gpt::new(sizes.config(), &Device::Cpu, Seed(0))
            .unwrap()
            .parameters()
            .iter()
            .map(|p| p.name().to_owned())
            .collect();
        for (name, value) in names.iter().zip(sizes.draw(&Rng::new(Seed(3)), &Device::Cpu).unwrap()) {
            let values = value.to_f64_vec().unwrap();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let is_gain = name.contains("ln_") && name.ends_with("weight");
            assert_eq!(mean > 0.5, is_gain, "{name}: mean {mean}");
            assert!(values.iter().any(|v| *v != values[0]), "{name}");
        }
    }
}
