//! A century in one table: a table of pairs, a network over a window, a recurrent one, an LSTM, an LSTM that looks back, and a
//! Transformer, all of about one size where they can be, learn to turn a line of digits round.
//!
//! `cargo run --release --example history_of_attention [STEPS]`
//!
//! What printed versions of this story often get wrong:
//! - each network has data, loss and size of its own, so that nothing can be compared. Here: one stream of problems, one loss, over
//!   the answers alone, of problems that no network was trained on;
//! - the recurrent network is shown at a task whose answer stands right before. Here the first digit of the answer stands one
//!   place back, and the last 13: what is forgotten shows;
//! - "attention" is then shown without a mask, and reads the answer.

use std::time::Instant;

use warpsmith::model::classical::{AdditiveAttention, Cell, Mlp, Recurrent, RecurrentConfig, RecurrentLm};
use warpsmith::model::{self, Weights};
use warpsmith::ops::cross_entropy::IGNORE_INDEX;
use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Digits of a problem, tokens (digits and the mark between problem and answer), and inputs of a line.
const DIGITS: usize = 7;
const VOCAB: usize = 11;
const TIMES: usize = 2 * DIGITS;
const ROWS: usize = 64;
const WIDTH: usize = 64;

/// Logits (B, T, V) of ids (B, T).
type Forward = Box<dyn Fn(&Tensor) -> Outcome<Tensor>>;

struct Network {
    name: &'static str,
    forward: Forward,
    parameters: Vec<Parameter>,
}

impl Network {
    fn new(
        name: &'static str,
        parameters: impl IntoIterator<Item = Vec<Parameter>>,
        forward: impl Fn(&Tensor) -> Outcome<Tensor> + 'static,
    ) -> Self {
        Self { name, forward: Box::new(forward), parameters: parameters.into_iter().flatten().collect() }
    }
}

/// Lines of seven digits, the mark, and the digits from last to first, as inputs and what follows each; the problem itself is not
/// scored. A tenth of the problems is kept back.
fn lines(rows: usize, kept_back: bool, rng: &Rng, device: &Device) -> Outcome<[Tensor; 2]> {
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    while inputs.len() < rows * TIMES {
        let digits: Vec<i64> = rng.uniform(DIGITS).into_iter().map(|u| (u * 10.0) as i64).collect();
        let number = digits.iter().fold(0, |number, digit| number * 10 + digit);
        if (number * 7919 % 10_007 % 10 == 0) == kept_back {
            let line: Vec<i64> =
                digits.iter().copied().chain([10]).chain(digits.iter().rev().copied()).collect();
            inputs.extend_from_slice(&line[..TIMES]);
            targets.extend((1..=TIMES).map(|t| if t > DIGITS { line[t] } else { IGNORE_INDEX }));
        }
    }
    Ok([
        Tensor::from_vec(inputs, &[rows, TIMES], device)?,
        Tensor::from_vec(targets, &[rows, TIMES], device)?,
    ])
}

fn networks(device: &Device) -> Outcome<Vec<Network>> {
    let weights = Weights::random(Seed(5), device);
    let pairs = model::Embedding::new(&weights.at("pairs"), (VOCAB, VOCAB), 0.1)?;
    let tokens = model::Embedding::new(&weights.at("tokens"), (VOCAB, 32), 1.0)?;
    let mlp = Mlp::new(&weights.at("mlp"), &[8 * 32, 96, VOCAB])?;
    let lm = |cell| RecurrentLm::new(VOCAB, RecurrentConfig::new(cell, 32, WIDTH), device, Seed(5));
    let (rnn, lstm) = (lm(Cell::Tanh)?, lm(Cell::Lstm)?);
    let table = model::Embedding::new(&weights.at("table"), (VOCAB, 32), 1.0)?;
    let layer = Recurrent::new(&weights.at("lstm"), RecurrentConfig::new(Cell::Lstm, 32, WIDTH))?;
    let back = AdditiveAttention::new(&weights.at("attention"), [WIDTH, WIDTH, WIDTH])?;
    let head = model::Linear::transposed(&weights.at("head"), (2 * WIDTH, VOCAB), true, 0.05)?;
    let config = GptConfig {
        vocab_size: VOCAB,
        block_size: TIMES,
        n_layer: 2,
        n_head: 4,
        n_embd: 32,
        ..Default::default()
    };
    let gpt = Gpt::new(config, device, Seed(5))?;
    // Key j stands behind query i.
    let future: Vec<bool> = (0..TIMES * TIMES).map(|at| at % TIMES > at / TIMES).collect();
    let future = Tensor::from_vec(future, &[1, TIMES, TIMES], device)?;
    let before = Tensor::zeros(Shape::new(&[ROWS, 7, 32])?, DType::F32, device)?;
    let all = |parameters: &[Vec<Parameter>]| parameters.to_vec();
    Ok(vec![
        Network::new("pairs, 1913", [pairs.parameters()], move |ids| Ok(pairs.forward(ids)?)),
        Network::new("window of 8, 2003", all(&[tokens.parameters(), mlp.parameters()]), move |ids| {
            let padded = before.narrow(0, 0, ids.dims()[0])?.cat(&[&tokens.forward(ids)?], 1)?; // (B, 7 + T, C)
            let window = (0..8).map(|k| padded.narrow(1, k, TIMES)).collect::<Result<Vec<_>, _>>()?;
            Ok(mlp.forward(&window[0].cat(&window[1..].iter().collect::<Vec<_>>(), -1)?)?)
        }),
        Network::new("recurrent, 1990", [rnn.parameters()], move |ids| Ok(rnn.forward(ids, None, None)?.0)),
        Network::new("LSTM, 1997", [lstm.parameters()], move |ids| Ok(lstm.forward(ids, None, None)?.0)),
        Network::new(
            "LSTM that looks back, 2015",
            [table.parameters(), layer.parameters(), back.parameters(), head.parameters()],
            move |ids| {
                let (states, _) = layer.forward(&table.forward(ids)?, None, None, None)?; // (B, T, H)
                let (found, _) = back.forward(&states, &back.keys(&states, Some(&future))?)?; // (B, T, H)
                Ok(head.forward(&states.cat(&[&found], -1)?)?)
            },
        ),
        Network::new("Transformer, 2017", [gpt.parameters()], move |ids| Ok(gpt.forward(ids)?)),
    ])
}

/// The loss, and the share of answers that are right in every place. (The answer so far is given, as in training.)
fn judge(network: &Network, [ids, targets]: &[Tensor; 2]) -> Outcome<(f64, f64)> {
    let logits = no_grad(|| (network.forward)(ids))?;
    let (found, wanted) = (logits.argmax(-1, false)?.to_vec::<i64>()?, targets.to_vec::<i64>()?);
    let is_right = |(found, wanted): (&[i64], &[i64])| found[DIGITS..] == wanted[DIGITS..];
    let right = found.chunks(TIMES).zip(wanted.chunks(TIMES)).filter(|line| is_right(*line)).count();
    Ok((logits.cross_entropy(targets)?.item()?, right as f64 / ids.dims()[0] as f64))
}

fn main() -> Outcome<()> {
    let device = Device::best()?;
    let steps: u64 = std::env::args().nth(1).map_or(Ok(120), |s| s.parse())?;
    let kept_back = lines(ROWS, true, &Rng::new(Seed(99)), &device)?;
    println!("{steps} steps of {ROWS} lines; a guess has a loss of ln 10 = {:.3}\n", 10f64.ln());
    println!("{:<26}  parameters  held-out loss  lines right  seconds", "network");
    for network in networks(&device)? {
        let settings = AdamWConfig { learning_rate: 3e-3, weight_decay: 0.0, ..Default::default() };
        let mut optimizer = AdamW::new(network.parameters.clone(), settings)?;
        let (rng, began) = (Rng::new(Seed(1)), Instant::now());
        for _ in 0..steps {
            let [ids, targets] = lines(ROWS, false, &rng, &device)?;
            optimizer.step((network.forward)(&ids)?.cross_entropy(&targets)?.backward()?)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let (loss, right) = judge(&network, &kept_back)?;
        let numbers: usize = network.parameters.iter().map(|p| p.shape().numel()).sum();
        println!(
            "{:<26}  {numbers:>10}  {loss:>13.3}  {:>9.1} %  {seconds:>7.1}",
            network.name,
            100.0 * right
        );
    }
    Ok(())
}
