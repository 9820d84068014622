//! A BERT learns to find answers in a text: a head for the first and one for the last token.
//!
//! `cargo run --release --example question_answering [TRAIN.json TEST.json [EPOCHS [BERT_FOLDER]]]`
//!
//! The files are in SQuAD's format; without any, made-up questions about four people. Without a folder the BERT knows nothing when it
//! begins.
//!
//! What printed versions of this program often get wrong:
//! - a text that is longer than the model is cut off, and with it the answer. Here windows overlap;
//! - a window without the answer is asked for it all the same, or not learned from at all. Here its answer is its first token, which
//!   is what other windows' spans are held against;
//! - the end is sought apart from the start, and may stand before it, or in the question;
//! - EM and F1 without the rule: with articles or without, words or characters. For Chinese, F1 over words between spaces is EM;
//! - no row says what a sentence that is found by counting words is worth.

mod data;
mod reader;
#[path = "../fixtures/small_bert.rs"]
mod small_bert;
mod window;
#[path = "../fixtures/words.rs"]
mod words;

use std::collections::HashSet;
use std::time::Instant;

use data::Question;
use reader::Reader;
use warpsmith::metrics::answers::{Rule, Score};
use warpsmith::metrics::tokens::{is_unspaced, lower_words};
use warpsmith::model::{EncoderBatch, Span};
use warpsmith::prelude::*;
use warpsmith::text::sentences;
use warpsmith::train::{Optimizer, clip_gradients};
use window::Window;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 16;
/// Tokens of the longest answer.
const LONGEST: usize = 30;

fn batch(windows: &[&Window], device: &Device) -> Outcome<EncoderBatch> {
    let ids: Vec<&[u32]> = windows.iter().map(|window| window.ids.as_slice()).collect();
    let types: Vec<&[u32]> = windows.iter().map(|window| window.types.as_slice()).collect();
    Ok(EncoderBatch::new(&ids, Some(&types), device)?)
}

/// The best span of all windows of a text: best against the first token of its window, which stands for no answer.
fn answer<'a>(reader: &Reader, question: &'a Question) -> Outcome<&'a str> {
    let windows = reader.windows(question)?;
    let device = reader.model.encoder().device();
    let batch = batch(&windows.iter().collect::<Vec<_>>(), device)?;
    let logits = no_grad(|| reader.model.forward(&batch, None))?;
    let (width, logits) = (2 * logits.dims()[1], logits.to_vec::<f32>()?); // (W, T, 2)
    let best = windows.iter().zip(logits.chunks(width)).filter_map(|(window, logits)| {
        let span = Span::best(logits, window.text(), LONGEST)?;
        Some((
            span.score - f64::from(logits[0]) - f64::from(logits[1]),
            window.answer(&question.context, span),
        ))
    });
    Ok(best.max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |(_, answer)| answer))
}

/// The sentence that has most words of the question.
fn sentence(question: &Question) -> &str {
    let asked: HashSet<String> = lower_words(&question.question).into_iter().collect();
    let common =
        |text: &&str| lower_words(text).into_iter().collect::<HashSet<_>>().intersection(&asked).count();
    sentences(&question.context).into_iter().rev().max_by_key(common).unwrap_or("")
}

fn score(questions: &[Question], answers: &[&str]) -> Outcome<Score> {
    let is_chinese = questions.iter().any(|q| q.question.contains(is_unspaced));
    let rule = if is_chinese { Rule::Cmrc } else { Rule::Squad };
    let references: Vec<Vec<&str>> =
        questions.iter().map(|q| q.answers.iter().map(|a| a.0.as_str()).collect()).collect();
    Ok(rule.mean(answers, &references)?)
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
    let (train, test) = match &arguments[..] {
        [train, test, ..] => (data::read(train)?, data::read(test)?),
        _ => (data::made_up(1600), data::made_up(1700).split_off(1600)),
    };
    let epochs = arguments.get(2).map_or(Ok(3), |epochs| epochs.parse())?;
    let (reader, rate) = match arguments.get(3) {
        Some(folder) => (Reader::open(folder, &device)?, 1e-4),
        None => (Reader::blank(&train, &device)?, 2e-3),
    };
    let mut learned: Vec<(Window, (usize, usize))> = Vec::new();
    for question in &train {
        let windows = reader.windows(question)?.into_iter().map(|w| (w.span(&question.answers[0]), w));
        learned.extend(windows.map(|(span, window)| (window, span)));
    }
    let parameters = reader.model.parameters();
    println!("{} questions, {} windows; {} questions to judge by", train.len(), learned.len(), test.len());
    println!("{} numbers", parameters.iter().map(|p| p.shape().numel()).sum::<usize>());
    let tell = |name: &str, answers: &[&str]| -> Outcome<()> {
        let score = score(&test, answers)?;
        println!("{name:<28}  EM {:>5.1}  F1 {:>5.1}", 100.0 * score.exact, 100.0 * score.f1);
        Ok(())
    };
    tell("the sentence nearest in words", &test.iter().map(sentence).collect::<Vec<_>>())?;
    let mut optimizer = Optimizer::AdamW(AdamW::new(
        parameters.clone(),
        AdamWConfig { weight_decay: 1e-2, ..Default::default() },
    )?);
    let (rng, began, steps, mut step) =
        (Rng::new(Seed(2)), Instant::now(), epochs * learned.len().div_ceil(BATCH), 0);
    let mut answers = Vec::new();
    for epoch in 1..=epochs {
        let mut order: Vec<(f32, usize)> = rng.uniform(learned.len()).into_iter().zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        for places in order.chunks(BATCH) {
            let windows: Vec<&Window> = places.iter().map(|&(_, at)| &learned[at].0).collect();
            let spans: Vec<(usize, usize)> = places.iter().map(|&(_, at)| learned[at].1).collect();
            let loss = reader.model.span_loss(&batch(&windows, &device)?, &spans, Some(&rng))?;
            let mut gradients = loss.backward()?;
            clip_gradients(&mut gradients, &parameters, 1.0)?;
            // Up along a line for a tenth of the way, and down for the rest.
            let at = (step + 1) as f64 / steps as f64;
            optimizer.set_learning_rate(rate * (at / 0.1).min((1.0 - at) / 0.9));
            optimizer.step(gradients)?;
            step += 1;
        }
        answers = test.iter().map(|question| answer(&reader, question)).collect::<Outcome<Vec<_>>>()?;
        tell(&format!("epoch {epoch}, {:.0} s", began.elapsed().as_secs_f64()), &answers)?;
    }
    for (question, answer) in test.iter().zip(&answers).step_by(test.len().div_ceil(4)) {
        println!("\n{}\n  expected {}\n  found    {answer}", question.question, question.answers[0].0);
    }
    Ok(())
}
