//! The frame of a chart: where its points lie, and what stands at its axes, both logarithmic.

use std::fmt::Write;

/// Of a chart, in its own units.
pub const WIDTH: f64 = 720.0;
/// Of a chart, in its own units.
pub const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 42.0;
const TOP: f64 = 24.0;

/// The ranges of both axes, which are logarithmic.
pub struct Frame {
    /// The least and the largest.
    pub x: [f64; 2],
    /// The least and the largest.
    pub y: [f64; 2],
}

impl Frame {
    /// Where a point is drawn.
    pub fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, [low, high]: [f64; 2]| (value / low).ln() / (high / low).ln();
        (
            LEFT + (WIDTH - LEFT - 16.0) * share(x, self.x),
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share(y, self.y).clamp(0.0, 1.0),
        )
    }

    /// Around these points, with some room.
    pub fn around(points: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let range = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
            [low.max(f64::MIN_POSITIVE) / 2.0, high.max(f64::MIN_POSITIVE) * 2.0]
        };
        Self { x: range(&mut points.clone().map(|p| p.0)), y: range(&mut points.map(|p| p.1)) }
    }

    /// A text at each power of ten of both axes.
    pub fn axes(&self) -> String {
        let mut svg = String::new();
        for decade in decades(self.x) {
            let (x, _) = self.place(decade, self.y[0]);
            let y = HEIGHT - 22.0;
            let _ =
                writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", plain(decade));
        }
        for decade in decades(self.y) {
            let (_, y) = self.place(self.x[0], decade);
            let (x, y) = (LEFT - 8.0, y + 4.0);
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", plain(decade));
        }
        svg
    }

    /// What stands below the horizontal axis and above the vertical one.
    pub fn titles(x: &str, y: &str) -> String {
        let (middle, bottom) = (WIDTH / 2.0, HEIGHT - 4.0);
        format!(
            "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\">{x}</text>\n<text x=\"12\" y=\"16\">{y}</text>\n"
        )
    }
}

fn decades([low, high]: [f64; 2]) -> Vec<f64> {
    let (from, to) = (low.log10().ceil() as i32, high.log10().floor() as i32);
    (from..=to).map(|power| 10f64.powi(power)).collect()
}

fn plain(value: f64) -> String {
    if value >= 1e6 { format!("{value:.0e}") } else { value.to_string() }
}
