//! How well a model predicts a text: loss, perplexity, bits per byte, with what they are measured over.

use serde::Serialize;
use warpsmith_autograd::no_grad;
use warpsmith_model::CausalModel;
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::prelude::*;
use warpsmith_text::{Tokenizer, Tokens, metrics};

use crate::Result;
use crate::data::TensorBatch;

/// The result of [`evaluate_text`]. Losses are sums over scored tokens divided by their number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean negative log-likelihood per scored token, in nats.
    pub loss: f64,
    /// e^loss.
    pub perplexity: f64,
    /// Loss in bits per byte of the scored text.
    pub bits_per_byte: f64,
    /// The normaliser: how many tokens were scored (all but the first).
    pub tokens: usize,
    /// Bytes of the scored text.
    pub bytes: usize,
    /// The longest context, in tokens.
    pub context: usize,
    /// By how many tokens the window moves; each token is scored once, in the first window that holds it.
    pub stride: usize,
}

/// Scores `text`, in windows of `context` tokens that move by `stride`.
///
/// # Errors
/// If the text cannot be encoded or has fewer than two tokens, or stride or context are out of range.
pub fn evaluate_text(
    model: &dyn CausalModel,
    tokenizer: &Tokenizer,
    text: &str,
    context: usize,
    stride: usize,
) -> Result<Evaluation> {
    let ids = tokenizer.encode(text)?;
    let first = ids.first().map_or(Ok(0), |id| tokenizer.decode_bytes(&[*id]).map(|b| b.len()))?;
    let tokens = Tokens::from(ids);
    let windows = tokens.windows(context.min(model.context()), stride)?;
    let (mut sum, mut scored) = (0.0, 0);
    for window in windows {
        let batch = TensorBatch::new(&window, model.device())?;
        sum += no_grad(|| {
            model.forward(&batch.ids)?.cross_entropy_with(&batch.targets, CrossEntropy::SUM)?.item()
        })?;
        scored += batch.scored;
    }
    let loss = sum / scored.max(1) as f64;
    let bytes = text.len().saturating_sub(first);
    Ok(Evaluation {
        loss,
        perplexity: metrics::perplexity(loss),
        bits_per_byte: metrics::bits_per_byte(loss, scored, bytes).unwrap_or(f64::NAN),
        tokens: scored,
        bytes,
        context,
        stride,
    })
}
