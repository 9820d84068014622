//! The file of a space: a configuration in which some values are lists or ranges.
//!
//! ```toml
//! data = "input.txt"                                     # a plain value: the same in every trial
//! learning_rate = { min = 1e-4, max = 1e-2, log = true } # a range
//! n_layer = { min = 1, max = 4 }                         # of whole numbers; step = 2 takes every other
//! optimizer = ["adamw", "sgd"]                           # a list
//! ```
//! A grid takes `points = N` values from a range.

use std::fmt::Write;
use std::path::Path;

use toml::Value as Toml;
use warpsmith_selection::space::{Domain, Scale, Space, Value};

use crate::config::file::{line_of, line_of_key, plain};
use crate::config::{Field, InitFrom, Kind};
use crate::{Error, Result, TrainConfig};

/// Settings that every trial must share, and why.
const SHARED: &[(&str, &str)] = &[
    ("data", "losses on different texts do not compare"),
    ("task", "losses on different tasks do not compare"),
    ("tokenizer", "losses per token of different tokenizers do not compare"),
    ("max_iters", "it is the budget, which all trials share"),
    ("eval_only", "a trial has to train"),
    ("out_dir", "every trial has a folder of its own in that of the study"),
    ("init_from", "a trial begins from fresh weights"),
];

/// Settings that decide how many tokens a step learns from.
const SIZES: [&str; 3] = ["batch_size", "block_size", "gradient_accumulation_steps"];

/// What the settings of a run may be.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    base: TrainConfig,
    space: Space,
}

impl SearchSpace {
    /// Reads the file of a space.
    ///
    /// # Errors
    /// As [`SearchSpace::parse`]; [`Error::Io`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, path)
    }

    /// Reads the text of a space; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::ConfigFile`] with the line for broken TOML, an unknown setting, a value that it does not take, a range that is
    /// turned round, or nothing to search.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let at = |line, problem| Error::ConfigFile { path: path.to_path_buf(), line, problem };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(line_of(text, offset), error.message().replace('\n', "; "))
        })?;
        let mut lines: Vec<(usize, &String, &Toml)> =
            table.iter().map(|(key, value)| (line_of_key(text, key), key, value)).collect();
        lines.sort_by_key(|(line, ..)| *line);
        let (mut base, mut parameters) = (TrainConfig::shakespeare_char(), Vec::new());
        for &(line, key, value) in &lines {
            match value {
                Toml::Array(_) | Toml::Table(_) => {
                    let domain = open(key, value).map_err(|problem| at(line, problem))?;
                    let alone = Space::new(vec![(key.clone(), domain.clone())]);
                    alone.map_err(|error| at(line, error.to_string()))?;
                    parameters.push((key.clone(), domain));
                }
                _ => fix(&mut base, key, value).map_err(|problem| at(line, problem))?,
            }
        }
        let space = Space::new(parameters).map_err(|error| at(1, error.to_string()))?;
        Ok(Self { base, space })
    }

    /// The settings that are searched.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The configuration that holds where nothing is searched.
    pub fn base(&self) -> &TrainConfig {
        &self.base
    }

    /// The searched settings that decide how many tokens a step learns from.
    pub fn sizes(&self) -> Vec<&'static str> {
        let is_open = |name: &&str| self.space.parameters().iter().any(|(own, _)| own == name);
        SIZES.into_iter().filter(is_open).collect()
    }

    /// The configuration of a point. With `tokens`, it makes as many steps as learn from so many, and the settings that count
    /// steps and are not searched keep their share of all steps.
    ///
    /// # Errors
    /// If a value is not one that its setting takes.
    pub fn config(&self, point: &[Value], tokens: Option<u64>) -> Result<TrainConfig> {
        let mut config = self.base.clone();
        for ((name, _), value) in self.space.parameters().iter().zip(point) {
            config.set(name, &value.to_string())?;
        }
        let Some(tokens) = tokens else { return Ok(config) };
        let steps = (tokens / config.tokens_per_step().max(1)).max(1) as usize;
        let scale =
            |count: usize| (count as u128 * steps as u128 / self.base.max_iters.max(1) as u128) as usize;
        let is_open = |name: &str| self.space.parameters().iter().any(|(own, _)| own == name);
        config.max_iters = steps;
        if !is_open("warmup_iters") {
            config.warmup_iters = scale(config.warmup_iters);
        }
        if !is_open("lr_decay_iters") {
            config.lr_decay_iters = scale(config.lr_decay_iters);
        }
        if !is_open("eval_interval") {
            config.eval_interval = scale(config.eval_interval).max(1);
        }
        Ok(config)
    }

    /// The whole space as TOML: every setting, searched or not. Reading it back gives the same space.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (name, domain) in self.space.parameters() {
            let _ = writeln!(text, "{name} = {}", written(domain));
        }
        let is_open = |name: &str| self.space.parameters().iter().any(|(own, _)| own == name);
        for field in TrainConfig::fields().iter().filter(|field| !is_open(field.name)) {
            let _ = writeln!(text, "{} = {}", field.name, (field.get)(&self.base));
        }
        text
    }
}

/// Stores the one value of a setting that is not searched.
fn fix(base: &mut TrainConfig, key: &str, value: &Toml) -> Result<(), String> {
    base.set(key, &plain(key, value)?).map_err(|error| error.to_string())?;
    let (evaluates, resumes) = (base.eval_only, base.init_from == InitFrom::Resume);
    match SHARED
        .iter()
        .find(|(name, _)| (*name == "eval_only" && evaluates) || (*name == "init_from" && resumes))
    {
        Some((name, why)) => Err(format!("{name} cannot be set for a search: {why}")),
        None => Ok(()),
    }
}

/// The values of a setting that is searched.
fn open(key: &str, value: &Toml) -> Result<Domain, String> {
    let field = TrainConfig::fields().iter().find(|field| field.name == key);
    let Some(field) = field else {
        // The configuration knows how to say what may have been meant.
        let error = TrainConfig::default().set(key, "").err().map(|error| error.to_string());
        return Err(error.unwrap_or_else(|| format!("{key} has no effect here, and cannot be searched")));
    };
    if let Some((_, why)) = SHARED.iter().find(|(name, _)| *name == key) {
        return Err(format!("{key} cannot be searched: {why}"));
    }
    match value {
        Toml::Array(values) => {
            let values = values.iter().map(|value| listed(field, value)).collect::<Result<_, String>>()?;
            Ok(Domain::Choice(values))
        }
        Toml::Table(range) => ranged(field, range),
        _ => Err(format!("{key}: expected a list or a range")),
    }
}

/// One value of a list.
fn listed(field: &Field, value: &Toml) -> Result<Value, String> {
    let text = plain(field.name, value)?;
    let mut config = TrainConfig::default();
    config.set(field.name, &text).map_err(|error| error.to_string())?;
    let text = (field.get)(&config);
    let number = |text: &str| text.trim_matches('"').parse();
    Ok(match field.kind {
        Kind::Integer => {
            Value::Whole(number(&text).map_err(|_| format!("{}: {text} is too large", field.name))?)
        }
        Kind::Float => Value::Real(text.parse().map_err(|_| format!("{}: {text} is no number", field.name))?),
        Kind::Bool => Value::Word(text),
        // As the setting takes it, not as it is printed.
        Kind::Text | Kind::Choice(_) => Value::Word(plain(field.name, value)?),
    })
}

/// `{ min = …, max = …, log = …, step = …, points = … }`.
fn ranged(field: &Field, range: &toml::Table) -> Result<Domain, String> {
    let name = field.name;
    let is_whole = match field.kind {
        Kind::Integer => true,
        Kind::Float => false,
        _ => return Err(format!("{name} takes {}: name the values in a list", field.kind.expected())),
    };
    const KEYS: [&str; 5] = ["min", "max", "log", "step", "points"];
    if let Some(key) = range.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{name}: a range has no `{key}`; it takes {}", KEYS.join(", ")));
    }
    let scale = match range.get("log") {
        None | Some(Toml::Boolean(false)) => Scale::Linear,
        Some(Toml::Boolean(true)) => Scale::Log,
        Some(other) => return Err(format!("{name}: log: expected true or false, got `{other}`")),
    };
    let whole = |key: &str, value: &Toml| {
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| format!("{name}: {key}: expected a whole number, zero or more, got `{value}`"))
    };
    let end = |key: &str| {
        range.get(key).ok_or_else(|| format!("{name}: a range needs min and max; {key} is missing"))
    };
    let points = range.get("points").map(|value| whole("points", value)).transpose()?;
    let points = points.map(|points| usize::try_from(points).unwrap_or(usize::MAX));
    if is_whole {
        let step = range.get("step").map_or(Ok(1), |value| whole("step", value))?;
        return Ok(Domain::Whole {
            low: whole("min", end("min")?)?,
            high: whole("max", end("max")?)?,
            step,
            scale,
            points,
        });
    }
    if range.contains_key("step") {
        return Err(format!("{name}: step is for whole numbers; a grid takes points = N values of a range"));
    }
    let real = |key: &str| {
        let value = end(key)?;
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        number.ok_or_else(|| format!("{name}: {key}: expected a finite number, got `{value}`"))
    };
    Ok(Domain::Real { low: real("min")?, high: real("max")?, scale, points })
}

/// A domain as it is written in the file.
fn written(domain: &Domain) -> String {
    let word = |value: &Value| match value {
        Value::Word(word) if word == "true" || word == "false" => word.clone(),
        Value::Word(word) => Toml::String(word.clone()).to_string(),
        number => number.to_string(),
    };
    let (ends, scale, points, step) = match domain {
        Domain::Choice(values) => {
            return format!("[{}]", values.iter().map(word).collect::<Vec<_>>().join(", "));
        }
        Domain::Real { low, high, scale, points } => {
            (format!("min = {low:?}, max = {high:?}"), scale, points, 1)
        }
        Domain::Whole { low, high, step, scale, points } => {
            (format!("min = {low}, max = {high}"), scale, points, *step)
        }
    };
    let mut text = ends;
    if *scale == Scale::Log {
        text += ", log = true";
    }
    if step != 1 {
        let _ = write!(text, ", step = {step}");
    }
    if let Some(points) = points {
        let _ = write!(text, ", points = {points}");
    }
    format!("{{ {text} }}")
}

#[cfg(test)]
mod tests;
