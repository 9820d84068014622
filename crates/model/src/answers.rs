//! Models that read a text and answer it, and their answers: with the encoder's work done, what is left is a model that says
//! what comes next, and everything that draws or searches takes it.

use std::collections::BTreeMap;

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Rng, Tensor};

use crate::bert::EncoderBatch;
use crate::cache::ReadTexts;
use crate::weights::state;
use crate::{CausalModel, Family, KvCache, Marian, T5, Weights};

/// An encoder that reads a text, and a decoder that answers it.
pub trait EncoderDecoder {
    /// V: how many tokens there are.
    fn vocab_size(&self) -> usize;

    /// The token that every answer begins with: the prompt of the decoder.
    fn start(&self) -> u32;

    /// How long an answer may be.
    fn context(&self) -> usize;

    /// Where the model lives.
    fn device(&self) -> &Device;

    /// The text of `config.json`, as transformers reads it.
    fn config_json(&self) -> String;

    /// What the encoder makes of its texts: (B, T) → (B, T, C). With `rng`, activations are dropped. What stands behind a
    /// text's end means nothing.
    ///
    /// # Errors
    /// If a text is too long, or an id out of range.
    fn encode(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor>;

    /// The keys and values (B, T, H, D) of the encoder's output (B, T, C), for each block of the decoder.
    ///
    /// # Errors
    /// If memory runs out.
    fn memory(&self, encoded: &Tensor) -> Result<Vec<(Tensor, Tensor)>>;

    /// Texts as the blocks of the decoder see them.
    ///
    /// # Errors
    /// As [`EncoderDecoder::encode`].
    fn read(&self, batch: &EncoderBatch) -> Result<ReadTexts> {
        let blocks = self.memory(&self.encode(batch, None)?)?;
        Ok(ReadTexts { blocks, lengths: batch.lengths.clone() })
    }

    /// A cache whose row i answers text `rows[i]` by at most `capacity` tokens.
    ///
    /// # Errors
    /// If there is no such text, the capacity passes the context, or memory runs out.
    fn cache_of(&self, texts: &ReadTexts, rows: &[usize], capacity: usize) -> Result<KvCache>;

    /// Logits of the next token of every position of the decoder: ids (B, T) behind what `cache` holds → (B, T, V).
    ///
    /// # Errors
    /// If the sequence would pass the capacity of the cache, an id is out of range, or the cache answers no text.
    fn decode_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor>;

    /// Logits of the next token at every position: `batch` and what the decoder has said, (B, T) → (B, T, V). With `rng`,
    /// activations are dropped.
    ///
    /// # Errors
    /// If a sequence is too long, or an id out of range.
    fn forward(&self, batch: &EncoderBatch, ids: &Tensor, rng: Option<&Rng>) -> Result<Tensor>;

    /// All parameters, tied ones once, in the order of the forward pass.
    fn parameters(&self) -> Vec<Parameter>;

    /// All weights by their names in transformers, tied ones once.
    fn state(&self) -> BTreeMap<String, Tensor> {
        state(&self.parameters())
    }
}

/// The model that a `config.json` and its weights describe.
///
/// # Errors
/// If the family is none that answers texts, or the config makes no model; if a tensor is missing, unexpected or misshapen.
pub fn answering_model(config: &str, weights: &Weights) -> Result<Box<dyn EncoderDecoder>> {
    Ok(match Family::of(config)? {
        Family::T5 => Box::new(T5::from_weights(config, weights)?),
        Family::Marian => Box::new(Marian::from_weights(config, weights)?),
        other => {
            return Err(Error::value("config.json", format!("a {other} answers no text"))
                .hint("a T5 or a Marian does"));
        }
    })
}

/// A model that has read a text, or several. Its answers begin with [`Answers::start`].
pub struct Answers<'a, M: EncoderDecoder + ?Sized = dyn EncoderDecoder> {
    model: &'a M,
    batch: EncoderBatch,
    texts: ReadTexts,
}

impl<'a, M: EncoderDecoder + ?Sized> Answers<'a, M> {
    /// Reads texts, so that answers can be written. One text is answered by as many rows or requests as there are; of
    /// several, each by the request, or the row, of its number. On the CPU an answer has the bits that it has alone, since
    /// no sum depends on the padding behind a text.
    ///
    /// # Errors
    /// If there is none, one has no token or is too long, or an id is out of range.
    pub fn to(model: &'a M, texts: &[&[u32]]) -> Result<Self> {
        let batch = EncoderBatch::new(texts, None, model.device())?;
        let texts = no_grad(|| model.read(&batch))?;
        Ok(Self { model, batch, texts })
    }

    /// The token that every answer begins with.
    pub fn start(&self) -> u32 {
        self.model.start()
    }
}

impl<M: EncoderDecoder + ?Sized> CausalModel for Answers<'_, M> {
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn context(&self) -> usize {
        self.model.context()
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn config_json(&self) -> String {
        self.model.config_json()
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
            Some(row) => {
                Err(Error::value("answers", format!("request {row} has no text, there are {count}"))
                    .hint("ask for as many answers as texts were read"))
            }
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.model.parameters()
    }
}
