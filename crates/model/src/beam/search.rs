//! The search after one prompt: its open beams, and what it has found.

use super::{BeamSearch, EarlyStopping, Found, log_softmax};

/// Worse than any score, and still a number: what Hugging Face gives to a beam that must not be chosen.
const NEVER: f32 = -1e9;

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

/// A prompt, the beams behind it, the texts found so far, best first, and whether better ones may come.
pub(super) struct Search<'a> {
    how: &'a BeamSearch,
    prompt: &'a [u32],
    ends: &'a [u32],
    open: Vec<Open>,
    found: Vec<Found>,
    can_improve: bool,
}

impl<'a> Search<'a> {
    pub fn new(how: &'a BeamSearch, prompt: &'a [u32], ends: &'a [u32]) -> Self {
        // The first of the beams, which begin alike, is the only one that counts.
        let beam = |i| Open { tokens: Vec::new(), score: if i == 0 { 0.0 } else { NEVER } };
        let open = (0..how.num_beams).map(beam).collect();
        Self { how, prompt, ends, open, found: Vec::new(), can_improve: true }
    }

    /// How many rows it has: one until its prompt is read.
    pub fn rows(&self) -> usize {
        if self.written() == 0 { 1 } else { self.open.len() }
    }

    /// The `new` ids behind the first `read` of each row: of the prompt, or the newest of each beam.
    pub fn ids(&self, read: usize, new: usize) -> Vec<u32> {
        match self.written() {
            0 => self.prompt[read..read + new].to_vec(),
            _ => self.open.iter().filter_map(|beam| beam.tokens.last().copied()).collect(),
        }
    }

    /// Takes the logits (rows, V) behind `read` tokens. From which of its rows each row goes on; `None` if the search is over.
    pub fn step(&mut self, logits: &[f32], read: usize) -> Option<Vec<usize>> {
        if read < self.prompt.len() {
            return Some(vec![0]);
        }
        let (rows, length) = (self.rows(), self.written() + 1);
        let candidates = self.candidates(&self.scores(logits), length == self.how.max_new_tokens);
        self.keep(&candidates, length);
        let next = self.next(&candidates);
        if candidates.iter().all(|c| c.is_end) || self.is_over(next[0].2, length) {
            return None;
        }
        self.open = next.iter().map(|&(beam, token, score)| self.open[beam].with(token, score)).collect();
        Some(next.iter().map(|&(beam, ..)| beam % rows).collect())
    }

    /// As many of the best texts as are asked for.
    pub fn into_found(mut self) -> Vec<Found> {
        self.found.truncate(self.how.num_return_sequences);
        self.found
    }

    /// How many tokens each beam has.
    fn written(&self) -> usize {
        self.open.first().map_or(0, |beam| beam.tokens.len())
    }

    /// For each beam the scores of its continuations by each token.
    fn scores(&self, logits: &[f32]) -> Vec<Vec<f32>> {
        let of_beam = |(beam, row): (&Open, &[f32])| {
            let mut row = log_softmax(row);
            if !self.how.penalties.is_none() {
                let tokens = [self.prompt, &beam.tokens].concat();
                self.how.penalties.apply(&mut row, &tokens, self.prompt.len());
            }
            row.iter_mut().for_each(|score| *score += beam.score);
            row
        };
        let width = logits.len() / self.rows();
        // Behind the prompt all beams are alike.
        self.open.iter().zip(logits.chunks(width).cycle()).map(of_beam).collect()
    }

    /// The likeliest continuations, best first: so many that enough are left to go on if others end.
    fn candidates(&self, scores: &[Vec<f32>], is_last: bool) -> Vec<Candidate> {
        let count = (1 + self.ends.len()).max(2) * self.how.num_beams;
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
            let is_end = is_last || self.ends.contains(&token);
            Candidate { beam, token, score, is_end }
        };
        all.into_iter().map(candidate).collect()
    }

    /// The best continuations that have not ended, best first: (beam, token, score).
    fn next(&self, candidates: &[Candidate]) -> Vec<(usize, u32, f32)> {
        let score = |c: &Candidate| if c.is_end { c.score + NEVER } else { c.score };
        let mut next: Vec<_> = candidates.iter().map(|c| (c.beam, c.token, score(c))).collect();
        next.sort_by(|a, b| b.2.total_cmp(&a.2));
        next.truncate(self.how.num_beams);
        next
    }

    fn is_full(&self) -> bool {
        self.found.len() == self.how.num_beams
    }

    /// Takes in what has just ended, as far as it is among the best continuations and better than what is there.
    fn keep(&mut self, candidates: &[Candidate], length: usize) {
        if !self.can_improve || (self.is_full() && self.how.early_stopping == EarlyStopping::AsSoonAsFull) {
            return;
        }
        let best = candidates.iter().take(self.how.num_beams);
        for ended in best.filter(|c| c.is_end && c.score > NEVER) {
            let tokens = [&self.open[ended.beam].tokens[..], &[ended.token]].concat();
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

impl Open {
    fn with(&self, token: u32, score: f32) -> Self {
        Self { tokens: [&self.tokens[..], &[token]].concat(), score }
    }
}
