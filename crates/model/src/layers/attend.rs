//! Attention in the precision of a model.

use warpsmith_ops::attention::AttentionOptions;
use warpsmith_ops::linear::Precision;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Result, Tensor};

/// q (B, Tq, H, D), k and v (B, Tk, Hkv, D) → (B, Tq, H, D), in f32 where they were rounded.
pub(crate) fn attend(qkv: [&Tensor; 3], options: &AttentionOptions, precision: Precision) -> Result<Tensor> {
    let [q, k, v] = qkv.map(|x| precision.for_attention(x));
    let y = q?.attention(&k?, &v?, options)?;
    if precision == Precision::Bf16 && y.dtype() == DType::BF16 { y.cast(DType::F32) } else { Ok(y) }
}
