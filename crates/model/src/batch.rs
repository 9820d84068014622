//! Several prompts at a time, of any lengths, without padding: all stand at the same position. Up to the end of the shortest
//! prompt they are read together; from there on each step takes one token of every row, the next of its prompt or the last
//! that it wrote. A row that is done is taken out of the cache.
//!
//! On the CPU a row has the bits that its prompt has alone, since there neither the rows around it nor the chunks in which a
//! prompt is read change any.

use std::collections::BTreeMap;

use warpsmith_autograd::no_grad;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Result, Tensor};

use crate::decode::{check_prompt, refilled};
use crate::{CausalModel, Decoder, KvCache, Sampler, Sampling, Stop, TokenLogProb};

/// A prompt, and how to go on from it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its tokens.
    pub prompt: Vec<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
}

/// What was written behind a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// What the model thinks of them, if that was asked for.
    pub log_probs: Vec<TokenLogProb>,
    /// Why it ends; `None` if nobody wanted more.
    pub stop: Option<Stop>,
}

/// A request that is not done.
struct Row {
    index: usize,
    /// Prompt and text.
    tokens: Vec<u32>,
    prompt: usize,
    limit: usize,
    sampler: Sampler,
    log_probs: Vec<TokenLogProb>,
}

/// Goes on from each prompt until `ends` or its limit: as a [`Decoder`] does for each alone, and on the CPU to the same bits.
/// `tell` asks for log-probabilities, with so many likeliest tokens; `wants_more` is told of each token of each request.
///
/// # Errors
/// As [`Decoder::new`].
pub fn complete(
    model: &dyn CausalModel,
    requests: &[Request],
    ends: &[u32],
    tell: Option<usize>,
    wants_more: &mut dyn FnMut(usize, u32) -> bool,
) -> Result<Vec<Completion>> {
    let mut done = BTreeMap::new();
    let mut rows = Vec::new();
    for (i, request) in requests.iter().enumerate() {
        check_prompt(model, &request.prompt)?;
        request.sampling.validate()?;
        let length = request.prompt.len();
        if request.sampling.max_new_tokens == 0 {
            let nothing = Completion { tokens: Vec::new(), log_probs: Vec::new(), stop: Some(Stop::Length) };
            done.insert(i, nothing);
            continue;
        }
        match length > model.context() {
            // Its window begins elsewhere.
            true => {
                drop(done.insert(i, alone(model, request, ends, tell, &mut |token| wants_more(i, token))?))
            }
            false => rows.push(i),
        }
    }
    let length = |&i: &usize| [requests[i].prompt.len(), requests[i].sampling.max_new_tokens];
    let lengths: Vec<[usize; 2]> = rows.iter().map(length).collect();
    for batch in together(model, &lengths) {
        let rows = batch.into_iter().map(|at| Row::new(rows[at], &requests[rows[at]]));
        let rows = rows.collect::<Result<_>>()?;
        Batch::new(model, rows, ends, tell)?.run(wants_more, &mut done)?;
    }
    Ok(done.into_values().collect())
}

/// Which prompts are read together without a change of bits, of (tokens of the prompt, tokens to write at most) each.
pub(crate) fn together(model: &dyn CausalModel, lengths: &[[usize; 2]]) -> Vec<Vec<usize>> {
    let mut batches: BTreeMap<[Option<usize>; 2], Vec<usize>> = BTreeMap::new();
    for (i, &[prompt, new]) in lengths.iter().enumerate() {
        // A GPU reads prompts in chunks of other bits: there only prompts of one length go together.
        let of_length = (!model.device().is_cpu()).then_some(prompt);
        let whole = prompt.saturating_add(new).min(model.context());
        let of_capacity = model.sees_capacity().then_some(whole);
        batches.entry([of_length, of_capacity]).or_default().push(i);
    }
    batches.into_values().collect()
}

fn alone(
    model: &dyn CausalModel,
    request: &Request,
    ends: &[u32],
    tell: Option<usize>,
    wants_more: &mut dyn FnMut(u32) -> bool,
) -> Result<Completion> {
    let mut decoder = Decoder::new(model, &request.prompt, &request.sampling, ends)?;
    if let Some(top) = tell {
        decoder = decoder.telling(top);
    }
    let mut log_probs = Vec::new();
    let stop = loop {
        match decoder.next_token()? {
            Err(stop) => break Some(stop),
            Ok(token) => {
                log_probs.extend(decoder.log_prob().cloned());
                if !wants_more(token) {
                    break None;
                }
            }
        }
    };
    Ok(Completion { tokens: decoder.tokens()[request.prompt.len()..].to_vec(), log_probs, stop })
}

impl Row {
    fn new(index: usize, request: &Request) -> Result<Self> {
        let prompt = request.prompt.len();
        Ok(Self {
            index,
            tokens: request.prompt.clone(),
            prompt,
            limit: request.sampling.max_new_tokens,
            sampler: Sampler::new(request.sampling.clone())?.after_prompt(prompt),
            log_probs: Vec::new(),
        })
    }

    fn done(&mut self, stop: Option<Stop>) -> Completion {
        let log_probs = std::mem::take(&mut self.log_probs);
        Completion { tokens: self.tokens[self.prompt..].to_vec(), log_probs, stop }
    }
}

/// Rows that stand at one position.
struct Batch<'a> {
    model: &'a dyn CausalModel,
    cache: KvCache,
    rows: Vec<Row>,
    /// How many tokens of each row have been read.
    read: usize,
    ends: &'a [u32],
    tell: Option<usize>,
}

impl<'a> Batch<'a> {
    fn new(model: &'a dyn CausalModel, rows: Vec<Row>, ends: &'a [u32], tell: Option<usize>) -> Result<Self> {
        let longest = rows.iter().map(|row| row.prompt.saturating_add(row.limit)).max().unwrap_or(0);
        let requests: Vec<usize> = rows.iter().map(|row| row.index).collect();
        let cache = model.cache_for(&requests, longest.min(model.context()))?;
        Ok(Self { model, cache, rows, read: 0, ends, tell })
    }

    fn run(
        mut self,
        wants_more: &mut dyn FnMut(usize, u32) -> bool,
        done: &mut BTreeMap<usize, Completion>,
    ) -> Result<()> {
        let mut waiting = self.rows.iter().map(|row| row.prompt).min().unwrap_or(0);
        while !self.rows.is_empty() {
            let logits = self.read(waiting)?; // (B, 1, V)
            let mut kept = Vec::new();
            for i in 0..self.rows.len() {
                match self.step(i, &logits, wants_more)? {
                    None => kept.push(i),
                    Some(completion) => drop(done.insert(self.rows[i].index, completion)),
                }
            }
            if kept.len() < self.rows.len() {
                self.cache.reorder(&kept)?;
                let mut i = 0;
                self.rows.retain(|_| (kept.contains(&i), i += 1).0);
            }
            waiting = 1;
        }
        Ok(())
    }

    /// Reads the next `waiting` tokens of each row.
    fn read(&mut self, waiting: usize) -> Result<Tensor> {
        let (to, mut new) = (self.read + waiting, waiting);
        if self.cache.len() + new > self.cache.capacity() {
            self.cache.clear();
            new = refilled(to, self.cache.capacity());
        }
        let ids: Vec<u32> = self.rows.iter().flat_map(|row| &row.tokens[to - new..to]).copied().collect();
        let ids = Tensor::from_vec(ids, &[self.rows.len(), new], self.model.device())?;
        self.read = to;
        no_grad(|| self.model.forward_cached(&ids, &mut self.cache))
    }

    /// Draws the next token of row `i`, unless its prompt says it; what the row is, if it is done.
    fn step(
        &mut self,
        i: usize,
        logits: &Tensor,
        wants_more: &mut dyn FnMut(usize, u32) -> bool,
    ) -> Result<Option<Completion>> {
        let row = &mut self.rows[i];
        if row.tokens.len() > self.read {
            return Ok(None);
        }
        let logits = logits.slice(0, i, 1, 1)?;
        let token = row.sampler.next_of(&logits, &row.tokens)?;
        if self.ends.contains(&token) {
            return Ok(Some(row.done(Some(Stop::EndOfSequence))));
        }
        row.tokens.push(token);
        if let Some(top) = self.tell {
            row.log_probs.push(TokenLogProb::of(&logits, token, top)?);
        }
        if !wants_more(row.index, token) {
            return Ok(Some(row.done(None)));
        }
        let is_full = row.tokens.len() - row.prompt >= row.limit;
        Ok(is_full.then(|| row.done(Some(Stop::Length))))
    }
}
