//! Attention in the precision of a model.

use warpsmith_ops::attention::AttentionOptions;
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

/// q (B, Tq, H, D), k and v (B, Tk, Hkv, D) → (B, Tq, H, D), in bf16 where they were rounded: a product reads it next.
pub(crate) fn attend(qkv: [&Tensor; 3], options: &AttentionOptions, precision: Precision) -> Result<Tensor> {
    let [q, k, v] = qkv.map(|x| precision.operand(x));
    q?.attention(&k?, &v?, options)
}
