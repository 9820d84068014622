//! The page: facts, a roofline, bars of each case, and the table. It loads nothing and runs nothing.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::chart::{Frame, HEIGHT, WIDTH};
use super::columns::{COLUMNS, cells, duration, facts, short};
use super::lengths::lengths;
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

/// A bar for each contender of each case that was timed; longer is slower.
fn bars(record: &Record) -> String {
    let timed: Vec<&Row> = record.rows.iter().filter(|row| row.time.is_some()).collect();
    let case = |row: &Row| format!("{} {} {} {}", row.task, row.pass, row.dtype, row.shape);
    let mut html = String::new();
    for group in timed.chunk_by(|a, b| case(a) == case(b)) {
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

/// Operations per second over operations per byte, under the two measured roofs; both axes by their logarithm.
fn roofline(record: &Record) -> String {
    let Some(copy) = record.ceilings.copy_gb_s else { return String::new() };
    let Some(top) = record.ceilings.matmul_gflop_s.iter().map(|(_, rate)| *rate).max_by(f64::total_cmp)
    else {
        return String::new();
    };
    let point = |row: &Row| {
        let time = row.time.as_ref().filter(|_| row.flops > 0)?;
        let at = row.flops as f64 / row.bytes.max(1) as f64;
        let name = format!("{} {} {} {}, {}", row.task, row.pass, row.dtype, row.shape, row.implementation);
        Some((at, time.gflop_s, name, row.time.as_ref().is_some_and(|t| t.ratio.is_none())))
    };
    let points: Vec<(f64, f64, String, bool)> = record.rows.iter().filter_map(point).collect();
    if points.is_empty() {
        return String::new();
    }
    let ridge = top / copy;
    let frame = Frame::around(points.iter().map(|p| (p.0, p.1)).chain([(ridge, top)]));
    let mut svg = frame.axes();
    let (left, right) = (frame.x[0].min(ridge), frame.x[1].max(ridge));
    let roof = [(left, left * copy), (ridge, top), (right, top)];
    let line: Vec<String> = roof
        .iter()
        .map(|&(x, y)| {
            let (x, y) = frame.place(x, y);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = writeln!(svg, "<polyline class=\"roof\" points=\"{}\"/>", line.join(" "));
    for (at, rate, name, first) in &points {
        let (x, y) = frame.place(*at, *rate);
        let class = if *first { "first" } else { "other" };
        let title = format!("{name}: {} GFLOP/s at {} FLOP per byte", short(*rate), short(*at));
        let _ = writeln!(
            svg,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>",
            escape(&title)
        );
    }
    format!(
        "<h2>Roofline</h2>\n<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Roofline\">\n{svg}\
         {titles}</svg>\n\
         <figcaption>The line is what this run measured: {copy} GB/s of copy, {top} GFLOP/s of matrix product. \
         <i class=\"key first\"></i> first of its case <i class=\"key other\"></i> others</figcaption></figure>\n",
        titles = Frame::titles("FLOP per byte (each tensor once)", "GFLOP/s"),
        copy = short(copy),
        top = short(top),
    )
}
