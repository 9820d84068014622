//! An LSTM encoder and decoder, with additive attention and without, turn digits round and put them in order.
//!
//! `cargo run --release --example translate [STEPS]`
//!
//! What printed versions of this program often get wrong:
//! - sources of a batch are padded, and the encoder's last state is taken behind the padding, or attention looks at it;
//! - the padding of targets is scored, so that the loss is mostly about empty places;
//! - accuracy is measured while the decoder is given the truth: one wrong token then spoils nothing behind it. Here it reads what
//!   it wrote itself, and a row is right if all of it is;
//! - accuracy is measured on pairs that were trained on. Here a hash decides which problems are kept back.

use warpsmith::model::classical::{Translator, TranslatorConfig};
use warpsmith::ops::cross_entropy::IGNORE_INDEX;
use warpsmith::prelude::*;
use warpsmith::train::Optimizer;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Behind the ten digits: the marks before and behind a target, which also fills up sources.
const START: u32 = 10;
const END: u32 = 11;
const LENGTHS: std::ops::RangeInclusive<u32> = 2..=5;
const ROWS: usize = 64;

#[derive(Clone, Copy, Debug)]
enum Task {
    Reverse,
    Sort,
}

impl Task {
    fn answer(self, source: &[u32]) -> Vec<u32> {
        let mut answer = source.to_vec();
        match self {
            Self::Reverse => answer.reverse(),
            Self::Sort => answer.sort_unstable(),
        }
        answer
    }
}

/// Whether a source is one of the tenth that is kept back.
fn is_kept_back(source: &[u32]) -> bool {
    source.iter().fold(17u32, |hash, &digit| (hash ^ digit).wrapping_mul(0x9E37_79B1).rotate_left(13)) % 10
        == 0
}

/// So many sources of one side.
fn sources(count: usize, kept_back: bool, rng: &Rng) -> Vec<Vec<u32>> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let drawn = rng.uniform(1 + *LENGTHS.end() as usize);
        let length = LENGTHS.start() + (drawn[0] * (LENGTHS.end() - LENGTHS.start() + 1) as f32) as u32;
        let source: Vec<u32> = drawn[1..=length as usize].iter().map(|u| (u * 10.0) as u32).collect();
        if is_kept_back(&source) == kept_back {
            found.push(source);
        }
    }
    found
}

/// Rows filled up to the longest, and their lengths.
fn padded(rows: &[Vec<u32>], device: &Device) -> Outcome<(Tensor, Vec<usize>)> {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let ids: Vec<u32> =
        rows.iter().flat_map(|r| (0..longest).map(|t| r.get(t).copied().unwrap_or(END))).collect();
    Ok((Tensor::from_slice(&ids, &[rows.len(), longest], device)?, lengths))
}

/// One step of training; the loss in nats.
fn step(
    model: &Translator,
    optimizer: &mut Optimizer,
    task: Task,
    rng: &Rng,
    device: &Device,
) -> Outcome<f64> {
    let rows = sources(ROWS, false, rng);
    let (ids, lengths) = padded(&rows, device)?;
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for answer in rows.iter().map(|row| task.answer(row)) {
        let filled = |t: usize| answer.get(t).copied().unwrap_or(END);
        inputs.extend((0..=ids.dims()[1]).map(|t| if t == 0 { START } else { filled(t - 1) }));
        let scored = |t: usize| if t <= answer.len() { i64::from(filled(t)) } else { IGNORE_INDEX };
        targets.extend((0..=ids.dims()[1]).map(scored));
    }
    let dims = [rows.len(), ids.dims()[1] + 1];
    let inputs = Tensor::from_slice(&inputs, &dims, device)?; // (B, T)
    let targets = Tensor::from_slice(&targets, &dims, device)?; // (B, T)
    let (logits, ..) = model.decode(&model.encode(&ids, &lengths)?, &inputs)?; // (B, T, V)
    let loss = logits.cross_entropy(&targets)?;
    let nats = loss.item()?;
    optimizer.step(loss.backward()?)?;
    Ok(nats)
}

/// The share of sources whose whole answer is right.
fn accuracy(model: &Translator, task: Task, rows: &[Vec<u32>], device: &Device) -> Outcome<f64> {
    let (ids, lengths) = padded(rows, device)?;
    let written = model.translate(&ids, &lengths, (START, END), ids.dims()[1] + 1)?;
    let right = written.iter().zip(rows).filter(|(written, row)| **written == task.answer(row)).count();
    Ok(right as f64 / rows.len() as f64)
}

/// How strongly each written token (rows) looked at each token of the source (columns).
fn show_attention(model: &Translator, task: Task, source: &[u32], device: &Device) -> Outcome<()> {
    let (ids, lengths) = padded(&[source.to_vec()], device)?;
    let answer = task.answer(source);
    let given = [&[START], &answer[..answer.len() - 1]].concat();
    let given = Tensor::from_slice(&given, &[1, given.len()], device)?;
    let (_, weights, _) = no_grad(|| model.decode(&model.encode(&ids, &lengths)?, &given))?;
    let weights = weights.ok_or("no attention")?.to_vec::<f32>()?; // (1, T, S)
    let digits: Vec<String> = source.iter().map(u32::to_string).collect();
    println!("         {}", digits.join("   "));
    for (written, row) in answer.iter().zip(weights.chunks(source.len())) {
        println!("  {written}  {}", row.iter().map(|w| format!("{w:4.1}")).collect::<String>());
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let device = Device::best()?;
    let steps: u64 = std::env::args().nth(1).map_or(Ok(200), |s| s.parse())?;
    let kept_back = sources(500, true, &Rng::new(Seed(99)));
    println!("task     attention  parameters  loss    right, of {} kept back", kept_back.len());
    for (task, attention) in [(Task::Reverse, false), (Task::Reverse, true), (Task::Sort, true)] {
        let (source_vocab, target_vocab, embedding_size, hidden_size) = (12, 12, 16, 64);
        let config = TranslatorConfig { source_vocab, target_vocab, embedding_size, hidden_size, attention };
        let model = Translator::new(&config, &device, Seed(3))?;
        let settings = AdamWConfig { weight_decay: 0.0, ..Default::default() };
        let mut optimizer = Optimizer::AdamW(AdamW::new(model.parameters(), settings)?);
        let (rng, mut loss) = (Rng::new(Seed(1)), 0.0);
        for at in 0..steps {
            optimizer.set_learning_rate(1e-2 * (1.0 - at as f64 / steps as f64).max(0.02));
            loss = step(&model, &mut optimizer, task, &rng, &device)?;
        }
        let numbers: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
        let right = 100.0 * accuracy(&model, task, &kept_back, &device)?;
        let (task_name, with) = (format!("{task:?}"), if attention { "additive" } else { "none" });
        println!("{task_name:<8} {with:<9}  {numbers:>10}  {loss:.4}  {right:.1} %");
        if attention {
            show_attention(&model, task, &kept_back[1], &device)?;
        }
    }
    Ok(())
}
