use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::record::Row;

/// A record with every key in use.
fn record() -> Record {
    serde_json::from_str(include_str!("../../tests/record.json")).unwrap()
}

/// `rows[].time.n` for every key of a value.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                found.insert(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| paths(value, &format!("{at}[]"), found)),
        _ => {}
    }
}

#[test]
fn no_number_is_so_small_that_it_is_shown_as_none() {
    let shown = [0.0, 0.000_123, 0.04, 0.0996, 0.12, 9.87, 12.34, 135.6].map(columns::short);
    assert_eq!(shown, ["0.00", "0.00012", "0.040", "0.100", "0.12", "9.87", "12.3", "136"]);
}

#[test]
fn the_documented_schema_is_the_one_that_is_written() {
    let json: Value = serde_json::from_str(&Format::Json.write(&record()).unwrap()).unwrap();
    let mut written = BTreeSet::new();
    paths(&json, "", &mut written);
    // The page names these four where the object is described.
    let inner: Vec<String> = written.iter().filter(|path| path.contains(".power.")).cloned().collect();
    assert_eq!(inner.len(), 8);
    inner.iter().for_each(|path| assert!(written.remove(path)));
    let table = include_str!("../../RECORD.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = table.map(str::to_owned).collect();
    assert_eq!(written, documented);
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let record = record();
    let text = Format::Json.write(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn markdown_has_a_line_per_row_and_shows_why_a_row_has_no_time() {
    let text = Format::Markdown.write(&record()).unwrap();
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(table.len(), 2 + record().rows.len(), "{text}");
    let bars = |line: &str| -> Vec<usize> {
        let places =
            line.chars().enumerate().filter(|(_, c)| *c == '|').map(|(at, _)| at).collect::<Vec<_>>();
        places[..places.len() - 1].to_vec()
    };
    assert!(table.iter().all(|line| bars(line) == bars(table[0])), "columns stand below each other:\n{text}");
    assert!(table[0].contains(" time ÷ first |") && table[2].contains("88 % copy"), "{text}");
    assert!(table[3].contains("2.10 [2.00, 2.20]"), "{text}");
    assert!(table[4].contains("REFUSED, not timed: wrong: all zeros"), "{text}");
    assert!(table[2].contains("1.50 × as fast, 2.00 × fewer bytes read, no bank conflicts"), "{text}");
    assert!(text.contains("copy 3000 GB/s") && text.contains("1980 MHz"), "{text}");
}

#[test]
fn a_reason_of_several_lines_stays_in_its_row() {
    let mut record = record();
    record.rows[2].reason = Some("does not compile:\n  line 1: no `;`\nline 2: no `}`\n".into());
    let text = Format::Markdown.write(&record).unwrap();
    let told = "REFUSED, not timed: does not compile:; line 1: no `;`; line 2: no `}` |";
    assert!(text.contains(told), "{text}");
}

#[test]
fn csv_has_as_many_fields_in_every_line() {
    let text = Format::Csv.write(&record()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + record().rows.len());
    // The one field with commas is quoted.
    let fields = |line: &str| line.split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>();
    assert!(lines.iter().all(|line| fields(line) == fields(lines[0])), "{text}");
    assert!(text.contains("\"wrong: all zeros, or so\""), "{text}");
}

#[test]
fn the_page_loads_nothing_and_escapes_what_it_is_given() {
    let mut record = record();
    record.machine.command = "bench <script>alert(1)</script>".into();
    let page = Format::Html.write(&record).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    assert!(
        ["http://", "https://", "url(", "@import", "src="].iter().all(|way| !page.contains(way)),
        "it loads"
    );
    assert_eq!(page.matches("<circle").count(), 2);
    assert_eq!(page.matches("class=\"bar\"").count(), 2);
}

#[test]
fn an_unknown_format_names_the_known_ones() {
    assert!("xml".parse::<Format>().unwrap_err().to_string().contains("md, csv, json or html"));
}

#[test]
fn a_size_that_grows_alone_has_a_chart_with_its_letter() {
    let charted = |task: &str, shapes: &[&str]| {
        let mut record = record();
        let row = record.rows[0].clone();
        record.rows = shapes
            .iter()
            .map(|shape| Row { task: task.into(), shape: (*shape).into(), ..row.clone() })
            .collect();
        Format::Html.write(&record).unwrap()
    };
    for (task, shapes, letter) in [
        ("attention", ["2x64x4x16", "2x128x4x16", "2x256x4x16"], "T"),
        // Heads and their keys are one number where each has its own.
        ("attention", ["2x64x4x16", "2x64x8x16", "2x64x16x16"], "H"),
        ("matmul", ["64x8x8", "32x8x8", "16x8x8"], "M"),
        ("norm", ["rms:64x8", "rms:32x8", "rms:16x8"], "R"),
    ] {
        let page = charted(task, &shapes);
        assert!(page.contains(&format!("over {letter} of shapes such as {}", shapes[0])), "{task}");
    }
    for (task, shapes) in [
        ("attention", ["2x64x4x16", "2x128x8x16", "2x256x4x16"]),
        ("attention", ["full:2x64x4x16", "2x128x4x16", "2x256x4x16"]),
        ("norm", ["rms:64x8", "layer:32x8", "rms:16x8"]),
        ("matmul", ["64x8x8", "32x8x8", "64x8x8"]),
        ("convolution", ["64x8x8", "32x8x8", "16x8x8"]),
    ] {
        assert!(!charted(task, &shapes).contains("Speed over size"), "{task} {shapes:?}");
    }
}

#[test]
fn each_dtype_has_a_roof_of_its_own() {
    let mut record = record();
    record.ceilings.matmul_gflop_s.push(("bf16".into(), 9e5));
    let page = Format::Html.write(&record).unwrap();
    assert_eq!(page.matches("class=\"roof\"").count(), 2);
    assert!(page.contains("50000 GFLOP/s of products in f32, 900000 GFLOP/s of products in bf16"), "{page}");
    // The slanted part rises as the copy does: ten times the intensity, ten times the rate, wherever it begins.
    for line in page.lines().filter_map(|line| line.split("class=\"roof\" points=\"").nth(1)) {
        let points: Vec<f64> =
            line.split('"').next().unwrap().split([',', ' ']).map(|n| n.parse().unwrap()).collect();
        assert!(points[0] < points[2] && points[2] < points[4] && points[3] == points[5], "{points:?}");
    }
}

#[test]
fn a_contender_alone_has_no_bar() {
    let mut record = record();
    record.rows.truncate(1);
    let page = Format::Html.write(&record).unwrap();
    assert!(!page.contains("class=\"bar\"") && page.contains("All rows"));
}
