//! Models of GGUF files, as llama.cpp writes them: config from the metadata, weights under Hugging Face's names.
//!
//! Source: the tensor and key names of llama.cpp's `gguf-py/gguf/constants.py`.

mod bert;
mod gpt;
mod llama;
mod write;

use std::collections::BTreeMap;

use warpsmith_gguf::{Gguf, TensorInfo, Value};
use warpsmith_tensor::arena::LINE;
use warpsmith_tensor::cpu::matmul::Blocks;
use warpsmith_tensor::{DType, Device, Error, Kind, Layout, Result, Shape, Tensor};

use crate::body::Body;
use crate::causal::CausalModel;
use crate::pooling::Pooling;
use crate::reader::TextReader;
use crate::weights::{Held, Policy, Quantised, Weights};

pub use write::write_gguf;

/// The decoder of a file.
///
/// # Errors
/// If the architecture is none of gpt2, llama, qwen2 and qwen3, a key is missing or asks for what is not supported, a tensor
/// has a name that is not known, or the tensors are not those of the config.
pub fn gguf_model(
    file: &Gguf<'_>,
    policy: impl Into<Policy>,
    device: &Device,
) -> Result<Box<dyn CausalModel>> {
    body(&Metadata::of(file)?, policy.into(), device).map(Body::into_causal)
}

/// What reads texts for their vectors, an encoder (without a pooler) or a decoder, and how the file says that hidden states
/// become a vector, if it does.
///
/// # Errors
/// If the architecture is not bert and not one of [`gguf_model`], a key is missing, the pooling is not known, or the tensors are
/// not those of the config.
pub fn gguf_reader(
    file: &Gguf<'_>,
    policy: impl Into<Policy>,
    device: &Device,
) -> Result<(TextReader, Option<Pooling>)> {
    let (metadata, policy) = (Metadata::of(file)?, policy.into());
    let pooling = metadata.pooling()?;
    let reader = match metadata.architecture {
        "bert" => bert::model(&metadata, policy, device)?.into(),
        _ => body(&metadata, policy, device)?.into(),
    };
    Ok((reader, pooling))
}

fn body(metadata: &Metadata<'_, '_>, policy: Policy, device: &Device) -> Result<Body> {
    match metadata.architecture {
        "gpt2" => gpt::model(metadata, policy, device).map(Body::Gpt),
        "llama" | "qwen2" | "qwen3" => llama::model(metadata, policy, device).map(Body::Llama),
        "bert" => Err(wrong("a BERT reads a text and writes none").hint("`warpsmith embed` runs it")),
        other => {
            Err(wrong(format!("the architecture `{other}` is not known")).hint("gpt2, llama, qwen2, qwen3"))
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::File, "gguf", message)
}

/// Models have fewer blocks; a damaged count may ask for any number.
const MOST_BLOCKS: usize = 1 << 12;

/// The metadata under the name of the architecture.
struct Metadata<'f, 'a> {
    file: &'f Gguf<'a>,
    architecture: &'a str,
}

impl<'f, 'a> Metadata<'f, 'a> {
    fn of(file: &'f Gguf<'a>) -> Result<Self> {
        let architecture =
            file.get("general.architecture", Value::as_text).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { file, architecture })
    }

    fn has(&self, name: &str) -> bool {
        let key = format!("{}.{name}", self.architecture);
        self.file.metadata().iter().any(|(known, _)| *known == key)
    }

    fn get<T>(&self, name: &str, read: impl Fn(&Value<'a>) -> Option<T>) -> Result<T> {
        self.file.get(&format!("{}.{name}", self.architecture), read).map_err(|e| wrong(e.to_string()))
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.get(name, |value| value.as_unsigned().and_then(|n| usize::try_from(n).ok()))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        if self.has(name) { self.size(name) } else { Ok(default) }
    }

    fn real_or(&self, name: &str, default: f64) -> Result<f64> {
        if self.has(name) { self.get(name, Value::as_real) } else { Ok(default) }
    }

    /// The number of blocks.
    fn blocks(&self) -> Result<usize> {
        match self.size("block_count")? {
            blocks if blocks > MOST_BLOCKS => {
                Err(wrong(format!("{blocks} blocks")).hint(format!("at most {MOST_BLOCKS}")))
            }
            blocks => Ok(blocks),
        }
    }

    /// `LLAMA_POOLING_TYPE_…` of llama.cpp.
    fn pooling(&self) -> Result<Option<Pooling>> {
        if !self.has("pooling_type") {
            return Ok(None);
        }
        match self.size("pooling_type")? {
            0 => Ok(None),
            1 => Ok(Some(Pooling::Mean)),
            2 => Ok(Some(Pooling::First)),
            3 => Ok(Some(Pooling::Last)),
            other => Err(wrong(format!("a pooling of type {other}"))
                .hint("1, the mean, 2, the first token, and 3, the last one, are known")),
        }
    }

    /// V: the rows of the token table.
    fn vocab_size(&self) -> Result<usize> {
        let table = self.file.tensor("token_embd.weight");
        let table = table.ok_or_else(|| wrong("token_embd.weight is missing"))?;
        Ok(table.shape().first().copied().unwrap_or(0))
    }
}

/// The names of a family's tensors, in the file and at Hugging Face.
struct Names {
    /// Those without a block.
    of_model: &'static [(&'static str, &'static str)],
    /// What stands before a block's number at Hugging Face.
    block: &'static str,
    /// Those of a block.
    of_block: &'static [(&'static str, &'static str)],
}

impl Names {
    /// The name at Hugging Face.
    fn of(&self, name: &str) -> Option<String> {
        let find = |table: &[(&str, &'static str)], name| {
            table.iter().find(|(there, _)| *there == name).map(|(_, here)| *here)
        };
        match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
            Some((block, rest)) => {
                let block: u32 = block.parse().ok()?;
                find(self.of_block, rest).map(|name| format!("{}.{block}.{name}", self.block))
            }
            None => find(self.of_model, name).map(Into::into),
        }
    }

    /// The name in the file of a name at Hugging Face.
    fn back(&self, name: &str) -> Option<String> {
        let find = |table: &[(&'static str, &str)], name| {
            table.iter().find(|(_, here)| *here == name).map(|(there, _)| *there)
        };
        let rest = name.strip_prefix(self.block).and_then(|rest| rest.strip_prefix('.'));
        match rest.and_then(|rest| rest.split_once('.')) {
            Some((block, rest)) => find(self.of_block, rest).map(|name| format!("blk.{block}.{name}")),
            None => find(self.of_model, name).map(Into::into),
        }
    }
}

/// How a tensor of a file becomes one of a model.
struct Turned<'t> {
    /// Rows of heads of this width, whose rotary pairs are neighbours, are put in Hugging Face's order.
    pairs: &'t dyn Fn(&str) -> Option<usize>,
    /// Matrices that lie as (K, N) there if they are numbers.
    transposed: &'t dyn Fn(&str) -> bool,
}

/// The tensors of a file by Hugging Face's names: numbers, and matrices in blocks.
fn weights(
    file: &Gguf<'_>,
    names: &Names,
    turned: &Turned<'_>,
    Policy { held, precision }: Policy,
    device: &Device,
) -> Result<Weights> {
    let (mut named, mut stay) = (BTreeMap::new(), Vec::new());
    for info in file.tensors().iter().filter(|info| info.name() != llama::DIVISORS) {
        let name = names.of(info.name()).ok_or_else(|| unknown(info))?;
        match held {
            Held::AsStored if can_stay(info) => stay.push((name, info)),
            _ => {
                named.insert(name, numbers(info, turned, held)?.to_device(device)?);
            }
        }
    }
    // On a GPU each on its own, so that the host holds one at a time.
    let together = if device.is_cpu() { stay.len().max(1) } else { 1 };
    let mut rows = BTreeMap::new();
    for matrices in stay.chunks(together) {
        rows.extend(blocks(matrices, turned, device)?);
    }
    Ok(Weights::stored(named, rows, precision, device))
}

fn unknown(info: &TensorInfo<'_>) -> Error {
    wrong(format!("the tensor {} is not known", info.name()))
        .hint("models of the classes GPT-2, Llama, Qwen2 and Qwen3 without experts are")
}

/// Whether a tensor is a matrix that is multiplied in the form that it has. One of f32 gains nothing by it.
fn can_stay(info: &TensorInfo<'_>) -> bool {
    let shape = info.shape();
    shape.len() == 2 && info.kind() != warpsmith_gguf::Kind::F32 && Blocks::fits(info.kind(), shape[1])
}

/// Matrices as rows of blocks, by name, one behind the other in one piece of memory: the system has huge pages for a large
/// one, and a decoder reads all of it for each token.
fn blocks(
    matrices: &[(String, &TensorInfo<'_>)],
    turned: &Turned<'_>,
    device: &Device,
) -> Result<Vec<(String, Quantised)>> {
    let mut length = 0;
    let places: Vec<usize> = matrices
        .iter()
        .map(|(_, info)| {
            let place = length;
            length += info.size().next_multiple_of(LINE);
            place
        })
        .collect();
    let mut all = Tensor::empty(Shape::new(&[length])?, DType::U8, &Device::Cpu)?;
    let bytes = all.data_mut::<u8>()?;
    for ((_, info), place) in matrices.iter().zip(&places) {
        let row = Blocks::row_bytes(info.kind(), info.shape()[1]);
        let to = &mut bytes[*place..][..info.size()];
        info.read(to).map_err(|e| wrong(e.to_string()))?;
        if let Some(d) = pairs(info, turned) {
            let turned = halves(to, d, row);
            to.copy_from_slice(&turned);
        }
    }
    let quantised = |((name, info), place): (&(String, &TensorInfo<'_>), usize)| {
        let row = Blocks::row_bytes(info.kind(), info.shape()[1]);
        let rows = Layout::new(Shape::new(&[info.shape()[0], row])?, &[row, 1], place, length)?;
        Ok((name.clone(), Quantised::new(info.kind(), all.view(rows)?.to_device(device)?)?))
    };
    matrices.iter().zip(places).map(quantised).collect()
}

fn numbers(info: &TensorInfo<'_>, turned: &Turned<'_>, held: Held) -> Result<Tensor> {
    let shape = info.shape();
    let mut tensor = Tensor::empty(Shape::new(&shape)?, DType::F32, &Device::Cpu)?;
    let to = tensor.data_mut::<f32>()?;
    info.read_numbers(to).map_err(|e| wrong(e.to_string()))?;
    if let Some(d) = pairs(info, turned) {
        let turned = halves(to, d, shape.get(1).copied().unwrap_or(1));
        to.copy_from_slice(&turned);
    }
    if !(turned.transposed)(info.name()) || shape.len() != 2 {
        return Ok(tensor);
    }
    let tensor = tensor.view(tensor.layout().transpose(0, 1)?)?;
    match held {
        Held::AsF32 => tensor.contiguous(),
        // Products take them as they lie; what is not trained needs no copy.
        Held::AsStored => Ok(tensor),
    }
}

/// The width of the heads whose rows are to be turned. A shape that is wrong is told of when the model is built.
fn pairs(info: &TensorInfo<'_>, turned: &Turned<'_>) -> Option<usize> {
    let shape = info.shape();
    let is_whole = |d: &usize| info.size() > 0 && shape[0].is_multiple_of(*d);
    (turned.pairs)(info.name()).filter(|d| *d > 0 && is_whole(d))
}

/// Rows of heads of width D, C elements each, whose rotary pairs are (2i, 2i + 1), in the order where they are (i, i + D/2).
pub(crate) fn halves<T: Copy>(rows: &[T], d: usize, c: usize) -> Vec<T> {
    // Row i of the upper half was row 2i, row i of the lower one row 2i + 1.
    let from = |row: usize| row / d * d + row % d % (d / 2) * 2 + row % d / (d / 2);
    (0..rows.len() / c).flat_map(|row| &rows[from(row) * c..][..c]).copied().collect()
}

/// The way of [`halves`] backwards.
fn pairs_apart<T: Copy>(rows: &[T], d: usize, c: usize) -> Vec<T> {
    let from = |row: usize| row / d * d + row % d / 2 + row % 2 * (d / 2);
    (0..rows.len() / c).flat_map(|row| &rows[from(row) * c..][..c]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_pairs_come_back_where_they_were() {
        let rows: Vec<u32> = (0..2 * 6 * 3).collect();
        assert_eq!(pairs_apart(&halves(&rows, 6, 3), 6, 3), rows);
        assert_eq!(pairs_apart(&[0, 1, 2, 3], 4, 1), [0, 2, 1, 3]);
    }
}
