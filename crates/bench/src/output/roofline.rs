//! Operations per second over operations per byte, under the roofs that the run measured; both axes by their logarithm.

use std::fmt::Write;

use warpsmith_train::report::escape;

use super::chart::{Frame, HEIGHT, WIDTH};
use super::columns::short;
use crate::record::{Record, Row};

/// The plot; empty if nothing was timed or the limits are not known.
pub fn roofline(record: &Record) -> String {
    let Some(copy) = record.ceilings.copy_gb_s else { return String::new() };
    let roofs = &record.ceilings.matmul_gflop_s;
    let points: Vec<Point> = record.rows.iter().filter_map(Point::of).collect();
    if points.is_empty() || roofs.is_empty() {
        return String::new();
    }
    let ridges = roofs.iter().map(|(_, top)| (top / copy, *top));
    let frame = Frame::around(points.iter().map(|point| (point.at, point.rate)).chain(ridges));
    let mut svg = frame.axes();
    for (i, (dtype, top)) in roofs.iter().enumerate() {
        svg += &roof(&frame, copy, dtype, *top, i);
    }
    for Point { at, rate, name, first } in &points {
        let (x, y) = frame.place(*at, *rate);
        let class = if *first { "first" } else { "other" };
        let title = format!("{name}: {} GFLOP/s at {} FLOP per byte", short(*rate), short(*at));
        let _ = writeln!(
            svg,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>",
            escape(&title)
        );
    }
    let tops: Vec<String> = roofs
        .iter()
        .map(|(dtype, top)| format!("{} GFLOP/s of products in {}", short(*top), escape(dtype)))
        .collect();
    format!(
        "<h2>Roofline</h2>\n<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Roofline\">\n{svg}\
         {titles}</svg>\n\
         <figcaption>The lines are what this run measured: {copy} GB/s of copy, {tops}. \
         <i class=\"key first\"></i> first of its case <i class=\"key other\"></i> others</figcaption></figure>\n",
        titles = Frame::titles("FLOP per byte (each tensor once)", "GFLOP/s"),
        copy = short(copy),
        tops = tops.join(", "),
    )
}

/// A row in the plot.
struct Point {
    /// Operations per byte.
    at: f64,
    /// 10⁹ operations per second.
    rate: f64,
    name: String,
    /// Whether it is the first of its case.
    first: bool,
}

impl Point {
    fn of(row: &Row) -> Option<Self> {
        let time = row.time.as_ref().filter(|_| row.flops > 0)?;
        let at = row.flops as f64 / row.bytes.max(1) as f64;
        let name = format!("{}, {}", row.case(), row.implementation);
        Some(Self { at, rate: time.gflop_s, name, first: time.ratio.is_none() })
    }
}

/// From where the copy's rate enters the frame up to the product's, and on at that; named at its end, each beside the
/// ones before, since roofs may lie close to each other.
fn roof(frame: &Frame, copy: f64, dtype: &str, top: f64, before: usize) -> String {
    let left = frame.x[0].max(frame.y[0] / copy);
    let corners = [(left, left * copy), (top / copy, top), (frame.x[1], top)];
    let places = corners.map(|(x, y)| frame.place(x, y));
    let line = places.map(|(x, y)| format!("{x:.1},{y:.1}")).join(" ");
    let (x, y) = (places[2].0 - 44.0 * before as f64, places[2].1);
    format!(
        "<polyline class=\"roof\" points=\"{line}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        y - 5.0,
        escape(dtype)
    )
}
