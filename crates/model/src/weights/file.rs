//! Reading a safetensors file: its header, and then each tensor into the memory where it stays, so that the file itself takes
//! none.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use warpsmith_gguf::Source;
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor, with_dtype};

use super::digest::Digest;
use super::{bytes_of, file, to_safe};

/// The bytes before the header: its length.
const LENGTH: u64 = 8;

/// All tensors of a safetensors file that lies in memory.
///
/// # Errors
/// If the bytes are not a safetensors file, the numbers are not those that [`super::to_safetensors`] wrote, or a tensor has a
/// dtype that the engine does not know.
pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<BTreeMap<String, Tensor>> {
    read_safetensors(&bytes, device)
}

/// All tensors of a safetensors file, read one by one.
///
/// # Errors
/// As [`from_safetensors`], or if the file cannot be read.
pub fn read_safetensors(source: &dyn Source, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let (start, header) = header(source)?;
    // In the order of names, which is that of the note.
    let infos: BTreeMap<String, &TensorInfo> = header.tensors().into_iter().collect();
    let (mut digest, mut tensors) = (Digest::wanted(header.metadata().as_ref()), BTreeMap::new());
    for (name, info) in infos {
        let tensor = tensor(&name, info, start, source)?;
        if let Some(digest) = &mut digest {
            digest.add(&name, info.dtype, &info.shape, bytes_of(&tensor)?);
        }
        tensors.insert(name, tensor.to_device(device)?);
    }
    digest.map_or(Ok(()), Digest::check)?;
    Ok(tensors)
}

/// Where the numbers begin, and the header, which lays out all bytes behind it, without a gap.
fn header(source: &dyn Source) -> Result<(u64, Metadata)> {
    let size = source.size();
    let mut length = [0; LENGTH as usize];
    if size < LENGTH {
        return Err(damaged(format!("it has {size} bytes")));
    }
    read(source, 0, &mut length)?;
    let length = u64::from_le_bytes(length);
    let start = length.checked_add(LENGTH).filter(|start| *start <= size);
    let start = start.ok_or_else(|| damaged(format!("a header of {length} bytes in a file of {size}")))?;
    let mut text = vec![0; length as usize];
    read(source, LENGTH, &mut text)?;
    let header: Metadata = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    match header.data_len() as u64 == size - start {
        true => Ok((start, header)),
        false => Err(damaged(format!(
            "its tensors take {} bytes, behind the header it has {}",
            header.data_len(),
            size - start
        ))),
    }
}

fn damaged(what: String) -> Error {
    file(format!("not a safetensors file, or a damaged one: {what}"))
}

fn read(source: &dyn Source, at: u64, to: &mut [u8]) -> Result<()> {
    source.read(at, to).map_err(|e| file(format!("{} bytes at byte {at} could not be read: {e}", to.len())))
}

fn from_safe(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|d| to_safe(*d) == dtype)
}

/// A tensor on the host. Its bytes were held against its shape and the length of the file, with the header.
fn tensor(name: &str, info: &TensorInfo, start: u64, source: &dyn Source) -> Result<Tensor> {
    let dtype = from_safe(info.dtype)
        .ok_or_else(|| file(format!("{name}: dtype {:?} is not supported", info.dtype)))?;
    let mut tensor = Tensor::empty(Shape::new(&info.shape)?, dtype, &Device::Cpu)?;
    let at = start + info.data_offsets.0 as u64;
    with_dtype!(dtype, T => read(source, at, bytemuck::cast_slice_mut(tensor.data_mut::<T>()?))?);
    Ok(tensor)
}
