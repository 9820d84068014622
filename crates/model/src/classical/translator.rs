//! LSTM encoder and decoder, with additive attention or without.
//!
//! Without, all that the decoder knows of the source is the encoder's last state. With it, each step asks all of the encoder's
//! states, and what it finds goes into the step and into the head.
//!
//! Sources: Sutskever, Vinyals and Le, *Sequence to Sequence Learning*, 2014, arXiv 1409.3215; Bahdanau, Cho and Bengio, 2015,
//! arXiv 1409.0473.

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_ops::cross_entropy::IGNORE_INDEX;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Scope, Seed, Tensor};

use super::{AdditiveAttention, Cell, Keys, Recurrent, RecurrentConfig, RecurrentState};
use crate::layers::{Embedding, Linear};
use crate::weights::Weights;

/// The shape of a [`Translator`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TranslatorConfig {
    /// Tokens of the source.
    pub source_vocab: usize,
    /// Tokens of the target.
    pub target_vocab: usize,
    /// C: numbers of a token.
    pub embedding_size: usize,
    /// H: numbers of a state.
    pub hidden_size: usize,
    /// Whether the decoder asks the encoder's states.
    pub attention: bool,
}

/// A sequence from another.
#[derive(Clone, Debug)]
pub struct Translator {
    source: Embedding,
    encoder: Recurrent,
    target: Embedding,
    decoder: Recurrent,
    attention: Option<AdditiveAttention>,
    head: Linear,
    device: Device,
}

/// What the decoder starts from: the source, read.
#[derive(Clone, Debug)]
pub struct Source {
    state: RecurrentState,
    keys: Option<Keys>,
}

impl Translator {
    /// A model with random weights.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(config: &TranslatorConfig, device: &Device, seed: Seed) -> Result<Self> {
        let (c, h) = (config.embedding_size, config.hidden_size);
        let weights = Weights::random(seed, device);
        let lstm =
            |name: &str, input| Recurrent::new(&weights.at(name), RecurrentConfig::new(Cell::Lstm, input, h));
        // With attention, what it finds stands beside the token and beside the state.
        let found = if config.attention { h } else { 0 };
        let attention = || AdditiveAttention::new(&weights.at("attention"), [h, h, h]);
        Ok(Self {
            source: Embedding::new(&weights.at("source"), (config.source_vocab, c), 1.0)?,
            encoder: lstm("encoder", c)?,
            target: Embedding::new(&weights.at("target"), (config.target_vocab, c), 1.0)?,
            decoder: lstm("decoder", c + found)?,
            attention: config.attention.then(attention).transpose()?,
            head: Linear::transposed(
                &weights.at("head"),
                (h + found, config.target_vocab),
                true,
                1.0 / (3.0 * h as f64).sqrt(),
            )?,
            device: device.clone(),
        })
    }

    /// Reads sources (B, S), each of its length; what lies behind it is not seen.
    ///
    /// # Errors
    /// If an id is not known, or a length is above S.
    pub fn encode(&self, ids: &Tensor, lengths: &[usize]) -> Result<Source> {
        let _scope = Scope::enter("encoder");
        let (states, state) = self.encoder.forward(&self.source.forward(ids)?, None, Some(lengths), None)?;
        let (b, s) = (states.dims()[0], states.dims()[1]);
        let hidden: Vec<bool> = lengths.iter().flat_map(|&n| (0..s).map(move |at| at >= n)).collect();
        let hidden = Tensor::from_slice(&hidden, &[b, 1, s], &self.device)?;
        let keys = self.attention.as_ref().map(|a| a.keys(&states, Some(&hidden))).transpose()?;
        Ok(Source { state, keys })
    }

    /// Logits (B, T, V) of the tokens behind each of `ids` (B, T), with weights of the attention (B, T, S) if there is one, and
    /// the source as the next call begins with it.
    ///
    /// # Errors
    /// If an id is not known.
    pub fn decode(&self, source: &Source, ids: &Tensor) -> Result<(Tensor, Option<Tensor>, Source)> {
        let _scope = Scope::enter("decoder");
        let x = self.target.forward(ids)?; // (B, T, C)
        let (Some(attention), Some(keys)) = (&self.attention, &source.keys) else {
            let (y, state) = self.decoder.forward(&x, Some(&source.state), None, None)?;
            return Ok((self.head.forward(&y)?, None, Source { state, keys: None }));
        };
        let (mut state, mut outputs, mut weights) = (source.state.clone(), Vec::new(), Vec::new());
        for x in x.split(1, &vec![1; x.dims()[1]])? {
            let query = state.h[0].unsqueeze(1)?; // (B, 1, H)
            let (found, weight) = attention.forward(&query, keys)?; // (B, 1, H), (B, 1, S)
            let (y, next) = self.decoder.forward(&x.cat(&[&found], -1)?, Some(&state), None, None)?;
            outputs.push(y.cat(&[&found], -1)?); // (B, 1, 2H)
            weights.push(weight);
            state = next;
        }
        let along = |all: Vec<Tensor>| match all.split_first() {
            Some((first, rest)) => first.cat(&rest.iter().collect::<Vec<_>>(), 1),
            None => Err(Error::shape("translator", &[*ids.shape()], "takes ids (B, T) with T at least 1")),
        };
        let logits = self.head.forward(&along(outputs)?)?;
        Ok((logits, Some(along(weights)?), Source { state, keys: Some(keys.clone()) }))
    }

    /// Reads sources of any lengths together: a source's states do not depend on the others.
    ///
    /// # Errors
    /// If there is no source, one has no token, or an id is not known.
    pub fn read(&self, sources: &[&[u32]]) -> Result<Source> {
        let lengths: Vec<usize> = sources.iter().map(|source| source.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if lengths.iter().min().is_none_or(|&shortest| shortest == 0) {
            return Err(Error::value("translator", "a source has no token").hint("give each at least one id"));
        }
        let ids: Vec<u32> = sources.iter().flat_map(|source| filled(source, longest, 0)).collect();
        self.encode(&Tensor::from_vec(ids, &[sources.len(), longest], &self.device)?, &lengths)
    }

    /// The mean of -ln p over the tokens of the targets and the mark `end` behind each, in nats: the decoder is given `start` and
    /// all true tokens before the one that it is asked for.
    ///
    /// # Errors
    /// If there are not as many targets as sources, or an id is not known.
    pub fn loss(&self, source: &Source, targets: &[&[u32]], (start, end): (u32, u32)) -> Result<Tensor> {
        let width = 1 + targets.iter().map(|target| target.len()).max().unwrap_or(0);
        let dims = [targets.len(), width];
        let given = targets.iter().flat_map(|target| {
            std::iter::once(start).chain(filled(target, width - 1, end)) // (T)
        });
        let asked = targets.iter().flat_map(|target| {
            let asked = target.iter().chain([&end]).map(|&id| i64::from(id));
            asked.chain(std::iter::repeat_n(IGNORE_INDEX, width - 1 - target.len()))
        });
        let given = Tensor::from_vec(given.collect(), &dims, &self.device)?;
        let asked = Tensor::from_vec(asked.collect(), &dims, &self.device)?;
        self.decode(source, &given)?.0.cross_entropy(&asked) // (B, T, V) against (B, T)
    }

    /// The likeliest target of each source, token by token from `start` until `end` or `limit` tokens: without either mark.
    ///
    /// # Errors
    /// If a mark is not known.
    pub fn translate(
        &self,
        source: &Source,
        (start, end): (u32, u32),
        limit: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let rows = source.state.h[0].dims()[0];
        no_grad(|| {
            let mut source = source.clone();
            let (mut last, mut found) = (vec![start; rows], vec![Vec::new(); rows]);
            let mut going = vec![true; rows];
            for _ in 0..limit {
                let ids = Tensor::from_slice(&last, &[rows, 1], &self.device)?;
                let (logits, _, next) = self.decode(&source, &ids)?; // (B, 1, V)
                last = logits.argmax(-1, false)?.to_vec::<i64>()?.into_iter().map(|id| id as u32).collect();
                source = next;
                for (row, &id) in last.iter().enumerate() {
                    going[row] &= id != end;
                    if going[row] {
                        found[row].push(id);
                    }
                }
                if !going.contains(&true) {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// How strongly each token of a target looks at each token of its source, rows of (S): all 1 together. Nothing without
    /// attention.
    ///
    /// # Errors
    /// If a source or a target has no token, or an id is not known.
    pub fn alignment(&self, source: &[u32], target: &[u32], start: u32) -> Result<Option<Vec<Vec<f32>>>> {
        let given: Vec<u32> =
            std::iter::once(start).chain(target.iter().copied()).take(target.len()).collect();
        let given = Tensor::from_vec(given, &[1, target.len()], &self.device)?;
        let (_, weights, _) = no_grad(|| self.decode(&self.read(&[source])?, &given))?;
        let rows = |weights: Tensor| -> Result<Vec<Vec<f32>>> {
            Ok(weights.to_vec::<f32>()?.chunks(source.len()).map(<[f32]>::to_vec).collect())
        };
        weights.map(rows).transpose()
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let attention = self.attention.as_ref().map(AdditiveAttention::parameters).unwrap_or_default();
        let encoder = [self.source.parameters(), self.encoder.parameters()].concat();
        let decoder = [self.target.parameters(), self.decoder.parameters()].concat();
        [encoder, decoder, attention, self.head.parameters()].concat()
    }
}

/// A row filled up to `width`.
fn filled(row: &[u32], width: usize, fill: u32) -> impl Iterator<Item = u32> {
    row.iter().copied().chain(std::iter::repeat_n(fill, width - row.len()))
}
