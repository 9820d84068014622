//! The page: facts, a roofline, bars of each case, and the table. It loads nothing and runs nothing.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::columns::{COLUMNS, cells, duration, facts};
use super::lengths::lengths;
use super::roofline::roofline;
use super::traffic::traffic;
use crate::record::{Record, Row};

/// The whole page.
pub fn page(record: &Record) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Kernel bench: {title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>Kernel bench</h1>\n{facts}{roofline}{lengths}{bars}{traffic}{table}</main>\n\
         </body>\n</html>\n",
        title = escape(&record.machine.name),
        style = include_str!("page.css"),
        facts = facts_html(record),
        roofline = roofline(record),
        lengths = lengths(record),
        bars = bars(record),
        traffic = traffic(record),
        table = table(record),
    )
}

fn facts_html(record: &Record) -> String {
    // What Markdown marks as code is plain here.
    let line = |(name, value): (&str, String)| {
        format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value.trim_matches('`')))
    };
    format!("<dl>\n{}</dl>\n", facts(record).into_iter().map(line).collect::<String>())
}

fn table(record: &Record) -> String {
    let rows: Vec<Vec<String>> = record.rows.iter().map(|row| cells(row, record)).collect();
    let used: Vec<usize> =
        (0..COLUMNS.len()).filter(|&c| rows.iter().any(|row| !row[c].is_empty())).collect();
    let mut html = String::from("<h2>All rows</h2>\n<div class=\"wide\"><table>\n<tr>");
    let class = |c: usize| match COLUMNS[c] {
        ("step" | "note", _) => " class=\"text\"",
        (_, true) => " class=\"number\"",
        _ => "",
    };
    for &c in &used {
        let _ = write!(html, "<th{}>{}</th>", class(c), COLUMNS[c].0);
    }
    html.push_str("</tr>\n");
    for row in &rows {
        html.push_str("<tr>");
        for &c in &used {
            let _ = write!(html, "<td{}>{}</td>", class(c), escape(&row[c]));
        }
        html.push_str("</tr>\n");
    }
    html + "</table></div>\n"
}

/// A bar for each contender of each case that more than one was timed on; longer is slower.
fn bars(record: &Record) -> String {
    let timed: Vec<&Row> = record.rows.iter().filter(|row| row.time.is_some()).collect();
    let case = Row::case;
    let mut html = String::new();
    // Alone, a bar says nothing that the table does not.
    for group in timed.chunk_by(|a, b| case(a) == case(b)).filter(|group| group.len() > 1) {
        let time = |row: &Row| row.time.as_ref().map_or(0.0, |t| t.median_us);
        let longest = group.iter().map(|row| time(row)).fold(0.0, f64::max);
        let _ = writeln!(html, "<figure>\n<figcaption>{}</figcaption>", escape(&case(group[0])));
        for (i, row) in group.iter().enumerate() {
            let ratio =
                row.time.as_ref().and_then(|t| t.ratio).map_or(String::new(), |r| format!(", {r:.2}×"));
            let _ = writeln!(
                html,
                "<div class=\"bar\"><span>{}</span>{}<b>{}{ratio}</b></div>",
                escape(&row.implementation),
                strip(i == 0, time(row) / longest.max(f64::MIN_POSITIVE)),
                duration(time(row)),
            );
        }
        html.push_str("</figure>\n");
    }
    if html.is_empty() { html } else { format!("<h2>Time per call; shorter is better</h2>\n{html}") }
}

/// A bar of this share of the longest. What stands behind the longest one needs room too.
pub(super) fn strip(is_first: bool, share: f64) -> String {
    let class = if is_first { "first" } else { "other" };
    format!(
        "<i class=\"{class}\" style=\"width:calc({share:.4} * (100% - var(--names) - var(--values)))\"></i>"
    )
}
