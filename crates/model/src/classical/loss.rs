//! Losses that are short sums of ops, each of which has its exact gradient.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Tensor};

/// An error unless there is one target for each number: (B, 1) and (B,) would broadcast to every number with every target.
fn require_same_shape(op: &'static str, x: &Tensor, target: &Tensor) -> Result<()> {
    if x.shape() == target.shape() {
        return Ok(());
    }
    let error =
        Error::shape(op, &[*x.shape(), *target.shape()], "takes a target for each number, in the same shape");
    Err(error.hint("bring one to the other's shape with squeeze or unsqueeze"))
}

/// The mean of (x - target)².
///
/// # Errors
/// If the shapes differ.
pub fn mean_squared_error(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    require_same_shape("mean_squared_error", x, target)?;
    x.sub(target)?.square()?.mean_all()
}

/// The mean cross-entropy, in nats, of truths in [0, 1] under σ of these logits: t·ln(1 + e⁻ˣ) + (1 - t)·ln(1 + eˣ).
///
/// Both terms are positive, so nothing cancels, and no logarithm of a rounded σ is taken: x = 100 with t = 0 is 100, not ∞, and
/// x = 30 with t = 1 is 9e-14, not 0.
///
/// # Errors
/// If the shapes differ.
pub fn binary_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    require_same_shape("binary_cross_entropy", logits, target)?;
    let (yes, no) = (logits.neg()?.softplus()?, logits.softplus()?);
    yes.mul(target)?.add(&no.mul(&target.affine(-1.0, 1.0)?)?)?.mean_all()
}

/// The mean of max(0, 1 - t·x) for truths t of -1 and 1.
///
/// # Errors
/// If the shapes differ.
pub fn hinge(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    require_same_shape("hinge", x, target)?;
    x.mul(target)?.affine(-1.0, 1.0)?.relu()?.mean_all()
}
