//! What stands around the curves: summary, samples, parameters, configuration.

use std::fmt::Write;

use super::numbers::{duration, plain, short, thousands};
use super::page::{escape, section};
use super::{Report, Sample};

/// Scalars in a tensor of this shape.
pub(super) fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// Heading, the run in one sentence, the figures, and further facts.
pub(super) fn summary(report: &Report) -> String {
    let figures: String = figures(report).iter().map(figure).collect();
    let rows = report
        .facts
        .iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value)));
    let facts: String = rows.collect();
    let facts = if facts.is_empty() { facts } else { format!("<dl class=\"facts\">{facts}</dl>\n") };
    format!(
        "<header>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n</header>\n<dl class=\"figures\">\n{figures}</dl>\n{facts}",
        escape(&report.title),
        escape(&sentence(report)),
    )
}

/// The run in a sentence or two, of what is known about it.
fn sentence(report: &Report) -> String {
    let mut text = match report.parameter_count() {
        0 => "A model".to_string(),
        parameters => format!("A model of {} parameters", short(parameters as f64)),
    };
    match report.values(|record| record.tokens).next_back() {
        Some((_, tokens)) => {
            let _ = write!(text, " read {} tokens", short(tokens));
        }
        None => text.push_str(" was trained"),
    }
    if let Some((_, seconds)) = report.values(|record| record.time).next_back() {
        let _ = write!(text, " in {}", duration(seconds));
    }
    text.push('.');
    if let Some((_, loss)) = best(report) {
        let _ = write!(text, " Its best validation loss is {} nats per token", plain(loss));
        if let Some(unigram) = report.unigram_nats {
            let side = if loss < unigram { "below" } else { "above" };
            let _ = write!(
                text,
                ", {} {side} the {} that counting tokens alone would give",
                plain((unigram - loss).abs()),
                plain(unigram)
            );
        }
        text.push('.');
    }
    text
}

/// Step and value of the lowest validation loss.
fn best(report: &Report) -> Option<(usize, f64)> {
    report.values(|record| record.val_loss).min_by(|a, b| a.1.total_cmp(&b.1))
}

/// A figure: name, value, and a word on it.
type Figure = (&'static str, String, String);

fn figures(report: &Report) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let last_loss = report.values(|record| record.val_loss).next_back();
    if let Some((step, loss)) = best(report) {
        figures.push((
            "Best validation loss",
            plain(loss),
            format!("nats per token, at step {}", thousands(step as u64)),
        ));
    }
    if let Some((step, loss)) = last_loss {
        figures.push((
            "Final validation loss",
            plain(loss),
            format!("nats per token, at step {}", thousands(step as u64)),
        ));
    }
    if let Some(unigram) = report.unigram_nats {
        let bits = report.bits_per_byte(unigram).map(|bits| format!(", {} bits per byte", plain(bits)));
        figures.push((
            "Unigram entropy",
            plain(unigram),
            format!("nats per token{}", bits.unwrap_or_default()),
        ));
    }
    let logged = report.values(|record| record.val_bpb).next_back().map(|(_, bits)| bits);
    if let Some(bits) = logged.or_else(|| report.bits_per_byte(last_loss?.1)) {
        figures.push(("Bits per byte", plain(bits), "on the validation text, at the end".to_string()));
    }
    match report.parameter_count() {
        0 => {}
        all => {
            let tensors = match report.parameters.len() {
                1 => "1 tensor".to_string(),
                tensors => format!("{tensors} tensors"),
            };
            figures.push(("Parameters", short(all as f64), format!("{} in {tensors}", thousands(all))));
        }
    }
    if let Some((step, tokens)) = report.values(|record| record.tokens).next_back() {
        figures.push(("Training tokens", short(tokens), format!("in {} steps", thousands(step as u64))));
    }
    if let Some((_, seconds)) = report.values(|record| record.time).next_back() {
        figures.push(("Time", duration(seconds), "of training".to_string()));
    }
    if let Some(speed) = median(report.values(|record| record.tok_per_sec).map(|(_, speed)| speed).collect())
    {
        figures.push(("Speed", short(speed), "tokens per second, median".to_string()));
    }
    figures
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn figure((name, value, note): &Figure) -> String {
    format!("<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n")
}

/// The texts that the model wrote, side by side where there is room.
pub(super) fn samples(report: &Report) -> String {
    let sample = |Sample { title, text }: &Sample| {
        // A parser drops one newline after <pre>: this one, and not the text's own.
        format!("<article><h3>{}</h3><pre>\n{}</pre></article>\n", escape(title), escape(text))
    };
    let all: String = report.samples.iter().map(sample).collect();
    let body = if all.is_empty() { all } else { format!("<div class=\"samples\">\n{all}</div>\n") };
    section("What it writes", &body)
}

/// Every tensor with its shape, size and share of the whole.
pub(super) fn parameters(report: &Report) -> String {
    let all = report.parameter_count();
    if report.parameters.is_empty() {
        return String::new();
    }
    let largest = report.parameters.iter().map(|(_, shape)| count(shape)).max().unwrap_or(0);
    let row = |(name, shape): &(String, Vec<usize>)| parameter(name, shape, largest, all);
    let rows: String = report.parameters.iter().map(row).collect();
    let body = format!(
        "<div class=\"wide\"><table>\n<thead><tr><th>Name</th><th>Shape</th><th class=\"number\">Count</th>\
         <th class=\"number\">Share</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         <tfoot><tr><th>All</th><td></td><td class=\"number\">{}</td><td></td></tr></tfoot>\n</table></div>\n",
        thousands(all)
    );
    section("Parameters", &body)
}

/// One row; its bar is full for the largest tensor.
fn parameter(name: &str, shape: &[usize], largest: u64, all: u64) -> String {
    let own = count(shape);
    let percent = |of: u64| 100.0 * own as f64 / of.max(1) as f64;
    let (share, bar) = (percent(all), percent(largest));
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!(
        "<tr><td><code>{}</code></td><td><code>({})</code></td><td class=\"number\">{}</td>\
         <td class=\"number share\"><i><b style=\"width:{bar:.1}%\"></b></i>{share:.1} %</td></tr>\n",
        escape(name),
        sizes.join(", "),
        thousands(own),
    )
}

/// The configuration as it was resolved, its groups kept together where it is set in columns.
pub(super) fn config(report: &Report) -> String {
    if report.config_toml.is_empty() {
        return String::new();
    }
    let groups: String = report
        .config_toml
        .split("\n\n")
        .map(|group| format!("<span>{}</span>", escape(group.trim_end())))
        .collect();
    section("Configuration", &format!("<pre class=\"config\">{groups}</pre>\n"))
}
