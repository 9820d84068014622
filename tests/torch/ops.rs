//! Single ops, forward and backward.

use warpsmith::ops::attention::{AttentionOptions, Mask};
use warpsmith::prelude::*;

use super::{Tensors, error, get, tensors};
use crate::Checked;

/// Of the largest element: an f32 result of a short sum is off by a few units of 2⁻²⁴ ≈ 6e-8 of its largest term. 1e-5
/// leaves room for the order of the sums and for cancellation, and is far below what a wrong formula does.
const RELATIVE: f64 = 1e-5;

/// Compares with the float64 truth. Some rows of the normalisations have a mean far above their spread: there float32
/// cannot hold the answer, and PyTorch's own float32 error is the yardstick, of which twice is allowed.
fn assert_fair(all: &Tensors, key: &str, ours: &Tensor) -> Checked {
    let truth = get(all, &format!("{key}.f64"))?;
    let (worst, largest) = error(ours, truth)?;
    let (theirs, _) = error(get(all, &format!("{key}.f32"))?, truth)?;
    let allowed = (RELATIVE * largest).max(2.0 * theirs);
    assert!(worst <= allowed, "{key}: off by {worst}, allowed {allowed}, PyTorch's float32 by {theirs}");
    Ok(())
}

/// Runs a case with gradients for `inputs`, and compares output and gradients.
fn check(case: &str, inputs: &[&str], run: impl Fn(&Tensors, &[Tensor]) -> TensorResult) -> Checked {
    let all = tensors("ops.safetensors")?;
    let mut leaves = Vec::new();
    for name in inputs {
        leaves.push(get(&all, &format!("{case}.{name}"))?.requires_grad()?);
    }
    let y = run(&all, &leaves)?;
    assert_fair(&all, &format!("{case}.y"), &y)?;
    let gradients = y.backward_from(get(&all, &format!("{case}.dy"))?.clone())?;
    for (name, leaf) in inputs.iter().zip(&leaves) {
        let ours = gradients.of(leaf).ok_or(format!("{case}: no gradient of {name}"))?;
        assert_fair(&all, &format!("{case}.d{name}"), ours)?;
    }
    Ok(())
}

type TensorResult = Result<Tensor, Box<dyn std::error::Error>>;

#[test]
fn gelu() -> Checked {
    check("gelu_exact", &["x"], |_, x| Ok(x[0].gelu()?))?;
    check("gelu_tanh", &["x"], |_, x| Ok(x[0].gelu_tanh()?))
}

#[test]
fn silu() -> Checked {
    check("silu", &["x"], |_, x| Ok(x[0].silu()?))
}

#[test]
fn rms_norm() -> Checked {
    check("rms_norm", &["x", "weight"], |_, x| Ok(x[0].rms_norm(&x[1], 1e-5)?))
}

#[test]
fn softmax() -> Checked {
    check("softmax", &["x"], |_, x| Ok(x[0].softmax()?))
}

#[test]
fn layer_norm() -> Checked {
    check("layer_norm", &["x", "weight", "bias"], |_, x| Ok(x[0].layer_norm(&x[1], Some(&x[2]), 1e-5)?))
}

#[test]
fn log_softmax() -> Checked {
    check("log_softmax", &["x"], |_, x| Ok(x[0].log_softmax()?))
}

#[test]
fn cross_entropy_with_ignored_targets() -> Checked {
    check("cross_entropy", &["x"], |all, x| Ok(x[0].cross_entropy(get(all, "cross_entropy.targets")?)?))
}

/// PyTorch's (B, H, T, D) to our (B, T, H, D) and back.
fn attention(case: &str, mask: Mask) -> Checked {
    check(case, &["q", "k", "v"], |_, x| {
        let [q, k, v] = [0, 1, 2].map(|i| x[i].permute(&[0, 2, 1, 3]));
        let options = AttentionOptions { mask, ..AttentionOptions::default() };
        Ok(q?.attention(&k?, &v?, &options)?.permute(&[0, 2, 1, 3])?)
    })
}

#[test]
fn causal_attention_with_shared_key_heads() -> Checked {
    attention("attention_causal_gqa", Mask::Causal)
}

#[test]
fn attention_to_other_positions() -> Checked {
    attention("attention_cross", Mask::Full)
}

#[test]
fn embedding_sums_the_gradients_of_repeated_rows() -> Checked {
    check("embedding", &["weight"], |all, x| Ok(x[0].embedding(get(all, "embedding.ids")?)?))
}

/// What PyTorch computed and nobody compares proves nothing.
#[test]
fn every_case_of_the_file_is_compared() -> Checked {
    let source = include_str!("ops.rs");
    for key in tensors("ops.safetensors")?.keys() {
        let case = key.split('.').next().unwrap_or(key);
        assert!(source.contains(&format!("(\"{case}\", ")), "{case} is compared by no test");
    }
    Ok(())
}
