//! Summaries in three ways: the first sentence, the sentence that TextRank finds, and what a small encoder and decoder writes.
//!
//! `cargo run --release --example summarise [PAIRS.tsv [EPOCHS]]`
//!
//! Each line of the file: a text, a tab, its summary. Without it, made-up notices of which one clause matters.
//!
//! What printed versions of this program often get wrong:
//! - no row says what the first sentence alone is worth, which for news and documentation is hard to beat;
//! - ROUGE is counted over tokens of a vocabulary without rare words: what the model cannot say is then no mistake. Here over the
//!   words of the texts;
//! - one number without precision and recall: the longer a summary, the more it recalls;
//! - of texts that stand in the file twice, one half is learned and the other asked for.

mod notices;
#[path = "../fixtures/pairs.rs"]
mod pairs;
#[path = "../fixtures/sequences.rs"]
mod sequences;

use std::collections::HashSet;
use std::time::Instant;

use sequences::{Pair, Words, joined};
use warpsmith::metrics::rouge::{self, Words as Counted};
use warpsmith::metrics::tokens::lower_words;
use warpsmith::model::classical::{Translator, TranslatorConfig};
use warpsmith::prelude::*;
use warpsmith::text::{sentences, text_rank};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Words of a text that the network reads, and that it writes.
const READ: usize = 60;
const WRITTEN: usize = 20;
/// One text of so many is kept back.
const KEPT_BACK: usize = 10;

/// The sentence that has most in common with the others; the first of equals.
fn ranked(text: &str) -> &str {
    let sentences = sentences(text);
    let ranks = text_rank(&sentences.iter().map(|sentence| lower_words(sentence)).collect::<Vec<_>>());
    let first_best = (0..ranks.len()).rev().max_by(|&a, &b| ranks[a].total_cmp(&ranks[b]));
    first_best.map_or("", |at| sentences[at])
}

fn row(name: &str, summaries: &[String], references: &[String]) -> Outcome<()> {
    let found = rouge::mean(summaries, references, Counted::Unicode)?;
    let length = summaries.iter().map(|text| lower_words(text).len()).sum::<usize>() as f64;
    let [one, two, l] = [found.one, found.two, found.l].map(|score| 100.0 * score.f1);
    let (p, r) = (100.0 * found.one.precision, 100.0 * found.one.recall);
    let words = length / summaries.len() as f64;
    println!("{name:<20}  {one:>7.1}  {two:>7.1}  {l:>7.1}  {p:>9.1}  {r:>6.1}  {words:>5.1}");
    Ok(())
}

/// An encoder and decoder after so many epochs, and what it writes of each text.
fn learned(train: &[(String, String)], test: &[(String, String)], epochs: usize) -> Outcome<Vec<String>> {
    let cut = |text: &str, most: usize| lower_words(text).into_iter().take(most).collect::<Vec<_>>();
    let cuts: Vec<[Vec<String>; 2]> = train.iter().map(|(a, b)| [cut(a, READ), cut(b, WRITTEN)]).collect();
    // One vocabulary of both sides.
    let words = Words::of(cuts.iter().flatten(), 2, 6000);
    let (vocab, began) = (words.known.len(), Instant::now());
    let config = TranslatorConfig {
        source_vocab: vocab,
        target_vocab: vocab,
        embedding_size: 96,
        hidden_size: 192,
        attention: true,
    };
    let model = Translator::new(&config, &Device::best()?, Seed(3))?;
    let pairs: Vec<Pair> = cuts.iter().map(|[a, b]| (words.ids(a), words.ids(b))).collect();
    let asked: Vec<Pair> =
        test.iter().map(|(a, b)| (words.ids(&cut(a, READ)), words.ids(&cut(b, WRITTEN)))).collect();
    sequences::learn(&model, &pairs, (epochs, 3e-3), |epoch, loss| {
        let (kept_back, seconds) = (sequences::held_out(&model, &asked)?, began.elapsed().as_secs_f64());
        println!("epoch {epoch:>2}  loss {loss:.3}  kept back {kept_back:.3}  {seconds:.0} s");
        Ok(())
    })?;
    let sources: Vec<&[u32]> = asked.iter().map(|pair| pair.0.as_slice()).collect();
    let written = sequences::answers(&model, &sources, WRITTEN)?;
    Ok(written.iter().map(|ids| joined(&sequences::spelled(&words, ids))).collect())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut pairs = match arguments.first() {
        Some(path) => pairs::read(path, |text| !lower_words(text).is_empty())?,
        None => notices::notices(2000),
    };
    let mut seen = HashSet::new();
    pairs.retain(|(text, _)| seen.insert(lower_words(text)));
    let epochs = arguments.get(1).map_or(Ok(4), |epochs| epochs.parse())?;
    let (test, train): (Vec<_>, Vec<_>) =
        (0..).zip(pairs).partition(|(at, _): &(usize, _)| at % KEPT_BACK == 0);
    let [test, train] = [test, train].map(|part| part.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>());
    if train.is_empty() {
        return Err("give two texts with summaries, or more".into());
    }
    println!("{} texts to learn from, {} to judge by", train.len(), test.len());
    let written = learned(&train, &test, epochs)?;
    let references: Vec<String> = test.iter().map(|pair| pair.1.clone()).collect();
    let of =
        |summary: fn(&str) -> &str| test.iter().map(|pair| summary(&pair.0).to_owned()).collect::<Vec<_>>();
    let first = of(|text| sentences(text).first().copied().unwrap_or(""));
    println!("\n{:<20}  ROUGE-1  ROUGE-2  ROUGE-L  precision  recall  words", "");
    row("the first sentence", &first, &references)?;
    let ranked = of(ranked);
    row("TextRank's sentence", &ranked, &references)?;
    row("encoder and decoder", &written, &references)?;
    for at in (0..test.len()).step_by(test.len().div_ceil(3)) {
        println!(
            "\n{}\n  reference  {}\n  TextRank   {}\n  written    {}",
            test[at].0, references[at], ranked[at], written[at]
        );
    }
    Ok(())
}
