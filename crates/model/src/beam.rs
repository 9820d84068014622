//! Beam search: the likeliest texts, a few at a time, with the scores and the endings of Hugging Face's `generate`.
//!
//! Source: Graves, *Sequence Transduction with Recurrent Neural Networks*, 2012, arXiv 1211.3711, §2.3; Wu et al., *Google's
//! Neural Machine Translation System*, 2016, arXiv 1609.08144, §7 (length penalty). Scores are added in f32, as there.

mod search;

use warpsmith_autograd::no_grad;
use warpsmith_tensor::{DType, Error, Result, Tensor};

use self::search::Search;
use crate::batch::together;
use crate::decode::check_prompt;
use crate::{CausalModel, Penalties};

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
        Ok(self.run_together(model, &[prompt], ends)?.swap_remove(0))
    }

    /// [`BeamSearch::run`] after each of several prompts, of any lengths. On the CPU each has the bits that it has alone.
    ///
    /// All stand at one position, as in [`crate::complete`]: a prompt is one row until it is read, and then as many as there
    /// are beams.
    ///
    /// # Errors
    /// As [`BeamSearch::run`], of any of the prompts.
    pub fn run_together(
        &self,
        model: &dyn CausalModel,
        prompts: &[&[u32]],
        ends: &[u32],
    ) -> Result<Vec<Vec<Found>>> {
        self.validate()?;
        prompts.iter().try_for_each(|prompt| check_prompt(model, prompt))?;
        let mut found = vec![Vec::new(); prompts.len()];
        let lengths: Vec<[usize; 2]> = prompts.iter().map(|p| [p.len(), self.max_new_tokens]).collect();
        for indices in together(model, &lengths) {
            self.batch(model, prompts, &indices, ends, &mut found)?;
        }
        Ok(found)
    }

    /// Searches after the prompts of these indices.
    fn batch(
        &self,
        model: &dyn CausalModel,
        prompts: &[&[u32]],
        indices: &[usize],
        ends: &[u32],
        found: &mut [Vec<Found>],
    ) -> Result<()> {
        let lengths = || indices.iter().map(|&i| prompts[i].len());
        let (mut new, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let mut cache = model.cache_for(indices, longest.saturating_add(self.max_new_tokens))?;
        let mut open: Vec<(usize, Search<'_>)> =
            indices.iter().map(|&i| (i, Search::new(self, prompts[i], ends))).collect();
        let mut read = 0;
        while !open.is_empty() {
            let ids: Vec<u32> = open.iter().flat_map(|(_, search)| search.ids(read, new)).collect();
            let rows: usize = open.iter().map(|(_, search)| search.rows()).sum();
            let ids = Tensor::from_slice(&ids, &[rows, new], model.device())?;
            let logits: Vec<f32> =
                no_grad(|| model.forward_cached(&ids, &mut cache))?.to_dtype(DType::F32)?.to_vec()?;
            (read, new) = (read + new, 1);
            let vocabulary = logits.len() / rows.max(1);
            // Which row of the cache each row goes on from.
            let (mut at, mut parents) = (0, Vec::new());
            let mut still = Vec::with_capacity(open.len());
            for (i, mut search) in open {
                let rows = search.rows();
                let own = &logits[at * vocabulary..(at + rows) * vocabulary];
                match search.step(own, read) {
                    Some(beams) => {
                        parents.extend(beams.into_iter().map(|beam| at + beam));
                        still.push((i, search));
                    }
                    None => found[i] = search.into_found(),
                }
                at += rows;
            }
            open = still;
            if parents.iter().copied().ne(0..at) && !open.is_empty() {
                cache.reorder(&parents)?;
            }
        }
        Ok(())
    }
}

/// x - log Σ eˣ, its sum in f64.
pub(crate) fn log_softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&v| f64::from(v - max).exp()).sum();
    let log_sum = f64::from(max) + sum.ln();
    row.iter().map(|&v| (f64::from(v) - log_sum) as f32).collect()
}
