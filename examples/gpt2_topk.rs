//! Drawing tokens from a GPT-2: which of them top-k, top-p and min-p leave, what that does to texts, and whether the draw is right.
//!
//! `cargo run --release --example gpt2_topk [GPT2_FOLDER [PROMPT]]`
//!
//! Without a folder a tiny model learns made-up reviews first.
//!
//! What printed versions of this program often get wrong:
//! - the softmax is taken before tokens are cut, and what is left is not made to add up to 1 again;
//! - top-p leaves out the token that reaches p, so that at p = 0.1 nothing may be left;
//! - "all logits below the k-th" leaves more than k tokens where several are equal, and an error where k is above V;
//! - the temperature comes after top-p: then it changes the shares, and not how many tokens are left;
//! - no seed, so that nobody can see the text again; and nobody counts whether the frequencies drawn are those that were meant.

#[path = "fixtures/tiny_gpt.rs"]
mod tiny_gpt;

use std::collections::BTreeMap;

use warpsmith::metrics::diversity;
use warpsmith::model::{Decoder, Sampler};
use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const DRAWS: usize = 1000;

/// The tokens that are left, likeliest first, with probabilities that add up to 1: by sorting, as one would on paper.
fn left(logits: &[f32], how: &Sampling) -> Vec<(u32, f64)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |x: f32| (f64::from(x - most) / how.temperature).exp();
    let mut all: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|&x| weight(x))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if how.top_k > 0 {
        all.truncate(how.top_k);
    }
    normalise(&mut all);
    let mut before = 0.0;
    // The one that reaches p stays.
    all.retain(|(_, p)| {
        before += p;
        before - p < how.top_p
    });
    let least = how.min_p * all[0].1;
    all.retain(|(_, p)| *p >= least);
    normalise(&mut all);
    all
}

fn normalise(all: &mut [(u32, f64)]) {
    let sum: f64 = all.iter().map(|(_, p)| p).sum();
    all.iter_mut().for_each(|(_, p)| *p /= sum);
}

/// Draws many tokens and compares; an error if one is drawn that should be gone, or too often.
fn check(logits: &[f32], how: &Sampling) -> Outcome<f64> {
    let expected: BTreeMap<u32, f64> = left(logits, how).into_iter().collect();
    let (mut sampler, mut counts) = (Sampler::new(how.clone())?, BTreeMap::new());
    for _ in 0..DRAWS {
        *counts.entry(sampler.next(logits, &[])?).or_insert(0) += 1;
    }
    if let Some(token) = counts.keys().find(|token| !expected.contains_key(token)) {
        return Err(format!("token {token} was drawn, which {} should not leave", how.steps()).into());
    }
    let mut worst: f64 = 0.0;
    for (token, p) in expected {
        let found = f64::from(*counts.get(&token).unwrap_or(&0)) / DRAWS as f64;
        let deviation = (p * (1.0 - p) / DRAWS as f64).sqrt();
        // Six deviations of a count, and one count for the rarest tokens: by chance once in hundreds of millions.
        if (found - p).abs() > 6.0 * deviation + 1.0 / DRAWS as f64 {
            return Err(format!("token {token} was drawn with a share of {found}, not {p}").into());
        }
        worst = worst.max((found - p).abs());
    }
    Ok(worst)
}

/// So many tokens behind a prompt.
fn written(folder: &ModelFolder, prompt: &[u32], how: &Sampling) -> Outcome<Vec<u32>> {
    let mut decoder = Decoder::new(&*folder.model, prompt, how, &folder.ends)?;
    while decoder.next_token()?.is_ok() {}
    Ok(decoder.tokens()[prompt.len()..].to_vec())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tiny_gpt::open(arguments.first(), 160)?;
    let prompt = arguments.get(1).map_or("the", String::as_str);
    let ids = folder.tokenizer.encode_with_special_tokens(prompt)?;
    let input = Tensor::from_slice(&ids, &[1, ids.len()], folder.model.device())?;
    let logits = no_grad(|| folder.model.forward(&input)?.slice(1, ids.len() - 1, 1, 1))?.to_vec::<f32>()?;

    println!("behind `{prompt}` the likeliest of {} tokens:", folder.model.vocab_size());
    let plain = Sampling::default();
    for (token, p) in left(&logits, &Sampling { top_k: 8, ..plain.clone() }) {
        println!("  {p:>6.3} of the first 8  {:?}", folder.tokenizer.decode(&[token])?);
    }
    let ways = [
        Sampling { temperature: 0.7, ..plain.clone() },
        Sampling { top_k: 5, ..plain.clone() },
        Sampling { top_k: 40, ..plain.clone() },
        Sampling { top_p: 0.9, ..plain.clone() },
        Sampling { temperature: 0.7, top_p: 0.9, ..plain.clone() },
        Sampling { min_p: 0.1, ..plain.clone() },
        plain,
    ];
    println!("\n{}: a row for each way\n", Sampling::order());
    println!("tokens left  worst share of {DRAWS} draws  different pairs  how");
    let greedy = written(&folder, &ids, &Sampling::greedy().max_new_tokens(24))?;
    for how in ways {
        let (count, worst) = (left(&logits, &how).len(), check(&logits, &how)?);
        let texts = (0..3).map(|seed| written(&folder, &ids, &how.clone().max_new_tokens(24).seed(seed)));
        let texts = texts.collect::<Outcome<Vec<_>>>()?;
        let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let different = diversity::distinct(&rows, 2).unwrap_or(0.0);
        let text = folder.tokenizer.decode(&texts[0])?.replace('\n', "⏎");
        println!("{count:>11}  {worst:>25.4}  {:>13.0} %  {}\n    {text}", 100.0 * different, how.steps());
    }
    let again = diversity::repeated(&[&greedy], 2).unwrap_or(0.0);
    let text = folder.tokenizer.decode(&greedy)?.replace('\n', "⏎");
    println!(
        "\nthe likeliest token each time: {:.0} % of its pairs are said again\n    {text}",
        100.0 * again
    );
    Ok(())
}
