//! What a checkpoint holds, so that a resumed run takes exactly the steps that the first would have taken: weights,
//! moments, step, generator, and what the loop remembers. The data needs no cursor: batch i is a function of seed and i.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warpsmith_model::{from_safetensors, to_safetensors};
use warpsmith_tensor::{Rng, Seed};

use crate::atomic::{CheckpointFiles, Found};
use crate::folder::{load_weights, read, weight_bytes};
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
}

#[derive(Serialize, Deserialize)]
struct State {
    step: usize,
    tokens: u64,
    optimizer_steps: u64,
    rng_seed: u64,
    rng_next_stream: u64,
    progress: Progress,
}

/// Writes the files of a checkpoint.
pub(crate) fn write(files: &mut CheckpointFiles<'_>, trainer: &Trainer, progress: &Progress) -> Result<()> {
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
    };
    files.write(STATE, |out| serde_json::to_writer_pretty(out, &state).map_err(std::io::Error::from))
}

/// The configuration that a checkpoint was made with.
pub fn read_config(checkpoint: &Path) -> Result<TrainConfig> {
    let mut config = TrainConfig::default();
    config.read_file(&checkpoint.join(CONFIG))?;
    Ok(config)
}

/// Puts `trainer` where the checkpoint was made.
///
/// # Errors
/// If a file is damaged or belongs to a model of another shape.
pub(crate) fn restore(trainer: &mut Trainer, found: &Found) -> Result<Progress> {
    let path = found.path.join(STATE);
    let state: State = serde_json::from_slice(&read(&path)?)
        .map_err(|e| Error::BadCheckpoint { path: found.path.clone(), problem: format!("{STATE}: {e}") })?;
    load_weights(trainer.model(), &found.path.join(WEIGHTS))?;
    let moments = from_safetensors(&read(&found.path.join(OPTIMIZER))?, trainer.model().device())?;
    let rng = Rng::restore(Seed(state.rng_seed), state.rng_next_stream);
    trainer.restore(state.step, state.tokens, rng).load_state(&moments, state.optimizer_steps)?;
    Ok(state.progress)
}
