//! Digits turned round and put in order: tasks of which every answer is known.

use warpsmith::model::classical::{Translator, TranslatorConfig};
use warpsmith::prelude::*;
use warpsmith::train::Optimizer;

use crate::{Outcome, map};

/// Behind the ten digits: the marks before and behind a target.
const MARKS: (u32, u32) = (10, 11);
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

fn slices(rows: &[Vec<u32>]) -> Vec<&[u32]> {
    rows.iter().map(Vec::as_slice).collect()
}

/// A model after so many steps, and the last loss in nats.
fn learn(task: Task, attention: bool, steps: u64, device: &Device) -> Outcome<(Translator, f64)> {
    let (source_vocab, target_vocab, embedding_size, hidden_size) = (12, 12, 16, 64);
    let config = TranslatorConfig { source_vocab, target_vocab, embedding_size, hidden_size, attention };
    let model = Translator::new(&config, device, Seed(3))?;
    let settings = AdamWConfig { weight_decay: 0.0, ..Default::default() };
    let mut optimizer = Optimizer::AdamW(AdamW::new(model.parameters(), settings)?);
    let (rng, mut nats) = (Rng::new(Seed(1)), 0.0);
    for at in 0..steps {
        let rows = sources(ROWS, false, &rng);
        let answers: Vec<Vec<u32>> = rows.iter().map(|row| task.answer(row)).collect();
        let loss = model.loss(&model.read(&slices(&rows))?, &slices(&answers), MARKS)?;
        nats = loss.item()?;
        optimizer.set_learning_rate(1e-2 * (1.0 - at as f64 / steps as f64).max(0.02));
        optimizer.step(loss.backward()?)?;
    }
    Ok((model, nats))
}

/// The table of all tasks, each after so many steps.
pub fn run(steps: u64) -> Outcome<()> {
    let device = Device::best()?;
    let kept_back = sources(500, true, &Rng::new(Seed(99)));
    println!("task     attention  parameters  loss    right, of {} kept back", kept_back.len());
    for (task, attention) in [(Task::Reverse, false), (Task::Reverse, true), (Task::Sort, true)] {
        let (model, loss) = learn(task, attention, steps, &device)?;
        let written =
            model.translate(&model.read(&slices(&kept_back))?, MARKS, *LENGTHS.end() as usize + 1)?;
        let is_right = |(written, row): &(&Vec<u32>, &Vec<u32>)| **written == task.answer(row);
        let right = written.iter().zip(&kept_back).filter(is_right).count() as f64 / kept_back.len() as f64;
        let numbers: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
        let (task_name, with) = (format!("{task:?}"), if attention { "additive" } else { "none" });
        println!("{task_name:<8} {with:<9}  {numbers:>10}  {loss:.4}  {:.1} %", 100.0 * right);
        let (source, digits) =
            (&kept_back[1], |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>());
        if let Some(weights) = model.alignment(source, &written[1], MARKS.0)? {
            println!("{}", map::text(&digits(source), &digits(&written[1]), &weights));
        }
    }
    Ok(())
}
