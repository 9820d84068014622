//! The answers of a T5 to one text: with its encoder's work done, what is left is a model that says what comes next, and
//! everything that draws or searches takes it.

use std::cell::RefCell;

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Result, Rng, Tensor};

use super::T5;
use crate::bert::EncoderBatch;
use crate::{CausalModel, KvCache};

/// A T5 that has read a text. Its answers begin with [`Answers::start`].
pub struct Answers<'a> {
    model: &'a T5,
    batch: EncoderBatch,
    /// Keys and values of what was read, (1, T, H, D) for each block.
    cross: Vec<(Tensor, Tensor)>,
    /// The same for as many rows as were asked for last.
    repeated: RefCell<Repeated>,
}

struct Repeated {
    rows: usize,
    cross: Vec<(Tensor, Tensor)>,
    lengths: Tensor,
}

impl T5 {
    /// Reads a text, so that answers to it can be written.
    ///
    /// # Errors
    /// If it has no token, or an id is out of range.
    pub fn answers(&self, prompt: &[u32]) -> Result<Answers<'_>> {
        let batch = EncoderBatch::new(&[prompt], None, self.device())?;
        let cross = no_grad(|| self.memory(&self.encode(&batch, None)?))?;
        let repeated = Repeated { rows: 1, cross: cross.clone(), lengths: batch.lengths.clone() };
        Ok(Answers { model: self, batch, cross, repeated: RefCell::new(repeated) })
    }
}

impl Answers<'_> {
    /// The token that every answer begins with: the prompt of a decoder.
    pub fn start(&self) -> u32 {
        self.model.config().decoder_start_token_id
    }

    /// What was read, for `rows` answers at a time.
    fn memory(&self, rows: usize) -> Result<(Vec<(Tensor, Tensor)>, Tensor)> {
        let mut repeated = self.repeated.borrow_mut();
        if repeated.rows != rows {
            let index = Tensor::from_vec(vec![0i64; rows], &[rows], self.model.device())?;
            let repeat = |t: &Tensor| t.index_select(0, &index);
            let pair = |(k, v): &(Tensor, Tensor)| Ok((repeat(k)?, repeat(v)?));
            let cross = self.cross.iter().map(pair).collect::<Result<_>>()?;
            *repeated = Repeated { rows, cross, lengths: repeat(&self.batch.lengths)? };
        }
        Ok((repeated.cross.clone(), repeated.lengths.clone()))
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
        self.decode(ids, &mut cache)
    }

    fn forward_train(&self, ids: &Tensor, rng: &Rng, _recompute: bool) -> Result<Tensor> {
        self.model.forward(&self.batch, ids, Some(rng))
    }

    fn forward_cached(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let logits = self.decode(ids, cache)?; // (B, T, V)
        logits.slice(1, logits.dims()[1] - 1, 1, 1)
    }

    fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        let c = self.model.config();
        let dims = [batch, capacity, c.num_heads, c.d_kv];
        KvCache::new(c.num_decoder_layers, dims, DType::F32, self.model.device())
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.model.parameters()
    }
}

impl Answers<'_> {
    /// Logits (B, T, V) at each of these positions behind what the cache holds.
    fn decode(&self, ids: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let (cross, lengths) = self.memory(ids.dims().first().copied().unwrap_or(0))?;
        self.model.decode(ids, cache, &cross, &lengths)
    }
}
