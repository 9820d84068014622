//! Vectors of words from the words around them: skip-gram and CBOW with negative sampling, and GloVe.
//!
//! Sources: Mikolov et al., *Distributed Representations of Words and Phrases and their Compositionality*, 2013, arXiv 1310.4546,
//! §2.2; Pennington, Socher and Manning, *GloVe*, 2014, §3.

use std::collections::BTreeMap;

use warpsmith_autograd::Parameter;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Rng, Tensor};

use crate::layers::Embedding;
use crate::weights::{Init, Weights};

/// word2vec: a vector of each word as a centre, and one as a neighbour.
#[derive(Clone, Debug)]
pub struct Word2Vec {
    centres: Embedding,
    neighbours: Embedding,
}

impl Word2Vec {
    /// V words of C numbers.
    pub fn new(weights: &Weights, (words, width): (usize, usize)) -> Result<Self> {
        let table = |name: &str| Embedding::new(&weights.at(name), (words, width), 0.5 / width.max(1) as f64);
        Ok(Self { centres: table("centres")?, neighbours: table("neighbours")? })
    }

    /// Skip-gram: centres (B) against a neighbour of each (B), and K words (B, K) drawn instead of it:
    /// the mean of -ln σ(u·v) - Σ ln σ(-uₖ·v).
    ///
    /// # Errors
    /// If the shapes do not fit, or an id is not below V.
    pub fn skip_gram(&self, centres: &Tensor, neighbours: &Tensor, drawn: &Tensor) -> Result<Tensor> {
        let v = self.centres.forward(centres)?; // (B, C)
        self.against(&v, &self.neighbours, neighbours, drawn)
    }

    /// CBOW: the mean of the neighbours (B, W) against their centre (B), and K words (B, K) drawn instead of it.
    ///
    /// # Errors
    /// If the shapes do not fit, or an id is not below V.
    pub fn cbow(&self, neighbours: &Tensor, centres: &Tensor, drawn: &Tensor) -> Result<Tensor> {
        let v = self.centres.forward(neighbours)?.mean(&[1], false)?; // (B, C)
        self.against(&v, &self.neighbours, centres, drawn)
    }

    fn against(&self, v: &Tensor, table: &Embedding, right: &Tensor, wrong: &Tensor) -> Result<Tensor> {
        let right = table.forward(right)?.mul(v)?.sum(&[-1], false)?; // (B)
        let wrong = table.forward(wrong)?.matmul(&v.unsqueeze(-1)?)?.squeeze(-1)?; // (B, K)
        // -ln σ(x) = ln(1 + e⁻ˣ)
        right.neg()?.softplus()?.mean_all()?.add(&wrong.softplus()?.sum(&[-1], false)?.mean_all()?)
    }

    /// The vectors of the words (V, C).
    pub fn vectors(&self, words: usize) -> Result<Tensor> {
        Ok(self.centres.slice(0, words)?.detach())
    }

    /// Both tables.
    pub fn parameters(&self) -> Vec<Parameter> {
        [self.centres.parameters(), self.neighbours.parameters()].concat()
    }
}

/// Draws words as often as their count to the power ¾ says (§2.2 of the paper).
#[derive(Clone, Debug)]
pub struct NegativeSampler {
    /// Shares up to and with each word.
    up_to: Vec<f64>,
}

impl NegativeSampler {
    /// From how often each word stands in the text.
    ///
    /// # Errors
    /// If no word stands there.
    pub fn new(counts: &[u64]) -> Result<Self> {
        let add = |sum: &mut f64, &count: &u64| {
            *sum += (count as f64).powf(0.75);
            Some(*sum)
        };
        let up_to: Vec<f64> = counts.iter().scan(0.0, add).collect();
        match up_to.last() {
            Some(&sum) if sum > 0.0 => Ok(Self { up_to: up_to.into_iter().map(|s| s / sum).collect() }),
            _ => Err(Error::value("negative_sampler", "no word has been counted")),
        }
    }

    /// `count` words.
    pub fn draw(&self, count: usize, rng: &Rng) -> Vec<u32> {
        let place = |u: f32| self.up_to.partition_point(|&s| s <= f64::from(u)).min(self.up_to.len() - 1);
        rng.uniform(count).into_iter().map(|u| place(u) as u32).collect()
    }
}

/// How often words stand within `window` places of each other, each time weighed by one over the distance, both ways round.
pub fn cooccurrences(ids: &[u32], window: usize) -> BTreeMap<(u32, u32), f32> {
    let mut counts = BTreeMap::new();
    for (at, &word) in ids.iter().enumerate() {
        for (distance, &other) in ids[at + 1..].iter().take(window).enumerate() {
            let weight = 1.0 / (distance + 1) as f32;
            *counts.entry((word, other)).or_insert(0.0) += weight;
            *counts.entry((other, word)).or_insert(0.0) += weight;
        }
    }
    counts
}

/// GloVe: w·w̃ + b + b̃ is to be the logarithm of how often two words meet.
#[derive(Clone, Debug)]
pub struct Glove {
    tables: [Parameter; 2],
    biases: [Parameter; 2],
}

/// Counts from here on weigh 1 (x_max of the paper).
const OFTEN: f64 = 100.0;

impl Glove {
    /// V words of C numbers.
    pub fn new(weights: &Weights, (words, width): (usize, usize)) -> Result<Self> {
        let init = Init::Normal(0.5 / width.max(1) as f64);
        let table = |name: &str| weights.parameter(name, &[words, width], init);
        let bias = |name: &str| weights.parameter(name, &[words, 1], Init::Constant(0.0));
        Ok(Self {
            tables: [table("words")?, table("contexts")?],
            biases: [bias("word_bias")?, bias("context_bias")?],
        })
    }

    /// The mean over pairs (B), (B) that meet `counts` (B) times of f(x)·(w·w̃ + b + b̃ - ln x)², f(x) = min(1, (x/100)^¾).
    ///
    /// # Errors
    /// If the shapes do not fit, or an id is not below V.
    pub fn loss(&self, words: &Tensor, contexts: &Tensor, counts: &Tensor) -> Result<Tensor> {
        let of = |i: usize, ids: &Tensor| {
            Ok((self.tables[i].get().embedding(ids)?, self.biases[i].get().embedding(ids)?))
        };
        let ((w, b), (v, d)) = (of(0, words)?, of(1, contexts)?);
        let product = w.mul(&v)?.sum(&[-1], true)?; // (B, 1)
        let error = product.add(&b)?.add(&d)?.squeeze(-1)?.sub(&counts.ln()?)?;
        let weight = counts.mul_scalar(1.0 / OFTEN)?.pow(0.75)?.clamp(0.0, 1.0)?;
        error.square()?.mul(&weight)?.mean_all()
    }

    /// The vectors of the words (V, C): the sums of both tables, as in §4.2 of the paper.
    pub fn vectors(&self) -> Result<Tensor> {
        self.tables[0].get().detach().add(&self.tables[1].get().detach())
    }

    /// Both tables, then both biases.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.tables.iter().chain(&self.biases).cloned().collect()
    }
}
