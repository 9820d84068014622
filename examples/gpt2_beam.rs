//! Beam search on a GPT-2: what more beams find, what length does to scores, and a proof on a small vocabulary.
//!
//! `cargo run --release --example gpt2_beam [GPT2_FOLDER [PROMPT]]`
//!
//! Without a folder a tiny model learns made-up reviews first.
//!
//! What printed versions of this program often get wrong:
//! - the best of each beam is kept in place of the best of all beams: that is several greedy texts, and never a likelier one;
//! - sums of log-probabilities of texts of different length are compared, so that the shortest text wins;
//! - a text that has ended goes on being extended, or leaves the search for good though others are still worse;
//! - the whole prefix runs again for each token of each beam: here the cache of keys and values is reordered with the beams;
//! - "beam search is better" is shown by one text. It finds likelier texts, which of an open-ended story are often duller.

#[path = "fixtures/tiny_gpt.rs"]
mod tiny_gpt;

use warpsmith::metrics::diversity;
use warpsmith::model::{BeamSearch, EarlyStopping, Found};
use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Log-probabilities (B, V) of the token behind each of these sequences of one length.
fn next(model: &dyn CausalModel, rows: &[Vec<u32>]) -> Outcome<Vec<Vec<f64>>> {
    let (b, t) = (rows.len(), rows[0].len());
    let ids = Tensor::from_vec(rows.concat(), &[b, t], model.device())?; // (B, T)
    let logits = no_grad(|| model.forward(&ids)?.slice(1, t - 1, 1, 1)?.log_softmax())?; // (B, 1, V)
    let all = logits.to_f64_vec()?;
    Ok(all.chunks(model.vocab_size()).map(<[f64]>::to_vec).collect())
}

/// The likeliest two tokens behind a prompt, by looking at all pairs.
fn exhaustive(model: &dyn CausalModel, prompt: &[u32]) -> Outcome<(f64, Vec<u32>)> {
    let first = next(model, &[prompt.to_vec()])?.remove(0);
    let rows: Vec<Vec<u32>> = (0..first.len() as u32).map(|token| [prompt, &[token]].concat()).collect();
    let second = next(model, &rows)?;
    let pairs = first.iter().zip(&second).enumerate().flat_map(|(a, (p, row))| {
        row.iter().enumerate().map(move |(b, q)| (p + q, vec![a as u32, b as u32]))
    });
    pairs.max_by(|a, b| a.0.total_cmp(&b.0)).ok_or_else(|| "no vocabulary".into())
}

/// A text on one line.
fn shown(folder: &ModelFolder, found: &Found) -> Outcome<String> {
    Ok(folder.tokenizer.decode(&found.tokens)?.replace('\n', "⏎"))
}

fn more_beams(folder: &ModelFolder, prompt: &[u32]) -> Outcome<()> {
    println!("beams  log-probability  pairs said again  text");
    for num_beams in [1, 2, 4, 8] {
        // Of texts of one length the sum decides, whatever the penalty.
        let search = BeamSearch { num_beams, max_new_tokens: 16, length_penalty: 0.0, ..Default::default() };
        let found = search.run(&*folder.model, prompt, &[])?.remove(0);
        let again = diversity::repeated(&[&found.tokens], 2).unwrap_or(0.0);
        let text = shown(folder, &found)?;
        println!("{num_beams:>5}  {:>15.3}  {:>14.0} %  {text}", found.score, 100.0 * again);
    }
    Ok(())
}

fn length(folder: &ModelFolder, prompt: &[u32]) -> Outcome<()> {
    // A text without a token for its end ends with its line.
    let ends: Vec<u32> = match &folder.ends[..] {
        [] => folder.tokenizer.encode("\n")?,
        ends => ends.to_vec(),
    };
    println!("\nlength_penalty  tokens  score   text");
    for length_penalty in [0.0, 1.0, 2.0] {
        let early_stopping = EarlyStopping::Never;
        let search = BeamSearch { length_penalty, early_stopping, max_new_tokens: 24, ..Default::default() };
        let found = search.run(&*folder.model, prompt, &ends)?.remove(0);
        let (tokens, text) = (found.tokens.len(), shown(folder, &found)?);
        println!("{length_penalty:>14}  {tokens:>6}  {:>6.3}  {text}", found.score);
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tiny_gpt::open(arguments.first(), 160)?;
    let prompt = arguments.get(1).map_or("the music", String::as_str);
    let ids = folder.tokenizer.encode_with_special_tokens(prompt)?;
    println!("{prompt}: {}\n", BeamSearch::default().steps());
    more_beams(&folder, &ids)?;
    length(&folder, &ids)?;
    let vocab = folder.model.vocab_size();
    if vocab > 1000 {
        return Ok(());
    }
    let (truth, pair) = exhaustive(&*folder.model, &ids)?;
    let search =
        BeamSearch { num_beams: vocab, max_new_tokens: 2, length_penalty: 0.0, ..Default::default() };
    let found = search.run(&*folder.model, &ids, &[])?.remove(0);
    println!(
        "\nof all {} pairs of tokens the likeliest has {truth:.4}; {vocab} beams find {:.4}",
        vocab * vocab,
        found.score
    );
    match found.tokens == pair {
        true => Ok(()),
        false => Err(format!("the beams missed it: {:?}, not {pair:?}", found.tokens).into()),
    }
}
