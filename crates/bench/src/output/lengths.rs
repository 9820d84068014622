//! Speed over the one size that grows from shape to shape: what happens to a kernel as sequences become longer.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::chart::{Frame, HEIGHT, WIDTH};
use super::columns::short;
use crate::record::{Record, Row};
use crate::tasks::parse;

/// A chart for each task, pass and dtype that has at least three shapes that differ in one size alone.
pub fn lengths(record: &Record) -> String {
    let case = Row::kind;
    let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in record.rows.iter().filter(|row| row.time.is_some()) {
        match groups.iter_mut().find(|(of, _)| *of == case(row)) {
            Some((_, group)) => group.push(row),
            None => groups.push((case(row), vec![row])),
        }
    }
    let charts: String = groups.iter().filter_map(|(_, group)| chart(group, record)).collect();
    if charts.is_empty() { charts } else { format!("<h2>Speed over size</h2>\n{charts}") }
}

/// The sizes of a row's shape by letter, and the kind that stands before some shapes, such as `full:`.
fn sizes(row: &Row) -> Option<(Vec<(&'static str, usize)>, &str)> {
    let kind = row.shape.split_once(':').map_or("", |(kind, _)| kind);
    Some((parse(&row.task, &row.shape).ok()?.letters(), kind))
}

/// The letter that grows from shape to shape, with its size in each row, if all others stay what they are or are the same
/// number, as heads and their keys may be.
fn growing(group: &[&Row]) -> Option<(&'static str, Vec<f64>)> {
    let shapes = group.iter().map(|row| sizes(row)).collect::<Option<Vec<_>>>()?;
    let (first, kind) = shapes.first()?;
    let of = |axis: usize| shapes.iter().map(move |(sizes, _)| sizes[axis].1);
    let mut axes = (0..first.len()).filter(|&axis| of(axis).any(|size| size != first[axis].1));
    let axis = axes.next().filter(|_| shapes.iter().all(|(_, other)| other == kind))?;
    let values: std::collections::BTreeSet<usize> = of(axis).collect();
    let alone = axes.all(|other| of(other).eq(of(axis)));
    (alone && values.len() >= 3).then(|| (first[axis].0, of(axis).map(|size| size as f64).collect()))
}

fn chart(group: &[&Row], record: &Record) -> Option<String> {
    let (letter, at) = growing(group)?;
    let in_flops = group.iter().any(|row| row.is_compute_bound(&record.ceilings));
    let rate =
        |row: &Row| row.time.as_ref().map_or(0.0, |time| if in_flops { time.gflop_s } else { time.gb_s });
    let points: Vec<(&str, f64, f64)> =
        group.iter().zip(at).map(|(row, at)| (row.implementation.as_str(), at, rate(row))).collect();
    let frame = Frame::around(points.iter().map(|(_, x, y)| (*x, *y)));
    let mut names: Vec<&str> = Vec::new();
    for row in group {
        if !names.contains(&row.implementation.as_str()) {
            names.push(&row.implementation);
        }
    }
    let mut svg = frame.axes();
    for (i, name) in names.iter().enumerate() {
        let mut line: Vec<(f64, f64)> =
            points.iter().filter(|(own, ..)| own == name).map(|(_, x, y)| (*x, *y)).collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let places: Vec<(f64, f64)> = line.iter().map(|&(x, y)| frame.place(x, y)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let class = format!("line{}", i % LINES);
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
        for ((x, y), (size, rate)) in places.iter().zip(&line) {
            let title = escape(&format!("{name}: {} at {letter} = {size}", short(*rate)));
            let _ = writeln!(
                svg,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>"
            );
        }
    }
    let of = group[0].kind();
    let unit = if in_flops { "GFLOP/s" } else { "GB/s" };
    let keys: String = names.iter().enumerate().map(|(i, name)| key(i % LINES, name)).collect();
    let example = escape(&group[0].shape);
    Some(format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Speed over size\">\n{svg}{titles}</svg>\n\
         <figcaption>{of}, over {letter} of shapes such as {example}.{keys}</figcaption></figure>\n",
        titles = Frame::titles(letter, unit),
        of = escape(&of),
    ))
}

/// How many lines have a colour of their own.
const LINES: usize = 6;

fn key(line: usize, name: &str) -> String {
    format!(" <i class=\"key line{line}\"></i> {}", escape(name))
}
