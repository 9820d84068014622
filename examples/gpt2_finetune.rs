//! A GPT-2 goes on learning from a folder of articles: perplexity and texts before and after, on articles that it has not seen.
//!
//! `cargo run --release --example gpt2_finetune [ARTICLES [GPT2_FOLDER [STEPS]]]`
//!
//! Without articles it reads the sources of this repository's crate of metrics; without a folder a tiny model learns made-up reviews
//! first, which are text of another kind.
//!
//! What printed versions of this program often get wrong:
//! - the perplexity afterwards is that of articles that were trained on;
//! - articles are joined without the token that ends one, and windows of one article stand on both sides of the split;
//! - a long article is scored in windows that each begin without context, or with windows that overlap and score tokens twice;
//! - perplexities of different tokenizers are compared. Bits per byte can be;
//! - nobody asks what was forgotten. Hence the last column.

#[path = "fixtures/tiny_gpt.rs"]
mod tiny_gpt;

use std::path::{Path, PathBuf};

use warpsmith::prelude::*;
use warpsmith::text::{Tokens, list_files};
use warpsmith::train::{clip_gradients, evaluate_text};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Texts with their names.
type Articles = Vec<(String, String)>;

/// The files below a folder.
fn of_folder(folder: &str) -> Outcome<Articles> {
    let (mut paths, mut found): (Vec<PathBuf>, _) = (Vec::new(), Vec::new());
    list_files(Path::new(folder), &mut paths, &mut Default::default())?;
    paths.sort();
    for path in paths {
        found.push((path.display().to_string(), Corpus::from_path(&path)?.text().to_string()));
    }
    Ok(found)
}

/// The files of a crate that the library carries along.
fn of_ourselves() -> Articles {
    let parts = warpsmith::corpus::EMBEDDED.split("=== ").filter_map(|part| part.split_once(" ===\n"));
    let own = parts.filter(|(name, _)| name.starts_with("crates/metrics/src/"));
    own.map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

/// Perplexity of a token and bits per byte over all articles.
fn judge(folder: &ModelFolder, articles: &[(String, String)]) -> Outcome<(f64, f64)> {
    let (mut nats, mut tokens, mut bytes) = (0.0, 0, 0);
    for (_, text) in articles {
        let context = folder.model.context().min(256);
        // Each token is scored once, and but for the first ones with half a context before it.
        let found = evaluate_text(&*folder.model, &folder.tokenizer, text, context, context / 2)?;
        nats += found.loss * found.tokens as f64;
        tokens += found.tokens;
        bytes += found.bytes;
    }
    Ok(((nats / tokens as f64).exp(), nats / std::f64::consts::LN_2 / bytes as f64))
}

/// What the model writes behind the beginning of an article.
fn sample(folder: &ModelFolder, (_, text): &(String, String)) -> Outcome<String> {
    let start: String = text.chars().take(24).collect();
    let how = Sampling { top_p: 0.9, ..Sampling::default() }.max_new_tokens(40);
    let written = folder.model.generate(&folder.tokenizer, &start, &how)?;
    Ok(format!("{start}|{written}").replace('\n', "⏎"))
}

fn tell(when: &str, folder: &ModelFolder, unseen: &[(String, String)]) -> Outcome<()> {
    let (perplexity, bits) = judge(folder, unseen)?;
    let (_, before) = judge(folder, &[("reviews".into(), tiny_gpt::text().chars().take(4000).collect())])?;
    println!("{when:<7}  {perplexity:>10.2}  {bits:>13.3}  {before:>29.3}");
    println!("    {}", sample(folder, &unseen[0])?);
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let articles = arguments.first().map_or_else(|| Ok(of_ourselves()), |folder| of_folder(folder))?;
    let folder = tiny_gpt::open(arguments.get(1), 160)?;
    let steps: u64 = arguments.get(2).map_or(Ok(60), |steps| steps.parse())?;
    let is_unseen = |place: &usize| place % 5 == 4;
    let (unseen, seen): (Vec<_>, Vec<_>) =
        articles.into_iter().enumerate().partition(|(place, _)| is_unseen(place));
    let [seen, unseen]: [Articles; 2] = [seen, unseen].map(|part| part.into_iter().map(|(_, a)| a).collect());
    if unseen.is_empty() {
        return Err("give five articles or more: one in five is kept back".into());
    }
    let mut ids = Vec::new();
    for (_, text) in &seen {
        ids.extend(folder.tokenizer.encode_with_special_tokens(text)?);
        ids.extend(folder.ends.first());
    }
    println!("{} articles of {} tokens to learn from, {} kept back", seen.len(), ids.len(), unseen.len());
    println!("\n         perplexity  bits per byte  bits per byte of the reviews");
    tell("before", &folder, &unseen)?;

    let rate = if arguments.len() > 1 { 5e-5 } else { 2e-3 };
    let config = AdamWConfig { learning_rate: rate, weight_decay: 0.01, ..Default::default() };
    let parameters = folder.model.parameters();
    let (mut optimizer, rng) = (AdamW::new(parameters.clone(), config)?, Rng::new(Seed(1)));
    let batches = Tokens::from(ids).batches(8, folder.model.context().min(128), 1)?;
    for step in 0..steps {
        let batch = TensorBatch::new(&batches.at(step), folder.model.device())?;
        let loss = folder.model.forward_train(&batch.ids, &rng, false)?.cross_entropy(&batch.targets)?;
        let mut gradients = loss.backward()?;
        clip_gradients(&mut gradients, &parameters, 1.0)?;
        optimizer.step(gradients)?;
    }
    tell("after", &folder, &unseen)
}
