//! What reads texts for their hidden states: an encoder, or a decoder without its language head.

use warpsmith_autograd::no_grad;
use warpsmith_tensor::{Device, Result, Tensor};

use crate::bert::{BertTask, EncoderBatch};
use crate::body::Body;
use crate::family::Family;
use crate::pooling::Pooling;
use crate::weights::Weights;

/// A model that reads.
pub struct TextReader(Kind);

enum Kind {
    Encoder(Box<BertTask>),
    Decoder(Box<Body>),
}

impl TextReader {
    /// The model that a `config.json` and the weights of its file describe. The language head of a decoder is left out, and
    /// need not be there.
    ///
    /// # Errors
    /// If the family answers texts instead of reading them, or the config makes no model; if a tensor is missing, unexpected
    /// or misshapen.
    pub fn from_weights(config: &str, weights: &Weights) -> Result<Self> {
        let family = Family::of(config)?;
        family.check_reads()?;
        match family {
            Family::Bert => BertTask::from_weights(config, weights).map(Into::into),
            _ => Body::from_weights(config, weights).map(Into::into),
        }
    }

    /// Where the model lives.
    pub fn device(&self) -> &Device {
        match &self.0 {
            Kind::Encoder(model) => model.encoder().device(),
            Kind::Decoder(model) => model.causal().device(),
        }
    }

    /// The longest sequence that the model can see.
    pub fn context(&self) -> usize {
        match &self.0 {
            Kind::Encoder(model) => model.encoder().config().max_position_embeddings,
            Kind::Decoder(model) => model.causal().context(),
        }
    }

    /// How many sequences may run together: rotary positions that turn by the length of the longest let each run alone.
    pub fn most_together(&self, wanted: usize) -> usize {
        match &self.0 {
            Kind::Decoder(model) if model.causal().sees_capacity() => 1,
            _ => wanted,
        }
    }

    /// The last hidden states: (B, T) → (B, T, C). What stands behind a sequence's end means nothing.
    ///
    /// # Errors
    /// If T passes the context, or an id or type is out of range.
    pub fn hidden(&self, batch: &EncoderBatch) -> Result<Tensor> {
        no_grad(|| match &self.0 {
            Kind::Encoder(model) => model.encoder().forward(batch, None),
            // No token sees what stands behind it, so that the ids behind a sequence's end change nothing.
            Kind::Decoder(model) => model.hidden(&batch.ids, None),
        })
    }

    /// The vector of each sequence: (B, T) → (B, C), divided by its length if `normalise`. It has the same bits whatever
    /// stands beside it, but for [`TextReader::most_together`].
    ///
    /// # Errors
    /// As [`TextReader::hidden`].
    pub fn vectors(&self, batch: &EncoderBatch, pooling: Pooling, normalise: bool) -> Result<Tensor> {
        let hidden = self.hidden(batch)?;
        no_grad(|| pooling.vectors(&hidden, &batch.lengths, normalise))
    }
}

impl From<BertTask> for TextReader {
    fn from(model: BertTask) -> Self {
        Self(Kind::Encoder(Box::new(model)))
    }
}

impl From<Body> for TextReader {
    fn from(model: Body) -> Self {
        Self(Kind::Decoder(Box::new(model)))
    }
}
