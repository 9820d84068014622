//! What each contender of a case did, counted: bars for what moves and what waits, the rungs of a ladder one below another.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::columns::{size, thousands};
use super::html::strip;
use crate::counts::Counts;
use crate::record::{Record, Row};

/// A number of the counts.
type Pick = fn(&Counts) -> u64;

/// What is drawn: name, whether it is bytes, and which number it is.
const PICTURES: [(&str, bool, Pick); 7] = [
    ("bytes read", true, |c| c.global_read_bytes),
    ("bytes written", true, |c| c.global_write_bytes),
    ("sectors read, 32 bytes each", true, |c| 32 * c.global_read_sectors),
    ("bytes of shared memory", true, |c| c.shared_read_bytes + c.shared_write_bytes),
    ("bank conflicts", false, |c| c.shared_bank_conflicts),
    ("instructions", false, |c| c.instructions),
    ("barriers", false, |c| c.barriers),
];

/// The pictures of every case that was counted.
pub fn traffic(record: &Record) -> String {
    let counted: Vec<&Row> = record.rows.iter().filter(|row| row.counts.is_some()).collect();
    let case = Row::case;
    let mut html = String::new();
    for group in counted.chunk_by(|a, b| case(a) == case(b)) {
        let of = escape(&case(group[0]));
        let _ = writeln!(html, "<h3>{of}: {} by formula, each tensor once</h3>", size(group[0].bytes));
        for (name, is_bytes, pick) in PICTURES {
            html += &picture(group, name, is_bytes, pick);
        }
    }
    if html.is_empty() { html } else { format!("<h2>Traffic, counted; shorter is better</h2>\n{html}") }
}

fn picture(group: &[&Row], name: &str, is_bytes: bool, pick: Pick) -> String {
    let value = |row: &Row| row.counts.as_ref().map_or(0, pick);
    let most = group.iter().map(|row| value(row)).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let mut html = format!("<figure>\n<figcaption>{name}</figcaption>\n");
    for row in group {
        let bar = strip(row.step.is_some(), value(row) as f64 / most as f64);
        let told = if is_bytes { size(value(row)) } else { thousands(value(row)) };
        let _ = writeln!(
            html,
            "<div class=\"bar count\"><span>{}</span>{bar}<b>{told}</b></div>",
            escape(&row.implementation),
        );
    }
    html + "</figure>\n"
}
