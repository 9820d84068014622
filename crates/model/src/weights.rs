//! Weights as safetensors bytes, under the names that Hugging Face uses. Strict: a missing, unexpected or misshapen tensor
//! is an error that names it.

mod digest;
mod file;
mod quantised;
mod source;

use std::collections::BTreeMap;

use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};
use warpsmith_autograd::Parameter;
use warpsmith_tensor::{DType, Device, Element, Error, Kind, Result, Tensor, with_dtype};

pub use file::{from_safetensors, read_safetensors};
pub use quantised::Quantised;
use source::Given;
pub use source::{Init, Kept, Weights};

/// How the matrices of a file lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// As f32: a model that can be trained and written as a model folder.
    AsF32,
    /// As the file has them, where they are multiplied so (quantised blocks, bf16, f16): less memory, and less to read for
    /// each token. Such matrices are no parameters.
    AsStored,
}

/// Names that some exporters of GPT-2 add and that hold nothing learned: causal masks.
const MASKS: [&str; 2] = [".attn.bias", ".attn.masked_bias"];

fn file(message: impl Into<String>) -> Error {
    Error::new(Kind::File, "safetensors", message)
}

/// The safetensors type of a dtype.
fn to_safe(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// Tensors as the bytes of a safetensors file, with `metadata` in its header and a note by which damage is seen.
pub fn to_safetensors(tensors: &BTreeMap<String, Tensor>, metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let contiguous: Vec<(&String, Tensor)> = tensors
        .iter()
        .map(|(name, t)| Ok((name, t.to_device(&Device::Cpu)?.contiguous()?)))
        .collect::<Result<_>>()?;
    let views: Vec<(&String, TensorView<'_>)> = contiguous
        .iter()
        .map(|(name, t)| {
            let bytes = bytes_of(t)?;
            let view = TensorView::new(to_safe(t.dtype()), t.dims().to_vec(), bytes);
            Ok((*name, view.map_err(|e| file(format!("{name}: {e}")))?))
        })
        .collect::<Result<_>>()?;
    let metadata = digest::noted(metadata, &views);
    serialize(views, Some(metadata)).map_err(|e| file(e.to_string()))
}

/// The bytes of a contiguous tensor of the host.
fn bytes_of(tensor: &Tensor) -> Result<&[u8]> {
    Ok(with_dtype!(tensor.dtype(), T => bytemuck::cast_slice(tensor.data::<T>()?)))
}

/// Copies bytes of any alignment.
fn fill<T: Element>(tensor: &mut Tensor, bytes: &[u8]) -> Result<()> {
    bytemuck::cast_slice_mut::<T::Repr, u8>(tensor.data_mut::<T>()?).copy_from_slice(bytes);
    Ok(())
}

/// The parameters by name: what a weight file holds.
pub(crate) fn state(parameters: &[Parameter]) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|p| (p.name().to_string(), p.get().detach())).collect()
}

/// Sets parameters from tensors of their names; nothing is changed unless everything fits.
///
/// # Errors
/// If a name is missing or unexpected, or a shape differs: the error lists them.
pub fn load_parameters(parameters: &[Parameter], tensors: BTreeMap<String, Tensor>) -> Result<()> {
    load_state(parameters, Given::new(tensors))
}

/// As [`load_parameters`].
fn load_state(parameters: &[Parameter], mut given: Given) -> Result<()> {
    let values: Vec<Option<Tensor>> = parameters
        .iter()
        .map(|p| given.take(p.name(), &p.shape(), p.get().dtype()))
        .collect::<Result<_>>()?;
    given.finish()?;
    parameters.iter().zip(values.iter().flatten()).try_for_each(|(p, value)| p.set(value))
}

/// The tensors of a GPT-2 file under the names of the language model: released files leave out its prefix.
fn gpt2_names(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let prefixed = |name: String| match name.starts_with("transformer.") || name.starts_with("lm_head.") {
        true => name,
        false => format!("transformer.{name}"),
    };
    tensors
        .into_iter()
        .map(|(name, t)| (prefixed(name), t))
        .filter(|(name, _)| !MASKS.iter().any(|mask| name.ends_with(mask)))
        .collect()
}

impl crate::Gpt {
    /// All weights by their Hugging Face names; the tied head is not repeated.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        state(&self.parameters())
    }

    /// A model with the weights of a file, under Hugging Face's names.
    ///
    /// # Errors
    /// If the config makes no model, a name is missing or unexpected, or a shape differs.
    pub fn from_state(
        config: crate::GptConfig,
        tensors: &BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        Self::from_weights(config, &Weights::given(tensors.clone(), device))
    }

    /// As [`Gpt::from_state`], of weights in whatever form.
    pub(crate) fn from_weights(config: crate::GptConfig, weights: &Weights) -> Result<Self> {
        weights.rename(gpt2_names);
        weights.tie("transformer.wte.weight", "lm_head.weight")?;
        Self::build(config, weights)
    }

    /// Replaces all weights; nothing is changed unless everything fits.
    ///
    /// # Errors
    /// If a name is missing or unexpected, or a shape differs.
    pub fn load_state(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let mut given = Given::new(gpt2_names(tensors.clone()));
        given.tie("transformer.wte.weight", "lm_head.weight")?;
        load_state(&self.parameters(), given)
    }
}
