//! `config.toml`: flat `key = value` lines under one comment per group.

use std::fmt::Write;
use std::path::Path;

use super::{Field, Kind, TrainConfig, flags};
use crate::error::{Error, Result};

impl TrainConfig {
    /// The whole configuration as TOML, in the order of the table, with a comment line per group. Reading it back gives
    /// the same configuration.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for field in TrainConfig::fields() {
            if field.group != group {
                let gap = if group.is_empty() { "" } else { "\n" };
                group = field.group;
                let _ = writeln!(text, "{gap}# {group}");
            }
            let _ = writeln!(text, "{} = {}", field.name, (field.get)(self));
        }
        text
    }

    /// Overrides settings by those in a TOML file. Returns a note per ignored setting.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::ConfigFile`] with the line for broken TOML, an unknown key or a bad
    /// value. The configuration is unchanged then.
    pub fn read_file(&mut self, path: &Path) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        self.read_toml(&text, path)
    }

    /// [`TrainConfig::read_file`] on text already read; `path` is for messages.
    ///
    /// # Errors
    /// Those of [`TrainConfig::read_file`], less [`Error::Io`].
    pub fn read_toml(&mut self, text: &str, path: &Path) -> Result<Vec<String>> {
        let at = |line, problem| Error::ConfigFile { path: path.to_path_buf(), line, problem };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(line_of(text, offset), error.message().replace('\n', "; "))
        })?;
        let mut changed = self.clone();
        let mut notes = Vec::new();
        for (key, value) in &table {
            let stored = plain(key, value)
                .and_then(|value| changed.set(key, &value).map_err(|error| error.to_string()));
            stored.map_err(|problem| at(line_of_key(text, key), problem))?;
            notes.extend(flags::note(key));
        }
        *self = changed;
        Ok(notes)
    }
}

/// A TOML value as the text that [`TrainConfig::set`] takes.
pub(crate) fn plain(key: &str, value: &toml::Value) -> Result<String, String> {
    let takes_words =
        |field: &&Field| field.name == key && matches!(field.kind, Kind::Text | Kind::Choice(_));
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Table(_) => {
            Err(format!("settings are flat `key = value` lines; remove the section `{key}`"))
        }
        toml::Value::Array(_) | toml::Value::Datetime(_) => Err(format!("{key}: expected one plain value")),
        other if TrainConfig::fields().iter().any(|field| takes_words(&field)) => {
            Err(format!("{key}: expected text in quotes, got `{other}`"))
        }
        other => Ok(other.to_string()),
    }
}

/// The line, from 1, that holds byte `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// The line, from 1, on which `key` is set, or the first if it is written in a way that this does not see.
pub(crate) fn line_of_key(text: &str, key: &str) -> usize {
    let names_key = |line: &str| {
        let name = line.split('=').next().unwrap_or_default();
        name.trim().trim_matches(['"', '\'', '[', ']']) == key
    };
    1 + text.lines().position(names_key).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{OptimizerKind, TaskKind};

    fn read(text: &str) -> Result<TrainConfig, String> {
        let mut config = TrainConfig::default();
        config.read_toml(text, Path::new("c.toml")).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn overrides_only_what_it_names() {
        let expected = TrainConfig {
            n_layer: 2,
            dropout: 0.0,
            learning_rate: 6e-4,
            optimizer: OptimizerKind::Sgd,
            data: "a b.txt".into(),
            ..TrainConfig::default()
        };
        let text =
            "# mine\nn_layer = 2\ndropout = 0\nlearning_rate = 6e-4\noptimizer = \"sgd\"\ndata = 'a b.txt'\n";
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(""), Ok(TrainConfig::default()));
    }

    #[test]
    fn errors_are_one_line_with_the_line_number() {
        for (text, message) in [
            ("seed = 1\nn_layers = 2", "c.toml, line 2: unknown setting `n_layers`; did you mean `n_layer`?"),
            ("bias = 3", "c.toml, line 1: bias: expected true or false, got `3`"),
            ("\n\ndata = true", "c.toml, line 3: data: expected text in quotes, got `true`"),
            ("n_layer = 1.5", "c.toml, line 1: n_layer: expected a whole number, zero or more, got `1.5`"),
            (
                "[model]\nn_layer = 1",
                "c.toml, line 1: settings are flat `key = value` lines; remove the section `model`",
            ),
            ("seed = [1]", "c.toml, line 1: seed: expected one plain value"),
            ("min_lr = nan", "c.toml, line 1: min_lr: expected a finite number, got `nan`"),
        ] {
            assert_eq!(read(text), Err(message.to_string()));
        }
        for broken in ["n_layer", "n_layer = ", "seed = 1\nseed = 2", "= 3", "data = \"open", "\u{0}"] {
            let message = read(broken).expect_err("broken TOML");
            assert!(message.starts_with("c.toml, line ") && !message.contains('\n'), "{message:?}");
        }
    }

    #[test]
    fn a_bad_file_changes_nothing() {
        let mut config = TrainConfig::default();
        assert!(config.read_toml("n_layer = 2\nseed = -1", Path::new("c.toml")).is_err());
        assert_eq!(config, TrainConfig::default());
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing = Path::new("no/such/config.toml");
        let message = TrainConfig::default().read_file(missing).map_err(|error| error.to_string());
        let message = message.expect_err("no such file");
        assert!(message.starts_with("cannot read no/such/config.toml: "), "{message}");
    }

    #[test]
    fn file_beats_preset_and_flags_beat_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "n_layer = 3\nseed = 3\nbackend = \"nccl\"\n")?;
        let (config, notes) = TrainConfig::quick().resolve(Some(&path), ["--seed=4"])?;
        assert_eq!(config, TrainConfig { n_layer: 3, seed: 4, ..TrainConfig::quick() });
        assert_eq!(notes, ["note: backend is ignored: there is one process"]);
        Ok(())
    }

    #[test]
    fn prints_in_groups_in_a_stable_order() {
        let text = TrainConfig::quick().to_toml();
        assert!(text.starts_with(
            "# Data\ndata = \"\"\ntask = \"none\"\ntokenizer = \"char\"\n\n# Model\nn_layer = 4\n"
        ));
        assert_eq!(text.matches("# ").count(), 7);
        assert_eq!(text.lines().filter(|line| line.contains(" = ")).count(), TrainConfig::fields().len());
    }

    fn any_config() -> impl Strategy<Value = TrainConfig> {
        let finite = || any::<f64>().prop_filter("finite", |number| number.is_finite());
        let model = (any::<usize>(), any::<usize>(), finite(), any::<bool>());
        let rates = (finite(), finite(), 0.0f64..1.0, any::<u64>());
        (model, rates, ".*", ".*", any::<bool>()).prop_map(|(model, rates, data, out_dir, sgd)| TrainConfig {
            n_layer: model.0,
            block_size: model.1,
            dropout: model.2,
            bias: model.3,
            learning_rate: rates.0,
            min_lr: rates.1,
            beta1: rates.2,
            seed: rates.3,
            data,
            out_dir,
            optimizer: if sgd { OptimizerKind::Sgd } else { OptimizerKind::AdamW },
            task: if sgd { TaskKind::Add } else { TaskKind::None },
            ..TrainConfig::default()
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_to_the_same(config in any_config()) {
            let text = config.to_toml();
            let mut back = TrainConfig::quick();
            let notes = back.read_toml(&text, Path::new("c.toml"));
            prop_assert!(notes.is_ok(), "{notes:?}\n{text}");
            prop_assert_eq!(back, config);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = read(&text);
            let _ = TrainConfig::default().set_flags(text.split(' '));
        }
    }
}
