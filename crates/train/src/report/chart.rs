//! Line charts: lines as SVG, stretched to whatever width there is, and labels as text of constant size beside them.

use std::fmt::Write;

use super::axis::Axis;
use super::downsample::{MOST, Point, downsample};
use super::{numbers, page::escape};

/// The side of the square that lines are drawn in; the page stretches it.
const SIDE: f64 = 1000.0;

/// Larger values, of a run that has diverged, are gaps: their differences would overflow.
const LARGEST: f64 = 1e300;

/// Series with at most this many points have each point marked.
const MOST_MARKS: usize = 60;

/// How values are laid along the vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, over the range of the values.
    Linear,
    /// Evenly, from zero up.
    FromZero,
    /// By their logarithm; values that are not positive are gaps.
    Log,
}

/// One line.
pub(super) struct Series<'a> {
    /// Its name in the legend; empty if it is alone.
    pub(super) name: &'a str,
    /// CSS class, which gives the colour.
    pub(super) class: &'static str,
    /// Step and value, ascending in step.
    pub(super) points: Vec<Point>,
    /// Whether few points are marked each.
    pub(super) marks: bool,
}

/// A dashed horizontal line to compare with.
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) at: f64,
}

/// A chart over the steps of a run.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What the values are measured in; may be empty.
    pub(super) unit: &'a str,
    pub(super) scale: Scale,
    pub(super) series: Vec<Series<'a>>,
    pub(super) reference: Option<Reference<'a>>,
}

impl Chart<'_> {
    /// The chart as a `<figure>`; empty if there is no value to draw.
    pub(super) fn to_html(&self) -> String {
        let Some((x, y)) = self.axes() else { return String::new() };
        let drawn: String = self.series.iter().map(|series| self.line(series, &x, &y)).collect();
        format!(
            "<figure>\n<figcaption><h3>{}</h3><span>{}</span>{}</figcaption>\n<div class=\"plot\">\n\
             <svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{}{drawn}</svg>\n\
             {}{}</div>\n</figure>\n",
            escape(self.title),
            escape(self.unit),
            self.legend(),
            escape(&self.description()),
            grid(&y),
            self.reference_html(&y),
            tick_labels(&x, &y),
        )
    }

    /// True for a value that this chart can show.
    fn shows(&self, value: f64) -> bool {
        value.abs() <= LARGEST && (self.scale != Scale::Log || value > 1.0 / LARGEST)
    }

    /// The shown points of a series; the others are gaps.
    fn points(&self, series: &Series) -> Vec<Point> {
        let gap = |&(x, y): &Point| (x, if self.shows(y) { y } else { f64::NAN });
        series.points.iter().map(gap).collect()
    }

    fn axes(&self) -> Option<(Axis, Axis)> {
        let points =
            || self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point.1));
        let (left, right) = range(points().map(|point| point.0))?;
        let references = self.reference.iter().map(|reference| reference.at).filter(|&at| self.shows(at));
        let (low, high) = range(points().map(|point| point.1).chain(references))?;
        let y = match self.scale {
            Scale::Linear => Axis::linear(low, high, 5, true),
            Scale::FromZero => Axis::linear(low.min(0.0), high.max(0.0), 5, true),
            Scale::Log => Axis::logarithmic(low, high),
        };
        Some((Axis::linear(left, right, 5, false), y))
    }

    fn line(&self, series: &Series, x: &Axis, y: &Axis) -> String {
        let points = downsample(&self.points(series), MOST);
        let place = |point: &Point| (SIDE * x.position(point.0), SIDE * (1.0 - y.position(point.1)));
        let (mut line, mut dots) = (String::new(), String::new());
        let few = points.len() <= MOST_MARKS;
        for run in points.split(|point| !point.1.is_finite()).filter(|run| !run.is_empty()) {
            for (i, point) in run.iter().enumerate() {
                let (left, top) = place(point);
                let _ = write!(line, "{}{left:.1} {top:.1}", if i == 0 { "M" } else { "L" });
                // A point between gaps has no line to show it.
                if run.len() == 1 || (series.marks && few) {
                    let _ = write!(dots, "M{left:.1} {top:.1}h0");
                }
            }
        }
        let class = series.class;
        let line = format!("<path class=\"line {class}\" d=\"{line}\"/>");
        if dots.is_empty() { line } else { format!("{line}<path class=\"dots {class}\" d=\"{dots}\"/>") }
    }

    /// Names and last values, for charts with more than one line; the last value alone for the others.
    fn legend(&self) -> String {
        let item = |series: &Series| {
            let last = series.points.iter().rev().find(|point| self.shows(point.1))?;
            let (name, value) = (escape(series.name), numbers::plain(last.1));
            // A line that is alone needs no key to its colour.
            let class = if name.is_empty() { "alone" } else { series.class };
            Some(format!("<li class=\"{class}\">{name} <b>{value}</b></li>"))
        };
        let items: String = self.series.iter().filter_map(item).collect();
        format!("<ul class=\"legend\">{items}</ul>")
    }

    fn reference_html(&self, y: &Axis) -> String {
        let Some(reference) = self.reference.as_ref().filter(|reference| self.shows(reference.at)) else {
            return String::new();
        };
        format!(
            "<div class=\"reference\" style=\"bottom:{:.2}%\"><span>{} {}</span></div>\n",
            100.0 * y.position(reference.at),
            escape(reference.name),
            numbers::plain(reference.at),
        )
    }

    /// The chart in a sentence, for those who cannot see it.
    fn description(&self) -> String {
        let mut text = self.title.to_string();
        for series in &self.series {
            let shown = || series.points.iter().filter(|point| self.shows(point.1));
            if let (Some(first), Some(last)) = (shown().next(), shown().next_back()) {
                let name = if series.name.is_empty() { String::new() } else { format!("{} ", series.name) };
                let [from, to] = [first.1, last.1].map(numbers::plain);
                let _ = write!(text, "; {name}from {from} at step {} to {to} at step {}", first.0, last.0);
            }
        }
        text
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

fn grid(y: &Axis) -> String {
    let lines: String =
        y.ticks.iter().map(|&tick| format!("M0 {:.1}H{SIDE}", SIDE * (1.0 - y.position(tick)))).collect();
    format!("<path class=\"grid\" d=\"{lines}\"/>")
}

fn tick_labels(x: &Axis, y: &Axis) -> String {
    let mut html = String::new();
    for &tick in &y.ticks {
        let _ = write!(
            html,
            "<span class=\"y\" style=\"bottom:{:.2}%\">{}</span>",
            100.0 * y.position(tick),
            y.label(tick)
        );
    }
    for &tick in &x.ticks {
        let _ = write!(
            html,
            "<span class=\"x\" style=\"left:{:.2}%\">{}</span>",
            100.0 * x.position(tick),
            x.label(tick)
        );
    }
    html + "<span class=\"x-name\">step</span>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, points: &[Point]) -> Chart<'static> {
        let series = Series { name: "", class: "train", points: points.to_vec(), marks: false };
        Chart { title: "Loss", unit: "nats", scale, series: vec![series], reference: None }
    }

    fn path<'h>(html: &'h str, class: &str) -> Option<&'h str> {
        let (_, rest) = html.split_once(&format!("<path class=\"{class}\" d=\""))?;
        rest.split_once('"').map(|(path, _)| path)
    }

    #[test]
    fn points_land_where_the_axes_say() {
        let html = chart(Scale::Linear, &[(0.0, 0.0), (50.0, 1.0), (100.0, 4.0)]).to_html();
        assert_eq!(path(&html, "line train"), Some("M0.0 1000.0L500.0 750.0L1000.0 0.0"));
        assert_eq!(
            path(&html, "grid"),
            Some("M0 1000.0H1000M0 750.0H1000M0 500.0H1000M0 250.0H1000M0 0.0H1000")
        );
        assert!(html.contains("<span class=\"x\" style=\"left:40.00%\">40</span>"), "{html}");
        assert!(html.contains("<span class=\"y\" style=\"bottom:25.00%\">1</span>"), "{html}");
        assert_eq!(path(&html, "dots train"), None);
    }

    #[test]
    fn gaps_break_the_line_and_a_point_between_gaps_is_a_dot() {
        let nan = f64::NAN;
        let points = [
            (0.0, 0.0),
            (1.0, 4.0),
            (2.0, nan),
            (3.0, 2.0),
            (4.0, f64::INFINITY),
            (5.0, 1e301),
            (6.0, 0.0),
            (8.0, 4.0),
        ];
        let html = chart(Scale::Linear, &points).to_html();
        assert_eq!(
            path(&html, "line train"),
            Some("M0.0 1000.0L125.0 0.0M375.0 500.0M750.0 1000.0L1000.0 0.0")
        );
        assert_eq!(path(&html, "dots train"), Some("M375.0 500.0h0"));
    }

    #[test]
    fn a_single_point_is_drawn_in_the_middle() {
        let html = chart(Scale::Linear, &[(0.0, 4.0)]).to_html();
        let dot = path(&html, "dots train").unwrap_or_default();
        assert!(dot.starts_with("M500.0 "), "{dot}");
    }

    #[test]
    fn nothing_to_draw_gives_nothing() {
        assert_eq!(chart(Scale::Linear, &[]).to_html(), "");
        assert_eq!(chart(Scale::Linear, &[(0.0, f64::NAN)]).to_html(), "");
        assert_eq!(chart(Scale::Log, &[(0.0, 0.0), (1.0, -1.0)]).to_html(), "");
    }

    #[test]
    fn logarithms_are_even_per_decade_and_zero_is_a_gap() {
        let html = chart(Scale::Log, &[(0.0, 0.01), (1.0, 0.0), (2.0, 1.0), (3.0, 100.0)]).to_html();
        assert_eq!(path(&html, "line train"), Some("M0.0 1000.0M666.7 500.0L1000.0 0.0"));
    }

    #[test]
    fn axis_from_zero_includes_zero() {
        let html = chart(Scale::FromZero, &[(0.0, 90.0), (1.0, 100.0)]).to_html();
        assert_eq!(path(&html, "line train"), Some("M0.0 100.0L1000.0 0.0"));
    }

    #[test]
    fn the_reference_is_within_the_axis_even_beyond_the_values() {
        let reference = Some(Reference { name: "unigram entropy", at: 3.0 });
        let html = Chart { reference, ..chart(Scale::Linear, &[(0.0, 1.0), (1.0, 2.0)]) }.to_html();
        assert!(html.contains("style=\"bottom:100.00%\"><span>unigram entropy 3.000</span>"), "{html}");
    }

    #[test]
    fn long_series_are_thinned_and_few_marked() {
        let points: Vec<Point> = (0..50_000).map(|i| (f64::from(i), f64::from(i * 7919 % 1000))).collect();
        let html = chart(Scale::Linear, &points).to_html();
        let line = path(&html, "line train").unwrap_or_default();
        let drawn = line.matches(['M', 'L']).count();
        assert!((500..=MOST).contains(&drawn), "{drawn} points");
        let mut few = chart(Scale::Linear, &points[..10]);
        few.series[0].marks = true;
        let html = few.to_html();
        assert_eq!(path(&html, "dots train").unwrap_or_default().matches("h0").count(), 10);
    }

    #[test]
    fn names_are_escaped_and_the_chart_is_described() {
        let mut hostile = chart(Scale::Linear, &[(0.0, 4.0), (2000.0, 1.88)]);
        hostile.title = "<b>&\"";
        let html = hostile.to_html();
        assert!(html.contains("<h3>&lt;b&gt;&amp;&quot;</h3>"));
        assert!(
            html.contains("aria-label=\"&lt;b&gt;&amp;&quot;; from 4.000 at step 0 to 1.880 at step 2000\""),
            "{html}"
        );
    }
}
