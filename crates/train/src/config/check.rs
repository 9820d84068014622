//! Settings that no run can use, refused before any work is done.

use super::{Field, OptimizerKind, ScheduleKind, TaskKind, TrainConfig};
use crate::error::{Error, Result};

impl TrainConfig {
    /// Checks that the settings can be used, and used together.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first that cannot, with a value that can.
    pub fn validate(&self) -> Result<()> {
        self.check_counts()?;
        self.check_heads()?;
        self.check_numbers()?;
        self.check_data()
    }

    fn check_counts(&self) -> Result<()> {
        for (key, count) in [
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
            ("n_embd", self.n_embd),
            ("block_size", self.block_size),
            ("batch_size", self.batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("eval_interval", self.eval_interval),
            ("eval_iters", self.eval_iters),
            ("log_interval", self.log_interval),
            ("keep_last", self.keep_last),
        ] {
            if count == 0 {
                return Err(self.invalid(key, "must be at least 1", "choose a larger number"));
            }
        }
        if self.max_iters == 0 {
            return Err(self.invalid(
                "max_iters",
                "there is nothing to train",
                "to only evaluate, set eval_only",
            ));
        }
        // Sizes beyond this cannot be meant, and would overflow when multiplied.
        let limit = 1usize << 24;
        for (key, size) in [
            ("n_layer", self.n_layer),
            ("n_embd", self.n_embd),
            ("block_size", self.block_size),
            ("batch_size", self.batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ] {
            if size > limit {
                return Err(self.invalid(key, &format!("larger than {limit}"), "choose a smaller number"));
            }
        }
        Ok(())
    }

    fn check_heads(&self) -> Result<()> {
        let (width, heads) = (self.n_embd, self.n_head);
        if width % heads == 0 {
            return Ok(());
        }
        let below = width - width % heads;
        let nearest = if below > 0 && width - below <= below + heads - width { below } else { below + heads };
        let problem = format!("not divisible by n_head = {heads}");
        Err(self.invalid("n_embd", &problem, &format!("the nearest that is: {nearest}")))
    }

    fn check_numbers(&self) -> Result<()> {
        let below_one = |number: f64| (0.0..1.0).contains(&number);
        let not_negative = |number: f64| number >= 0.0 && number.is_finite();
        for (key, number) in [
            ("dropout", self.dropout),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("momentum", self.momentum),
            ("label_smoothing", self.label_smoothing),
        ] {
            if !below_one(number) {
                return Err(self.invalid(key, "outside 0 <= x < 1", "choose a number in that range"));
            }
        }
        for (key, number) in [
            ("learning_rate", self.learning_rate),
            ("min_lr", self.min_lr),
            ("weight_decay", self.weight_decay),
            ("l1", self.l1),
            ("l2", self.l2),
            ("grad_clip", self.grad_clip),
            ("peak_tflops", self.peak_tflops),
        ] {
            if !not_negative(number) {
                return Err(self.invalid(key, "not a finite number >= 0", "choose such a number"));
            }
        }
        if !(0.0..=1.0).contains(&self.decay_fraction) {
            return Err(self.invalid("decay_fraction", "outside 0 <= x <= 1", "0.1 is usual"));
        }
        Ok(())
    }

    fn check_data(&self) -> Result<()> {
        if !self.data.is_empty() && self.task != TaskKind::None {
            return Err(self.invalid("data", "a task makes its own data", "give either data or task"));
        }
        if self.out_dir.is_empty() {
            return Err(self.invalid("out_dir", "a run needs a folder", "name one, such as \"out\""));
        }
        if self.tokenizer.is_empty() {
            return Err(self.invalid("tokenizer", "text needs one", "use byte, char, bpe:N or a file"));
        }
        let size = self.tokenizer.strip_prefix("bpe:").map(|size| size.parse().unwrap_or(0));
        match size {
            Some(0..256usize) => Err(self.invalid(
                "tokenizer",
                "a byte-level vocabulary holds the 256 bytes and more",
                "write bpe:N with N of 256 or more, such as bpe:512",
            )),
            _ => Ok(()),
        }
    }

    fn invalid(&self, key: &'static str, problem: &str, advice: &str) -> Error {
        let value =
            TrainConfig::fields().iter().find(|field| field.name == key).map(|field| (field.get)(self));
        Error::Invalid {
            key,
            value: value.unwrap_or_default(),
            problem: problem.to_string(),
            advice: advice.to_string(),
        }
    }

    /// One line for each setting that works but is seldom meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut warn = |odd: bool, line: String| lines.extend(odd.then(|| format!("warning: {line}")));
        let decays = self.decay_lr && self.schedule != ScheduleKind::Constant;
        let (peak, floor) = (self.learning_rate, self.min_lr);
        let (warmup, decay, steps) = (self.warmup_iters, self.lr_decay_iters, self.max_iters);
        warn(
            decays && floor > peak,
            format!("min_lr {floor} exceeds learning_rate {peak}: the rate will rise"),
        );
        warn(
            self.decay_lr && warmup >= steps,
            format!("warmup_iters {warmup} is not below max_iters {steps}: the run ends in its warm-up"),
        );
        warn(
            decays && warmup >= decay,
            format!(
                "lr_decay_iters {decay} is not above warmup_iters {warmup}: the rate drops to min_lr at once"
            ),
        );
        warn(
            decays && decay > steps && warmup < steps,
            format!("lr_decay_iters {decay} exceeds max_iters {steps}: the rate will not reach min_lr"),
        );
        warn(peak == 0.0, "learning_rate is 0: the weights will not move".to_string());
        let ignored = if self.optimizer == OptimizerKind::AdamW { "momentum" } else { "beta1" };
        lines.extend(self.unused(ignored));
        lines
    }

    /// A line if `key` was set, though the chosen optimiser does not read it.
    fn unused(&self, key: &str) -> Option<String> {
        let field: &Field = TrainConfig::fields().iter().find(|field| field.name == key)?;
        let value = (field.get)(self);
        (value != field.default_value())
            .then(|| format!("warning: {key} = {value} has no effect with {}", self.optimizer.word()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(key: &str, value: &str) -> String {
        let mut config = TrainConfig::default();
        assert!(config.set(key, value).is_ok(), "{key} = {value}");
        config.validate().map_or_else(|error| error.to_string(), |()| "fine".to_string())
    }

    #[test]
    fn zero_counts_are_refused_by_name() {
        for key in [
            "n_layer",
            "n_head",
            "n_embd",
            "block_size",
            "batch_size",
            "gradient_accumulation_steps",
            "eval_interval",
            "eval_iters",
            "log_interval",
            "keep_last",
        ] {
            assert_eq!(complaint(key, "0"), format!("{key} = 0: must be at least 1; choose a larger number"));
        }
        assert_eq!(
            complaint("max_iters", "0"),
            "max_iters = 0: there is nothing to train; to only evaluate, set eval_only"
        );
    }

    #[test]
    fn sizes_that_would_overflow_are_refused() {
        for key in ["n_layer", "n_embd", "block_size", "batch_size", "gradient_accumulation_steps"] {
            assert!(complaint(key, "18446744073709551612").contains("choose a smaller number"), "{key}");
        }
    }

    #[test]
    fn width_that_heads_do_not_divide_comes_with_the_nearest() {
        let with = |n_embd, n_head| {
            let config = TrainConfig { n_embd, n_head, ..TrainConfig::default() };
            config.validate().map_or_else(|error| error.to_string(), |()| "fine".to_string())
        };
        assert_eq!(with(100, 6), "n_embd = 100: not divisible by n_head = 6; the nearest that is: 102");
        assert!(with(97, 6).ends_with("nearest that is: 96"));
        assert!(with(3, 8).ends_with("nearest that is: 8"));
        assert_eq!(with(96, 6), "fine");
    }

    #[test]
    fn probabilities_and_decays_stay_below_one() {
        for key in ["dropout", "beta1", "beta2", "momentum"] {
            assert_eq!(complaint(key, "0"), "fine");
            for bad in ["1", "-0.1", "1.5"] {
                assert!(complaint(key, bad).contains("outside 0 <= x < 1"), "{key} = {bad}");
            }
        }
        assert_eq!(complaint("decay_fraction", "1"), "fine");
        assert!(complaint("decay_fraction", "1.01").contains("outside"));
    }

    #[test]
    fn rates_are_finite_and_not_negative_even_when_set_in_code() {
        let nan = TrainConfig { learning_rate: f64::NAN, ..TrainConfig::default() };
        assert!(nan.validate().is_err());
        assert!(TrainConfig { dropout: f64::NAN, ..TrainConfig::default() }.validate().is_err());
        assert!(TrainConfig { grad_clip: f64::INFINITY, ..TrainConfig::default() }.validate().is_err());
        for key in ["learning_rate", "min_lr", "weight_decay", "grad_clip"] {
            assert!(complaint(key, "-1e-9").contains("not a finite number >= 0"), "{key}");
            assert_eq!(complaint(key, "0"), "fine", "{key}");
        }
    }

    #[test]
    fn data_settings_that_contradict_are_refused() {
        let both = TrainConfig { task: TaskKind::Sort, data: "x.txt".into(), ..TrainConfig::default() };
        assert!(both.validate().is_err());
        for bad in ["", "bpe:", "bpe:many", "bpe:255", "bpe:-1"] {
            assert_ne!(complaint("tokenizer", bad), "fine", "{bad}");
        }
        for good in ["byte", "char", "bpe:256", "bpe:5000", "some/tokenizer.json"] {
            assert_eq!(complaint("tokenizer", good), "fine", "{good}");
        }
        assert_ne!(complaint("out_dir", ""), "fine");
    }

    #[test]
    fn odd_settings_are_warned_about_once() {
        for (key, value, start) in [
            ("learning_rate", "1e-5", "warning: min_lr 0.0001 exceeds learning_rate 0.00001"),
            ("max_iters", "50", "warning: warmup_iters 100 is not below max_iters 50"),
            ("lr_decay_iters", "100", "warning: lr_decay_iters 100 is not above warmup_iters 100"),
            ("max_iters", "4000", "warning: lr_decay_iters 5000 exceeds max_iters 4000"),
            ("momentum", "0.5", "warning: momentum = 0.5 has no effect with adamw"),
        ] {
            let mut config = TrainConfig::default();
            assert!(config.set(key, value).is_ok());
            let lines = config.warnings();
            assert!(lines.len() == 1 && lines[0].starts_with(start), "{key} = {value}: {lines:?}");
        }
        let fixed =
            TrainConfig { decay_lr: false, learning_rate: 1e-5, max_iters: 50, ..TrainConfig::default() };
        assert_eq!(fixed.warnings(), Vec::<String>::new());
    }
}
