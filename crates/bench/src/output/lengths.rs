//! Speed over the one size that grows from shape to shape: what happens to a kernel as sequences become longer.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::chart::{Frame, HEIGHT, WIDTH};
use super::columns::short;
use crate::record::{Record, Row};

/// A chart for each task, pass and dtype that has at least three shapes that differ in one number alone.
pub fn lengths(record: &Record) -> String {
    let mut rows: Vec<&Row> = record.rows.iter().filter(|row| row.time.is_some()).collect();
    let case = |row: &Row| format!("{} {} {}", row.task, row.pass, row.dtype);
    rows.sort_by_key(|row| case(row));
    let charts: String =
        rows.chunk_by(|a, b| case(a) == case(b)).filter_map(|group| chart(group, record)).collect();
    if charts.is_empty() { charts } else { format!("<h2>Speed over size</h2>\n{charts}") }
}

/// The numbers of a shape, with what stands around them.
fn numbers(shape: &str) -> (Vec<usize>, Vec<&str>) {
    let is_digit = |c: char| c.is_ascii_digit();
    let numbers = shape.split(|c| !is_digit(c)).filter_map(|part| part.parse().ok()).collect();
    (numbers, shape.split(is_digit).filter(|part| !part.is_empty()).collect())
}

/// Which number of these shapes grows, if all others stay what they are.
fn growing(group: &[&Row]) -> Option<usize> {
    let shapes: Vec<_> = group.iter().map(|row| numbers(&row.shape)).collect();
    let (first, around) = shapes.first()?;
    let alike = shapes.iter().all(|(sizes, other)| other == around && sizes.len() == first.len());
    let differs = |at: &usize| shapes.iter().any(|(sizes, _)| sizes.get(*at) != first.get(*at));
    let mut axes = (0..first.len()).filter(differs);
    let axis = axes.next().filter(|_| alike)?;
    let values: std::collections::BTreeSet<usize> = shapes.iter().map(|(sizes, _)| sizes[axis]).collect();
    (axes.next().is_none() && values.len() >= 3).then_some(axis)
}

fn chart(group: &[&Row], record: &Record) -> Option<String> {
    let axis = growing(group)?;
    let in_flops = group.iter().any(|row| row.is_compute_bound(&record.ceilings));
    let rate =
        |row: &Row| row.time.as_ref().map_or(0.0, |time| if in_flops { time.gflop_s } else { time.gb_s });
    let point = |row: &Row| (numbers(&row.shape).0[axis] as f64, rate(row));
    let frame = Frame::around(group.iter().map(|row| point(row)));
    let mut names: Vec<&str> = Vec::new();
    for row in group {
        if !names.contains(&row.implementation.as_str()) {
            names.push(&row.implementation);
        }
    }
    let mut svg = frame.axes();
    for (i, name) in names.iter().enumerate() {
        let mut line: Vec<(f64, f64)> =
            group.iter().filter(|row| row.implementation == *name).map(|row| point(row)).collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let places: Vec<(f64, f64)> = line.iter().map(|&(x, y)| frame.place(x, y)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let class = format!("line{}", i % LINES);
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
        for ((x, y), (size, rate)) in places.iter().zip(&line) {
            let title = escape(&format!("{name}: {} at {size}", short(*rate)));
            let _ = writeln!(
                svg,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>"
            );
        }
    }
    let of = format!("{} {} {}", group[0].task, group[0].pass, group[0].dtype);
    let unit = if in_flops { "GFLOP/s" } else { "GB/s" };
    let keys: String = names.iter().enumerate().map(|(i, name)| key(i % LINES, name)).collect();
    let example = escape(&group[0].shape);
    Some(format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Speed over size\">\n{svg}{titles}</svg>\n\
         <figcaption>{of}, number {number} of the shapes such as {example}.{keys}</figcaption></figure>\n",
        titles = Frame::titles("size", unit),
        of = escape(&of),
        number = axis + 1,
    ))
}

/// How many lines have a colour of their own.
const LINES: usize = 6;

fn key(line: usize, name: &str) -> String {
    format!(" <i class=\"key line{line}\"></i> {}", escape(name))
}
