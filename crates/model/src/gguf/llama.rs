//! Llama-class models of GGUF files. llama.cpp's converter puts the rows of queries and keys of the architecture `llama` (and of
//! no other here) in the order of neighbouring rotary pairs.

use warpsmith_gguf::Value;
use warpsmith_tensor::{Device, Result};

use super::{Metadata, Names, Turned, weights, wrong};
use crate::layers::{Rope, Scaling};
use crate::weights::Policy;
use crate::{Llama, LlamaConfig, LlamaKind};

pub(super) const NAMES: Names = Names {
    of_model: &[
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ],
    block: "model.layers",
    of_block: &[
        ("attn_norm.weight", "input_layernorm.weight"),
        ("attn_q.weight", "self_attn.q_proj.weight"),
        ("attn_k.weight", "self_attn.k_proj.weight"),
        ("attn_v.weight", "self_attn.v_proj.weight"),
        ("attn_output.weight", "self_attn.o_proj.weight"),
        ("attn_q.bias", "self_attn.q_proj.bias"),
        ("attn_k.bias", "self_attn.k_proj.bias"),
        ("attn_v.bias", "self_attn.v_proj.bias"),
        ("attn_output.bias", "self_attn.o_proj.bias"),
        ("attn_q_norm.weight", "self_attn.q_norm.weight"),
        ("attn_k_norm.weight", "self_attn.k_norm.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
        ("ffn_gate.weight", "mlp.gate_proj.weight"),
        ("ffn_up.weight", "mlp.up_proj.weight"),
        ("ffn_down.weight", "mlp.down_proj.weight"),
    ],
};

const OF_PAIRS: [&str; 4] = ["attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias"];

/// By what the frequencies of the rotary pairs are divided: what llama.cpp's converter makes of Llama 3's scaling.
pub(super) const DIVISORS: &str = "rope_freqs.weight";

/// Whether the rows of a tensor are turned by rotary positions.
pub(super) fn is_of_pairs(name: &str) -> bool {
    OF_PAIRS.iter().any(|end| name.ends_with(end))
}

pub(super) fn model(metadata: &Metadata<'_, '_>, policy: Policy, device: &Device) -> Result<Llama> {
    let config = config(metadata)?;
    let (is_turned, d) = (config.kind == LlamaKind::Llama, config.head_dim);
    let turned =
        Turned { pairs: &|name| (is_turned && is_of_pairs(name)).then_some(d), transposed: &|_| false };
    Llama::build(config, &weights(metadata.file, &NAMES, &turned, policy, device)?)
}

fn scaling(metadata: &Metadata<'_, '_>, theta: f64, head_dim: usize) -> Result<Scaling> {
    if let Some(divisors) = metadata.file.tensor(DIVISORS) {
        let divisors = divisors.numbers().map_err(|e| wrong(e.to_string()))?;
        return divided(&divisors, theta, head_dim);
    }
    if !metadata.has("rope.scaling.type") {
        return Ok(Scaling::None);
    }
    match metadata.get("rope.scaling.type", Value::as_text)? {
        "none" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor: metadata.real_or("rope.scaling.factor", 1.0)? }),
        other => Err(wrong(format!("rope scaling `{other}` is not supported")).hint("none, linear")),
    }
}

/// The scaling of these divisors. The file does not say what they were computed of, but only the factor ever differed.
fn divided(divisors: &[f32], theta: f64, head_dim: usize) -> Result<Scaling> {
    // The longest wave, which is the last, is divided whole.
    let scaling = Scaling::of_llama3(divisors.last().copied().unwrap_or(1.0).into());
    let truth = Rope { theta, scaling: scaling.clone() }.divisors(head_dim);
    // The converter computes in f32.
    let is_close = |(ours, theirs): (&f64, &f32)| (ours - f64::from(*theirs)).abs() <= 1e-4 * ours;
    match truth.len() == divisors.len() && truth.iter().zip(divisors).all(is_close) {
        true => Ok(scaling),
        false => Err(wrong(format!("{DIVISORS} stretches rotary positions in a way that is not known"))
            .hint("that of Llama 3.1, 3.2 and 3.3 is")),
    }
}

fn config(metadata: &Metadata<'_, '_>) -> Result<LlamaConfig> {
    let kinds = [LlamaKind::Llama, LlamaKind::Qwen2, LlamaKind::Qwen3];
    let kind = kinds.into_iter().find(|kind| kind.name() == metadata.architecture);
    let kind = kind.ok_or_else(|| wrong(format!("`{}` is no Llama", metadata.architecture)))?;
    let (width, heads) = (metadata.size("embedding_length")?, metadata.size("attention.head_count")?);
    let blocks = metadata.blocks()?;
    let head_dim = metadata.size_or("attention.key_length", width.checked_div(heads).unwrap_or(0))?;
    if metadata.size_or("rope.dimension_count", head_dim)? != head_dim {
        return Err(wrong("heads turn in part").hint("rope.dimension_count has to be the width of a head"));
    }
    let theta = metadata.real_or("rope.freq_base", 1e4)?;
    let has_window = metadata.has("attention.sliding_window");
    let window = has_window.then(|| metadata.size("attention.sliding_window")).transpose()?;
    let config = LlamaConfig {
        kind,
        vocab_size: metadata.vocab_size()?,
        hidden_size: width,
        intermediate_size: metadata.size("feed_forward_length")?,
        num_hidden_layers: blocks,
        num_attention_heads: heads,
        num_key_value_heads: metadata.size_or("attention.head_count_kv", heads)?,
        head_dim,
        max_position_embeddings: metadata.size("context_length")?,
        rms_norm_eps: metadata.real_or("attention.layer_norm_rms_epsilon", 1e-5)?,
        rope: Rope { theta, scaling: scaling(metadata, theta, head_dim)? },
        tie_word_embeddings: metadata.file.tensor("output.weight").is_none(),
        attention_bias: metadata.file.tensor("blk.0.attn_q.bias").is_some(),
        windows: vec![window.filter(|window| *window > 0); blocks],
        ..LlamaConfig::default()
    };
    config.validate()?;
    Ok(config)
}
