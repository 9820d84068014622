//! What a person sees while a model trains: a live bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use warpsmith::train::{Event, TrainConfig};

/// Shows the events of a run.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: usize,
    train_loss: f64,
    val_loss: f64,
    rate: f64,
}

impl Progress {
    /// A bar if standard error is a terminal.
    pub fn new(config: &TrainConfig) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(config.max_iters as u64);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}  {elapsed} < {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, steps: config.max_iters, ..Self::quiet() }
    }

    /// No bar: only lines.
    pub fn quiet() -> Self {
        Self { bar: None, steps: 0, train_loss: f64::NAN, val_loss: f64::NAN, rate: 0.0 }
    }

    /// Shows one event.
    pub fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Skipped(error) => self.line(&format!("note: {error}")),
            Event::Resumed(step) => {
                self.line(&format!("resumed after {step} steps"));
            }
            Event::Sampled { step, text } => {
                let rule = "-".repeat(72);
                self.line(&format!("{rule}\nsample after {step} steps:\n{text}\n{rule}"));
            }
            Event::Stepped(report) => {
                let rate = report.tokens as f64 / report.seconds.max(1e-9);
                // Smoothed, so that the bar can be read.
                let mix = |old: f64, new: f64| {
                    if old.is_nan() || old == 0.0 { new } else { 0.95 * old + 0.05 * new }
                };
                self.train_loss = report.loss.map_or(self.train_loss, |loss| mix(self.train_loss, loss));
                self.rate = mix(self.rate, rate);
                if let Some(bar) = &self.bar {
                    bar.set_position(report.step as u64 + 1);
                    bar.set_message(format!(
                        "train {:.3}  val {:.3}  {:.0} tok/s",
                        self.train_loss, self.val_loss, self.rate
                    ));
                }
            }
            Event::Evaluated { val_loss, best, step } => {
                self.val_loss = val_loss;
                let mark = if best { "  best" } else { "" };
                self.line(&format!("step {step:>6} | val loss {val_loss:.4}{mark}"));
            }
            Event::Logged(record) => {
                // The bar shows the same, live.
                if self.bar.is_none() && record.train_loss.is_some() {
                    show!("{}", record.line(self.steps));
                }
            }
            Event::Saved(_) => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| show!("{text}")),
            None => show!("{text}"),
        }
    }
}
