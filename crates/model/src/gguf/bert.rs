//! BERT-class encoders of GGUF files. llama.cpp's converter leaves the pooler out.

use warpsmith_gguf::Value;
use warpsmith_ops::gelu::Form;
use warpsmith_tensor::{Device, Result};

use super::{Metadata, Names, Turned, weights, wrong};
use crate::bert::{BertConfig, BertTask, HiddenActivation};
use crate::weights::Policy;

const NAMES: Names = Names {
    of_model: &[
        ("token_embd.weight", "bert.embeddings.word_embeddings.weight"),
        ("position_embd.weight", "bert.embeddings.position_embeddings.weight"),
        ("token_types.weight", "bert.embeddings.token_type_embeddings.weight"),
        ("token_embd_norm.weight", "bert.embeddings.LayerNorm.weight"),
        ("token_embd_norm.bias", "bert.embeddings.LayerNorm.bias"),
    ],
    block: "bert.encoder.layer",
    of_block: &[
        ("attn_q.weight", "attention.self.query.weight"),
        ("attn_q.bias", "attention.self.query.bias"),
        ("attn_k.weight", "attention.self.key.weight"),
        ("attn_k.bias", "attention.self.key.bias"),
        ("attn_v.weight", "attention.self.value.weight"),
        ("attn_v.bias", "attention.self.value.bias"),
        ("attn_output.weight", "attention.output.dense.weight"),
        ("attn_output.bias", "attention.output.dense.bias"),
        ("attn_output_norm.weight", "attention.output.LayerNorm.weight"),
        ("attn_output_norm.bias", "attention.output.LayerNorm.bias"),
        ("ffn_up.weight", "intermediate.dense.weight"),
        ("ffn_up.bias", "intermediate.dense.bias"),
        ("ffn_down.weight", "output.dense.weight"),
        ("ffn_down.bias", "output.dense.bias"),
        ("layer_output_norm.weight", "output.LayerNorm.weight"),
        ("layer_output_norm.bias", "output.LayerNorm.bias"),
    ],
};

pub(super) fn model(metadata: &Metadata<'_, '_>, policy: Policy, device: &Device) -> Result<BertTask> {
    let config = config(metadata)?;
    let turned = Turned { pairs: &|_| None, transposed: &|_| false };
    let weights = weights(metadata.file, &NAMES, &turned, policy, device)?;
    BertTask::without_pooler(config, &weights)
}

/// The format has no place for the function between the layers of a block: it is BERT's own.
fn config(metadata: &Metadata<'_, '_>) -> Result<BertConfig> {
    if metadata.has("attention.causal")
        && metadata.get("attention.causal", |v| Some(*v == Value::Truth(true)))?
    {
        return Err(wrong("attention.causal is true").hint("an encoder sees all tokens"));
    }
    let types =
        metadata.file.tensor("token_types.weight").ok_or_else(|| wrong("token_types.weight is missing"))?;
    let config = BertConfig {
        vocab_size: metadata.vocab_size()?,
        hidden_size: metadata.size("embedding_length")?,
        intermediate_size: metadata.size("feed_forward_length")?,
        num_hidden_layers: metadata.blocks()?,
        num_attention_heads: metadata.size("attention.head_count")?,
        max_position_embeddings: metadata.size("context_length")?,
        type_vocab_size: types.shape().first().copied().unwrap_or(0),
        layer_norm_eps: metadata.real_or("attention.layer_norm_epsilon", 1e-12)?,
        hidden_act: HiddenActivation::Gelu(Form::Exact),
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.02,
        labels: vec!["LABEL_0".into()],
    };
    config.validate()?;
    Ok(config)
}
