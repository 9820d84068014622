//! The frame of a chart: where its points lie, and what stands at its axes, both logarithmic.

use std::fmt::Write;

/// Of a chart, in its own units.
pub const WIDTH: f64 = 720.0;
/// Of a chart, in its own units.
pub const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
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
            LEFT + (WIDTH - LEFT - RIGHT) * share(x, self.x),
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

    /// A line and a text at round numbers of both axes.
    pub fn axes(&self) -> String {
        let (mut svg, bottom, right) = (String::new(), HEIGHT - BOTTOM, WIDTH - RIGHT);
        for at in ticks(self.x) {
            let (x, _) = self.place(at, self.y[0]);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - 22.0,
                plain(at)
            );
        }
        for at in ticks(self.y) {
            let (_, y) = self.place(self.x[0], at);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                plain(at)
            );
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

/// Powers of ten, or where there are too few to read a number from, 1, 2 and 5 times those.
fn ticks([low, high]: [f64; 2]) -> Vec<f64> {
    let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let of = |steps: &[f64]| -> Vec<f64> {
        let all = (from..=to).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|at| (low..=high).contains(at)).collect()
    };
    let decades = of(&[1.0]);
    if decades.len() >= 3 { decades } else { of(&[1.0, 2.0, 5.0]) }
}

/// A round number, without the digits that a power of ten below 1 is off by.
fn plain(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.0e}"),
        v if v >= 1.0 => format!("{v:.0}"),
        v => format!("{:.*}", (-v.log10()).ceil() as usize, v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_numbers() {
        assert_eq!(ticks([64.0, 900.0]), [100.0, 200.0, 500.0]);
        assert_eq!(ticks([0.05, 20.0]).len(), 3);
        let told: Vec<String> = ticks([0.02, 3.0]).into_iter().map(plain).collect();
        assert_eq!(told, ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(plain(2e6), "2e6");
    }
}
