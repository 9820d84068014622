//! The answers of a T5 to texts: with its encoder's work done, what is left is a model that says what comes next, and
//! everything that draws or searches takes it.

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Rng, Tensor};

use super::T5;
use crate::bert::EncoderBatch;
use crate::cache::ReadTexts;
use crate::{CausalModel, KvCache};

/// A T5 that has read a text, or several. Its answers begin with [`Answers::start`].
pub struct Answers<'a> {
    model: &'a T5,
    batch: EncoderBatch,
    texts: ReadTexts,
}

impl T5 {
    /// Reads a text, so that answers to it can be written: as many as there are rows or requests.
    ///
    /// # Errors
    /// If it has no token, or an id is out of range.
    pub fn answers(&self, prompt: &[u32]) -> Result<Answers<'_>> {
        self.answers_to(&[prompt])
    }

    /// Reads texts, each of which is answered by the request, or the row, of its number. On the CPU an answer has the bits
    /// that it has alone, since no sum depends on the padding behind a text.
    ///
    /// # Errors
    /// If there is none, one has no token, or an id is out of range.
    pub fn answers_to(&self, prompts: &[&[u32]]) -> Result<Answers<'_>> {
        let batch = EncoderBatch::new(prompts, None, self.device())?;
        let texts = no_grad(|| self.texts(&batch, &self.encode(&batch, None)?))?;
        Ok(Answers { model: self, batch, texts })
    }
}

impl Answers<'_> {
    /// The token that every answer begins with: the prompt of a decoder.
    pub fn start(&self) -> u32 {
        self.model.config().decoder_start_token_id
    }
}

impl CausalModel for Answers<'_> {
    fn vocab_size(&self) -> usize {
        self.model.config().vocab_size
    }

    /// Positions are relative: no answer is too long.
    fn context(&self) -> usize {
        usize::MAX
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn config_json(&self) -> String {
        self.model.config().to_json()
    }

    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let mut cache = self.cache(ids.dims()[0], ids.dims().get(1).copied().unwrap_or(0))?;
        self.model.decode_cached(ids, &mut cache)
    }

    fn forward_train(&self, ids: &Tensor, rng: &Rng, _recompute: bool) -> Result<Tensor> {
        self.model.forward(&self.batch, ids, Some(rng))
    }

    fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let logits = self.model.decode_cached(ids, cache)?; // (B, T, V)
        logits.slice(1, logits.dims()[1] - 1, 1, 1)
    }

    /// Rows answer the one text, or, if there are several, each its own.
    fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        self.cache_for(&(0..batch).collect::<Vec<_>>(), capacity)
    }

    fn cache_for(&self, rows: &[usize], capacity: usize) -> Result<KvCache> {
        let count = self.texts.count();
        if count == 1 {
            return self.model.cache_of(&self.texts, &vec![0; rows.len()], capacity);
        }
        match rows.iter().find(|row| **row >= count) {
            None => self.model.cache_of(&self.texts, rows, capacity),
            Some(row) => Err(Error::value("t5", format!("request {row} has no text, there are {count}"))
                .hint("ask for as many answers as texts were read")),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.model.parameters()
    }
}
