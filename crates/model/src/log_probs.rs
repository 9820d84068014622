//! What a model thinks of tokens: their log-probabilities, and those of the likeliest ones in their place. They are the
//! model's own, before penalties, temperature and cuts.

use warpsmith_autograd::no_grad;
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::CausalModel;
use crate::beam::log_softmax;

/// A token and what the model thinks of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogProb {
    /// The token.
    pub token: u32,
    /// The logarithm of its probability.
    pub log_prob: f32,
    /// The likeliest tokens in its place with the logarithms of their probabilities, the likeliest first.
    pub top: Vec<(u32, f32)>,
}

impl TokenLogProb {
    /// Of one row of logits (…, V), with the `top` likeliest tokens.
    ///
    /// # Errors
    /// If the token is none of V.
    pub fn of(logits: &Tensor, token: u32, top: usize) -> Result<Self> {
        Self::of_row(&logits.to_dtype(DType::F32)?.to_vec::<f32>()?, token, top)
    }

    fn of_row(logits: &[f32], token: u32, top: usize) -> Result<Self> {
        let log_probs = log_softmax(logits);
        let log_prob = log_probs.get(token as usize).copied().ok_or_else(|| {
            Error::index("log_probs", format!("token {token} is none of {}", log_probs.len()))
        })?;
        Ok(Self { token, log_prob, top: likeliest(&log_probs, top) })
    }

    /// Of each token of a prompt but the first, which nothing stands before.
    ///
    /// # Errors
    /// If the prompt is longer than the model's context, or an id is out of range.
    pub fn of_prompt(model: &dyn CausalModel, prompt: &[u32], top: usize) -> Result<Vec<Self>> {
        let ids = Tensor::from_slice(prompt, &[1, prompt.len()], model.device())?;
        let logits = no_grad(|| model.forward(&ids))?.to_dtype(DType::F32)?.to_vec::<f32>()?; // (1, T, V)
        let rows = logits.chunks(model.vocab_size().max(1));
        prompt.iter().skip(1).zip(rows).map(|(&token, row)| Self::of_row(row, token, top)).collect()
    }
}

/// The `count` largest, of equal ones the first.
fn likeliest(log_probs: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(log_probs.iter().copied()).collect();
    let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < all.len() {
        all.select_nth_unstable_by(count, better);
        all.truncate(count);
    }
    all.sort_unstable_by(better);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first_and_of_equals_the_first() {
        let of = |token, top| TokenLogProb::of_row(&[1.0, 3.0, 3.0, f32::NEG_INFINITY], token, top);
        let found = of(0, 2).unwrap();
        // e¹ / (e¹ + 2 e³)
        let truth = (1.0f64 - (1.0f64.exp() + 2.0 * 3.0f64.exp()).ln()) as f32;
        assert!((found.log_prob - truth).abs() < 1e-6);
        assert_eq!(found.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found.top[0].1, found.top[1].1);
        assert_eq!(of(3, 9).unwrap().log_prob, f32::NEG_INFINITY);
        assert_eq!(of(3, 9).unwrap().top.len(), 4);
        assert!(of(4, 1).unwrap_err().to_string().contains("none of 4"));
    }
}
