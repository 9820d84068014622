//! What the settings of a run do to it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use warpsmith_tensor::Device;
use warpsmith_text::{Corpus, Tokenizer};
use warpsmith_train::{Ending, Event, Outcome, Run, TrainConfig, TrainData, Trainer};

type Checked = Result<(), Box<dyn std::error::Error>>;

/// The settings of twelve steps.
fn tiny(change: impl FnOnce(&mut TrainConfig)) -> TrainConfig {
    let mut config = TrainConfig {
        n_layer: 4,
        n_head: 2,
        n_embd: 32,
        block_size: 32,
        batch_size: 4,
        dropout: 0.1,
        max_iters: 12,
        warmup_iters: 2,
        lr_decay_iters: 12,
        eval_interval: 3,
        eval_iters: 1,
        log_interval: 1,
        sample_tokens: 4,
        ..TrainConfig::default()
    };
    change(&mut config);
    config
}

/// What a run told.
#[derive(Default)]
struct Told {
    losses: Vec<Option<f64>>,
    sampled: Vec<usize>,
    evaluated: Vec<(usize, bool)>,
}

/// Runs to the end.
fn run(config: TrainConfig) -> Result<(Outcome, Told), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let mut told = Told::default();
    let outcome = part(&mut Run::start(trainer(config, place.path())?)?, usize::MAX, &mut told)?;
    Ok((outcome, told))
}

fn trainer(config: TrainConfig, place: &Path) -> Result<Trainer, Box<dyn std::error::Error>> {
    let config = TrainConfig { out_dir: place.join("run").display().to_string(), ..config };
    let text: String = (0..300).map(|i| format!("{} and {}\n", i, i * 7 % 13)).collect();
    let data = TrainData::Text(Corpus::from_text(&text).tokenize(&Tokenizer::byte_level())?);
    Ok(Trainer::new(config, data, &Device::Cpu)?)
}

/// Runs until somebody stops it during a step.
fn part(run: &mut Run, until: usize, told: &mut Told) -> Result<Outcome, Box<dyn std::error::Error>> {
    let stop = AtomicBool::new(false);
    Ok(run.train(&stop, &mut |event| match event {
        Event::Stepped(report) => {
            told.losses.push(report.loss);
            stop.store(told.losses.len() == until, Ordering::Relaxed);
        }
        Event::Sampled { step, .. } => told.sampled.push(step),
        Event::Evaluated { step, best, .. } => told.evaluated.push((step, best)),
        _ => (),
    })?)
}

/// An evaluation may take minutes; who stops a run does not wait for it, and it is made when the run goes on.
#[test]
fn a_stopped_run_leaves_its_evaluation_to_the_resumed_one() -> Checked {
    let (_, whole) = run(tiny(|_| ()))?;
    for until in [2, 3, 12] {
        let place = tempfile::tempdir()?;
        let mut told = Told::default();
        let outcome = part(&mut Run::start(trainer(tiny(|_| ()), place.path())?)?, until, &mut told)?;
        assert_eq!((outcome.ending, outcome.steps), (Ending::Interrupted, until));
        assert_eq!(told.evaluated, whole.evaluated[..until.div_ceil(3)], "before {until}");
        let mut resumed = Run::resume(trainer(tiny(|_| ()), place.path())?, &mut |_| ())?;
        let outcome = part(&mut resumed, usize::MAX, &mut told)?;
        assert_eq!((outcome.ending, outcome.steps), (Ending::Finished, 12));
        assert_eq!((told.evaluated, told.losses), (whole.evaluated.clone(), whole.losses.clone()), "{until}");
    }
    Ok(())
}

/// With a rate of 0 no evaluation is better than the first.
#[test]
fn patience_ends_a_run_that_does_not_improve() -> Checked {
    let still =
        |patience| tiny(|c| (c.learning_rate, c.min_lr, c.patience, c.dropout) = (0.0, 0.0, patience, 0.0));
    let (outcome, told) = run(still(2))?;
    assert_eq!((outcome.ending, outcome.steps), (Ending::StoppedEarly, 6));
    assert_eq!(told.evaluated, [(0, true), (3, false), (6, false)]);
    let (outcome, told) = run(still(0))?;
    assert_eq!((outcome.ending, outcome.steps, told.evaluated.len()), (Ending::Finished, 12, 5));
    // Who improves all the time is not stopped.
    let (outcome, told) = run(tiny(|c| c.patience = 1))?;
    assert_eq!((outcome.ending, outcome.steps), (Ending::Finished, 12));
    assert!(told.evaluated.iter().all(|(_, best)| *best), "{:?}", told.evaluated);
    Ok(())
}

#[test]
fn samples_come_before_after_and_at_each_interval() -> Checked {
    assert_eq!(run(tiny(|_| ()))?.1.sampled, [0, 12]);
    assert_eq!(run(tiny(|c| c.sample_interval = 5))?.1.sampled, [0, 5, 10, 12]);
    Ok(())
}

/// Dropout included: the second time a block runs, it drops what it dropped the first time.
#[test]
fn a_recomputing_run_has_the_same_losses() -> Checked {
    let bits = |told: Told| told.losses.into_iter().map(|loss| loss.map(f64::to_bits)).collect::<Vec<_>>();
    let (plain, again) = (run(tiny(|_| ()))?, run(tiny(|c| c.recompute = true))?);
    let (plain, again) = (bits(plain.1), bits(again.1));
    assert!(plain.len() == 12 && plain.iter().all(Option::is_some));
    assert_eq!(plain, again);
    Ok(())
}
