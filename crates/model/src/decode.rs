//! Writing: one token after another, from a prompt, with a KV cache.

use warpsmith_autograd::no_grad;
use warpsmith_tensor::{Error, Result, Tensor};

use crate::step::Step;
use crate::{CausalModel, Gpt, KvCache, Sampler, Sampling, TokenLogProb};

/// Why a decoder stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `max_new_tokens` were written.
    Length,
    /// A token that ends a text came.
    EndOfSequence,
}

/// Writes the continuation of one prompt, a token per call of [`Decoder::next_token`].
///
/// A sequence longer than the model's context goes on over its newest half context: the cache is refilled with those
/// tokens at positions from 0, since learned positions cannot slide.
pub struct Decoder<'a> {
    model: &'a dyn CausalModel,
    cache: KvCache,
    sampler: Sampler,
    /// Steps of one token, where the device can record them.
    step: Option<Step>,
    tokens: Vec<u32>,
    /// How many of `tokens`, from the end, are not in the cache yet.
    waiting: usize,
    /// Whether the text grew too long, so that the cache begins in its middle.
    has_slid: bool,
    written: usize,
    limit: usize,
    ends: Vec<u32>,
    /// How many likeliest tokens are told of at each step, if any step is told of.
    tell: Option<usize>,
    told: Option<TokenLogProb>,
}

impl<'a> Decoder<'a> {
    /// A decoder that continues `prompt`; `ends` are the tokens that end a text, if there are any.
    ///
    /// # Errors
    /// If the prompt is empty or holds an id that the model does not know, or a sampling parameter is out of range.
    pub fn new(
        model: &'a dyn CausalModel,
        prompt: &[u32],
        sampling: &Sampling,
        ends: &[u32],
    ) -> Result<Self> {
        check_prompt(model, prompt)?;
        let longest = prompt.len().saturating_add(sampling.max_new_tokens);
        let sampler = Sampler::new(sampling.clone())?.after_prompt(prompt.len());
        let is_recorded = !model.device().is_cpu() && model.can_be_recorded() && sampler.is_plain();
        Ok(Self {
            model,
            // No longer than the text can get: a context may be far longer than any text.
            cache: model.cache(1, longest.min(model.context()))?,
            sampler,
            step: is_recorded.then(|| Step::new(model.device())).transpose()?,
            tokens: prompt.to_vec(),
            waiting: prompt.len(),
            has_slid: false,
            written: 0,
            limit: sampling.max_new_tokens,
            ends: ends.to_vec(),
            tell: None,
            told: None,
        })
    }

    /// The same decoder, which continues another prompt. What both have in common at their beginning is not read again, so
    /// a chat reads only its new turns; the bits are those of a decoder that reads everything.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn resume(mut self, prompt: &[u32], sampling: &Sampling) -> Result<Self> {
        check_prompt(self.model, prompt)?;
        let held = if self.has_slid { 0 } else { self.cache.len() };
        let common = self.tokens.iter().zip(prompt).take(held).take_while(|(old, new)| old == new).count();
        // The last token is read in any case: its logits are wanted.
        self.cache.truncate(common.min(prompt.len() - 1));
        let longest = prompt.len().saturating_add(sampling.max_new_tokens).min(self.model.context());
        if self.model.sees_capacity() {
            self.cache = self.model.cache(1, longest)?;
        } else if longest > self.cache.capacity() {
            // Twice as much as there was, so that many short turns do not copy it each time.
            let capacity = longest.max(2 * self.cache.capacity()).min(self.model.context());
            self.cache = self.cache.grown(capacity)?;
        }
        self.waiting = prompt.len() - self.cache.len();
        let sampler = Sampler::new(sampling.clone())?.after_prompt(prompt.len());
        // What is recorded draws in one way.
        let step = match self.step {
            Some(step) if self.sampler.sampling() == sampling => Some(step),
            Some(_) if sampler.is_plain() => Some(Step::new(self.model.device())?),
            _ => None,
        };
        Ok(Self {
            sampler,
            step,
            tokens: prompt.to_vec(),
            has_slid: false,
            written: 0,
            limit: sampling.max_new_tokens,
            told: None,
            ..self
        })
    }

    /// How many tokens the model reads before it writes the next one.
    pub fn unread(&self) -> usize {
        self.waiting
    }

    /// The next token, or why there is none.
    pub fn next_token(&mut self) -> Result<std::result::Result<u32, Stop>> {
        if self.written >= self.limit {
            return Ok(Err(Stop::Length));
        }
        let token = self.draw()?;
        if self.ends.contains(&token) {
            return Ok(Err(Stop::EndOfSequence));
        }
        self.tokens.push(token);
        self.waiting = 1;
        self.written += 1;
        Ok(Ok(token))
    }

    /// Prompt and continuation so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What the model thinks of the last token that was written, if the decoder tells.
    pub fn log_prob(&self) -> Option<&TokenLogProb> {
        self.told.as_ref()
    }

    /// The same decoder, which tells what the model thinks of each token, and of the `top` likeliest in its place.
    pub fn telling(self, top: usize) -> Self {
        Self { tell: Some(top), ..self.eager() }
    }

    /// The same decoder, which records nothing: each step is told to the device anew.
    pub fn eager(self) -> Self {
        Self { step: None, ..self }
    }

    /// The token after all tokens so far.
    fn draw(&mut self) -> Result<u32> {
        let is_single = self.waiting == 1 && self.cache.len() < self.cache.capacity();
        match (&mut self.step, self.tokens.last()) {
            (Some(step), Some(&token)) if is_single => {
                let drawn = step.queue(self.model, &mut self.cache, token, self.sampler.draw())?;
                self.sampler.take(&drawn)
            }
            _ => {
                let logits = self.logits()?;
                let token = self.sampler.next_of(&logits, &self.tokens)?;
                self.told = self.tell.map(|top| TokenLogProb::of(&logits, token, top)).transpose()?;
                Ok(token)
            }
        }
    }

    /// The logits (1, 1, V) of the token after all tokens so far.
    fn logits(&mut self) -> Result<Tensor> {
        let capacity = self.cache.capacity();
        if self.cache.len() + self.waiting > capacity {
            self.cache.clear();
            self.waiting = refilled(self.tokens.len(), capacity);
            self.has_slid = self.waiting < self.tokens.len();
        }
        let new = &self.tokens[self.tokens.len() - self.waiting..];
        let ids = Tensor::from_slice(new, &[1, new.len()], self.model.device())?;
        no_grad(|| self.model.forward_cached(&ids, &mut self.cache))
    }
}

/// An error if a prompt has no token, or one that the model does not know.
pub(crate) fn check_prompt(model: &dyn CausalModel, prompt: &[u32]) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::value("generate", "the prompt has no token").hint("give at least one character"));
    }
    let vocab = model.vocab_size();
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocab) {
        return Err(Error::index(
            "generate",
            format!("the prompt holds id {id}, the model knows {vocab} ids"),
        )
        .hint("use the tokenizer that the model was trained with"));
    }
    Ok(())
}

/// How many of so many tokens, from the end, fill a cache anew that has no room for the next.
pub(crate) fn refilled(tokens: usize, capacity: usize) -> usize {
    let longest = if tokens <= capacity { capacity } else { (capacity / 2).max(1) };
    tokens.min(longest)
}

impl Gpt {
    /// The tokens that follow `prompt`, without the prompt.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn generate_ids(&self, prompt: &[u32], sampling: &Sampling, end: Option<u32>) -> Result<Vec<u32>> {
        let mut decoder = Decoder::new(self, prompt, sampling, end.as_slice())?;
        while decoder.next_token()?.is_ok() {}
        Ok(decoder.tokens()[prompt.len()..].to_vec())
    }
}
