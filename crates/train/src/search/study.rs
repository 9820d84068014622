//! The folder of a study, which is all that it remembers: `space.toml`, `study.json`, and for each trial a folder
//! `trial-NNNN` with its run and, when it is over, its record `trial.json`.
//!
//! `study.json` is written after the space and a record after all else of its trial, each at once or not at all. So a study that
//! was killed has every trial that ended, and the next proposal follows from those.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warpsmith_selection::sampler::{Observation, Sampler};
use warpsmith_selection::space::Value;

use super::{Measured, Record, SearchSpace};
use crate::atomic::write_atomic;
use crate::folder::read;
use crate::{Error, Result, TrainConfig};

const SPACE: &str = "space.toml";
const PLAN: &str = "study.json";
const RECORD: &str = "trial.json";
const BEST: &str = "config.toml";

/// How a study searches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `grid`, `random` or `tpe`.
    pub sampler: String,
    /// Of the sampler.
    pub seed: u64,
    /// Tokens that each trial learns from; `None`: as many as its steps take.
    pub tokens: Option<u64>,
    /// Parts of the text that are held out in turn, each in a run of its own; 0: the end of the text is.
    pub folds: usize,
}

impl Plan {
    fn sampler(&self) -> Result<Sampler> {
        Sampler::named(&self.sampler).ok_or_else(|| {
            Error::Run(format!("sampler: expected {}, got `{}`", Sampler::WORDS.join(", "), self.sampler))
        })
    }
}

/// A study in its folder.
pub struct Study {
    dir: PathBuf,
    space: SearchSpace,
    plan: Plan,
    sampler: Sampler,
    records: Vec<Record>,
}

impl Study {
    /// Begins a study in a folder that has none.
    ///
    /// # Errors
    /// If there is one already, the space has no grid and one is asked for, sizes of batches are searched and no number of
    /// tokens is given, or the folder cannot be written.
    pub fn begin(dir: &Path, space: SearchSpace, plan: Plan) -> Result<Self> {
        if dir.join(PLAN).exists() || folders(dir)?.next().is_some() {
            let dir = dir.display();
            return Err(Error::Run(format!(
                "{dir} holds a study: --resume goes on with it; or choose another --out"
            )));
        }
        let study = Self::new(dir, space, plan)?;
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let text = study.space.to_toml();
        write_atomic(&dir.join(SPACE), |out| out.write_all(text.as_bytes()))?;
        let plan = &study.plan;
        write_atomic(&dir.join(PLAN), |out| Ok(serde_json::to_writer_pretty(out, plan)?))?;
        Ok(study)
    }

    /// Goes on with the study of a folder.
    ///
    /// # Errors
    /// [`Error::BadStudy`] with file and line if it is a study of another space or searches in another way, was not begun to its
    /// end, or a record is damaged, missing, or no point of the space.
    pub fn resume(dir: &Path, space: SearchSpace, plan: Plan) -> Result<Self> {
        let mut study = Self::new(dir, space, plan)?;
        let path = dir.join(PLAN);
        if !path.exists() {
            let problem = match dir.join(SPACE).exists() {
                true => {
                    "is missing: the study was not begun to its end; remove the folder and search without --resume"
                }
                false => "is missing: there is no study to go on with; search without --resume",
            };
            return Err(bad(&path, 1, problem));
        }
        let saved: Plan = parse(&path)?;
        if saved != study.plan {
            return Err(bad(
                &path,
                1,
                format!("{}; give the same flags, or choose another --out", difference(&saved, &study.plan)),
            ));
        }
        study.compare_space()?;
        study.records = study.read_records()?;
        Ok(study)
    }

    fn new(dir: &Path, space: SearchSpace, plan: Plan) -> Result<Self> {
        let sampler = plan.sampler()?;
        sampler.points(space.space())?;
        let sizes = space.sizes();
        if !sizes.is_empty() && plan.tokens.is_none() {
            return Err(Error::Run(format!(
                "with {} searched, equal steps would learn from unequal numbers of tokens: give the budget of a trial as --tokens N",
                sizes.join(" and ")
            )));
        }
        if plan.folds == 1 {
            return Err(warpsmith_selection::Error::Folds { k: 1, n: 1, what: "folds" }.into());
        }
        Ok(Self { dir: dir.to_path_buf(), space, plan, sampler, records: Vec::new() })
    }

    /// An error that names the first line in which the space differs from the one that the study was begun with.
    fn compare_space(&self) -> Result<()> {
        let path = self.dir.join(SPACE);
        let saved = SearchSpace::read(&path)?;
        if saved == self.space {
            return Ok(());
        }
        let (ours, theirs) = (self.space.to_toml(), saved.to_toml());
        let mut lines = theirs.lines().zip(ours.lines()).enumerate();
        let differing = lines.find(|(_, (theirs, ours))| theirs != ours);
        let (line, theirs, ours) = differing.map_or((1, "", ""), |(i, (theirs, ours))| (i + 1, theirs, ours));
        Err(bad(
            &path,
            line,
            format!("the study has `{theirs}`, the space now `{ours}`: choose another --out"),
        ))
    }

    fn read_records(&self) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let mut numbers: Vec<usize> = folders(&self.dir)?.collect();
        numbers.sort_unstable();
        let ended: Vec<usize> =
            numbers.into_iter().filter(|number| self.trial_dir(*number).join(RECORD).exists()).collect();
        for (expected, number) in ended.into_iter().enumerate() {
            if number != expected {
                let path = self.trial_dir(expected).join(RECORD);
                return Err(bad(
                    &path,
                    1,
                    format!(
                        "is missing, and trial {number} is there: what followed from it cannot be trusted"
                    ),
                ));
            }
            let path = self.trial_dir(number).join(RECORD);
            let record: Record = parse(&path)?;
            if record.trial != number {
                return Err(bad(&path, 1, format!("is the record of trial {}", record.trial)));
            }
            if record.point(self.space.space()).is_none() {
                return Err(bad(&path, 1, "its settings are no point of the space"));
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The trials that are over, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The space.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// How it searches.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many trials there can be; `None`: no end.
    ///
    /// # Errors
    /// None in practice: a study of a grid is not begun without one.
    pub fn points(&self) -> Result<Option<usize>> {
        Ok(self.sampler.points(self.space.space())?)
    }

    /// The number of the next trial and its point; `None` if a grid is used up.
    pub fn next(&self) -> Option<(usize, Vec<Value>)> {
        let space = self.space.space();
        let past: Vec<Observation> =
            self.records.iter().filter_map(|record| record.observation(space)).collect();
        Some((self.records.len(), self.sampler.propose(space, self.plan.seed, &past)?))
    }

    /// The folder of a trial.
    pub fn trial_dir(&self, trial: usize) -> PathBuf {
        self.dir.join(format!("trial-{trial:04}"))
    }

    /// The configuration of a point, with the folder of its trial.
    ///
    /// # Errors
    /// If a value is not one that its setting takes.
    pub fn config(&self, trial: usize, point: &[Value]) -> Result<TrainConfig> {
        let config = self.space.config(point, self.plan.tokens)?;
        Ok(TrainConfig { out_dir: self.trial_dir(trial).display().to_string(), ..config })
    }

    /// Writes the record of the trial that [`Study::next`] named, and the best configuration so far.
    ///
    /// # Errors
    /// If a file cannot be written: the trial is then not over.
    pub fn record(&mut self, point: &[Value], result: Result<Measured, String>) -> Result<&Record> {
        let record = Record::new(self.records.len(), self.space.space(), point, result);
        let dir = self.trial_dir(record.trial);
        std::fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        write_atomic(&dir.join(RECORD), |out| Ok(serde_json::to_writer_pretty(out, &record)?))?;
        self.records.push(record);
        self.write_best()?;
        Ok(&self.records[self.records.len() - 1])
    }

    /// The trial of the least validation loss, the first of those that tie.
    pub fn best(&self) -> Option<&Record> {
        let measured = self.records.iter().filter_map(|record| Some((record, record.val_loss()?)));
        measured.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(record, _)| record)
    }

    /// The file that `warpsmith train --config` takes: the settings of the best trial, and a run folder of its own.
    pub fn best_config(&self) -> PathBuf {
        self.dir.join(BEST)
    }

    fn write_best(&self) -> Result<()> {
        let Some(best) = self.best() else { return Ok(()) };
        let (Some(point), Some(loss)) = (best.point(self.space.space()), best.val_loss()) else {
            return Ok(());
        };
        let config = self.config(best.trial, &point)?;
        let config = TrainConfig { out_dir: self.dir.join("best").display().to_string(), ..config };
        let text = format!("# Trial {}: val loss {loss:?}\n\n{}", best.trial, config.to_toml());
        write_atomic(&self.best_config(), |out| out.write_all(text.as_bytes()))
    }
}

/// The numbers of the trials that have a folder, in no order; none if there is no `dir`.
fn folders(dir: &Path) -> Result<impl Iterator<Item = usize>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        entries => entries.map_err(Error::io("read", dir))?.flatten().collect(),
    };
    let number = |name: String| name.strip_prefix("trial-")?.parse().ok();
    Ok(entries.into_iter().filter_map(move |entry| number(entry.file_name().into_string().ok()?)))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| bad(path, error.line().max(1), format!("{error}; the file is damaged")))
}

fn bad(path: &Path, line: usize, problem: impl Into<String>) -> Error {
    Error::BadStudy { path: path.to_path_buf(), line, problem: problem.into() }
}

/// The first thing in which two plans differ.
fn difference(saved: &Plan, now: &Plan) -> String {
    let tokens = |plan: &Plan| plan.tokens.map_or("none".into(), |tokens| tokens.to_string());
    let rows = [
        ("sampler", saved.sampler.clone(), now.sampler.clone()),
        ("seed", saved.seed.to_string(), now.seed.to_string()),
        ("tokens", tokens(saved), tokens(now)),
        ("folds", saved.folds.to_string(), now.folds.to_string()),
    ];
    let row = rows.into_iter().find(|(_, saved, now)| saved != now);
    row.map_or(String::new(), |(name, saved, now)| format!("the study has {name} {saved}, not {now}"))
}

#[cfg(test)]
mod tests;
