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
use warpsmith_ops::linear::Precision;
use warpsmith_tensor::{DType, Device, Element, Error, Kind, Result, Tensor, with_dtype};

pub use file::{from_safetensors, read_safetensors};
pub use quantised::Quantised;
pub use source::{Init, Kept, Weights};

/// How the matrices of a file lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// As f32: a model that can be trained and written as a model folder.
    #[default]
    AsF32,
    /// As the file has them, where they are multiplied so (quantised blocks, bf16, f16): less memory, and less to read for
    /// each token. Such matrices are no parameters.
    AsStored,
}

/// In what numbers a model computes. It is set once, where the weights come from; every layer that is built of them keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How matrices lie in memory.
    pub held: Held,
    /// In what precision products are taken. Norms, losses, sums, the residual stream and what is trained are f32 in any case.
    pub precision: Precision,
}

impl From<Held> for Policy {
    fn from(held: Held) -> Self {
        Self { held, ..Self::default() }
    }
}

impl From<Precision> for Policy {
    fn from(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }
}

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
pub fn state(parameters: &[Parameter]) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|p| (p.name().to_string(), p.get().detach())).collect()
}

/// Sets parameters from tensors of their names; nothing is changed unless everything fits.
///
/// # Errors
/// If a name is missing or unexpected, or a shape differs: the error lists them.
pub fn load_parameters(parameters: &[Parameter], tensors: BTreeMap<String, Tensor>) -> Result<()> {
    Weights::given(tensors, &Device::Cpu).load(parameters)
}
