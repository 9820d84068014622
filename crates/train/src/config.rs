//! The configuration of a training run.
//!
//! Each setting is declared once, in the table below. Struct, default, TOML reading and printing, flags and help are
//! derived from it. Order of precedence: preset < file < flags. An unknown key is an error.

mod check;
pub(crate) mod file;
mod flags;
mod nearest;
mod table;
mod value;

use crate::error::{Error, Result};
pub use flags::IGNORED;
pub use table::Field;
use value::Value;
pub use value::{DeviceKind, InitFrom, Kind, OptimizerKind, ScheduleKind, TaskKind};
pub use warpsmith_ops::linear::Precision;

table::fields! {
    "Data" {
        data: String = String::new(), "Text file or folder to train on, `-` for standard input; empty: the embedded corpus.";
        task: TaskKind = TaskKind::None, "Train on a made-up task in place of text.";
        tokenizer: String = "char".to_string(), "byte, char, bpe:N (N tokens, trained on the data) or a tokenizer.json.";
    }
    "Model" {
        n_layer: usize = 6, "Transformer blocks.";
        n_head: usize = 6, "Attention heads per block; divides n_embd.";
        n_embd: usize = 384, "Width C of the residual stream.";
        block_size: usize = 256, "Context length T, in tokens.";
        dropout: f64 = 0.2, "Probability of dropping an activation, 0 <= p < 1.";
        bias: bool = false, "Biases in linear layers and layer norms.";
    }
    "Batches" {
        batch_size: usize = 64, "Sequences B per forward pass.";
        gradient_accumulation_steps: usize = 1, "Forward passes per optimiser step.";
        max_iters: usize = 5000, "Optimiser steps in all.";
        seed: u64 = 1337, "Seed of weights, batches, dropout and samples.";
    }
    "Optimiser" {
        optimizer: OptimizerKind = OptimizerKind::AdamW, "Update rule.";
        learning_rate: f64 = 1e-3, "Peak learning rate.";
        beta1: f64 = 0.9, "AdamW: decay of the first moment.";
        beta2: f64 = 0.99, "AdamW: decay of the second moment.";
        weight_decay: f64 = 0.1, "Decoupled weight decay of matrices; vectors are not decayed.";
        momentum: f64 = 0.9, "SGD: momentum.";
        l1: f64 = 0.0, "Penalty of the loss by the sum of all |w| of matrices, as a factor; drives weights to 0.";
        l2: f64 = 0.0, "Penalty by half the sum of all w²; unlike weight_decay its gradient goes through AdamW's scaling.";
        label_smoothing: f64 = 0.0, "Share of each target that is spread over all tokens, 0 <= x < 1; in training only.";
        grad_clip: f64 = 1.0, "Largest global gradient norm; 0: no clipping.";
    }
    "Schedule" {
        schedule: ScheduleKind = ScheduleKind::Cosine, "Shape of the learning rate after the warm-up.";
        decay_lr: bool = true, "Follow the schedule; false: learning_rate throughout, without warm-up.";
        warmup_iters: usize = 100, "Steps of linear warm-up.";
        lr_decay_iters: usize = 5000, "Step at which min_lr is reached; normally max_iters.";
        min_lr: f64 = 1e-4, "Learning rate at the end of the decay; normally learning_rate / 10.";
        decay_fraction: f64 = 0.1, "wsd: share of lr_decay_iters spent on the final decay.";
    }
    "Evaluation and saving" {
        eval_interval: usize = 250, "Steps between evaluations, which also save a checkpoint.";
        eval_iters: usize = 200, "Batches per evaluation.";
        eval_only: bool = false, "Stop after the first evaluation.";
        log_interval: usize = 10, "Steps between log lines.";
        sample_interval: usize = 0, "Steps between samples; 0: only before and after.";
        sample_tokens: usize = 200, "Tokens per sample.";
        patience: usize = 0, "Stop after this many evaluations without a better val loss; 0: never.";
        always_save_checkpoint: bool = false, "Save at each evaluation; false: only when val loss improves.";
        keep_last: usize = 2, "Checkpoints to keep.";
    }
    "Run" {
        out_dir: String = "out".to_string(), "Run folder: config, log, checkpoints, model, report.";
        init_from: InitFrom = InitFrom::Scratch, "Fresh weights, or the newest checkpoint in out_dir.";
        device: DeviceKind = DeviceKind::Auto, "Where to compute.";
        compile: bool = true, "On a GPU: record the step once and replay it; the same bits, less waiting.";
        dtype: Precision = Precision::F32, "Precision of matrix products.";
        peak_tflops: f64 = 0.0, "Measured ceiling of the device in TFLOP/s, for the MFU in the log; 0: not known.";
        recompute: bool = false, "Recompute activations in the backward pass: less memory, more time.";
    }
}

impl TrainConfig {
    /// The settings of nanoGPT's `config/train_shakespeare_char.py`: the preset of `warpsmith train`.
    pub fn shakespeare_char() -> Self {
        Self::default()
    }

    /// A GPT small enough to learn to write in minutes on two cores: nanoGPT's Shakespeare run for CPUs.
    pub fn quick() -> Self {
        TrainConfig {
            n_layer: 4,
            n_head: 4,
            n_embd: 128,
            block_size: 64,
            dropout: 0.0,
            batch_size: 12,
            max_iters: 2000,
            lr_decay_iters: 2000,
            eval_iters: 20,
            ..Self::default()
        }
    }

    /// What is learned from, in words.
    pub fn data_in_words(&self) -> String {
        match (self.task, self.data.as_str()) {
            (TaskKind::None, "") => "this program's own text".into(),
            (TaskKind::None, "-") => "standard input".into(),
            (TaskKind::None, path) => path.into(),
            (task, _) => format!("the task {}", task.word()),
        }
    }

    /// The table of settings, in the order in which they are listed and printed.
    pub fn fields() -> &'static [Field] {
        FIELDS
    }

    /// Sets one field from text, as a flag does. `-` in the key counts as `_`. The keys in [`IGNORED`] do nothing.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] with the nearest known key; [`Error::BadValue`] naming what the field takes. The
    /// configuration is unchanged then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let name = key.replace('-', "_");
        if flags::ignored(&name).is_some() {
            return Ok(());
        }
        let field = FIELDS
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| Error::UnknownKey { key: key.to_string(), nearest: nearest::nearest(&name) })?;
        if (field.set)(self, value) {
            Ok(())
        } else {
            Err(Error::BadValue {
                key: field.name,
                expected: field.kind.expected(),
                value: value.to_string(),
            })
        }
    }

    /// Tokens that one optimiser step learns from: B · T · accumulation steps.
    pub fn tokens_per_step(&self) -> u64 {
        [self.block_size, self.gradient_accumulation_steps]
            .iter()
            .fold(self.batch_size as u64, |tokens, &factor| tokens.saturating_mul(factor as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_the_shakespeare_preset_of_nanogpt() {
        let config = TrainConfig::shakespeare_char();
        for (key, value) in [
            ("eval_interval", "250"),
            ("eval_iters", "200"),
            ("log_interval", "10"),
            ("always_save_checkpoint", "false"),
            ("gradient_accumulation_steps", "1"),
            ("batch_size", "64"),
            ("block_size", "256"),
            ("n_layer", "6"),
            ("n_head", "6"),
            ("n_embd", "384"),
            ("dropout", "0.2"),
            ("learning_rate", "0.001"),
            ("max_iters", "5000"),
            ("lr_decay_iters", "5000"),
            ("min_lr", "0.0001"),
            ("beta1", "0.9"),
            ("beta2", "0.99"),
            ("warmup_iters", "100"),
            ("bias", "false"),
            ("weight_decay", "0.1"),
            ("grad_clip", "1.0"),
        ] {
            let field = TrainConfig::fields().iter().find(|field| field.name == key);
            assert_eq!(field.map(|field| (field.get)(&config)).as_deref(), Some(value), "{key}");
        }
    }

    #[test]
    fn both_presets_are_valid_and_silent() {
        for preset in [TrainConfig::shakespeare_char(), TrainConfig::quick()] {
            assert!(preset.validate().is_ok());
            assert_eq!(preset.warnings(), Vec::<String>::new());
        }
    }

    #[test]
    fn names_are_unique_and_every_help_is_one_sentence() {
        let fields = TrainConfig::fields();
        for (i, field) in fields.iter().enumerate() {
            assert!(fields[..i].iter().all(|earlier| earlier.name != field.name), "{} twice", field.name);
            assert!(field.help.ends_with('.') && !field.help.contains('\n'), "{}", field.name);
        }
    }

    #[test]
    fn set_reaches_every_field() {
        for field in TrainConfig::fields() {
            let other = match field.kind {
                Kind::Integer => "7",
                Kind::Float => "0.53125",
                Kind::Bool => ["true", "false"][usize::from(field.default_value() == "true")],
                Kind::Text => "other",
                Kind::Choice(words) => words[words.len() - 1],
            };
            let mut config = TrainConfig::default();
            assert!(config.set(field.name, other).is_ok(), "{}", field.name);
            assert_eq!((field.get)(&config).trim_matches('"'), other, "{}", field.name);
            let changed = TrainConfig::fields().iter().filter(|f| (f.get)(&config) != f.default_value());
            assert_eq!(changed.map(|f| f.name).collect::<Vec<_>>(), [field.name]);
        }
    }

    #[test]
    fn set_refuses_what_is_not_of_the_kind_and_keeps_the_old_value() {
        let mut config = TrainConfig::default();
        for (key, value, message) in [
            ("n_layer", "-3", "n_layer: expected a whole number, zero or more, got `-3`"),
            ("learning_rate", "nan", "learning_rate: expected a finite number, got `nan`"),
            ("bias", "maybe", "bias: expected true or false, got `maybe`"),
            ("optimizer", "adam", "optimizer: expected one of adamw, sgd, got `adam`"),
            ("n_layers", "3", "unknown setting `n_layers`; did you mean `n_layer`?"),
        ] {
            assert_eq!(config.set(key, value).map_err(|error| error.to_string()), Err(message.to_string()));
        }
        assert_eq!(config, TrainConfig::default());
    }

    #[test]
    fn hyphens_count_as_underscores() {
        let mut config = TrainConfig::default();
        assert!(config.set("n-layer", "2").is_ok());
        assert_eq!(config.n_layer, 2);
    }

    #[test]
    fn tokens_per_step_multiplies_and_saturates() {
        let config = TrainConfig { gradient_accumulation_steps: 3, ..TrainConfig::quick() };
        assert_eq!(config.tokens_per_step(), 12 * 64 * 3);
        assert_eq!(TrainConfig { batch_size: usize::MAX, ..config }.tokens_per_step(), u64::MAX);
    }
}
