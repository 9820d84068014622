//! An LSTM learns a sentence by heart, is saved, and says it in another process; given a text, it then learns that, and is asked about
//! a part that it has not seen.
//!
//! `cargo run --release --example lstm_generator [TEXT_FILE [STEPS]]`
//!
//! What printed versions of this program often get wrong:
//! - a softmax before the cross-entropy, which takes one itself: the loss stays far from 0, and learning is slow;
//! - they write by feeding back one character and a *fresh* state: then the network is a bigram table;
//! - they end at "loss 0.001". A sentence regenerated shows that there is no bug in the loop, and nothing else: the characters of
//!   this one all differ, so that a table of pairs knows it as well. Hence the held-out loss below, beside that table's.

use std::path::Path;
use std::process::Command;

use warpsmith::model::classical::{Cell, RecurrentConfig, RecurrentLm};
use warpsmith::prelude::*;
use warpsmith::train::classical;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The word that asks this program to be the other process.
const ANSWER: &str = "--answer";
const SENTENCE: &str = "人工智能是一项多学科交叉的技术领域";

/// Learns until every character of the sentence is the likeliest one at its place.
fn by_heart(device: &Device) -> Outcome<()> {
    let text = Corpus::from_text(SENTENCE).tokenize(&Tokenizer::chars())?;
    let ids = text.tokenizer().encode(SENTENCE)?;
    let model =
        RecurrentLm::new(text.vocab_size(), RecurrentConfig::new(Cell::Lstm, 256, 512), device, Seed(1))?;
    let numbers: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
    println!("{} characters, {numbers} parameters", ids.len());
    let config = AdamWConfig { learning_rate: 3e-3, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(model.parameters(), config)?;
    let (before, last) = (ids.len() - 1, &ids[..1]);
    let inputs = Tensor::from_slice(&ids[..before], &[1, before], device)?; // (1, T)
    let targets = Tensor::from_slice(&ids[1..], &[1, before], device)?; // (1, T)
    for step in 0..200 {
        let (logits, _) = model.forward(&inputs, None, None)?; // (1, T, V)
        let loss = logits.cross_entropy(&targets)?;
        let nats = loss.item()?;
        optimizer.step(loss.backward()?)?;
        let written = [last, &model.complete(last, before)?].concat();
        let written = text.tokenizer().decode(&written)?;
        if step % 5 == 0 || written == SENTENCE {
            println!("step {step:>3}  loss {nats:.4}  {written}");
        }
        if written == SENTENCE && nats < 0.1 {
            println!("the sentence, exactly: true");
            return in_another_process(&model, &text);
        }
    }
    Err("the sentence was not learned in 200 steps".into())
}

/// Saves the model and asks for the sentence who has nothing but the folder.
fn in_another_process(model: &RecurrentLm, text: &Dataset) -> Outcome<()> {
    let dir = std::env::temp_dir().join(format!("lstm_generator-{}", std::process::id()));
    classical::write(&dir, &[text.vocab_size(), 256, 512], &model.parameters())?;
    text.tokenizer().save(dir.join("tokenizer.json"))?;
    let there = Command::new(std::env::current_exe()?).arg(ANSWER).arg(&dir).output()?;
    std::fs::remove_dir_all(&dir)?;
    let there = String::from_utf8(there.stdout)?;
    println!("and in another process, of the saved model: {there}");
    if there == SENTENCE { Ok(()) } else { Err("another process says something else".into()) }
}

/// What the other process does.
fn answer(dir: &Path, device: &Device) -> Outcome<()> {
    let [vocab, embedding, hidden]: [usize; 3] = classical::read(dir)?;
    let model =
        RecurrentLm::new(vocab, RecurrentConfig::new(Cell::Lstm, embedding, hidden), device, Seed(0))?;
    classical::load(dir, &model.parameters())?;
    let tokenizer = Tokenizer::from_file(dir)?;
    let (first, rest) = (tokenizer.encode("人")?, SENTENCE.chars().count() - 1);
    print!("{}", tokenizer.decode(&[&first[..], &model.complete(&first, rest)?].concat())?);
    Ok(())
}

/// The mean loss in nats over the windows of a part that is held out.
fn held_out(model: &RecurrentLm, batches: &[TensorBatch]) -> Outcome<f64> {
    let mut sum = 0.0;
    for batch in batches {
        let (logits, _) = no_grad(|| model.forward(&batch.ids, None, None))?;
        sum += logits.cross_entropy(&batch.targets)?.item()?;
    }
    Ok(sum / batches.len() as f64)
}

/// The loss of a table of pairs, counted in the training part with one added to each count, on the same windows.
fn of_pairs(seen: &[u32], windows: &[TensorBatch], vocab: usize) -> Outcome<f64> {
    let (mut pairs, mut firsts) = (vec![1.0; vocab * vocab], vec![vocab as f64; vocab]);
    for pair in seen.windows(2) {
        pairs[pair[0] as usize * vocab + pair[1] as usize] += 1.0;
        firsts[pair[0] as usize] += 1.0;
    }
    let (mut sum, mut count) = (0.0, 0);
    for batch in windows {
        let (ids, targets) = (batch.ids.to_f64_vec()?, batch.targets.to_f64_vec()?);
        for (a, b) in ids.iter().zip(&targets) {
            sum -= f64::ln(pairs[*a as usize * vocab + *b as usize] / firsts[*a as usize]);
            count += 1;
        }
    }
    Ok(sum / f64::from(count))
}

fn of_a_text(path: &str, steps: u64, device: &Device) -> Outcome<()> {
    let text = Corpus::from_path(path)?.tokenize(&Tokenizer::chars())?;
    let vocab = text.vocab_size();
    let (width, times) = (128, 48);
    let model = RecurrentLm::new(vocab, RecurrentConfig::new(Cell::Lstm, 64, width), device, Seed(1))?;
    let config = AdamWConfig { learning_rate: 4e-3, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(model.parameters(), config)?;
    let (train, val) = (text.train().batches(16, times, 1)?, text.val().batches(16, times, 2)?);
    let windows = (0..8).map(|i| Ok(TensorBatch::new(&val.at(i), device)?)).collect::<Outcome<Vec<_>>>()?;
    let seen: Vec<u32> = text.tokenizer().encode(Corpus::from_path(path)?.text())?;
    let pairs = of_pairs(&seen[..seen.len() * 9 / 10], &windows, vocab)?;
    println!("\n{path}: {vocab} characters known; held out, a table of pairs has a loss of {pairs:.3}");
    for step in 0..=steps {
        if step % (steps / 5).max(1) == 0 {
            println!("step {step:>4}  held-out loss {:.3}", held_out(&model, &windows)?);
        }
        let batch = TensorBatch::new(&train.at(step), device)?;
        let loss = model.forward(&batch.ids, None, None)?.0.cross_entropy(&batch.targets)?;
        optimizer.step(loss.backward()?)?;
    }
    let written = model.complete(&seen[..8], 60)?;
    println!("{}|{}", text.tokenizer().decode(&seen[..8])?, text.tokenizer().decode(&written)?);
    Ok(())
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
    if let [word, dir] = &arguments[..]
        && word == ANSWER
    {
        return answer(Path::new(dir), &device);
    }
    by_heart(&device)?;
    match &arguments[..] {
        [] => Ok(()),
        [path] => of_a_text(path, 300, &device),
        [path, steps, ..] => of_a_text(path, steps.parse()?, &device),
    }
}
