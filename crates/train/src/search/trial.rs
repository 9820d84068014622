//! One trial: a run of a point, or a run for each fold.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use warpsmith_selection::folds::Scores;
use warpsmith_tensor::Device;

use super::Measured;
use crate::atomic::{find_latest, remove_checkpoints};
use crate::{Ending, Error, Event, Result, Run, TrainConfig, TrainData, Trainer, checkpoint};

/// Trains a configuration in its folder, `folds` times if that is not 0, and removes the checkpoints at the end; the best weights
/// stay. A run that was broken off goes on. `None` if `stop` was raised: the checkpoints stay then.
///
/// # Errors
/// Of the second kind, if the configuration cannot be trained or its run diverged: another may do better. Of the first, if
/// nothing can be tried on this machine, such as for a full disk.
pub fn run(
    config: &TrainConfig,
    data: &TrainData,
    folds: usize,
    device: &Device,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Result<Measured, String>>> {
    match trained(config, data, folds, device, stop, watch) {
        Ok(measured) => Ok(measured.map(Ok)),
        Err(error @ (Error::Invalid { .. } | Error::Diverged(_))) => Ok(Some(Err(error.to_string()))),
        Err(Error::Text(error @ warpsmith_text::Error::TooShort { .. })) => Ok(Some(Err(error.to_string()))),
        Err(error) => Err(error),
    }
}

fn trained(
    config: &TrainConfig,
    data: &TrainData,
    folds: usize,
    device: &Device,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Measured>> {
    let mut parts = Vec::new();
    for fold in 0..folds.max(1) {
        let (config, data) = match folds {
            0 => (config.clone(), data.clone()),
            _ => {
                let dir = Path::new(&config.out_dir).join(format!("fold-{fold}"));
                (
                    TrainConfig { out_dir: dir.display().to_string(), ..config.clone() },
                    data.fold(folds, fold)?,
                )
            }
        };
        match one(config, data, device, stop, watch)? {
            Some(part) => parts.push(part),
            None => return Ok(None),
        }
    }
    let scores = Scores::of(parts.iter().map(|part| part.val_loss).collect());
    let bits: Option<Vec<f64>> = parts.iter().map(|part| part.bits_per_byte).collect();
    Ok(Some(Measured {
        val_loss: scores.mean,
        sd: (folds > 0).then_some(scores.sd),
        val_losses: scores.each,
        bits_per_byte: bits.map(|bits| Scores::of(bits).mean),
        parameters: parts.first().map_or(0, |part| part.parameters),
        steps: parts.iter().map(|part| part.steps).sum(),
        tokens: parts.iter().map(|part| part.tokens).sum(),
        seconds: parts.iter().map(|part| part.seconds).sum(),
    }))
}

/// One run, from its beginning or from where it was broken off.
fn one(
    config: TrainConfig,
    data: TrainData,
    device: &Device,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Measured>> {
    let dir = config.out_dir.clone();
    let dir = Path::new(&dir);
    let found = find_latest(dir)?.found;
    let goes_on =
        found.is_some_and(|found| checkpoint::read_config(&found.path).is_ok_and(|own| own == config));
    let trainer = Trainer::new(config, data, device)?;
    // What was broken off before, by other settings or without a whole checkpoint, is begun anew.
    let mut run = if goes_on { Run::resume(trainer, watch)? } else { Run::replace(trainer)? };
    let outcome = run.train(stop, watch)?;
    if outcome.ending == Ending::Interrupted {
        return Ok(None);
    }
    remove_checkpoints(dir)?;
    if !outcome.best_val.is_finite() {
        return Err(Error::Diverged(format!("the validation loss is {}", outcome.best_val)));
    }
    Ok(Some(Measured {
        val_loss: outcome.best_val,
        sd: None,
        val_losses: vec![outcome.best_val],
        bits_per_byte: run.bits_per_byte(outcome.best_val),
        parameters: run.trainer().model().parameter_count(),
        steps: outcome.steps,
        tokens: run.trainer().tokens(),
        seconds: outcome.seconds,
    }))
}
