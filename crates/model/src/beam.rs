//! Beam search: the likeliest texts, a few at a time, with the scores and the endings of Hugging Face's `generate`.
//!
//! Source: Graves, *Sequence Transduction with Recurrent Neural Networks*, 2012, arXiv 1211.3711, §2.3; Wu et al., *Google's
//! Neural Machine Translation System*, 2016, arXiv 1609.08144, §7 (length penalty). Scores are added in f32, as there.

use warpsmith_autograd::no_grad;
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::{CausalModel, Penalties};

/// Worse than any score, and still a number: what Hugging Face gives to a beam that must not be chosen.
const NEVER: f32 = -1e9;

/// When a search ends before its beams are as long as they may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// Once the best open beam, were it to end now, is no better than the worst text found (`False`).
    #[default]
    Heuristic,
    /// Once as many texts are found as there are beams (`True`).
    AsSoonAsFull,
    /// Once no open beam can become better than the worst text found, however long it gets (`"never"`).
    Never,
}

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamSearch {
    /// How many texts are followed at a time.
    pub num_beams: usize,
    /// How many tokens to write at most.
    pub max_new_tokens: usize,
    /// A text's score is its log-probability over its length to this power: above 0 favours long ones, below 0 short ones.
    pub length_penalty: f64,
    /// When to end.
    pub early_stopping: EarlyStopping,
    /// How many texts to give back, at most as many as there are beams.
    pub num_return_sequences: usize,
    /// What is done to log-probabilities before they are added.
    pub penalties: Penalties,
}

impl Default for BeamSearch {
    fn default() -> Self {
        Self {
            num_beams: 4,
            max_new_tokens: 100,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            num_return_sequences: 1,
            penalties: Penalties::default(),
        }
    }
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its tokens behind the prompt, the one that ends it included.
    pub tokens: Vec<u32>,
    /// Its log-probability over its length to the length penalty.
    pub score: f32,
}

/// A text that is not at its end.
#[derive(Clone)]
struct Open {
    tokens: Vec<u32>,
    score: f32,
}

/// One of the likeliest continuations of the open beams.
struct Candidate {
    beam: usize,
    token: u32,
    score: f32,
    is_end: bool,
}

impl BeamSearch {
    /// An error that names the first parameter outside its range.
    ///
    /// # Errors
    /// If there are no beams or more texts are asked for than there are beams, or a penalty is out of range.
    pub fn validate(&self) -> Result<()> {
        let error = |message: String| Err(Error::value("beam search", message));
        if self.num_beams == 0 || self.max_new_tokens == 0 {
            return error("num_beams and max_new_tokens must be at least 1".into());
        }
        if !(1..=self.num_beams).contains(&self.num_return_sequences) {
            let (n, beams) = (self.num_return_sequences, self.num_beams);
            return error(format!("num_return_sequences = {n} must be in 1..={beams}, the number of beams"));
        }
        if !self.length_penalty.is_finite() {
            return error(format!("length_penalty = {} must be a number", self.length_penalty));
        }
        self.penalties.validate()
    }

    /// The search and the penalties in words, in their order.
    pub fn steps(&self) -> String {
        let early_stopping = match self.early_stopping {
            EarlyStopping::Heuristic => "false",
            EarlyStopping::AsSoonAsFull => "true",
            EarlyStopping::Never => "never",
        };
        let beams = format!("the best {} of all beams", self.num_beams);
        let score = format!("length_penalty {}, early_stopping {early_stopping}", self.length_penalty);
        let steps = std::iter::once("log-probabilities".to_string()).chain(self.penalties.steps());
        steps.chain([beams, score]).collect::<Vec<_>>().join(" → ")
    }

    /// The likeliest texts after `prompt`, best first; `ends` are the tokens that end a text.
    ///
    /// # Errors
    /// If a parameter is out of range, the prompt is empty, or prompt and text together pass the model's context.
    pub fn run(&self, model: &dyn CausalModel, prompt: &[u32], ends: &[u32]) -> Result<Vec<Found>> {
        self.validate()?;
        let mut cache = model.cache(self.num_beams, prompt.len().saturating_add(self.max_new_tokens))?;
        // The prompt is read once, for all beams.
        let mut alone = model.cache(1, cache.capacity())?;
        let mut logits = forward(model, &mut alone, std::iter::once(prompt))?;
        std::mem::swap(&mut cache, &mut alone);
        drop(alone);
        cache.reorder(&vec![0; self.num_beams])?;
        logits = logits.repeat(self.num_beams);
        let mut open: Vec<Open> = (0..self.num_beams)
            .map(|i| Open { tokens: Vec::new(), score: if i == 0 { 0.0 } else { NEVER } })
            .collect();
        let mut search = Search { how: self, found: Vec::new(), can_improve: true };
        for length in 1..=self.max_new_tokens {
            let scores = self.scores(&logits, prompt, &open);
            let is_last = length == self.max_new_tokens;
            let candidates = self.candidates(&scores, ends, is_last);
            search.keep(&candidates, &open, length);
            let next = self.next(&candidates);
            if candidates.iter().all(|c| c.is_end) || search.is_over(next[0].2, length) {
                break;
            }
            cache.reorder(&next.iter().map(|&(beam, ..)| beam).collect::<Vec<_>>())?;
            open = next.iter().map(|&(beam, token, score)| open[beam].with(token, score)).collect();
            let newest = next.iter().map(|(_, token, _)| std::slice::from_ref(token));
            logits = forward(model, &mut cache, newest)?;
        }
        search.found.truncate(self.num_return_sequences);
        Ok(search.found)
    }

    /// For each beam the scores of its continuations by each token.
    fn scores(&self, logits: &[f32], prompt: &[u32], open: &[Open]) -> Vec<Vec<f32>> {
        let of_beam = |(beam, row): (&Open, &[f32])| {
            let mut row = log_softmax(row);
            if !self.penalties.is_none() {
                self.penalties.apply(&mut row, &[prompt, &beam.tokens].concat(), prompt.len());
            }
            row.iter_mut().for_each(|score| *score += beam.score);
            row
        };
        open.iter().zip(logits.chunks(logits.len() / open.len().max(1))).map(of_beam).collect()
    }

    /// The likeliest continuations, best first: so many that enough are left to go on if others end.
    fn candidates(&self, scores: &[Vec<f32>], ends: &[u32], is_last: bool) -> Vec<Candidate> {
        let count = (1 + ends.len()).max(2) * self.num_beams;
        let mut all: Vec<(usize, u32, f32)> = scores
            .iter()
            .enumerate()
            .flat_map(|(beam, row)| row.iter().enumerate().map(move |(token, &s)| (beam, token as u32, s)))
            .collect();
        let better = |a: &(usize, u32, f32), b: &(usize, u32, f32)| {
            b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1)))
        };
        if count < all.len() {
            all.select_nth_unstable_by(count, better);
            all.truncate(count);
        }
        all.sort_unstable_by(better);
        let candidate = |(beam, token, score)| {
            let is_end = is_last || ends.contains(&token);
            Candidate { beam, token, score, is_end }
        };
        all.into_iter().map(candidate).collect()
    }

    /// The best continuations that have not ended, best first: (beam, token, score).
    fn next(&self, candidates: &[Candidate]) -> Vec<(usize, u32, f32)> {
        let score = |c: &Candidate| if c.is_end { c.score + NEVER } else { c.score };
        let mut next: Vec<_> = candidates.iter().map(|c| (c.beam, c.token, score(c))).collect();
        next.sort_by(|a, b| b.2.total_cmp(&a.2));
        next.truncate(self.num_beams);
        next
    }
}

impl Open {
    fn with(&self, token: u32, score: f32) -> Self {
        Self { tokens: [&self.tokens[..], &[token]].concat(), score }
    }
}

/// The texts found so far, best first, and whether better ones may come.
struct Search<'a> {
    how: &'a BeamSearch,
    found: Vec<Found>,
    can_improve: bool,
}

impl Search<'_> {
    fn is_full(&self) -> bool {
        self.found.len() == self.how.num_beams
    }

    /// Takes in what has just ended, as far as it is among the best continuations and better than what is there.
    fn keep(&mut self, candidates: &[Candidate], open: &[Open], length: usize) {
        if !self.can_improve || (self.is_full() && self.how.early_stopping == EarlyStopping::AsSoonAsFull) {
            return;
        }
        let best = candidates.iter().take(self.how.num_beams);
        for ended in best.filter(|c| c.is_end && c.score > NEVER) {
            let tokens = [&open[ended.beam].tokens[..], &[ended.token]].concat();
            self.found.push(Found { tokens, score: ended.score / self.norm(length) });
        }
        self.found.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.found.truncate(self.how.num_beams);
    }

    /// Whether the search ends, the best open beam of `length` tokens having the score `best`.
    fn is_over(&mut self, best: f32, length: usize) -> bool {
        if self.is_full() {
            let may_grow = self.how.early_stopping == EarlyStopping::Never && self.how.length_penalty > 0.0;
            let reached = best / self.norm(if may_grow { self.how.max_new_tokens } else { length });
            let worst = self.found.last().map_or(NEVER, |found| found.score);
            self.can_improve &= reached > worst;
        }
        !self.can_improve || (self.is_full() && self.how.early_stopping == EarlyStopping::AsSoonAsFull)
    }

    fn norm(&self, length: usize) -> f32 {
        (length as f64).powf(self.how.length_penalty) as f32
    }
}

/// The logits (rows, V) behind rows of equal length, one after the other.
fn forward<'a>(
    model: &dyn CausalModel,
    cache: &mut crate::KvCache,
    rows: impl ExactSizeIterator<Item = &'a [u32]>,
) -> Result<Vec<f32>> {
    let count = rows.len();
    let ids: Vec<u32> = rows.flatten().copied().collect();
    let ids = Tensor::from_slice(&ids, &[count, ids.len() / count], model.device())?;
    no_grad(|| model.forward_cached(&ids, cache))?.to_dtype(DType::F32)?.to_vec()
}

/// x - log Σ eˣ, its sum in f64.
pub(crate) fn log_softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&v| f64::from(v - max).exp()).sum();
    let log_sum = f64::from(max) + sum.ln();
    row.iter().map(|&v| (f64::from(v) - log_sum) as f32).collect()
}
