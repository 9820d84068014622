//! GPT-2-class models of GGUF files.

use warpsmith_ops::gelu::Form;
use warpsmith_tensor::{Device, Result};

use super::{Metadata, Names, Turned, weights};
use crate::weights::Policy;
use crate::{Gpt, GptConfig};

pub(super) const NAMES: Names = Names {
    of_model: &[
        ("token_embd.weight", "transformer.wte.weight"),
        ("position_embd.weight", "transformer.wpe.weight"),
        ("output_norm.weight", "transformer.ln_f.weight"),
        ("output_norm.bias", "transformer.ln_f.bias"),
        ("output.weight", "lm_head.weight"),
    ],
    block: "transformer.h",
    of_block: &[
        ("attn_norm.weight", "ln_1.weight"),
        ("attn_norm.bias", "ln_1.bias"),
        ("attn_qkv.weight", "attn.c_attn.weight"),
        ("attn_qkv.bias", "attn.c_attn.bias"),
        ("attn_output.weight", "attn.c_proj.weight"),
        ("attn_output.bias", "attn.c_proj.bias"),
        ("ffn_norm.weight", "ln_2.weight"),
        ("ffn_norm.bias", "ln_2.bias"),
        ("ffn_up.weight", "mlp.c_fc.weight"),
        ("ffn_up.bias", "mlp.c_fc.bias"),
        ("ffn_down.weight", "mlp.c_proj.weight"),
        ("ffn_down.bias", "mlp.c_proj.bias"),
    ],
};

/// llama.cpp's converter turns the matrices of the blocks to (N, K); here they are turned back.
const TRANSPOSED: [&str; 4] = ["attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"];

/// Whether a tensor of the file lies the other way round than at Hugging Face.
pub(super) fn is_transposed(name: &str) -> bool {
    TRANSPOSED.iter().any(|end| name.ends_with(end))
}

pub(super) fn model(metadata: &Metadata<'_, '_>, policy: Policy, device: &Device) -> Result<Gpt> {
    let turned = Turned { pairs: &|_| None, transposed: &is_transposed };
    let config = config(metadata)?;
    let weights = weights(metadata.file, &NAMES, &turned, policy, device)?;
    Gpt::from_weights(config, &weights)
}

fn config(metadata: &Metadata<'_, '_>) -> Result<GptConfig> {
    let config = GptConfig {
        vocab_size: metadata.vocab_size()?,
        block_size: metadata.size("context_length")?,
        n_layer: metadata.blocks()?,
        n_head: metadata.size("attention.head_count")?,
        n_embd: metadata.size("embedding_length")?,
        bias: metadata.file.tensor("output_norm.bias").is_some(),
        activation: Form::Tanh,
        layer_norm_epsilon: metadata.real_or("attention.layer_norm_epsilon", 1e-5)?,
        ..GptConfig::default()
    };
    config.validate()?;
    let inner = metadata.size_or("feed_forward_length", 4 * config.n_embd)?;
    match inner == 4 * config.n_embd {
        true => Ok(config),
        false => {
            Err(super::wrong(format!("feed_forward_length {inner}"))
                .hint("4 · embedding_length is supported"))
        }
    }
}
