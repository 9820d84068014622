//! Models as GGUF files: the way of reading, backwards.

use std::collections::BTreeMap;

use warpsmith_gguf::{Kind as Stored, Writer};
use warpsmith_ops::gelu::Form;
use warpsmith_tensor::{DType, Device, Result, Tensor};

use super::{Names, gpt, llama, pairs_apart, wrong};
use crate::layers::Scaling;
use crate::{CausalModel, Family, GptConfig, LlamaConfig, LlamaKind};

/// The architecture, the metadata under its name and the tensors of a model, matrices as `kind`; metadata of the tokenizer
/// are for the caller to add. Gains, biases and tables of positions stay F32, and so does a matrix whose rows make no whole
/// blocks.
///
/// # Errors
/// If the model is neither of the GPT-2 nor of the Llama class, or has something that the format has no place for: exact
/// GELU, rotary positions stretched in another way than by one factor or Llama 3's, biases of the gated network, windows of several
/// widths.
pub fn write_gguf(model: &dyn CausalModel, kind: Stored) -> Result<Writer> {
    let (config, mut writer) = (model.config_json(), Writer::new());
    let state = model.state();
    match Family::of(&config)? {
        Family::Gpt => {
            describe_gpt(&mut writer, &GptConfig::from_json(&config)?)?;
            let turned = |name: &str, t: Tensor| match gpt::is_transposed(name) {
                true => t.view(t.layout().transpose(0, 1)?)?.contiguous(),
                false => Ok(t),
            };
            tensors(&mut writer, state, &gpt::NAMES, kind, &turned)?;
        }
        Family::Llama => {
            let config = LlamaConfig::from_json(&config)?;
            describe_llama(&mut writer, &config)?;
            // The architecture of Mistral is Llama's there.
            let is_turned = matches!(config.kind, LlamaKind::Llama | LlamaKind::Mistral);
            let turned = |name: &str, t: Tensor| match is_turned && llama::is_of_pairs(name) {
                true => {
                    let numbers = pairs_apart(
                        &t.to_vec::<f32>()?,
                        config.head_dim,
                        t.dims().get(1).copied().unwrap_or(1),
                    );
                    Tensor::from_vec(numbers, t.dims(), &Device::Cpu)
                }
                false => Ok(t),
            };
            tensors(&mut writer, state, &llama::NAMES, kind, &turned)?;
        }
        other => return Err(wrong(format!("a {other} is not written")).hint("GPT-2 and Llama are")),
    }
    Ok(writer)
}

fn describe_gpt(writer: &mut Writer, config: &GptConfig) -> Result<()> {
    if config.activation != Form::Tanh {
        return Err(wrong("GPT-2 of this format has the GELU by tanh")
            .hint("this model has the exact one, as all that `warpsmith train` makes"));
    }
    if !config.bias {
        return Err(wrong("GPT-2 of this format has biases").hint("this model has none"));
    }
    writer.text("general.architecture", "gpt2");
    sizes(
        writer,
        "gpt2",
        &[
            ("context_length", config.block_size),
            ("embedding_length", config.n_embd),
            ("feed_forward_length", 4 * config.n_embd),
            ("block_count", config.n_layer),
            ("attention.head_count", config.n_head),
        ],
    )?;
    writer.real("gpt2.attention.layer_norm_epsilon", config.layer_norm_epsilon as f32);
    Ok(())
}

fn describe_llama(writer: &mut Writer, config: &LlamaConfig) -> Result<()> {
    let name = match config.kind {
        LlamaKind::Llama | LlamaKind::Mistral => "llama",
        LlamaKind::Qwen2 => "qwen2",
        LlamaKind::Qwen3 => "qwen3",
    };
    writer.text("general.architecture", name);
    sizes(
        writer,
        name,
        &[
            ("context_length", config.max_position_embeddings),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.intermediate_size),
            ("block_count", config.num_hidden_layers),
            ("attention.head_count", config.num_attention_heads),
            ("attention.head_count_kv", config.num_key_value_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
            ("rope.dimension_count", config.head_dim),
            ("vocab_size", config.vocab_size),
        ],
    )?;
    writer.real(&format!("{name}.attention.layer_norm_rms_epsilon"), config.rms_norm_eps as f32);
    writer.real(&format!("{name}.rope.freq_base"), config.rope.theta as f32);
    match &config.rope.scaling {
        Scaling::None => {}
        Scaling::Linear { factor } => {
            writer.text(&format!("{name}.rope.scaling.type"), "linear");
            writer.real(&format!("{name}.rope.scaling.factor"), *factor as f32);
        }
        // As divisors alone it comes back only if it is the known one.
        Scaling::Llama3 { factor, .. } if config.rope.scaling == Scaling::of_llama3(*factor) => {
            let divisors: Vec<f32> =
                config.rope.divisors(config.head_dim).into_iter().map(|d| d as f32).collect();
            let written = writer.tensor(llama::DIVISORS, &[divisors.len()], Stored::F32, &divisors);
            written.map_err(|e| wrong(e.to_string()))?;
        }
        _ => return Err(wrong("rotary positions that are stretched so are not written").hint("none, linear")),
    }
    let first = config.windows.first().copied().flatten();
    if config.windows.iter().any(|window| *window != first) {
        return Err(wrong("windows of several widths are not written"));
    }
    first.map_or(Ok(()), |window| sizes(writer, name, &[("attention.sliding_window", window)]))
}

fn sizes(writer: &mut Writer, architecture: &str, sizes: &[(&str, usize)]) -> Result<()> {
    sizes.iter().try_for_each(|&(name, size)| {
        let size =
            u32::try_from(size).map_err(|_| wrong(format!("{name} = {size} has more than 32 bits")))?;
        writer.unsigned(&format!("{architecture}.{name}"), size);
        Ok(())
    })
}

/// Tables that are looked up by position.
const POSITIONS: &str = "position_embd.weight";

fn tensors(
    writer: &mut Writer,
    state: BTreeMap<String, Tensor>,
    names: &Names,
    kind: Stored,
    turned: &dyn Fn(&str, Tensor) -> Result<Tensor>,
) -> Result<()> {
    for (name, tensor) in state {
        let there = names
            .back(&name)
            .ok_or_else(|| wrong(format!("the tensor {name} has no name in this format")))?;
        let tensor = turned(&there, tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?)?;
        let dims = tensor.dims().to_vec();
        let whole = dims.last().is_some_and(|n| n.is_multiple_of(kind.block_len()));
        let is_matrix = dims.len() == 2 && whole && there != POSITIONS;
        let kind = if is_matrix { kind } else { Stored::F32 };
        writer.tensor(&there, &dims, kind, &tensor.to_vec::<f32>()?).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(())
}
