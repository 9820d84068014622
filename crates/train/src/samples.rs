//! What a model wrote while it learned, kept beside the log so that a resumed run can show all of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::folder::read;
use crate::report::Sample;
use crate::{Error, Result};

const SAMPLES: &str = "samples.jsonl";

/// The samples of a run, in the order of their steps.
#[derive(Debug)]
pub(crate) struct Samples {
    path: PathBuf,
    all: Vec<Written>,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    step: usize,
    text: String,
}

impl Samples {
    /// Those of the run in `dir` that goes on after step `from`; later ones will be written again. None of a new run.
    ///
    /// # Errors
    /// If the file is there and cannot be read, or is damaged.
    pub(crate) fn open(dir: &Path, from: Option<usize>) -> Result<Self> {
        let path = dir.join(SAMPLES);
        let mut all: Vec<Written> = match path.exists() {
            false => Vec::new(),
            true if from.is_none() => Vec::new(),
            true => read(&path)?
                .split(|&byte| byte == b'\n')
                .enumerate()
                .filter(|(_, line)| !line.is_empty())
                .map(|(index, line)| {
                    let damaged = |e: serde_json::Error| Error::BadLog {
                        path: path.clone(),
                        line: index + 1,
                        problem: e.to_string(),
                    };
                    serde_json::from_slice(line).map_err(damaged)
                })
                .collect::<Result<_>>()?,
        };
        all.retain(|sample| Some(sample.step) <= from);
        Ok(Self { path, all })
    }

    /// Adds what was written after `step` steps, in the place of what an earlier part of the run wrote then.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn add(&mut self, step: usize, text: String) -> Result<()> {
        self.all.retain(|sample| sample.step != step);
        self.all.push(Written { step, text });
        let lines = self.all.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let lines =
            lines.map_err(std::io::Error::from).map_err(Error::io("write", &self.path))?.join("\n") + "\n";
        write_atomic(&self.path, |out| out.write_all(lines.as_bytes()))
    }

    /// As the report shows them.
    pub(crate) fn shown(&self) -> Vec<Sample> {
        let shown = |Written { step, text }: &Written| Sample {
            title: format!("after {step} steps"),
            text: text.clone(),
        };
        self.all.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_has_the_samples_of_before() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut first = Samples::open(folder.path(), None)?;
        for (step, text) in [(0, "a\nb \u{2603}"), (6, "c"), (12, "d")] {
            first.add(step, text.into())?;
        }
        let titles = |samples: &Samples| {
            samples.shown().into_iter().map(|s| format!("{}: {}", s.title, s.text)).collect::<Vec<_>>()
        };
        let mut resumed = Samples::open(folder.path(), Some(6))?;
        assert_eq!(titles(&resumed), ["after 0 steps: a\nb \u{2603}", "after 6 steps: c"]);
        // Written again by who goes on from there.
        resumed.add(6, "e".into())?;
        assert_eq!(titles(&resumed).last().map(String::as_str), Some("after 6 steps: e"));
        assert_eq!(titles(&Samples::open(folder.path(), Some(99))?), titles(&resumed));
        assert!(Samples::open(folder.path(), None)?.shown().is_empty());
        std::fs::write(folder.path().join(SAMPLES), "{\"step\":0}\n")?;
        let message = Samples::open(folder.path(), Some(1)).map_err(|e| e.to_string()).unwrap_err();
        assert!(message.contains("samples.jsonl, line 1"), "{message}");
        Ok(())
    }
}
