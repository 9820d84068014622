//! Command-line words to settings, nanoGPT's way: `--key=value`, and `--key value` too.

use std::path::Path;

use super::{Kind, TrainConfig};
use crate::error::{Error, Result};

/// Settings of nanoGPT that are accepted so that its command lines work as they are, each with the note to print.
pub static IGNORED: &[(&str, &str)] = &[
    ("backend", "there is one process"),
    ("dataset", "choose the text with --data"),
    ("wandb_log", "the run folder holds log.jsonl and report.html"),
    ("wandb_project", "the run folder holds log.jsonl and report.html"),
    ("wandb_run_name", "the run folder holds log.jsonl and report.html"),
];

/// Why a setting is accepted and ignored, or `None` if it is not such a one.
pub(super) fn ignored(name: &str) -> Option<&'static str> {
    IGNORED.iter().find(|(ignored, _)| *ignored == name).map(|(_, note)| *note)
}

impl TrainConfig {
    /// This preset, overridden by `file` if given, overridden by `flags`; checked. Returns the configuration and the
    /// lines to print about it: settings ignored, and [warnings](TrainConfig::warnings).
    ///
    /// # Errors
    /// Whatever [`TrainConfig::read_file`], [`TrainConfig::set_flags`] and [`TrainConfig::validate`] return.
    pub fn resolve<S: AsRef<str>>(
        mut self,
        file: Option<&Path>,
        flags: impl IntoIterator<Item = S>,
    ) -> Result<(TrainConfig, Vec<String>)> {
        let mut notes = Vec::new();
        if let Some(path) = file {
            notes.extend(self.read_file(path)?);
        }
        notes.extend(self.set_flags(flags)?);
        self.validate()?;
        notes.extend(self.warnings());
        Ok((self, notes))
    }

    /// Applies command-line words: `--key=value` or `--key value`; `--key` alone switches a boolean on. Returns a note
    /// per ignored setting.
    ///
    /// # Errors
    /// [`Error::BadFlag`] for a word that is no flag or a flag without its value, and those of [`TrainConfig::set`].
    pub fn set_flags<S: AsRef<str>>(&mut self, words: impl IntoIterator<Item = S>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let word = word.as_ref();
            let flag = word.strip_prefix("--").filter(|flag| !flag.is_empty());
            let flag = flag.ok_or(Error::BadFlag { found: word.to_string(), advice: "" })?;
            let (key, value) = match flag.split_once('=') {
                Some((key, value)) => (key, Some(value.to_string())),
                None => (
                    flag,
                    words.next_if(|next| !next.as_ref().starts_with("--")).map(|v| v.as_ref().to_string()),
                ),
            };
            let value = value.or_else(|| bare_value(key));
            // A misspelled key deserves its own message, even without a value.
            self.set(key, value.as_deref().unwrap_or_default()).map_err(|error| match error {
                Error::BadValue { .. } if value.is_none() => {
                    Error::BadFlag { found: word.to_string(), advice: ": the value is missing" }
                }
                error => error,
            })?;
            notes.extend(note(key));
        }
        Ok(notes)
    }
}

/// What a flag alone means: true for a boolean, nothing for the others.
fn bare_value(key: &str) -> Option<String> {
    let name = key.replace('-', "_");
    let field = TrainConfig::fields().iter().find(|field| field.name == name)?;
    (field.kind == Kind::Bool).then(|| "true".to_string())
}

/// The line to print when `key` is accepted and ignored.
pub(super) fn note(key: &str) -> Option<String> {
    ignored(&key.replace('-', "_")).map(|why| format!("note: {key} is ignored: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceKind;

    /// The command line that nanoGPT's README gives for a Shakespeare run on a CPU.
    const NANOGPT: &str = "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 \
                           --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 \
                           --lr_decay_iters=2000 --dropout=0.0";

    #[test]
    fn the_readme_flags_of_nanogpt_work_as_they_are() -> Result<()> {
        let expected = TrainConfig {
            device: DeviceKind::Cpu,
            compile: false,
            log_interval: 1,
            eval_iters: 20,
            ..TrainConfig::quick()
        };
        let joined = NANOGPT.split(' ');
        let apart = NANOGPT.split([' ', '=']);
        let (from_joined, notes) = TrainConfig::shakespeare_char().resolve(None, joined)?;
        let (from_apart, _) = TrainConfig::shakespeare_char().resolve(None, apart)?;
        assert_eq!(from_joined, expected);
        assert_eq!(from_apart, expected);
        assert!(notes.is_empty(), "{notes:?}");
        Ok(())
    }

    #[test]
    fn a_boolean_flag_may_stand_alone_and_others_may_not() -> Result<()> {
        let mut config = TrainConfig::default();
        config.set_flags(["--recompute", "--bias", "--n_layer", "2"])?;
        assert!(config.recompute && config.bias && config.n_layer == 2);
        let missing = config.set_flags(["--n_layer"]).map_err(|error| error.to_string());
        assert_eq!(
            missing,
            Err("expected `--key value` or `--key=value`, got `--n_layer`: the value is missing".to_string())
        );
        Ok(())
    }

    #[test]
    fn empty_values_are_missing_for_numbers_and_fine_for_text() -> Result<()> {
        let mut config = TrainConfig::default();
        config.set_flags(["--data="])?;
        assert_eq!(config.data, "");
        assert!(config.set_flags(["--n_layer="]).is_err());
        Ok(())
    }

    #[test]
    fn values_may_begin_with_a_hyphen_or_hold_an_equals_sign() -> Result<()> {
        let mut config = TrainConfig::default();
        config.set_flags(["--data", "-", "--out_dir=a=b"])?;
        assert_eq!((config.data.as_str(), config.out_dir.as_str()), ("-", "a=b"));
        let negative = config.set_flags(["--n_layer", "-1"]).map_err(|error| error.to_string());
        assert_eq!(negative, Err("n_layer: expected a whole number, zero or more, got `-1`".to_string()));
        Ok(())
    }

    #[test]
    fn words_that_are_no_flags_are_refused() {
        for word in ["n_layer=3", "-n", "--", "", "--=3", "--n_layers", "config/train_shakespeare_char.py"] {
            assert!(TrainConfig::default().set_flags([word]).is_err(), "{word}");
        }
    }

    #[test]
    fn later_flags_win() -> Result<()> {
        let mut config = TrainConfig::default();
        config.set_flags(["--seed=1", "--seed=2"])?;
        assert_eq!(config.seed, 2);
        Ok(())
    }
}
