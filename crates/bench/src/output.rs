//! A record as text: Markdown, CSV, JSON, or one HTML page.

mod chart;
mod columns;
mod html;
mod lengths;
mod roofline;
mod traffic;

use std::fmt::Write;
use std::str::FromStr;

use crate::counts::Counts;
use crate::record::Record;
use crate::{Error, Result};
use columns::{COLUMNS, cells, facts};

/// What `-o` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A Markdown table under a list of facts.
    Markdown,
    /// Comma-separated values with a header line; raw numbers.
    Csv,
    /// The record, as `RECORD.md` describes it.
    Json,
    /// One page that loads nothing.
    Html,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "md" => Ok(Self::Markdown),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "html" => Ok(Self::Html),
            _ => Err(Error::Usage(format!("there is no output {text:?}: expected md, csv, json or html"))),
        }
    }
}

impl Format {
    /// The record as text.
    ///
    /// # Errors
    /// If a number cannot be written as JSON.
    pub fn write(self, record: &Record) -> Result<String> {
        match self {
            Self::Markdown => Ok(markdown(record)),
            Self::Csv => Ok(csv(record)),
            Self::Html => Ok(html::page(record)),
            Self::Json => serde_json::to_string_pretty(record)
                .map(|text| text + "\n")
                .map_err(|e| Error::Failed(e.to_string())),
        }
    }
}

fn markdown(record: &Record) -> String {
    let mut text = String::new();
    for (name, value) in facts(record) {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let rows: Vec<Vec<String>> = record.rows.iter().map(|row| cells(row, record)).collect();
    // A column that is empty in every row is left out.
    let used: Vec<usize> =
        (0..COLUMNS.len()).filter(|&c| rows.iter().any(|row| !row[c].is_empty())).collect();
    let header: Vec<String> = used.iter().map(|&c| COLUMNS[c].0.to_owned()).collect();
    let picked = rows.iter().map(|row| used.iter().map(|&c| row[c].replace('|', "\\|")).collect());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(picked).collect();
    // As wide as the widest, so that it can be read where it is printed; but for the note, a text of any length.
    let width = |i: usize| match COLUMNS[used[i]].0 == "note" {
        true => 3,
        false => lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0).max(4),
    };
    let widths: Vec<usize> = (0..used.len()).map(width).collect();
    let cell = |i: usize, text: &str| match COLUMNS[used[i]].1 {
        true => format!("{text:>width$}", width = widths[i]),
        false => format!("{text:<width$}", width = widths[i]),
    };
    text.push('\n');
    for (at, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().enumerate().map(|(i, text)| cell(i, text)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if at == 0 {
            let rule = |i: usize| {
                let dashes = "-".repeat(widths[i] - 1);
                if COLUMNS[used[i]].1 { dashes + ":" } else { dashes + "-" }
            };
            let rules: Vec<String> = (0..used.len()).map(rule).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
    text
}

fn csv(record: &Record) -> String {
    let mut names: Vec<String> = [
        "task,pass,dtype,shape,implementation,status,reason,error,bytes,flops,tokens,of,n,calls,median_us,min_us,spread",
        "gflop_s,gb_s,percent_of_copy,percent_of_matmul,ratio,ratio_low,ratio_high,sm_mhz,memory_mhz,watts,celsius",
        "step,step_times_as_fast",
    ]
    .map(str::to_owned)
    .to_vec();
    // What was counted is named as in the record, but for spaces.
    names.extend(Counts::default().named().map(|(name, _)| name.replace(' ', "_")));
    let mut text = names.join(",") + "\n";
    for row in &record.rows {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        let time = row.time.as_ref();
        let of = |pick: fn(&crate::record::Time) -> f64| number(time.map(pick));
        let maybe = |pick: fn(&crate::record::Time) -> Option<f64>| number(time.and_then(pick));
        let fields = [
            row.task.clone(),
            row.pass.clone(),
            row.dtype.clone(),
            row.shape.clone(),
            row.implementation.clone(),
            row.status.name().to_owned(),
            row.reason.clone().unwrap_or_default(),
            number(row.error),
            row.bytes.to_string(),
            row.flops.to_string(),
            row.tokens.map_or(String::new(), |tokens| tokens.to_string()),
            time.map_or(String::new(), |t| t.of.clone()),
            of(|t| t.n as f64),
            of(|t| t.calls as f64),
            of(|t| t.median_us),
            of(|t| t.min_us),
            of(|t| t.spread),
            of(|t| t.gflop_s),
            of(|t| t.gb_s),
            maybe(|t| t.percent_of_copy),
            maybe(|t| t.percent_of_matmul),
            maybe(|t| t.ratio),
            maybe(|t| t.ratio_bounds.map(|(low, _)| low)),
            maybe(|t| t.ratio_bounds.map(|(_, high)| high)),
            maybe(|t| t.power.and_then(|p| p.sm_mhz)),
            maybe(|t| t.power.and_then(|p| p.memory_mhz)),
            maybe(|t| t.power.and_then(|p| p.watts)),
            maybe(|t| t.power.and_then(|p| p.celsius)),
            row.step.as_ref().map_or(String::new(), |step| step.number.to_string()),
            number(row.step.as_ref().and_then(|step| step.times_as_fast)),
        ];
        let counted = row.counts.as_ref().map(Counts::named);
        let counts = (0..Counts::default().named().len())
            .map(|i| counted.map_or(String::new(), |numbers| numbers[i].1.to_string()));
        let all: Vec<String> = fields.iter().map(|field| quoted(field)).chain(counts).collect();
        let _ = writeln!(text, "{}", all.join(","));
    }
    text
}

/// A field as RFC 4180 wants it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests;
