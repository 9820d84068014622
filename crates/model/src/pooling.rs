//! How the hidden states of a sequence become one vector.
//!
//! Source: Reimers & Gurevych, *Sentence-BERT*, 2019, arXiv 1908.10084, §3.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Error, Result, Tensor};

/// Which hidden states of a sequence its vector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean over the sequence.
    Mean,
    /// That of the first token, which in an encoder has seen all others.
    First,
    /// That of the last token, which in a decoder has seen all others.
    Last,
}

impl Pooling {
    /// One vector for each sequence: hidden (B, T, C) of sequences of `lengths` (B,) → (B, C), divided by its length if
    /// `normalise`. What stands behind a sequence's end changes no bit.
    ///
    /// # Errors
    /// If `hidden` has another shape.
    pub fn vectors(self, hidden: &Tensor, lengths: &Tensor, normalise: bool) -> Result<Tensor> {
        let vectors = self.pool(hidden, lengths)?;
        if !normalise {
            return Ok(vectors);
        }
        // sentence-transformers keeps the divisor away from 0 by as much.
        let norm = vectors.square()?.sum(&[-1], true)?.sqrt()?.clamp(1e-12, f64::INFINITY)?;
        vectors.div(&norm)
    }

    /// hidden (B, T, C), lengths (B,) → (B, C)
    pub(crate) fn pool(self, hidden: &Tensor, lengths: &Tensor) -> Result<Tensor> {
        let &[b, t, c] = hidden.dims() else {
            return Err(Error::shape("pool", &[*hidden.shape()], "takes hidden states (B, T, C)"));
        };
        match self {
            Self::First => hidden.slice(1, 0, 1, 1)?.reshape(&[b, c]),
            Self::Last => {
                let ends = lengths.to_vec::<i64>()?.into_iter().enumerate();
                let last: Vec<i64> = ends.map(|(row, n)| (row * t) as i64 + n - 1).collect();
                hidden.reshape(&[b * t, c])?.embedding(&Tensor::from_vec(last, &[b], &hidden.device())?)
            }
            Self::Mean => {
                // A product with shares, since its sums over T do not depend on how far the batch is padded.
                let shares = lengths
                    .to_vec::<i64>()?
                    .into_iter()
                    .flat_map(|n| (0..t).map(move |i| if (i as i64) < n { 1.0 / n as f32 } else { 0.0 }));
                let shares = Tensor::from_vec(shares.collect(), &[b, 1, t], &hidden.device())?;
                shares.to_dtype(DType::F32)?.matmul(hidden)?.reshape(&[b, c])
            }
        }
    }
}
