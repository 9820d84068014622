//! Checkpoints of llama2.c (the layout of its first version): a head of seven i32, then f32 tensors one after the other, those
//! of all layers together, and the tables of rotary positions.
//!
//! Source: the structs `Config` and `TransformerWeights` of llama2.c's `run.c`.

use std::collections::BTreeMap;

use warpsmith_tensor::{Device, Error, Kind, Result, Tensor};

use super::LlamaConfig;
use crate::gguf::halves;

/// The context of a head that is of no use has this much at most: beyond it, sizes would only overflow later.
const MOST: i32 = 1 << 24;

fn file(message: impl Into<String>) -> Error {
    Error::new(Kind::File, "llama2.c checkpoint", message)
}

/// The config and the tensors, by Hugging Face's names, of a checkpoint.
///
/// Its rotary pairs are neighbours, (2i, 2i + 1), where Hugging Face pairs (i, i + D/2): the rows of the projections of
/// queries and keys are put in the other order.
///
/// # Errors
/// If the head makes no model, or the file is not as long as the head says.
pub fn from_llama2c(bytes: &[u8]) -> Result<(LlamaConfig, BTreeMap<String, Tensor>)> {
    let (config, head_is_own) = config(bytes)?;
    let mut floats = Floats { rest: bytes.get(28..).unwrap_or_default() };
    let tensors = tensors(&config, head_is_own, &mut floats)?;
    match floats.rest.len() {
        0 => Ok((config, tensors)),
        more => Err(file(format!("{more} bytes stand behind the last tensor"))),
    }
}

/// What the head says; and whether the head of the model is not the embedding, which a negative vocabulary says.
fn config(bytes: &[u8]) -> Result<(LlamaConfig, bool)> {
    let head = bytes.first_chunk::<28>().ok_or_else(|| file("it has no head of 28 bytes"))?;
    let mut numbers = [0; 7];
    for (number, bytes) in numbers.iter_mut().zip(head.chunks_exact(4)) {
        *number = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    let [width, hidden, layers, heads, kv_heads, vocab, context] = numbers;
    if [width, hidden, layers, heads, kv_heads, context].iter().any(|n| !(1..MOST).contains(n))
        || !(1..MOST as u32).contains(&vocab.unsigned_abs())
        || width % heads != 0
    {
        return Err(file(format!("its head {numbers:?} makes no model"))
            .hint("width, hidden width, layers, heads, key heads, vocabulary, context"));
    }
    let config = LlamaConfig {
        vocab_size: vocab.unsigned_abs() as usize,
        hidden_size: width as usize,
        intermediate_size: hidden as usize,
        num_hidden_layers: layers as usize,
        num_attention_heads: heads as usize,
        num_key_value_heads: kv_heads as usize,
        head_dim: (width / heads) as usize,
        max_position_embeddings: context as usize,
        tie_word_embeddings: vocab > 0,
        windows: Vec::new(),
        ..LlamaConfig::default()
    };
    // A list as long as the head's word for it only once the file is known to be as long.
    let needed = size(&config, vocab < 0).ok_or_else(|| file("its head asks for more than there can be"))?;
    if bytes.len() != needed {
        let message = format!("it has {} bytes, its head {numbers:?} asks for {needed}", bytes.len());
        return Err(file(message).hint("is it cut off, or of a later version?"));
    }
    let config = LlamaConfig { windows: vec![None; config.num_hidden_layers], ..config };
    config.validate()?;
    Ok((config, vocab < 0))
}

/// The bytes of a file of this config.
fn size(config: &LlamaConfig, head_is_own: bool) -> Option<usize> {
    let (c, hidden) = (config.hidden_size, config.intermediate_size);
    let kv = config.num_key_value_heads.checked_mul(config.head_dim)?;
    let attention = c.checked_mul(c.checked_mul(2)?.checked_add(kv.checked_mul(2)?)?)?;
    let block = attention.checked_add(c.checked_mul(hidden.checked_mul(3)?.checked_add(2)?)?)?;
    let blocks = block.checked_mul(config.num_hidden_layers)?;
    let tables = config.vocab_size.checked_mul(c)?.checked_mul(if head_is_own { 2 } else { 1 })?;
    let angles = config.max_position_embeddings.checked_mul(config.head_dim)?;
    let floats = blocks.checked_add(tables)?.checked_add(c)?.checked_add(angles)?;
    floats.checked_mul(4)?.checked_add(28)
}

/// Numbers taken from the front.
struct Floats<'a> {
    rest: &'a [u8],
}

impl Floats<'_> {
    fn take(&mut self, count: usize) -> Result<Vec<f32>> {
        let cut = || file("it ends within a tensor");
        let (taken, rest) = self.rest.split_at_checked(count.saturating_mul(4)).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn tensor(&mut self, dims: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(self.take(dims.iter().product())?, dims, &Device::Cpu)
    }

    /// A projection to heads, (heads·D, C), in Hugging Face's order of rows.
    fn turned(&mut self, heads: usize, d: usize, c: usize) -> Result<Tensor> {
        Tensor::from_vec(halves(&self.take(heads * d * c)?, d, c), &[heads * d, c], &Device::Cpu)
    }
}

fn tensors(
    config: &LlamaConfig,
    head_is_own: bool,
    floats: &mut Floats<'_>,
) -> Result<BTreeMap<String, Tensor>> {
    let LlamaConfig { vocab_size: v, hidden_size: c, intermediate_size: hidden, head_dim: d, .. } = *config;
    let (h, kv) = (config.num_attention_heads, config.num_key_value_heads);
    let mut found = BTreeMap::from([("model.embed_tokens.weight".to_string(), floats.tensor(&[v, c])?)]);
    let mut of_layers = |name: &str, read: &mut dyn FnMut() -> Result<Tensor>| -> Result<()> {
        for i in 0..config.num_hidden_layers {
            found.insert(format!("model.layers.{i}.{name}.weight"), read()?);
        }
        Ok(())
    };
    of_layers("input_layernorm", &mut || floats.tensor(&[c]))?;
    of_layers("self_attn.q_proj", &mut || floats.turned(h, d, c))?;
    of_layers("self_attn.k_proj", &mut || floats.turned(kv, d, c))?;
    of_layers("self_attn.v_proj", &mut || floats.tensor(&[kv * d, c]))?;
    of_layers("self_attn.o_proj", &mut || floats.tensor(&[c, h * d]))?;
    of_layers("post_attention_layernorm", &mut || floats.tensor(&[c]))?;
    of_layers("mlp.gate_proj", &mut || floats.tensor(&[hidden, c]))?;
    of_layers("mlp.down_proj", &mut || floats.tensor(&[c, hidden]))?;
    of_layers("mlp.up_proj", &mut || floats.tensor(&[hidden, c]))?;
    found.insert("model.norm.weight".into(), floats.tensor(&[c])?);
    // Cosines and sines, which the config gives as well.
    floats.take(config.max_position_embeddings * d)?;
    if head_is_own {
        found.insert("lm_head.weight".into(), floats.tensor(&[v, c])?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout is held by the text of a real checkpoint; here, that sizes are what the head says.
    fn checkpoint(vocab: i32) -> Vec<u8> {
        let head = [8i32, 12, 2, 4, 2, vocab, 6];
        let count = 2 * (8 * (8 + 4 + 4 + 8) + 3 * 8 * 12 + 16) + 8 + 6 * 2;
        let tables = 8 * vocab.unsigned_abs() as usize * if vocab < 0 { 2 } else { 1 };
        let numbers = (0..count + tables).map(|i| i as f32);
        let bytes = head.iter().flat_map(|n| n.to_le_bytes());
        bytes.chain(numbers.flat_map(f32::to_le_bytes)).collect()
    }

    #[test]
    fn a_checkpoint_makes_a_model() {
        for (vocab, count) in [(10, 20), (-10, 21)] {
            let (config, tensors) = from_llama2c(&checkpoint(vocab)).unwrap();
            assert_eq!((tensors.len(), config.tie_word_embeddings), (count, vocab > 0));
            let built = crate::causal_model(&config.to_json(), tensors.clone(), &Device::Cpu).unwrap();
            assert_eq!(built.state().len(), count);
            // Heads are two wide: no pair moves.
            let first = |name: &str| tensors[name].to_vec::<f32>().unwrap()[0];
            assert_eq!(first("model.layers.0.input_layernorm.weight"), 80.0);
            assert_eq!(first("model.layers.1.self_attn.q_proj.weight"), 80.0 + 16.0 + 64.0);
        }
    }

    #[test]
    fn pairs_of_neighbours_become_pairs_of_halves() {
        let rows: Vec<f32> = (0..16u8).map(f32::from).collect();
        let rows = halves(&rows, 4, 2);
        assert_eq!(rows[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(rows[8..], [8.0, 9.0, 12.0, 13.0, 10.0, 11.0, 14.0, 15.0]);
    }

    #[test]
    fn files_that_are_none_are_refused() {
        let whole = checkpoint(10);
        for length in (0..29).chain([whole.len() / 2, whole.len() - 1]) {
            assert!(from_llama2c(&whole[..length]).is_err(), "{length}");
        }
        assert!(from_llama2c(&[&whole[..], &[0; 4]].concat()).is_err());
        for at in 0..7 {
            for number in [0, -1, i32::MAX, i32::MIN] {
                let mut bytes = whole.clone();
                bytes[4 * at..4 * at + 4].copy_from_slice(&number.to_le_bytes());
                assert!(from_llama2c(&bytes).is_err(), "number {at} = {number}");
            }
        }
    }
}
