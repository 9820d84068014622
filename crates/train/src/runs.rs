//! Run folders, looked at from outside: what they trained and how far they came.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::atomic::{find_latest, holds_checkpoints};
use crate::folder::WEIGHTS;
use crate::lock::Lock;
use crate::log::read_log;
use crate::{Error, Result, TrainConfig};

const CONFIG: &str = "config.toml";
const LOG: &str = "log.jsonl";

/// How deep folders lie in each other before nobody looks on: a study has its runs two folders down.
const DEPTH: usize = 5;

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All steps were made.
    Finished,
    /// The validation loss no longer fell.
    StoppedEarly,
    /// It was interrupted, diverged or was killed, or is still running.
    BrokenOff,
}

impl State {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::StoppedEarly => "stopped early",
            Self::BrokenOff => "broken off",
        }
    }
}

/// What there is to say of a run folder.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The folder.
    pub path: PathBuf,
    /// The settings.
    pub config: TrainConfig,
    /// Numbers of the model, if its weights are there.
    pub parameters: Option<u64>,
    /// Optimiser steps made.
    pub steps: usize,
    /// The least validation loss, in nats per token.
    pub best_val: Option<f64>,
    /// The same in bits per byte, if the run learned a text.
    pub best_bits_per_byte: Option<f64>,
    /// Seconds of training.
    pub seconds: f64,
    /// When it was last written to.
    pub changed: SystemTime,
    /// How far it came.
    pub state: State,
}

/// Whether a folder is that of a run.
pub fn is_run(dir: &Path) -> bool {
    dir.join(CONFIG).is_file() && dir.join(LOG).is_file()
}

/// Whether a process trains in `dir` now.
pub fn is_in_use(dir: &Path) -> bool {
    Lock::is_taken(dir)
}

/// An error unless a new run may begin in `dir` without harm to one that is there, or to a model. What a run left that came
/// to no step is no loss.
///
/// # Errors
/// What stands there, and what to do; [`Error::Io`] if `dir` exists and cannot be read.
pub fn check_vacant(dir: &Path) -> Result<()> {
    let shown = dir.display();
    if find_latest(dir)?.found.is_some() {
        return Err(Error::Run(format!(
            "{shown} holds a run: --resume {shown} goes on with it; choose another --out for a new one"
        )));
    }
    let came_to_nothing =
        || read_log(&dir.join(LOG)).is_ok_and(|log| log.iter().all(|record| record.step == 0));
    if holds_checkpoints(dir)? || (dir.join(WEIGHTS).exists() && !(is_run(dir) && came_to_nothing())) {
        return Err(Error::Run(format!("{shown} holds a model: choose another --out for a new run")));
    }
    Ok(())
}

/// The first folder of `dir`, `dir-2`, `dir-3`, … for which `fits`; `dir` itself if none does.
pub fn first_of(dir: &str, fits: impl Fn(&Path) -> bool) -> String {
    // Not for ever: where nothing can be read, nothing fits.
    let mut names =
        (1..1000).map(|number| if number == 1 { dir.to_string() } else { format!("{dir}-{number}") });
    names.find(|name| fits(Path::new(name))).unwrap_or_else(|| dir.into())
}

/// That a run cannot be gone on with, since no checkpoint of `dir` is whole, and what to do.
pub fn nothing_to_resume(dir: &Path) -> Error {
    let advice = match check_vacant(dir) {
        Ok(()) => "start without --resume",
        Err(_) => "start a new run with another --out",
    };
    Error::Run(format!("{} holds no usable checkpoint; {advice}", dir.display()))
}

/// The run folders in `dir`, itself included, by name. What lies in a run is not looked into.
///
/// # Errors
/// [`Error::Io`] if `dir` cannot be read.
pub fn find(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(dir, DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if is_run(dir) {
        found.push(dir.to_path_buf());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        // A folder within that may not be read is none of ours.
        if path.is_dir() && !path.is_symlink() && std::fs::read_dir(&path).is_ok() {
            walk(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Looks at a run folder.
///
/// # Errors
/// If it is none, or its settings or its log are damaged.
pub fn summary(dir: &Path) -> Result<RunSummary> {
    let mut config = TrainConfig::default();
    config.read_file(&dir.join(CONFIG))?;
    let path = dir.join(LOG);
    let records = read_log(&path)?;
    let changed = path.metadata().and_then(|data| data.modified()).map_err(Error::io("read", &path))?;
    let evaluations = || records.iter().filter_map(|record| Some((record, record.val_loss?)));
    // As the run itself counts: better means less, and the first of equals.
    let best = evaluations().min_by(|(_, a), (_, b)| a.total_cmp(b));
    let best_at = best.map_or(0, |(record, _)| record.step);
    let since_best = evaluations().filter(|(record, _)| record.step > best_at).count();
    let steps = records.iter().map(|record| record.step).max().unwrap_or(0);
    let state = match evaluations().next_back() {
        Some((record, _)) if record.step >= config.max_iters || config.eval_only => State::Finished,
        Some(_) if config.patience > 0 && since_best >= config.patience => State::StoppedEarly,
        _ => State::BrokenOff,
    };
    Ok(RunSummary {
        path: dir.to_path_buf(),
        parameters: parameters(&dir.join(WEIGHTS)),
        steps,
        best_val: best.map(|(_, loss)| loss),
        best_bits_per_byte: best.and_then(|(record, _)| record.val_bpb),
        seconds: records.iter().filter_map(|record| record.time).fold(0.0, f64::max),
        changed,
        state,
        config,
    })
}

/// How many numbers a safetensors file says that it holds; `None` if there is no such file, or it says nothing sensible.
fn parameters(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > file.metadata().ok()?.len() {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
    let shapes = header.values().filter_map(|tensor| tensor.get("shape")?.as_array());
    let numbers = |shape: &Vec<serde_json::Value>| {
        shape.iter().try_fold(1_u64, |product, axis| product.checked_mul(axis.as_u64()?))
    };
    shapes.map(numbers).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::write_checkpoint;

    /// A run folder with these settings and these lines of its log.
    fn run(dir: &Path, settings: &str, log: &str) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join(CONFIG), settings).unwrap();
        std::fs::write(dir.join(LOG), log).unwrap();
    }

    #[test]
    fn a_log_says_how_far_a_run_came() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let val = |step: usize, loss: f64| {
            format!("{{\"step\":{step},\"val/loss\":{loss},\"val/bpb\":{},\"time\":2}}\n", loss / 2.0)
        };
        let falling = val(0, 4.0) + &val(10, 3.0) + &val(20, 2.5);
        let rising = val(0, 4.0) + &val(10, 3.0) + &val(20, 3.5) + &val(30, 3.5);
        for (settings, log, state, steps, best) in [
            ("max_iters = 20", &falling, State::Finished, 20, Some(2.5)),
            ("max_iters = 40", &falling, State::BrokenOff, 20, Some(2.5)),
            ("max_iters = 40\npatience = 2", &rising, State::StoppedEarly, 30, Some(3.0)),
            ("max_iters = 40\npatience = 3", &rising, State::BrokenOff, 30, Some(3.0)),
            ("max_iters = 40", &String::new(), State::BrokenOff, 0, None),
            // Made all steps, but was killed before the last evaluation.
            (
                "max_iters = 21",
                &(falling.clone() + "{\"step\":21,\"train/loss\":1}\n"),
                State::BrokenOff,
                21,
                Some(2.5),
            ),
        ] {
            let dir = folder.path().join("run");
            run(&dir, settings, log);
            let found = summary(&dir)?;
            assert_eq!((found.state, found.steps, found.best_val), (state, steps, best), "{settings}");
            assert_eq!(found.best_bits_per_byte, best.map(|loss| loss / 2.0));
        }
        Ok(())
    }

    #[test]
    fn runs_are_found_by_name_and_not_looked_into() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for name in ["b", "study/trial-0000", "study/trial-0001/fold-1", "b/inner"] {
            run(&at(name), "", "");
        }
        std::fs::create_dir_all(at("none"))?;
        std::fs::write(at("none").join(CONFIG), "")?;
        assert_eq!(find(folder.path())?, ["b", "study/trial-0000", "study/trial-0001/fold-1"].map(at));
        assert_eq!(find(&at("b"))?, [at("b")]);
        assert!(find(&at("missing")).is_err());
        Ok(())
    }

    #[test]
    fn a_new_run_begins_where_nothing_is_lost() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let log = |step: usize| format!("{{\"step\":{step},\"val/loss\":4}}\n");
        let checkpoint =
            |dir: &Path| write_checkpoint(dir, 7, |files| files.write("a", |out| out.write_all(b"a")));
        let why = |name: &str| check_vacant(&at(name)).map_err(|error| error.to_string());
        assert_eq!(why("nowhere"), Ok(()));
        // Killed, or out of disk, before its first checkpoint was whole.
        run(&at("begun"), "", &log(0));
        std::fs::write(at("begun").join(WEIGHTS), "")?;
        std::fs::create_dir(at("begun").join("checkpoint-0.tmp-1-0"))?;
        assert_eq!(why("begun"), Ok(()));
        assert!(nothing_to_resume(&at("begun")).to_string().ends_with("start without --resume"));
        run(&at("stripped"), "", &log(9));
        std::fs::write(at("stripped").join(WEIGHTS), "")?;
        assert!(why("stripped").is_err_and(|why| why.ends_with("choose another --out for a new run")));
        std::fs::create_dir(at("model"))?;
        std::fs::write(at("model").join(WEIGHTS), "")?;
        assert!(why("model").is_err_and(|why| why.contains("model holds a model: ")));
        run(&at("whole"), "", &log(9));
        let saved = checkpoint(&at("whole"))?;
        let name = at("whole").display().to_string();
        let holds = format!(
            "{name} holds a run: --resume {name} goes on with it; choose another --out for a new one"
        );
        assert_eq!(why("whole"), Err(holds));
        std::fs::write(saved.join("a"), "damaged")?;
        assert!(why("whole").is_err_and(|why| why.contains("holds a model")));
        assert!(nothing_to_resume(&at("whole")).to_string().ends_with("with another --out"));
        Ok(())
    }

    #[test]
    fn names_are_counted_up() {
        assert_eq!(first_of("runs/quick", |_| true), "runs/quick");
        assert_eq!(first_of("runs/quick", |dir| dir == Path::new("runs/quick-3")), "runs/quick-3");
    }

    #[test]
    fn numbers_are_counted_from_the_header() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(WEIGHTS);
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F32","shape":[],"data_offsets":[24,28]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 28]].concat();
        std::fs::write(&path, &bytes)?;
        assert_eq!(parameters(&path), Some(7));
        for cut in [0, 7, 8, 40] {
            std::fs::write(&path, &bytes[..cut])?;
            assert_eq!(parameters(&path), None);
        }
        assert_eq!(parameters(&folder.path().join("none")), None);
        Ok(())
    }
}
