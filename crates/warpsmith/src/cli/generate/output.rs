//! What is told of texts: as they are, or as JSON.

use serde::Serialize;
use warpsmith::model::TokenLogProb;
use warpsmith::text::Tokenizer;

use crate::cli::Failure;

/// A text as `--json` tells of it.
#[derive(Serialize)]
pub struct Told<'a> {
    pub prompt: &'a str,
    pub text: &'a str,
    /// Its tokens; one that ended the text is not among them.
    pub tokens: &'a [u32],
    /// `length`, `eos` (a token ended it) or `stop` (a string did).
    pub finish_reason: &'a str,
    /// What it was drawn from, if it was.
    pub seed: Option<u64>,
    /// Its log-probability over its length to the length penalty, if it was searched for.
    pub score: Option<f32>,
    /// What the model thinks of its tokens, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<ToldToken>>,
    /// The same of the prompt's tokens but the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<ToldToken>>,
}

/// A token, and the logarithm of its probability.
#[derive(Serialize)]
pub struct ToldToken {
    id: u32,
    /// As the vocabulary spells it.
    token: String,
    logprob: f32,
    /// The likeliest tokens in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_logprobs: Vec<ToldToken>,
}

/// What the model thinks of tokens, in words.
pub fn told(log_probs: &[TokenLogProb], tokenizer: &Tokenizer) -> Vec<ToldToken> {
    let token = |id: u32, logprob: f32, top_logprobs: Vec<ToldToken>| ToldToken {
        id,
        token: tokenizer.id_to_token(id).unwrap_or_default(),
        logprob,
        top_logprobs,
    };
    let with_top = |of: &TokenLogProb| {
        let top = of.top.iter().map(|&(id, logprob)| token(id, logprob, Vec::new())).collect();
        token(of.token, of.log_prob, top)
    };
    log_probs.iter().map(with_top).collect()
}

/// What is written, and to whom.
pub struct Output {
    json: bool,
    count: usize,
}

impl Output {
    /// Standard output.
    pub fn new(json: bool) -> Self {
        Self { json, count: 0 }
    }

    /// Begins a text, which goes on from `shown`, behind a line if there was another.
    pub fn begin(&mut self, shown: &str) -> Result<(), Failure> {
        let is_first = self.count == 0;
        self.count += 1;
        let line = if is_first { String::new() } else { format!("\n{}\n", "-".repeat(72)) };
        self.piece(&line)?;
        self.piece(shown)
    }

    /// Writes a piece of a text.
    pub fn piece(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { put!("{text}") }
    }

    /// Ends a text.
    pub fn end(&self, told: &Told<'_>) -> Result<(), Failure> {
        if self.json {
            say!("{}", serde_json::to_string(told)?)?;
        }
        Ok(())
    }

    /// Ends all texts.
    pub fn finish(self) -> Result<(), Failure> {
        if self.json { Ok(()) } else { say!("") }
    }
}
