//! Bags of words, a linear support vector machine, a text-CNN and a small Transformer encoder, on the same texts, in one table.
//!
//! `cargo run --release --example text_classifiers [TRAIN.tsv TEST.tsv [EPOCHS]]`
//!
//! The files have columns `text` and `label` (`.tsv`, `.csv` or `.jsonl`); without any, made-up reviews. All of them begin with
//! nothing; `warpsmith finetune --task classify` takes a model that has read before.
//!
//! What printed versions of this table often get wrong:
//! - the baseline is a bag of words without pairs, TF-IDF or tuning, so that anything beats it. "not bad" is two words;
//! - words and their frequencies are counted in the test texts too;
//! - the epoch is chosen on the test texts. Here a tenth of the training texts chooses it, for each row of the table;
//! - texts are padded to the longest of their batch, and the largest of each channel sees the padding: then a text's label depends on
//!   the texts beside it. Here all texts have one length;
//! - no row says what always naming the larger class would give.

mod networks;
#[path = "../fixtures/reviews.rs"]
mod reviews;
#[path = "../fixtures/small_bert.rs"]
mod small_bert;

use std::collections::HashMap;

use networks::{Network, Texts, networks};
use warpsmith::LabelledTexts;
use warpsmith::data::bag::{Bag, BagConfig};
use warpsmith::data::balance::Balance;
use warpsmith::data::read::ReadOptions;
use warpsmith::metrics::classification::Confusion;
use warpsmith::metrics::tokens::lower_words;
use warpsmith::prelude::*;
use warpsmith::train::finetune::ClassScores;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 16;

/// What is right in each of these texts, and what the network calls them.
fn judge(network: &Network<'_>, which: &[usize], truth: &[usize], classes: usize) -> Outcome<ClassScores> {
    let (mut right, mut called) = (Vec::new(), Vec::new());
    for which in which.chunks(BATCH) {
        let logits = no_grad(|| (network.forward)(which, None))?; // (B, N)
        called.extend(logits.argmax(-1, false)?.to_vec::<i64>()?.into_iter().map(|class| class as usize));
        right.extend(which.iter().map(|&i| truth[i]));
    }
    Ok(ClassScores::of(&Confusion::of(&right, &called, classes)?))
}

/// The scores on the last part, of the epoch that did best on the second; and the epoch.
fn learn(
    network: &Network<'_>,
    [train, val, test]: &[Vec<usize>; 3],
    truth: &[usize],
    (classes, epochs, device): (usize, usize, &Device),
) -> Outcome<(ClassScores, usize)> {
    let settings = AdamWConfig { learning_rate: network.rate, weight_decay: 1e-4, ..Default::default() };
    let (mut optimizer, rng) = (AdamW::new(network.parameters.clone(), settings)?, Rng::new(Seed(2)));
    let mut best: Option<(f64, ClassScores, usize)> = None;
    for epoch in 1..=epochs {
        let keys = rng.uniform(train.len());
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        let order: Vec<usize> = order.into_iter().map(|at| train[at]).collect();
        for which in order.chunks(BATCH) {
            let loss = match &network.loss {
                Some(loss) => loss(which)?,
                None => {
                    let targets = which.iter().map(|&i| truth[i] as i64).collect();
                    let targets = Tensor::from_vec(targets, &[which.len()], device)?;
                    (network.forward)(which, Some(&rng))?.cross_entropy(&targets)?
                }
            };
            optimizer.step(loss.backward()?)?;
        }
        let chosen_by = judge(network, val, truth, classes)?.accuracy;
        if best.as_ref().is_none_or(|(most, ..)| chosen_by > *most) {
            best = Some((chosen_by, judge(network, test, truth, classes)?, epoch));
        }
    }
    best.map(|(_, scores, epoch)| (scores, epoch)).ok_or_else(|| "give an epoch or more".into())
}

/// The texts to learn from and those to judge by.
fn read(arguments: &[String]) -> Outcome<[LabelledTexts; 2]> {
    let options = ReadOptions { label: Some("label".into()), ..ReadOptions::default() };
    if let [train, test, ..] = arguments {
        return Ok([
            LabelledTexts::read(train.as_ref(), &options)?,
            LabelledTexts::read(test.as_ref(), &options)?,
        ]);
    }
    let rows = reviews::reviews(600, 7).into_iter().map(|(text, label)| format!("{text}\t{label}\n"));
    let path = std::env::temp_dir().join(format!("text_classifiers-{}.tsv", std::process::id()));
    std::fs::write(&path, "text\tlabel\n".to_string() + &rows.collect::<String>())?;
    let all = LabelledTexts::read(&path, &options);
    std::fs::remove_file(&path)?;
    let (train, test) = all?.hold_out(0.2, 1)?;
    Ok([train, test])
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
    let epochs: usize = arguments.get(2).map_or(Ok(5), |epochs| epochs.parse())?;
    let [train, test] = read(&arguments)?;
    let labels = train.labels()?;
    let (train, val) = train.hold_out(0.1, 2)?;
    let all: Vec<&str> = [&train, &val, &test].into_iter().flat_map(LabelledTexts::texts).collect();
    let truth = [train.numbers(&labels)?, val.numbers(&labels)?, test.numbers(&labels)?].concat();
    let ends = [train.texts().len(), train.texts().len() + val.texts().len(), all.len()];
    let parts =
        [(0..ends[0]).collect(), (ends[0]..ends[1]).collect(), (ends[1]..ends[2]).collect::<Vec<_>>()];
    // Only what is learned from is counted.
    let bag = |longest| -> Outcome<_> {
        let config = BagConfig { runs: (1, longest), min_texts: 2, ..BagConfig::default() };
        let bag = Bag::fit(&all[..ends[0]], config)?;
        let rows = all.iter().map(|text| bag.row(text)).collect();
        Ok((bag, rows))
    };
    let words = bag(1)?;
    let numbers: HashMap<&str, u32> = words.0.terms().zip(2..).collect();
    let number = |word: String| numbers.get(word.as_str()).copied().unwrap_or(0);
    // A text without a word is one unknown word.
    let ids_of = |text: &&str| match lower_words(text) {
        none if none.is_empty() => vec![0],
        found => found.into_iter().map(number).collect(),
    };
    let ids = all.iter().map(ids_of).collect();
    let texts = Texts { pairs: bag(2)?, ids, truth, words };
    let majority =
        Balance::of(parts[2].iter().map(|&i| labels[texts.truth[i]].as_str())).majority().unwrap_or(0.0);
    println!(
        "{} texts to learn from, {} to choose by, {} to judge by",
        ends[0],
        parts[1].len(),
        parts[2].len()
    );
    println!("\n{:<24}  accuracy  macro F1  epoch     numbers", "");
    println!("{:<24}  {majority:>8.4}", "always the larger class");
    for network in networks(&texts, labels.len(), &device)? {
        let numbers: usize = network.parameters.iter().map(|p| p.shape().numel()).sum();
        let (scores, epoch) = learn(&network, &parts, &texts.truth, (labels.len(), epochs, &device))?;
        let (accuracy, f1) = (scores.accuracy, scores.macro_average.f1);
        println!("{:<24}  {accuracy:>8.4}  {f1:>8.4}  {epoch:>5}  {numbers:>10}", network.name);
    }
    Ok(())
}
