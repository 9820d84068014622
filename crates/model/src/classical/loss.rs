//! Losses that are short sums of ops, each of which has its exact gradient.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

/// The mean of (x - target)².
///
/// # Errors
/// If the shapes do not broadcast.
pub fn mean_squared_error(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    x.sub(target)?.square()?.mean_all()
}

/// The mean cross-entropy, in nats, of truths in [0, 1] under σ of these logits: t·ln(1 + e⁻ˣ) + (1 - t)·ln(1 + eˣ).
///
/// Both terms are positive, so nothing cancels, and no logarithm of a rounded σ is taken: x = 100 with t = 0 is 100, not ∞, and
/// x = 30 with t = 1 is 9e-14, not 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn binary_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let (yes, no) = (logits.neg()?.softplus()?, logits.softplus()?);
    yes.mul(target)?.add(&no.mul(&target.affine(-1.0, 1.0)?)?)?.mean_all()
}

/// The mean of max(0, 1 - t·x) for truths t of -1 and 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn hinge(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    x.mul(target)?.affine(-1.0, 1.0)?.relu()?.mean_all()
}
