//! `report.html`: one page that shows a run, with nothing to load: style and drawings are inside, and no script runs.

mod axis;
mod chart;
mod downsample;
mod numbers;
mod page;
mod tables;

pub use page::escape;

use crate::log::Record;

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// The resolved configuration, as [`TrainConfig::to_toml`](crate::TrainConfig::to_toml) prints it.
    pub config_toml: String,
    /// The log, in order.
    pub records: Vec<Record>,
    /// Texts that the model wrote, in order: before training, after, and what lies between.
    pub samples: Vec<Sample>,
    /// Name and shape of each weight tensor.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// Entropy of the token frequencies of the text, in nats per token: what a model reaches that knows nothing but how
    /// often each token occurs.
    pub unigram_nats: Option<f64>,
    /// Bytes of text per token, to convert nats per token to bits per byte.
    pub bytes_per_token: Option<f64>,
    /// Further rows of the summary, such as device and data: name and value.
    pub facts: Vec<(String, String)>,
}

/// A text that the model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When, or from which prompt.
    pub title: String,
    /// The text; any characters.
    pub text: String,
}

impl Report {
    /// Bits per byte for a loss in nats per token, if the bytes per token are known.
    fn bits_per_byte(&self, nats: f64) -> Option<f64> {
        let bytes = self.bytes_per_token.filter(|&bytes| bytes > 0.0)?;
        Some(nats / std::f64::consts::LN_2 / bytes)
    }

    /// The finite values of one number over the run, each with its step.
    fn values(&self, number: fn(&Record) -> Option<f64>) -> impl DoubleEndedIterator<Item = (usize, f64)> {
        let value = move |record: &Record| number(record).map(|value| (record.step, value));
        self.records.iter().filter_map(value).filter(|(_, value)| value.is_finite())
    }

    /// Scalars in all weight tensors.
    fn parameter_count(&self) -> u64 {
        self.parameters.iter().map(|(_, shape)| tables::count(shape)).fold(0, u64::saturating_add)
    }
}

/// The whole page. The same report gives the same bytes.
pub fn render(report: &Report) -> String {
    let sections = [
        tables::summary(report),
        charts(report),
        tables::samples(report),
        tables::parameters(report),
        tables::config(report),
    ];
    page::page(&report.title, &sections.concat())
}

fn charts(report: &Report) -> String {
    use chart::{Chart, Reference, Scale, Series};
    let points = |number: fn(&Record) -> Option<f64>| -> Vec<(f64, f64)> {
        let value = |record: &Record| number(record).map(|value| (record.step as f64, value));
        report.records.iter().filter_map(value).collect()
    };
    let one = |title, unit, scale, class, number| Chart {
        title,
        unit,
        scale,
        series: vec![Series { name: "", class, points: points(number), marks: false }],
        reference: None,
    };
    let loss = Chart {
        title: "Loss",
        unit: "nats per token",
        scale: Scale::Linear,
        series: vec![
            Series {
                name: "train",
                class: "train",
                points: points(|record| record.train_loss),
                marks: false,
            },
            Series {
                name: "validation",
                class: "val",
                points: points(|record| record.val_loss),
                marks: true,
            },
        ],
        reference: report.unigram_nats.map(|at| Reference { name: "unigram entropy", at }),
    };
    let others = [
        one("Learning rate", "", Scale::Linear, "lr", |record| record.lr),
        one("Gradient norm", "log scale", Scale::Log, "norm", |record| record.grad_norm),
        one("Speed", "tokens per second", Scale::FromZero, "speed", |record| record.tok_per_sec),
    ];
    let others: String = others.iter().map(Chart::to_html).collect();
    let drawn = loss.to_html()
        + &if others.is_empty() { others } else { format!("<div class=\"row\">{others}</div>\n") };
    page::section("Curves", &drawn)
}

#[cfg(test)]
mod tests;
