//! What a checkpoint holds, so that a resumed run takes exactly the steps that the first would have taken: weights,
//! moments, step, generator, and what the loop remembers. The data needs no cursor: batch i is a function of seed and i.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warpsmith_model::to_safetensors;
use warpsmith_tensor::{Rng, Seed};

use crate::atomic::{CheckpointFiles, Found};
use crate::folder::{load_weights, read, tensors_of, weight_bytes};
use crate::trainer::Trainer;
use crate::{Error, Result, TrainConfig};

const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "trainer_state.json";
const CONFIG: &str = "config.toml";

/// What the loop remembers from step to step, beside the trainer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The best validation loss so far, in nats.
    pub best_val: Option<f64>,
    /// Evaluations since then.
    pub since_best: usize,
    /// Seconds of training so far, over all parts of a resumed run.
    pub seconds: f64,
    /// Whether the evaluation after this step was cut off: a resumed run makes it first.
    #[serde(default)]
    pub owes_evaluation: bool,
}

impl Progress {
    /// Whether a validation loss is better than the best so far. Any number is better than one that is none.
    pub fn improves(&self, val_loss: f64) -> bool {
        self.best_val.is_none_or(|best| val_loss < best || (best.is_nan() && !val_loss.is_nan()))
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    step: usize,
    tokens: u64,
    optimizer_steps: u64,
    rng_seed: u64,
    rng_next_stream: u64,
    progress: Progress,
    /// [`TrainData::digest`](crate::TrainData::digest) of what was learned from; older checkpoints do not have it.
    #[serde(default)]
    data: Option<String>,
}

/// Writes the files of a checkpoint of a run that learns from data of this digest.
pub(crate) fn write(
    files: &mut CheckpointFiles<'_>,
    trainer: &Trainer,
    progress: &Progress,
    digest: &str,
) -> Result<()> {
    let weights = weight_bytes(trainer.model())?;
    files.write(WEIGHTS, |out| out.write_all(&weights))?;
    let moments = to_safetensors(&trainer.optimizer().state(), &[])?;
    files.write(OPTIMIZER, |out| out.write_all(&moments))?;
    files.write(CONFIG, |out| out.write_all(trainer.config().to_toml().as_bytes()))?;
    let state = State {
        step: trainer.steps(),
        tokens: trainer.tokens(),
        optimizer_steps: trainer.optimizer().steps(),
        rng_seed: trainer.rng().seed().0,
        rng_next_stream: trainer.rng().next_stream(),
        progress: progress.clone(),
        data: Some(digest.to_string()),
    };
    files.write(STATE, |out| serde_json::to_writer_pretty(out, &state).map_err(std::io::Error::from))
}

/// The configuration that a checkpoint was made with.
pub fn read_config(checkpoint: &Path) -> Result<TrainConfig> {
    let mut config = TrainConfig::default();
    config.read_file(&checkpoint.join(CONFIG))?;
    Ok(config)
}

/// Whether the checkpoint was made of the same settings, the folder apart, and of data of this digest.
pub fn is_of(checkpoint: &Path, config: &TrainConfig, digest: &str) -> bool {
    let own = read_config(checkpoint)
        .is_ok_and(|own| TrainConfig { out_dir: config.out_dir.clone(), ..own } == *config);
    own && read_state(checkpoint).is_ok_and(|state| state.data.is_some_and(|data| data == digest))
}

fn read_state(checkpoint: &Path) -> Result<State> {
    serde_json::from_slice(&read(&checkpoint.join(STATE))?).map_err(|e| Error::BadCheckpoint {
        path: checkpoint.to_path_buf(),
        problem: format!("{STATE}: {e}"),
    })
}

/// Puts `trainer`, which learns from data of this digest, where the checkpoint was made.
///
/// # Errors
/// If a file is damaged or belongs to a model of another shape, or other data was learned from.
pub(crate) fn restore(trainer: &mut Trainer, found: &Found, digest: &str) -> Result<Progress> {
    let state = read_state(&found.path)?;
    let (own, now) = (read_config(&found.path)?, trainer.config());
    same_shape(&own, now)?;
    if state.data.is_some_and(|data| data != digest) {
        return Err(other_data(&own, now));
    }
    load_weights(trainer.model(), &found.path.join(WEIGHTS))?;
    let moments = tensors_of(&found.path.join(OPTIMIZER), trainer.model().device())?;
    let rng = Rng::restore(Seed(state.rng_seed), state.rng_next_stream);
    trainer.restore(state.step, state.tokens, rng).load_state(&moments, state.optimizer_steps)?;
    Ok(state.progress)
}

/// An error if the settings ask for a model that the checkpoint's weights do not fit.
fn same_shape(own: &TrainConfig, now: &TrainConfig) -> Result<()> {
    let is_size = |name: &str| ["n_layer", "n_head", "n_embd", "block_size", "bias"].contains(&name);
    let mut sizes = TrainConfig::fields().iter().filter(|field| is_size(field.name));
    let Some(field) = sizes.find(|field| (field.get)(own) != (field.get)(now)) else { return Ok(()) };
    Err(Error::Invalid {
        key: field.name,
        value: (field.get)(now),
        problem: format!("the checkpoint has {}", (field.get)(own)),
        advice: "leave the flag out, or choose another --out for a new run".into(),
    })
}

fn other_data(own: &TrainConfig, now: &TrainConfig) -> Error {
    let (dir, was) = (&now.out_dir, own.data_in_words());
    Error::Run(match now.data_in_words() {
        same if same == was => {
            format!("{dir} learned from {was}, which has changed since: choose another --out for a new run")
        }
        other => format!(
            "{dir} learned from {was}, and {other} is something else: leave --data out, or choose another --out for a new run"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TaskKind;

    #[test]
    fn a_loss_that_is_no_number_is_best_until_the_first_that_is() {
        let improves = |best_val, now| Progress { best_val, ..Progress::default() }.improves(now);
        assert!(improves(None, 2.0) && improves(None, f64::NAN));
        assert!(improves(Some(f64::NAN), 2.0) && improves(Some(f64::NAN), f64::INFINITY));
        assert!(!improves(Some(f64::NAN), f64::NAN) && !improves(Some(2.0), f64::NAN));
        assert!(improves(Some(2.0), 1.0) && !improves(Some(2.0), 2.0));
    }

    #[test]
    fn a_state_of_before_data_was_compared_is_read() -> Result<(), serde_json::Error> {
        let old = r#"{"step": 6, "tokens": 1, "optimizer_steps": 6, "rng_seed": 1, "rng_next_stream": 2,
            "progress": {"best_val": 2.5, "since_best": 0, "seconds": 1.0}}"#;
        let state: State = serde_json::from_str(old)?;
        assert_eq!((state.step, state.data), (6, None));
        Ok(())
    }

    #[test]
    fn other_data_is_named() {
        let of = |data: &str, task| TrainConfig {
            data: data.into(),
            task,
            out_dir: "z".into(),
            ..TrainConfig::default()
        };
        let told = |own, now| other_data(&own, &now).to_string();
        let (text, none) = ("a.txt", TaskKind::None);
        assert_eq!(
            told(of(text, none), of("b.txt", none)),
            "z learned from a.txt, and b.txt is something else: leave --data out, or choose another --out for a new run"
        );
        assert!(told(of(text, none), of(text, none)).contains("a.txt, which has changed since"));
        assert!(
            told(of("", none), of("", TaskKind::Sort))
                .contains("this program's own text, and the task sort is")
        );
    }
}
